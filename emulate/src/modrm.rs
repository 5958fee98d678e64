//! Instruction bytes, prefixes, and memory operands (CPU manual volume 2, chapter 2).
//!
//! Keeps true: a decoder sees each byte once, from a private copy; running out of bytes is an answer and not a panic.

use crate::registers::{Registers, Width};

/// The longest instruction, in bytes.
pub const MAX_LENGTH: usize = 15;

/// A cursor over the private copy of an instruction's bytes.
#[derive(Clone)]
pub struct Code<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Code<'a> {
    /// Starts at the first of `bytes`, of which at most [`MAX_LENGTH`] count.
    pub fn new(bytes: &'a [u8]) -> Self {
        let length = bytes.len().min(MAX_LENGTH);
        Self {
            bytes: &bytes[..length],
            at: 0,
        }
    }

    /// How many bytes were taken.
    pub fn taken(&self) -> u8 {
        self.at as u8
    }

    /// The next byte, without taking it.
    #[inline(always)]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Takes the next byte.
    #[inline(always)]
    pub fn byte(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Takes a little-endian number of `width`, sign-extended.
    pub fn signed(&mut self, width: Width) -> Option<u64> {
        let mut value = 0;
        for index in 0..width.bytes() as u32 {
            value |= u64::from(self.byte()?) << (index * 8);
        }
        Some(width.sign_extend(value))
    }
}

/// How code is decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// 64-bit code.
    Long,
    /// 32-bit code, flat segments.
    Compatibility,
}

/// A segment override that changes addresses in 64-bit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Segment {
    /// Any with base 0.
    #[default]
    Flat,
    /// FS.
    Fs,
    /// GS.
    Gs,
}

/// The prefixes of an instruction.
#[derive(Clone, Copy, Default, Debug)]
pub struct Prefixes {
    /// The REX byte; 0 for none.
    pub rex: u8,
    /// Operand size prefix.
    pub operand: bool,
    /// Address size prefix.
    pub address: bool,
    /// Repeat prefix, either kind.
    pub repeat: bool,
    /// Lock prefix.
    pub lock: bool,
    /// Segment override.
    pub segment: Segment,
}

impl Prefixes {
    /// Takes all prefixes. `None` if the bytes run out.
    #[inline]
    pub fn take(code: &mut Code<'_>, mode: Mode) -> Option<Self> {
        let mut prefixes = Self::default();
        loop {
            match code.peek()? {
                0x66 => prefixes.operand = true,
                0x67 => prefixes.address = true,
                0xf0 => prefixes.lock = true,
                0xf2 | 0xf3 => prefixes.repeat = true,
                0x64 => prefixes.segment = Segment::Fs,
                0x65 => prefixes.segment = Segment::Gs,
                0x26 | 0x2e | 0x36 | 0x3e => {
                    // In 64-bit code these do not even undo FS or GS.
                    if mode == Mode::Compatibility {
                        prefixes.segment = Segment::Flat;
                    }
                }
                rex @ 0x40..=0x4f if mode == Mode::Long => {
                    code.byte();
                    // REX counts only directly before the opcode.
                    if !is_prefix(code.peek()?) {
                        prefixes.rex = rex;
                        return Some(prefixes);
                    }
                    continue;
                }
                _ => return Some(prefixes),
            }
            code.byte();
        }
    }

    /// REX.W.
    pub fn wide(&self) -> bool {
        self.rex & 8 != 0
    }

    /// The width of an operand that is not a byte.
    pub fn width(&self) -> Width {
        match (self.wide(), self.operand) {
            (true, _) => Width::Quad,
            (false, true) => Width::Word,
            (false, false) => Width::Double,
        }
    }

    /// What `address` becomes after the address size of this instruction in `mode`.
    pub fn clip(&self, mode: Mode, address: u64) -> u64 {
        if self.address || mode == Mode::Compatibility {
            address & 0xffff_ffff
        } else {
            address
        }
    }

    /// The base that the segment override adds.
    pub fn base<R: Registers>(&self, registers: &R) -> u64 {
        match self.segment {
            Segment::Flat => 0,
            Segment::Fs => registers.fs_base(),
            Segment::Gs => registers.gs_base(),
        }
    }
}

fn is_prefix(byte: u8) -> bool {
    matches!(
        byte,
        0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3 | 0x64 | 0x65 | 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f
    )
}

/// A ModRM byte with a memory operand.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The register field with its REX extension.
    pub register: u8,
    /// Displacement and index, without base register of the segment.
    offset: u64,
    /// The displacement counts from the end of the instruction.
    rip_relative: bool,
}

impl Memory {
    /// Takes ModRM, SIB and displacement of 64-bit code. `None` if the operand is a register or bytes run out.
    pub fn take<R: Registers>(
        code: &mut Code<'_>,
        prefixes: &Prefixes,
        registers: &R,
    ) -> Option<Self> {
        let byte = code.byte()?;
        let (mode, low) = (byte >> 6, byte & 7);
        if mode == 3 {
            return None;
        }
        let register = (byte >> 3 & 7) | (prefixes.rex & 4) << 1;
        let mut rip_relative = false;
        let mut no_base = false;
        let mut offset = match low {
            4 => {
                let sib = code.byte()?;
                let index = (sib >> 3 & 7) | (prefixes.rex & 2) << 2;
                let base = sib & 7;
                let scaled = if index == 4 {
                    0
                } else {
                    registers.gpr(index) << (sib >> 6)
                };
                if base == 5 && mode == 0 {
                    no_base = true;
                    scaled
                } else {
                    scaled.wrapping_add(registers.gpr(base | (prefixes.rex & 1) << 3))
                }
            }
            5 if mode == 0 => {
                rip_relative = true;
                0
            }
            _ => registers.gpr(low | (prefixes.rex & 1) << 3),
        };
        let displacement = match mode {
            1 => code.signed(Width::Byte)?,
            2 => code.signed(Width::Double)?,
            _ if rip_relative || no_base => code.signed(Width::Double)?,
            _ => 0,
        };
        offset = offset.wrapping_add(displacement);
        Some(Self {
            register,
            offset,
            rip_relative,
        })
    }

    /// The linear address, once the instruction's `length` is known.
    pub fn address<R: Registers>(&self, prefixes: &Prefixes, registers: &R, length: u8) -> u64 {
        let offset = if self.rip_relative {
            self.offset
                .wrapping_add(registers.rip())
                .wrapping_add(u64::from(length))
        } else {
            self.offset
        };
        prefixes
            .clip(Mode::Long, offset)
            .wrapping_add(prefixes.base(registers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registers::tests::Plain;

    fn address(bytes: &[u8], registers: &Plain) -> Option<(u64, u8)> {
        let mut code = Code::new(bytes);
        let prefixes = Prefixes::take(&mut code, Mode::Long)?;
        code.byte()?;
        let memory = Memory::take(&mut code, &prefixes, registers)?;
        Some((
            memory.address(&prefixes, registers, code.taken()),
            memory.register,
        ))
    }

    fn registers() -> Plain {
        let mut registers = Plain {
            rip: 0x1000,
            gs: 0x7000_0000,
            ..Plain::default()
        };
        for (number, gpr) in registers.gprs.iter_mut().enumerate() {
            *gpr = 0x10_0000 * (number as u64 + 1);
        }
        registers
    }

    #[test]
    fn register_indirect_with_and_without_displacement() {
        // mov %rsi,(%rdi) ; mov %r9,8(%rbp) ; mov %rax,-0x100(%r13)
        assert_eq!(
            address(&[0x48, 0x89, 0x37], &registers()),
            Some((0x80_0000, 6))
        );
        assert_eq!(
            address(&[0x4c, 0x89, 0x4d, 0x08], &registers()),
            Some((0x60_0008, 9))
        );
        assert_eq!(
            address(&[0x49, 0x89, 0x85, 0, 0xff, 0xff, 0xff], &registers()),
            Some((0xdf_ff00, 0))
        );
    }

    #[test]
    fn scaled_index_and_its_two_exceptions() {
        // mov %rax,(%rbx,%rcx,8)
        assert_eq!(
            address(&[0x48, 0x89, 0x04, 0xcb], &registers()),
            Some((0x40_0000 + 0x100_0000, 0))
        );
        // mov %rax,(%rsp): index 4 is none
        assert_eq!(
            address(&[0x48, 0x89, 0x04, 0x24], &registers()),
            Some((0x50_0000, 0))
        );
        // mov %rax,0x1234(,%rcx,2): base 5 is none
        assert_eq!(
            address(&[0x48, 0x89, 0x04, 0x4d, 0x34, 0x12, 0, 0], &registers()),
            Some((0x40_1234, 0))
        );
    }

    #[test]
    fn rip_relative_counts_from_the_end_of_the_instruction() {
        assert_eq!(
            address(&[0x48, 0x89, 0x05, 0x10, 0, 0, 0], &registers()),
            Some((0x1017, 0))
        );
    }

    #[test]
    fn segment_override_adds_its_base_and_address_size_clips() {
        assert_eq!(
            address(&[0x65, 0x48, 0x89, 0x07], &registers()),
            Some((0x7080_0000, 0))
        );
        let mut wide = registers();
        wide.gprs[7] = 0xffff_ffff_0000_1000;
        assert_eq!(address(&[0x67, 0x48, 0x89, 0x07], &wide), Some((0x1000, 0)));
    }

    #[test]
    fn register_operands_and_truncated_code_have_no_address() {
        assert_eq!(address(&[0x48, 0x89, 0xc7], &registers()), None);
        for length in 0..8 {
            let bytes = [0x48, 0x89, 0x84, 0xcb, 1, 2, 3, 4];
            assert_eq!(address(&bytes[..length], &registers()), None);
        }
    }

    #[test]
    fn rex_before_another_prefix_is_ignored() {
        let mut code = Code::new(&[0x48, 0x66, 0x89]);
        let prefixes = Prefixes::take(&mut code, Mode::Long).unwrap();
        assert_eq!((prefixes.rex, prefixes.operand), (0, true));
    }
}
