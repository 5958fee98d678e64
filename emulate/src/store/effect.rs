//! What a store makes of its operand, and then of the registers.
//!
//! Keeps true: the registers change only when the store is retired, after its memory part was done.
//! Neighbours: [`crate::flags`] (arithmetic with flags).

use super::{Arithmetic, BitOperation, Operation, Store, byte_register};
use crate::flags::{self, ARITHMETIC, CF, DF, OF, RF, ZF};
use crate::registers::{RAX, RCX, RDI, RSI, Registers, Width};

/// What a store does, once the old value is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effect {
    /// The operand's new value; `None` if it stays (a compare that failed).
    pub new: Option<u64>,
    /// The arithmetic flags afterwards.
    pub flags: u64,
}

impl Store {
    /// What becomes of the operand, whose value is `old`.
    ///
    /// [`Operation::Copy`] has no answer here: the caller turns it into [`Operation::Write`] with what it read.
    pub fn effect<R: Registers>(&self, registers: &R, old: u64) -> Effect {
        let (width, before) = (self.width, registers.flags() & ARITHMETIC);
        let old = old & width.mask();
        let done = |(new, flags)| Effect {
            new: Some(new),
            flags,
        };
        match self.operation {
            Operation::Write(value) => done((value, before)),
            Operation::Copy(_) => Effect {
                new: None,
                flags: before,
            },
            Operation::Arithmetic(kind, value) => done(arithmetic(kind, width, old, value, before)),
            Operation::Increment => {
                let (new, flags) = flags::add(width, old, 1, 0);
                done((new, flags & !CF | before & CF))
            }
            Operation::Decrement => {
                let (new, flags) = flags::sub(width, old, 1, 0);
                done((new, flags & !CF | before & CF))
            }
            Operation::Not => done((!old & width.mask(), before)),
            Operation::Negate => done(flags::sub(width, 0, old, 0)),
            Operation::Bit(kind, bit) => {
                let mask = 1u64 << (bit & 63);
                let new = match kind {
                    BitOperation::Set => old | mask,
                    BitOperation::Reset => old & !mask,
                    BitOperation::Complement => old ^ mask,
                };
                done((new, before & !CF | if old & mask != 0 { CF } else { 0 }))
            }
            Operation::Exchange(register) => done((self.register(registers, register), before)),
            Operation::ExchangeAdd(register) => done(flags::add(
                width,
                old,
                self.register(registers, register),
                0,
            )),
            Operation::CompareExchange(register) => {
                let (_, flags) = flags::sub(width, registers.gpr(RAX), old, 0);
                let new = (flags & ZF != 0).then(|| self.register(registers, register));
                Effect { new, flags }
            }
            Operation::CompareExchange8 => {
                let pair = |high, low| registers.gpr(high) << 32 | registers.gpr(low) & 0xffff_ffff;
                let equal = pair(2, RAX) == old;
                let flags = before & !ZF | if equal { ZF } else { 0 };
                Effect {
                    new: equal.then(|| pair(RCX, 3)),
                    flags,
                }
            }
        }
    }

    fn register<R: Registers>(&self, registers: &R, number: u8) -> u64 {
        if self.width == Width::Byte {
            byte_register(registers, number, self.high_bytes)
        } else {
            registers.gpr(number) & self.width.mask()
        }
    }

    fn set_register<R: Registers>(&self, registers: &mut R, number: u8, value: u64) {
        if self.width == Width::Byte && self.high_bytes && (4..8).contains(&number) {
            let before = registers.gpr(number - 4);
            registers.set_gpr(number - 4, before & !0xff00 | (value & 0xff) << 8);
        } else {
            registers.set_gpr(number, self.width.merge(registers.gpr(number), value));
        }
    }

    /// Does to the guest's registers what the store does, after its memory part was done with `old` as the operand's
    /// value.
    pub fn retire<R: Registers>(&self, registers: &mut R, old: u64, effect: &Effect) {
        let old = old & self.width.mask();
        match self.operation {
            Operation::Exchange(register) | Operation::ExchangeAdd(register) => {
                self.set_register(registers, register, old);
            }
            Operation::CompareExchange(_) if effect.new.is_none() => {
                registers.set_gpr(RAX, self.width.merge(registers.gpr(RAX), old));
            }
            Operation::CompareExchange8 if effect.new.is_none() => {
                registers.set_gpr(RAX, old & 0xffff_ffff);
                registers.set_gpr(2, old >> 32);
            }
            _ => {}
        }
        let flags = registers.flags() & !(ARITHMETIC | RF) | effect.flags & ARITHMETIC;
        registers.set_flags(flags);
        if !self.step_string(registers) {
            registers.set_rip(registers.rip().wrapping_add(u64::from(self.length)));
        }
    }

    /// Moves the pointers of a string instruction on. Returns whether it is to be executed again.
    fn step_string<R: Registers>(&self, registers: &mut R) -> bool {
        let Some(repeat) = self.string else {
            return false;
        };
        let bytes = self.width.bytes();
        let step = if registers.flags() & DF != 0 {
            bytes.wrapping_neg()
        } else {
            bytes
        };
        registers.set_gpr(RDI, registers.gpr(RDI).wrapping_add(step));
        if self.copies {
            registers.set_gpr(RSI, registers.gpr(RSI).wrapping_add(step));
        }
        if !repeat {
            return false;
        }
        let count = registers.gpr(RCX).wrapping_sub(1);
        registers.set_gpr(RCX, count);
        count != 0
    }

    /// The 8 aligned bytes around the operand after the operand, which they contain, became `new`.
    pub fn splice(&self, word: u64, new: u64) -> u64 {
        let shift = (self.address & 7) * 8;
        let mask = self.width.mask() << shift;
        word & !mask | (new << shift) & mask
    }

    /// The operand inside the 8 aligned bytes around it.
    pub fn extract(&self, word: u64) -> u64 {
        word >> ((self.address & 7) * 8) & self.width.mask()
    }

    /// Whether the operand is aligned to its width, and so inside one aligned 8-byte word.
    pub fn is_aligned(&self) -> bool {
        self.address & (self.width.bytes() - 1) == 0
    }
}

fn arithmetic(kind: Arithmetic, width: Width, old: u64, value: u64, before: u64) -> (u64, u64) {
    let carry = before & CF;
    let logical = |new: u64| (new, flags::logic(width, new) & !(CF | OF));
    match kind {
        Arithmetic::Add => flags::add(width, old, value, 0),
        Arithmetic::AddCarry => flags::add(width, old, value, carry),
        Arithmetic::Sub => flags::sub(width, old, value, 0),
        Arithmetic::SubBorrow => flags::sub(width, old, value, carry),
        Arithmetic::Or => logical((old | value) & width.mask()),
        Arithmetic::And => logical(old & value & width.mask()),
        Arithmetic::Xor => logical((old ^ value) & width.mask()),
    }
}
