//! Descriptor tables with limits: what is behind them is nobody's descriptor (I89).

use core::arch::asm;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::mmuext;
use xenocryst_guest::domain::{Domain, pfn_of};
use xenocryst_guest::{hypercall, mmu};

use crate::page::Pages;
use crate::privileged::run;
use crate::tables;
use crate::tell::tell;

/// Two pages of descriptors, of which the second stays a page of data.
static DESCRIPTORS: Pages<2> = Pages::new();
/// Data for ring 3, 4 GiB, writable.
const DATA: u64 = 0x00cf_f300_0000_ffff;

/// Everything of this file.
pub fn all(domain: &Domain) {
    for slot in 0..512 {
        DESCRIPTORS.set(0, slot, DATA);
        DESCRIPTORS.set(1, slot, DATA);
    }
    if !tables::protect(domain, DESCRIPTORS.address(0)) {
        tell("segments", format_args!("page"), "refused");
        return;
    }
    for (entries, selectors) in [
        (0, &[7_u64][..]),
        (1, &[7, 0xf, 0x17, 0xfff]),
        (512, &[0xfff, 0x1007, 0xffff]),
        // The second page is none of descriptors, as it can be written.
        (513, &[0xfff, 0x1007, 0x100f]),
        (8192, &[0x1fff, 0x8007, 0xffff]),
    ] {
        // SAFETY: nothing of this kernel uses an LDT.
        let answer = unsafe { mmu::extended(mmuext::SET_LDT, DESCRIPTORS.address(0), entries) };
        tell("segments", format_args!("ldt of {entries}"), answer);
        load(format_args!("ldt of {entries}"), selectors);
    }
    // SAFETY: as above.
    let answer = unsafe { mmu::extended(mmuext::SET_LDT, 0, 0) };
    tell("segments", format_args!("no ldt"), answer);
    load(format_args!("no ldt"), &[7]);
    let frames = [domain.mfn(pfn_of(DESCRIPTORS.address(0))).raw(); 15];
    for (entries, selectors) in [
        (1, &[3_u64, 0xb][..]),
        (512, &[0xfff, 0x1003]),
        (14 * 512, &[0x1003, 0xdffb]),
        (14 * 512 + 1, &[0xdffb]),
        (0, &[0xb, 0x1003]),
    ] {
        let arguments = [frames.as_ptr() as u64, entries, 0, 0, 0];
        // SAFETY: this kernel uses the flat segments only, which are behind its own.
        let answer = unsafe { hypercall::call(number::SET_GDT, arguments) };
        tell("segments", format_args!("gdt of {entries}"), answer);
        load(format_args!("gdt of {entries}"), selectors);
    }
}

/// Loads DS, and asks for the rights of what would be loaded.
fn load(table: core::fmt::Arguments<'_>, selectors: &[u64]) {
    for selector in selectors {
        // MOV DS, EAX.
        let (ended, _) = run(&[0x8e, 0xd8], *selector, 0, 0);
        // SAFETY: the empty selector is what DS has.
        unsafe { asm!("mov ds, {s:e}", s = in(reg) 0, options(nostack)) };
        tell(
            "segments",
            format_args!("{table}, load {selector:x}"),
            ended,
        );
        // XOR ECX, ECX; LAR ECX, EAX; MOV EAX, ECX.
        let (ended, rights) = run(&[0x31, 0xc9, 0x0f, 0x02, 0xc8, 0x89, 0xc8], *selector, 0, 0);
        tell(
            "segments",
            format_args!("{table}, rights of {selector:x}, {rights:x}"),
            ended,
        );
    }
}
