//! What the linked image must be, whatever compiled it: where it is loaded, what loaders look for in it, and which
//! registers its code leaves alone.
//!
//! The guest's vector and x87 registers stay in the CPU while the hypervisor runs, and are nobody else's: so no
//! instruction of the image may touch them, but for the few that save and restore them for the guest.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};
use regex::Regex;

/// Where the image is loaded.
const LOAD_ADDRESS: u64 = 0x20_0000;
/// Where it runs.
const LINK_ADDRESS: u64 = 0xffff_82d0_8020_0000;
/// First word of a Multiboot header, and how far into the file loaders look for it.
const MULTIBOOT1: (u32, usize) = (0x1bad_b002, 8192);
/// The same of Multiboot 2.
const MULTIBOOT2: (u32, usize) = (0xe852_50d6, 32768);

/// Checks the image; the answer counts what was checked.
///
/// # Errors
/// At the first thing that is not as it must be.
pub fn check(image: &Path) -> Result<usize> {
    let bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    segments(&bytes)?;
    ensure!(
        has_header(&bytes, MULTIBOOT1),
        "no Multiboot header in the first 8 KiB"
    );
    ensure!(
        has_header(&bytes, MULTIBOOT2),
        "no Multiboot 2 header in the first 32 KiB"
    );
    let listing = Command::new("objdump")
        .args(["--disassemble", "--demangle", "--no-show-raw-insn"])
        .arg(image)
        .output()
        .context("cannot run objdump")?;
    ensure!(
        listing.status.success(),
        "objdump cannot read {}",
        image.display()
    );
    registers(&String::from_utf8_lossy(&listing.stdout))?;
    Ok(4)
}

/// One static executable of 64 bits, loaded at one place, needing no one to relocate it.
fn segments(bytes: &[u8]) -> Result<()> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes).context("not a 64-bit ELF file")?;
    let endian = header.endian()?;
    ensure!(
        header.e_type(endian) == elf::ET_EXEC,
        "the image is not linked to fixed addresses"
    );
    ensure!(
        header.e_machine(endian) == elf::EM_X86_64,
        "the image is not for x86-64"
    );
    let mut loads = Vec::new();
    for segment in header.program_headers(endian, bytes)? {
        match segment.p_type(endian) {
            elf::PT_LOAD => loads.push((segment.p_paddr(endian), segment.p_vaddr(endian))),
            elf::PT_DYNAMIC | elf::PT_INTERP => bail!("the image wants a dynamic linker"),
            _ => {}
        }
    }
    ensure!(
        loads == [(LOAD_ADDRESS, LINK_ADDRESS)],
        "the image is loaded and linked at {loads:x?}, not {LOAD_ADDRESS:#x} and {LINK_ADDRESS:#x}"
    );
    Ok(())
}

/// Whether the word is found, aligned, early enough in the file.
fn has_header(bytes: &[u8], (magic, within): (u32, usize)) -> bool {
    let (words, _) = bytes.get(..within).unwrap_or(bytes).as_chunks::<4>();
    words.iter().any(|word| u32::from_le_bytes(*word) == magic)
}

/// No instruction in the disassembly `listing` uses a vector or x87 register.
fn registers(listing: &str) -> Result<()> {
    let function = Regex::new(r"^[0-9a-f]+ <(.*)>:$").context("bad pattern")?;
    let forbidden = Regex::new(r"%[xyz]?mm\d|%st\b").context("bad pattern")?;
    let mut current = "";
    let mut instructions = 0_usize;
    for line in listing.lines() {
        if let Some(found) = function.captures(line) {
            current = found.get(1).map_or("", |name| name.as_str());
        } else if line.starts_with("ffff") {
            instructions += 1;
            ensure!(
                !forbidden.is_match(line),
                "a register of the guest's is used in {current}: {line}"
            );
        }
    }
    ensure!(instructions > 0, "the image has no instructions");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "\
ffff82d080200000 <save_guest>:
ffff82d080200000:\tfxsave64 (%rdi)
ffff82d080200004:\tmov    %rax,%rbx
";

    #[test]
    fn code_without_vector_registers_passes() {
        assert!(registers(CODE).is_ok());
    }

    #[test]
    fn a_vector_or_x87_register_is_found_and_its_function_named() {
        for instruction in [
            "movups %xmm0,(%rdi)",
            "vmovdqu %ymm15,%ymm1",
            "paddb %mm0,%mm1",
            "fld %st(0)",
        ] {
            let listing =
                format!("{CODE}ffff82d080200007 <culprit>:\nffff82d080200007:\t{instruction}\n");
            let message = registers(&listing).expect_err("found").to_string();
            assert!(message.contains("culprit"), "{message}");
        }
    }

    #[test]
    fn an_empty_listing_does_not_pass() {
        assert!(registers("").is_err());
    }

    #[test]
    fn a_header_beyond_where_loaders_look_does_not_count() {
        let mut bytes = vec![0; 16384];
        bytes[8192..8196].copy_from_slice(&MULTIBOOT1.0.to_le_bytes());
        assert!(!has_header(&bytes, MULTIBOOT1));
        bytes[4096..4100].copy_from_slice(&MULTIBOOT1.0.to_le_bytes());
        assert!(has_header(&bytes, MULTIBOOT1));
    }
}
