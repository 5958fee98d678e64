//! Decoding of the instructions that fault in a guest's kernel because it does not run in ring 0.
//!
//! Keeps true: exactly the instructions that a PV guest may expect to be executed for it come out; all others (LGDT, LMSW,
//! HLT, ...) are the guest's fault to keep.

use crate::Width;
use crate::modrm::{Code, Mode, Prefixes, Segment};

/// Where an I/O instruction gets its port number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// From the instruction.
    Immediate(u8),
    /// From DX.
    Dx,
}

/// A string I/O instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StringIo {
    /// Bytes of one element.
    pub width: Width,
    /// Whether a repeat prefix makes RCX the count.
    pub repeat: bool,
    /// Whether RSI, RDI and RCX count with 32 bits only.
    pub short_address: bool,
    /// Segment of the source of OUTS.
    pub segment: Segment,
}

/// What is to be done for the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // One variant an instruction, named after it.
pub enum Operation {
    Cli,
    Sti,
    In { width: Width, port: Port },
    Out { width: Width, port: Port },
    Ins(StringIo),
    Outs(StringIo),
    ReadMsr,
    WriteMsr,
    Cpuid,
    ReadTsc,
    ReadTscp,
    SetXcr,
    ReadCr { cr: u8, gpr: u8 },
    WriteCr { cr: u8, gpr: u8 },
    ReadDr { dr: u8, gpr: u8 },
    WriteDr { dr: u8, gpr: u8 },
    ClearTaskSwitched,
    FlushCaches,
}

/// An instruction: what it asks for and how long it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instruction {
    /// What it asks for.
    pub operation: Operation,
    /// Bytes.
    pub length: u8,
}

/// The prefix that asks for CPUID as the hypervisor answers it: `ud2` and "xen", then the instruction.
pub const FORCED_CPUID: [u8; 7] = [0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2];

/// Decodes the instruction at the start of `bytes`, or `None` if it is none of [`Operation`] or incomplete.
pub fn decode(bytes: &[u8], mode: Mode) -> Option<Instruction> {
    let mut code = Code::new(bytes);
    let prefixes = Prefixes::take(&mut code, mode)?;
    if prefixes.lock {
        return None;
    }
    let opcode = code.byte()?;
    let width = if opcode & 1 == 0 {
        Width::Byte
    } else if prefixes.operand {
        Width::Word
    } else {
        Width::Double
    };
    let string = StringIo {
        width,
        repeat: prefixes.repeat,
        short_address: prefixes.address || mode == Mode::Compatibility,
        segment: prefixes.segment,
    };
    let operation = match opcode {
        0xfa => Operation::Cli,
        0xfb => Operation::Sti,
        0xec | 0xed => Operation::In {
            width,
            port: Port::Dx,
        },
        0xee | 0xef => Operation::Out {
            width,
            port: Port::Dx,
        },
        0xe4 | 0xe5 => Operation::In {
            width,
            port: Port::Immediate(code.byte()?),
        },
        0xe6 | 0xe7 => Operation::Out {
            width,
            port: Port::Immediate(code.byte()?),
        },
        // 16-bit addresses are beyond us.
        0x6c..=0x6f if mode == Mode::Compatibility && prefixes.address => return None,
        0x6c | 0x6d => Operation::Ins(string),
        0x6e | 0x6f => Operation::Outs(string),
        0x0f => two_byte(&mut code, &prefixes)?,
        _ => return None,
    };
    Some(Instruction {
        operation,
        length: code.taken(),
    })
}

fn two_byte(code: &mut Code<'_>, prefixes: &Prefixes) -> Option<Operation> {
    Some(match code.byte()? {
        0x01 => match code.byte()? {
            0xd1 => Operation::SetXcr,
            0xf9 => Operation::ReadTscp,
            _ => return None,
        },
        0x06 => Operation::ClearTaskSwitched,
        0x09 => Operation::FlushCaches,
        opcode @ 0x20..=0x23 => {
            // The mode field is ignored here: the operand is always a register.
            let byte = code.byte()?;
            let special = (byte >> 3 & 7) | (prefixes.rex & 4) << 1;
            let gpr = (byte & 7) | (prefixes.rex & 1) << 3;
            match opcode {
                0x20 => Operation::ReadCr { cr: special, gpr },
                0x21 => Operation::ReadDr { dr: special, gpr },
                0x22 => Operation::WriteCr { cr: special, gpr },
                _ => Operation::WriteDr { dr: special, gpr },
            }
        }
        0x30 => Operation::WriteMsr,
        0x31 => Operation::ReadTsc,
        0x32 => Operation::ReadMsr,
        0xa2 => Operation::Cpuid,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(bytes: &[u8]) -> Option<(Operation, u8)> {
        decode(bytes, Mode::Long).map(|instruction| (instruction.operation, instruction.length))
    }

    #[test]
    fn interrupt_flag_instructions() {
        assert_eq!(long(&[0xfa, 0x65, 0x48]), Some((Operation::Cli, 1)));
        assert_eq!(long(&[0xfb]), Some((Operation::Sti, 1)));
    }

    #[test]
    fn port_instructions_of_all_widths() {
        assert_eq!(
            long(&[0xec]),
            Some((
                Operation::In {
                    width: Width::Byte,
                    port: Port::Dx
                },
                1
            ))
        );
        assert_eq!(
            long(&[0xed]),
            Some((
                Operation::In {
                    width: Width::Double,
                    port: Port::Dx
                },
                1
            ))
        );
        assert_eq!(
            long(&[0x66, 0xef]),
            Some((
                Operation::Out {
                    width: Width::Word,
                    port: Port::Dx
                },
                2
            ))
        );
        // REX.W does not widen I/O.
        assert_eq!(
            long(&[0x48, 0xed]),
            Some((
                Operation::In {
                    width: Width::Double,
                    port: Port::Dx
                },
                2
            ))
        );
        assert_eq!(
            long(&[0xe6, 0x80]),
            Some((
                Operation::Out {
                    width: Width::Byte,
                    port: Port::Immediate(0x80)
                },
                2
            ))
        );
    }

    #[test]
    fn string_port_instructions_carry_prefixes() {
        let Some((Operation::Ins(ins), 3)) = long(&[0xf3, 0x66, 0x6d]) else {
            panic!()
        };
        assert_eq!(
            (ins.width, ins.repeat, ins.short_address),
            (Width::Word, true, false)
        );
        let Some((Operation::Outs(outs), 3)) = long(&[0x65, 0x67, 0x6e]) else {
            panic!()
        };
        assert_eq!(
            (outs.width, outs.segment, outs.short_address),
            (Width::Byte, Segment::Gs, true)
        );
    }

    #[test]
    fn control_and_debug_registers_with_their_extensions() {
        assert_eq!(
            long(&[0x0f, 0x20, 0xd8]),
            Some((Operation::ReadCr { cr: 3, gpr: 0 }, 3))
        );
        assert_eq!(
            long(&[0x44, 0x0f, 0x20, 0xc1]),
            Some((Operation::ReadCr { cr: 8, gpr: 1 }, 4))
        );
        assert_eq!(
            long(&[0x41, 0x0f, 0x22, 0xe7]),
            Some((Operation::WriteCr { cr: 4, gpr: 15 }, 4))
        );
        assert_eq!(
            long(&[0x0f, 0x23, 0xf8]),
            Some((Operation::WriteDr { dr: 7, gpr: 0 }, 3))
        );
    }

    #[test]
    fn system_instructions() {
        assert_eq!(long(&[0x0f, 0x32]), Some((Operation::ReadMsr, 2)));
        assert_eq!(long(&[0x0f, 0x30]), Some((Operation::WriteMsr, 2)));
        assert_eq!(long(&[0x0f, 0x01, 0xd1]), Some((Operation::SetXcr, 3)));
        assert_eq!(long(&[0xf3, 0x0f, 0x09]), Some((Operation::FlushCaches, 3)));
        assert_eq!(long(&[0x0f, 0x01, 0xf9]), Some((Operation::ReadTscp, 3)));
        assert_eq!(long(&FORCED_CPUID[5..]), Some((Operation::Cpuid, 2)));
    }

    #[test]
    fn what_a_guest_must_not_do_is_not_decoded() {
        // hlt, lgdt (%rax), lmsw %ax, invd, lock cli, swapgs, vmmcall
        for bytes in [
            &[0xf4][..],
            &[0x0f, 0x01, 0x10],
            &[0x0f, 0x01, 0xf0],
            &[0x0f, 0x08],
            &[0xf0, 0xfa],
            &[0x0f, 0x01, 0xf8],
            &[0x0f, 0x01, 0xd9],
        ] {
            assert_eq!(long(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn incomplete_code_is_not_decoded() {
        for bytes in [
            &[][..],
            &[0xe4],
            &[0x0f],
            &[0x0f, 0x20],
            &[0x66],
            &[0x66; 16],
        ] {
            assert_eq!(long(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn compatibility_mode_has_no_rex() {
        // inc %eax in 32-bit code
        assert_eq!(decode(&[0x48, 0xed], Mode::Compatibility), None);
        assert!(decode(&[0xed], Mode::Compatibility).is_some());
    }
}
