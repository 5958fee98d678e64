//! The instructions that are carried out for a guest: whatever its code and registers hold, decoding and retiring them does
//! what `iced-x86` says the instruction is.
//!
//! An input is a mode, 20 register values of 8 bytes and an old operand, then the code.

use crate::bytes::put;
use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, OpAccess, Register};
use xenocryst_emulate::modrm::Mode;
use xenocryst_emulate::store::{Operation, Store};
use xenocryst_emulate::{Registers, Width, privileged, store};

/// Bytes before the code.
const PREFIX: usize = 1 + 22 * 8;

/// A guest's registers.
#[derive(Clone, Default, PartialEq, Debug)]
struct Guest {
    gprs: [u64; 16],
    rip: u64,
    flags: u64,
    fs: u64,
    gs: u64,
}

impl Registers for Guest {
    fn gpr(&self, number: u8) -> u64 {
        self.gprs[usize::from(number) & 15]
    }
    fn set_gpr(&mut self, number: u8, value: u64) {
        self.gprs[usize::from(number) & 15] = value;
    }
    fn rip(&self) -> u64 {
        self.rip
    }
    fn set_rip(&mut self, value: u64) {
        self.rip = value;
    }
    fn flags(&self) -> u64 {
        self.flags
    }
    fn set_flags(&mut self, value: u64) {
        self.flags = value;
    }
    fn fs_base(&self) -> u64 {
        self.fs
    }
    fn gs_base(&self) -> u64 {
        self.gs
    }
}

impl Guest {
    /// The value of a register as `iced-x86` names it.
    fn value(&self, register: Register) -> Option<u64> {
        Some(match register {
            Register::FS => self.fs,
            Register::GS => self.gs,
            Register::CS | Register::DS | Register::ES | Register::SS => 0,
            Register::RIP | Register::EIP => self.rip,
            _ if register.is_gpr() => {
                let value = self.gprs[register.full_register().number()];
                match register.size() {
                    8 => value,
                    4 => value & 0xffff_ffff,
                    2 => value & 0xffff,
                    _ => return None,
                }
            }
            _ => return None,
        })
    }
}

/// Decodes the code as a privileged instruction and as a store.
pub fn run(data: &[u8]) {
    if data.len() < PREFIX {
        return;
    }
    let word = |index: usize| {
        let at = 1 + index * 8;
        u64::from_le_bytes(data[at..at + 8].try_into().unwrap_or_default())
    };
    let guest = Guest {
        gprs: std::array::from_fn(word),
        rip: word(16),
        flags: word(17),
        fs: word(18),
        gs: word(19),
    };
    let code = &data[PREFIX..];
    let mode = if data[0] & 1 == 0 {
        Mode::Long
    } else {
        Mode::Compatibility
    };
    check_privileged(code, mode);
    if let Some(found) = store::decode(code, &guest) {
        check_store(&found, &guest, code);
        check_retired(&found, &guest, word(20), code);
    }
}

/// The instruction at the start of `code`, if `iced-x86` knows it.
fn decode(code: &[u8], mode: Mode, rip: u64) -> Option<Instruction> {
    let bits = if mode == Mode::Long { 64 } else { 32 };
    let mut decoder = Decoder::with_ip(bits, code, rip, DecoderOptions::NONE);
    let instruction = decoder.decode();
    (!instruction.is_invalid()).then_some(instruction)
}

fn check_privileged(code: &[u8], mode: Mode) {
    let Some(found) = privileged::decode(code, mode) else {
        return;
    };
    assert!((1..=15).contains(&found.length) && usize::from(found.length) <= code.len());
    if let Some(instruction) = decode(code, mode, 0) {
        assert_eq!(
            usize::from(found.length),
            instruction.len(),
            "{instruction}: {found:?}"
        );
        assert_eq!(
            named(&found.operation),
            mnemonic(&instruction),
            "{instruction}: {found:?}"
        );
    }
}

/// The name of a privileged operation, without the operands' widths.
fn named(operation: &privileged::Operation) -> &'static str {
    use privileged::Operation as O;
    match operation {
        O::Cli => "Cli",
        O::Sti => "Sti",
        O::In { .. } => "In",
        O::Out { .. } => "Out",
        O::Ins(_) => "Ins",
        O::Outs(_) => "Outs",
        O::ReadMsr => "Rdmsr",
        O::WriteMsr => "Wrmsr",
        O::Cpuid => "Cpuid",
        O::ReadTsc => "Rdtsc",
        O::ReadTscp => "Rdtscp",
        O::SetXcr => "Xsetbv",
        O::ReadCr { .. } | O::WriteCr { .. } | O::ReadDr { .. } | O::WriteDr { .. } => "Mov",
        O::ClearTaskSwitched => "Clts",
        O::FlushCaches => "Wbinvd",
    }
}

fn mnemonic(instruction: &Instruction) -> String {
    let name = format!("{:?}", instruction.mnemonic());
    match name.as_str() {
        "Insb" | "Insw" | "Insd" => "Ins".into(),
        "Outsb" | "Outsw" | "Outsd" => "Outs".into(),
        // The same without writing back, which whoever writes back does too.
        "Wbnoinvd" => "Wbinvd".into(),
        _ => name,
    }
}

/// Address, width and length are those of the instruction's one memory operand that is written.
fn check_store(found: &Store, guest: &Guest, code: &[u8]) {
    let Some(instruction) = decode(code, Mode::Long, guest.rip) else {
        return;
    };
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(&instruction);
    let written = info.used_memory().iter().find(|memory| {
        matches!(
            memory.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        )
    });
    let Some(written) = written else {
        panic!("{instruction} writes nothing: {found:?}");
    };
    // Repeated, it has no size of its own.
    let repeated = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    assert!(
        repeated || written.memory_size().size() as u64 == found.width.bytes(),
        "{instruction}: {found:?}"
    );
    // A bit's number can move the operand, which `iced-x86` leaves out.
    if !matches!(found.operation, Operation::Bit(..)) {
        let address = written.virtual_address(0, |register, _, _| guest.value(register));
        assert_eq!(address, Some(found.address), "{instruction}: {found:?}");
    }
}

/// What retiring does to the registers.
fn check_retired(found: &Store, guest: &Guest, old: u64, code: &[u8]) {
    let effect = found.effect(guest, old);
    let mut after = guest.clone();
    found.retire(&mut after, old, &effect);
    let moved = after.rip.wrapping_sub(guest.rip);
    assert!(moved <= 15 && moved <= code.len() as u64);
    if moved != 0
        && let Some(instruction) = decode(code, Mode::Long, guest.rip)
    {
        assert_eq!(moved, instruction.len() as u64, "{instruction}");
    }
    if found.is_aligned() && found.width == Width::Quad {
        assert_eq!(found.splice(old, !old), !old);
    }
    let spliced = found.splice(old, effect.new.unwrap_or(0));
    if found.is_aligned() {
        let expected = effect.new.unwrap_or(0) & found.width.mask();
        assert_eq!(found.extract(spliced), expected);
    }
    assert_eq!(
        after.flags & !0x1_08d5,
        guest.flags & !0x1_08d5,
        "more than the arithmetic flags"
    );
}

/// Every form of store and privileged instruction that the decoders know.
pub fn seeds() -> Vec<Vec<u8>> {
    let codes: &[&[u8]] = &[
        &[0x48, 0x89, 0x07, 0x90],
        &[0x48, 0x87, 0x46, 0x08],
        &[0x65, 0x48, 0x89, 0x04, 0x25, 0x00, 0x10, 0x00, 0x00],
        &[0xf0, 0x48, 0x0f, 0xb1, 0x0f],
        &[0xf0, 0x48, 0x0f, 0xba, 0x37, 0x01],
        &[0xf0, 0x48, 0x0f, 0xb3, 0x07],
        &[0xf0, 0x48, 0x0f, 0xc1, 0x07],
        &[0xf0, 0x0f, 0xc7, 0x0f],
        &[0x48, 0xc7, 0x07, 1, 2, 3, 4],
        &[0xc6, 0x44, 0x9f, 0x11, 0xaa],
        &[0x48, 0x83, 0x27, 0xfd],
        &[0x48, 0x81, 0x8f, 0, 1, 0, 0, 1, 2, 3, 4],
        &[0x66, 0x01, 0x3d, 0, 0, 0, 0],
        &[0x20, 0x27],
        &[0x48, 0xf7, 0x17],
        &[0x48, 0xf7, 0x1f],
        &[0x48, 0xff, 0x07],
        &[0xfe, 0x0f],
        &[0xf3, 0x48, 0xab],
        &[0xf3, 0x48, 0xa5],
        &[0x64, 0xa4],
        &[0x67, 0x89, 0x07],
        &[0x48, 0x0f, 0xc3, 0x07],
        &[0x0f, 0x01, 0xd1],
        &[0x0f, 0x01, 0xf9],
        &[0x0f, 0x22, 0xd8],
        &[0x44, 0x0f, 0x20, 0xc0],
        &[0x0f, 0x21, 0xf8],
        &[0x0f, 0x30],
        &[0x0f, 0xa2],
        &[0x66, 0xef],
        &[0xe4, 0x70],
        &[0xf3, 0x66, 0x6d],
        &[0x65, 0x67, 0x6e],
        &[0xfa],
        &[0x0f, 0x06],
        &[0x0f, 0x09],
    ];
    let seed = |mode: u8, code: &&[u8]| {
        let mut out = vec![mode];
        for index in 0..22 {
            put(
                &mut out,
                1 + index * 8,
                8,
                0xffff_8880_0000_1000 + index as u64 * 0x18,
            );
        }
        out.extend(*code);
        out.resize(out.len().max(PREFIX + 12), 0x90);
        out
    };
    let long = codes.iter().map(|code| seed(0, code));
    long.chain(codes[23..].iter().map(|code| seed(1, code)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_an_instruction_that_is_known() {
        let guest = Guest {
            gprs: [0x1000; 16],
            ..Guest::default()
        };
        // In 32-bit code not all of them are.
        for seed in seeds().iter().filter(|seed| seed[0] == 0) {
            let code = &seed[PREFIX..];
            let known = privileged::decode(code, Mode::Long).is_some()
                || store::decode(code, &guest).is_some();
            assert!(known, "{code:02x?}");
        }
    }
}
