//! Decoding of stores to a page-table page that is mapped read-only (writable page tables).
//!
//! Keeps true: a store is turned into "the 8 bytes at this address, from this value to that" and into what it does to the
//! guest's registers, apart; nothing is changed in the guest before the memory engine has accepted the new entry.
//! Neighbours: the hypervisor's `emulate::page_table` reads the old entry, asks the engine, and then retires the store.

use crate::flags::{self, ARITHMETIC, CF, DF, OF, RF, ZF};
use crate::modrm::{Code, Memory, Mode, Prefixes};
use crate::registers::{RAX, RCX, RDI, RSI, Registers, Width};

/// Two-operand arithmetic, in the order of its opcodes; the number is the opcode's bits 5:3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Arithmetic {
    Add,
    Or,
    AddCarry,
    SubBorrow,
    And,
    Sub,
    Xor,
}

impl Arithmetic {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits & 7 {
            0 => Self::Add,
            1 => Self::Or,
            2 => Self::AddCarry,
            3 => Self::SubBorrow,
            4 => Self::And,
            5 => Self::Sub,
            6 => Self::Xor,
            _ => return None,
        })
    }
}

/// Bit test instructions that write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum BitOperation {
    Set,
    Reset,
    Complement,
}

/// What the store does to its operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Replaces it by a value.
    Write(u64),
    /// Replaces it by what stands at a linear address (`MOVS`).
    Copy(u64),
    /// Combines it with a value.
    Arithmetic(Arithmetic, u64),
    /// Adds 1 and keeps the carry flag.
    Increment,
    /// Subtracts 1 and keeps the carry flag.
    Decrement,
    /// Inverts it.
    Not,
    /// Negates it.
    Negate,
    /// Changes one bit.
    Bit(BitOperation, u32),
    /// Exchanges it with a register.
    Exchange(u8),
    /// Adds a register to it, which gets the old value.
    ExchangeAdd(u8),
    /// Replaces it by a register if it equals the accumulator.
    CompareExchange(u8),
    /// Replaces 8 bytes by ECX:EBX if they equal EDX:EAX.
    CompareExchange8,
}

/// One store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Store {
    /// Linear address of the operand.
    pub address: u64,
    /// Its width.
    pub width: Width,
    /// What is done to it.
    pub operation: Operation,
    /// Whether it must be one atomic step (lock prefix, or an exchange).
    pub atomic: bool,
    /// Bytes of the instruction.
    length: u8,
    /// A string instruction, and whether a count in RCX repeats it.
    string: Option<bool>,
    /// A string instruction that moves its source pointer too.
    copies: bool,
    /// For a byte operand without REX: register numbers 4 to 7 mean AH, CH, DH, BH.
    high_bytes: bool,
}

fn byte_register<R: Registers>(registers: &R, number: u8, high_bytes: bool) -> u64 {
    if high_bytes && (4..8).contains(&number) {
        registers.gpr(number - 4) >> 8 & 0xff
    } else {
        registers.gpr(number) & 0xff
    }
}

struct Decoder<'a, R> {
    code: Code<'a>,
    prefixes: Prefixes,
    registers: &'a R,
}

impl<R: Registers> Decoder<'_, R> {
    /// The operand width chosen by an opcode's lowest bit.
    fn width(&self, opcode: u8) -> Width {
        if opcode & 1 == 0 {
            Width::Byte
        } else {
            self.prefixes.width()
        }
    }

    fn memory(&mut self) -> Option<Memory> {
        Memory::take(&mut self.code, &self.prefixes, self.registers)
    }

    fn register(&self, number: u8, width: Width) -> u64 {
        if width == Width::Byte {
            byte_register(self.registers, number, self.prefixes.rex == 0)
        } else {
            self.registers.gpr(number) & width.mask()
        }
    }

    /// An immediate of at most 32 bits, sign-extended.
    fn immediate(&mut self, width: Width) -> Option<u64> {
        self.code.signed(if width == Width::Quad {
            Width::Double
        } else {
            width
        })
    }

    /// The bit number and the operand's displacement for a bit instruction with a register operand.
    fn bit_string(&self, number: u8, width: Width) -> (u32, u64) {
        let value = width.sign_extend(self.registers.gpr(number));
        let bit = value & u64::from(width.bits() - 1);
        let bytes =
            ((value as i64) >> width.bits().trailing_zeros()).wrapping_mul(width.bytes() as i64);
        (bit as u32, bytes as u64)
    }

    fn finish(
        &self,
        memory: Memory,
        displacement: u64,
        width: Width,
        operation: Operation,
    ) -> Store {
        let length = self.code.taken();
        let atomic = self.prefixes.lock || matches!(operation, Operation::Exchange(_));
        let address = memory
            .address(&self.prefixes, self.registers, length)
            .wrapping_add(displacement);
        let high_bytes = self.prefixes.rex == 0;
        Store {
            address,
            width,
            operation,
            atomic,
            length,
            string: None,
            copies: false,
            high_bytes,
        }
    }

    fn one_byte(&mut self, opcode: u8) -> Option<Store> {
        let width = self.width(opcode);
        let (memory, operation) = match opcode {
            0x88 | 0x89 => {
                let memory = self.memory()?;
                (
                    memory,
                    Operation::Write(self.register(memory.register, width)),
                )
            }
            0xc6 | 0xc7 => {
                let memory = self.memory()?;
                let value = self.immediate(width)?;
                if memory.register & 7 != 0 {
                    return None;
                }
                (memory, Operation::Write(value & width.mask()))
            }
            0x86 | 0x87 => {
                let memory = self.memory()?;
                (memory, Operation::Exchange(memory.register))
            }
            0x80 | 0x81 | 0x83 => {
                let memory = self.memory()?;
                let value = self.immediate(if opcode == 0x83 { Width::Byte } else { width })?;
                (
                    memory,
                    Operation::Arithmetic(
                        Arithmetic::from_bits(memory.register)?,
                        value & width.mask(),
                    ),
                )
            }
            0xf6 | 0xf7 | 0xfe | 0xff => {
                let memory = self.memory()?;
                let operation = match (opcode >= 0xfe, memory.register & 7) {
                    (true, 0) => Operation::Increment,
                    (true, 1) => Operation::Decrement,
                    (false, 2) => Operation::Not,
                    (false, 3) => Operation::Negate,
                    _ => return None,
                };
                (memory, operation)
            }
            0x00..=0x3f if opcode & 7 < 2 => {
                let memory = self.memory()?;
                let value = self.register(memory.register, width);
                (
                    memory,
                    Operation::Arithmetic(Arithmetic::from_bits(opcode >> 3)?, value),
                )
            }
            0xa4 | 0xa5 | 0xaa | 0xab => return self.string(opcode, width),
            _ => return None,
        };
        Some(self.finish(memory, 0, width, operation))
    }

    fn two_byte(&mut self) -> Option<Store> {
        let opcode = self.code.byte()?;
        let mut displacement = 0;
        let (width, memory, operation) = match opcode {
            0xab | 0xb3 | 0xbb => {
                let width = self.prefixes.width();
                let memory = self.memory()?;
                let (bit, bytes) = self.bit_string(memory.register, width);
                displacement = bytes;
                let operation = match opcode {
                    0xab => BitOperation::Set,
                    0xb3 => BitOperation::Reset,
                    _ => BitOperation::Complement,
                };
                (width, memory, Operation::Bit(operation, bit))
            }
            0xba => {
                let width = self.prefixes.width();
                let memory = self.memory()?;
                let bit = u32::from(self.code.byte()?) & (width.bits() - 1);
                let operation = match memory.register & 7 {
                    5 => BitOperation::Set,
                    6 => BitOperation::Reset,
                    7 => BitOperation::Complement,
                    _ => return None,
                };
                (width, memory, Operation::Bit(operation, bit))
            }
            0xb0 | 0xb1 => {
                let memory = self.memory()?;
                (
                    self.width(opcode),
                    memory,
                    Operation::CompareExchange(memory.register),
                )
            }
            0xc0 | 0xc1 => {
                let memory = self.memory()?;
                (
                    self.width(opcode),
                    memory,
                    Operation::ExchangeAdd(memory.register),
                )
            }
            0xc3 if !self.prefixes.operand => {
                let width = self.prefixes.width();
                let memory = self.memory()?;
                (
                    width,
                    memory,
                    Operation::Write(self.register(memory.register, width)),
                )
            }
            0xc7 if !self.prefixes.wide() => {
                let memory = self.memory()?;
                if memory.register & 7 != 1 {
                    return None;
                }
                (Width::Quad, memory, Operation::CompareExchange8)
            }
            _ => return None,
        };
        Some(self.finish(memory, displacement, width, operation))
    }

    fn string(&mut self, opcode: u8, width: Width) -> Option<Store> {
        let clip = |value| self.prefixes.clip(Mode::Long, value);
        if self.prefixes.repeat && clip(self.registers.gpr(RCX)) == 0 {
            return None;
        }
        let operation = if opcode < 0xaa {
            let source = clip(self.registers.gpr(RSI));
            Operation::Copy(source.wrapping_add(self.prefixes.base(self.registers)))
        } else {
            Operation::Write(self.registers.gpr(RAX) & width.mask())
        };
        // 32-bit counting would have to clear the upper halves: nobody writes page tables so.
        if self.prefixes.address {
            return None;
        }
        Some(Store {
            address: self.registers.gpr(RDI),
            width,
            operation,
            atomic: false,
            length: self.code.taken(),
            string: Some(self.prefixes.repeat),
            copies: opcode < 0xaa,
            high_bytes: false,
        })
    }
}

/// Decodes the store at the start of `bytes` (64-bit code), or `None` if it is not one of [`Operation`] with a memory
/// operand, or incomplete.
#[inline]
pub fn decode<R: Registers>(bytes: &[u8], registers: &R) -> Option<Store> {
    frequent(bytes, registers).or_else(|| decode_any(bytes, registers))
}

/// The forms that dominate, told apart without a general decoder: a 64-bit register stored to, or exchanged with, what a base
/// register and at most one byte of displacement address.
#[inline]
fn frequent<R: Registers>(bytes: &[u8], registers: &R) -> Option<Store> {
    let &[rex, opcode, modrm, displacement, ..] = bytes else {
        return None;
    };
    // REX.W without an index register; no SIB byte, no RIP-relative address.
    if rex & 0xfa != 0x48 || modrm & 7 == 4 {
        return None;
    }
    let (displacement, length) = match modrm >> 6 {
        0 if modrm & 7 != 5 => (0, 3),
        1 => (i64::from(displacement as i8), 4),
        _ => return None,
    };
    let register = modrm >> 3 & 7 | (rex & 4) << 1;
    let base = modrm & 7 | (rex & 1) << 3;
    let operation = match opcode {
        0x87 => Operation::Exchange(register),
        0x89 => Operation::Write(registers.gpr(register)),
        _ => return None,
    };
    Some(Store {
        address: registers.gpr(base).wrapping_add_signed(displacement),
        width: Width::Quad,
        operation,
        atomic: opcode == 0x87,
        length,
        string: None,
        copies: false,
        high_bytes: false,
    })
}

/// The general decoder.
#[inline(never)]
fn decode_any<R: Registers>(bytes: &[u8], registers: &R) -> Option<Store> {
    let mut code = Code::new(bytes);
    let prefixes = Prefixes::take(&mut code, Mode::Long)?;
    let opcode = code.byte()?;
    let mut decoder = Decoder {
        code,
        prefixes,
        registers,
    };
    if opcode == 0x0f {
        decoder.two_byte()
    } else {
        decoder.one_byte(opcode)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{PF, SF};
    use crate::registers::tests::Plain;

    fn registers() -> Plain {
        let mut registers = Plain {
            rip: 0x1000,
            ..Plain::default()
        };
        registers.gprs[RDI as usize] = 0x8000;
        registers
    }

    /// Decodes, applies to `old`, retires; gives the operand's new value.
    fn run(bytes: &[u8], registers: &mut Plain, old: u64) -> Option<u64> {
        let store = decode(bytes, registers).expect("decodes");
        let effect = store.effect(registers, old);
        store.retire(registers, old, &effect);
        effect.new
    }

    #[test]
    fn the_short_way_decodes_as_the_general_decoder_does() {
        let mut regs = registers();
        for (number, value) in regs.gprs.iter_mut().enumerate() {
            *value = 0x10_0000 * (number as u64 + 1);
        }
        let mut met = 0;
        for rex in 0x40..=0x4f {
            for opcode in [0x85, 0x87, 0x89, 0x8b] {
                for modrm in 0..=255 {
                    let bytes = [rex, opcode, modrm, 0x90, 0x11, 0x22, 0x33, 0x44];
                    if let Some(store) = frequent(&bytes, &regs) {
                        met += 1;
                        assert_eq!(Some(store), decode_any(&bytes, &regs), "{bytes:x?}");
                    }
                }
            }
        }
        assert!(met > 800, "{met}");
    }

    #[test]
    fn plain_stores_of_every_width() {
        let mut regs = registers();
        regs.gprs[6] = 0x1122_3344_5566_7788;
        assert_eq!(
            run(&[0x48, 0x89, 0x37], &mut regs, 0),
            Some(0x1122_3344_5566_7788)
        );
        assert_eq!(regs.rip, 0x1003);
        assert_eq!(run(&[0x89, 0x37], &mut regs, 0), Some(0x5566_7788));
        assert_eq!(run(&[0x66, 0x89, 0x37], &mut regs, 0), Some(0x7788));
        assert_eq!(run(&[0x40, 0x88, 0x37], &mut regs, 0), Some(0x88));
        // Without REX register 6 of a byte instruction is DH.
        regs.gprs[2] = 0xab00;
        assert_eq!(run(&[0x88, 0x37], &mut regs, 0), Some(0xab));
    }

    #[test]
    fn immediates_are_sign_extended_to_the_operand() {
        let mut regs = registers();
        assert_eq!(
            run(&[0x48, 0xc7, 0x07, 0xff, 0xff, 0xff, 0xff], &mut regs, 0),
            Some(u64::MAX)
        );
        assert_eq!(run(&[0x48, 0x83, 0x27, 0xfd], &mut regs, 0x67), Some(0x65));
        assert_eq!(regs.flags & (ZF | SF | CF), 0);
    }

    #[test]
    fn exchange_returns_the_old_value_and_is_atomic() {
        let mut regs = registers();
        regs.gprs[0] = 5;
        assert!(decode(&[0x48, 0x87, 0x07], &regs).unwrap().atomic);
        assert_eq!(
            run(&[0x48, 0x87, 0x07], &mut regs, 0x8000_0000_0000_0067),
            Some(5)
        );
        assert_eq!(regs.gprs[0], 0x8000_0000_0000_0067);
    }

    #[test]
    fn clearing_the_write_bit_as_linux_does_it() {
        // lock andb $0xfd,(%rdi), and the same with the lock prefix patched to DS on one CPU
        for prefix in [0xf0, 0x3e] {
            let mut regs = registers();
            let store = decode(&[prefix, 0x80, 0x27, 0xfd], &regs).unwrap();
            assert_eq!((store.width, store.atomic), (Width::Byte, prefix == 0xf0));
            assert_eq!(
                run(&[prefix, 0x80, 0x27, 0xfd], &mut regs, 0x67),
                Some(0x65)
            );
            assert_eq!(regs.flags, PF);
        }
    }

    #[test]
    fn bit_instructions_reach_beyond_the_operand_by_register() {
        let mut regs = registers();
        regs.gprs[1] = 65;
        let store = decode(&[0xf0, 0x48, 0x0f, 0xb3, 0x0f], &regs).unwrap();
        assert_eq!(
            (store.address, store.operation),
            (0x8008, Operation::Bit(BitOperation::Reset, 1))
        );
        assert_eq!(
            run(&[0xf0, 0x48, 0x0f, 0xb3, 0x0f], &mut regs, 0x67),
            Some(0x65)
        );
        assert_eq!(regs.flags & CF, CF);
        regs.gprs[1] = u64::MAX;
        assert_eq!(
            decode(&[0x48, 0x0f, 0xab, 0x0f], &regs).unwrap().address,
            0x7ff8
        );
        assert_eq!(
            run(&[0x48, 0x0f, 0xba, 0x37, 0x01], &mut regs, 0x65),
            Some(0x65)
        );
        assert_eq!(regs.flags & CF, 0);
    }

    #[test]
    fn compare_exchange_succeeds_or_loads_the_accumulator() {
        let mut regs = registers();
        (regs.gprs[0], regs.gprs[2]) = (0x67, 0x65);
        assert_eq!(
            run(&[0xf0, 0x48, 0x0f, 0xb1, 0x17], &mut regs, 0x67),
            Some(0x65)
        );
        assert_eq!(regs.flags & ZF, ZF);
        assert_eq!(run(&[0xf0, 0x48, 0x0f, 0xb1, 0x17], &mut regs, 0x27), None);
        assert_eq!((regs.gprs[0], regs.flags & ZF), (0x27, 0));
        (regs.gprs[0], regs.gprs[1], regs.gprs[2], regs.gprs[3]) = (0x67, 9, 1, 8);
        assert_eq!(
            run(&[0xf0, 0x0f, 0xc7, 0x0f], &mut regs, 0x1_0000_0067),
            Some(0x9_0000_0008)
        );
        assert_eq!(
            run(&[0xf0, 0x0f, 0xc7, 0x0f], &mut regs, 0x2_0000_0007),
            None
        );
        assert_eq!((regs.gprs[0], regs.gprs[2]), (7, 2));
    }

    #[test]
    fn string_stores_go_one_element_at_a_time() {
        let mut regs = registers();
        (regs.gprs[1], regs.gprs[0]) = (2, 0x1234);
        assert_eq!(run(&[0xf3, 0x48, 0xab], &mut regs, 0), Some(0x1234));
        assert_eq!((regs.gprs[1], regs.gprs[7], regs.rip), (1, 0x8008, 0x1000));
        run(&[0xf3, 0x48, 0xab], &mut regs, 0);
        assert_eq!((regs.gprs[1], regs.gprs[7], regs.rip), (0, 0x8010, 0x1003));
        assert_eq!(decode(&[0xf3, 0x48, 0xab], &regs), None);
        let store = decode(&[0x48, 0xa5], &regs).unwrap();
        assert_eq!(store.operation, Operation::Copy(0));
    }

    #[test]
    fn increment_keeps_carry_and_the_rest_computes_flags() {
        let mut regs = registers();
        regs.flags = CF;
        assert_eq!(run(&[0x48, 0xff, 0x07], &mut regs, u64::MAX), Some(0));
        assert_eq!(regs.flags & (CF | ZF), CF | ZF);
        assert_eq!(run(&[0x48, 0x83, 0x07, 0x01], &mut regs, 1), Some(2));
        assert_eq!(regs.flags & (CF | ZF), 0);
        assert_eq!(run(&[0x48, 0xf7, 0x17], &mut regs, 0), Some(u64::MAX));
    }

    #[test]
    fn narrow_operands_are_spliced_into_their_word() {
        let mut regs = registers();
        regs.gprs[RDI as usize] = 0x8004;
        regs.gprs[6] = 0xaabb_ccdd;
        let store = decode(&[0x89, 0x37], &regs).unwrap();
        assert!(store.is_aligned());
        assert_eq!(
            store.splice(0x1111_2222_3333_4444, 0xaabb_ccdd),
            0xaabb_ccdd_3333_4444
        );
        assert_eq!(store.extract(0x1111_2222_3333_4444), 0x1111_2222);
        regs.gprs[RDI as usize] = 0x8006;
        assert!(!decode(&[0x89, 0x37], &regs).unwrap().is_aligned());
    }

    #[test]
    fn loads_compares_vectors_and_wide_exchanges_are_refused() {
        let regs = registers();
        // mov (%rdi),%rsi ; cmp %rsi,(%rdi) ; cmpq $1,(%rdi) ; movups ; cmpxchg16b ; call *(%rdi) ; mov to register
        for bytes in [
            &[0x48, 0x8b, 0x37][..],
            &[0x48, 0x39, 0x37],
            &[0x48, 0x83, 0x3f, 0x01],
            &[0x0f, 0x11, 0x07],
            &[0xf0, 0x48, 0x0f, 0xc7, 0x0f],
            &[0xff, 0x17],
            &[0x48, 0x89, 0xf7],
            &[0x48, 0x0f, 0xba, 0x27, 0x01],
        ] {
            assert_eq!(decode(bytes, &regs), None, "{bytes:x?}");
        }
    }

    #[test]
    fn no_byte_sequence_panics() {
        let mut regs = registers();
        let mut seed = 0x1234_5678_9abc_def0u64;
        for _ in 0..200_000 {
            let mut bytes = [0u8; 16];
            for chunk in bytes.chunks_mut(8) {
                seed = seed
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                chunk.copy_from_slice(&(seed ^ seed >> 29).to_le_bytes());
            }
            regs.gprs[bytes[15] as usize & 15] = seed;
            let length = bytes[14] as usize & 15;
            if let Some(store) = decode(&bytes[..length], &regs) {
                let effect = store.effect(&regs, seed);
                store.retire(&mut regs, seed, &effect);
            }
        }
    }
}
