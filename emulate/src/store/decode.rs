//! From the bytes of an instruction to the store that it is.
//!
//! Keeps true: only complete instructions with a memory operand are stores; nothing is read but the bytes and the registers.
//! Neighbours: [`crate::modrm`] (prefixes and operands).

use super::{Arithmetic, BitOperation, Operation, Store, byte_register};
use crate::modrm::{Code, Memory, Mode, Prefixes};
use crate::registers::{RAX, RCX, RDI, RSI, Registers, Width};

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
pub(super) fn frequent<R: Registers>(bytes: &[u8], registers: &R) -> Option<Store> {
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
pub(super) fn decode_any<R: Registers>(bytes: &[u8], registers: &R) -> Option<Store> {
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
