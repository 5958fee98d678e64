//! Model-specific registers.
//!
//! Keeps true: [`rdmsr`] and [`wrmsr`] are for registers known to exist; a register that may not exist is accessed with
//! the recovering forms, which answer `None` or `false` instead of faulting.
//! Neighbours: `arch::extable` (how the recovering forms find their way back).

use core::arch::asm;

#[allow(missing_docs)] // Names as in the manuals (Intel SDM volume 4, AMD APM volume 2).
mod numbers {
    pub const APIC_BASE: u32 = 0x1b;
    pub const TSC_DEADLINE: u32 = 0x6e0;
    pub const PAT: u32 = 0x277;
    pub const X2APIC_FIRST: u32 = 0x800;
    pub const EFER: u32 = 0xc000_0080;
    pub const FS_BASE: u32 = 0xc000_0100;
    pub const GS_BASE: u32 = 0xc000_0101;
    pub const TSC_AUX: u32 = 0xc000_0103;
}
pub use numbers::*;

/// The page attribute table that Xen gives, and that PV guests count on: WB, WT, UC-, UC, WC, WP, UC, UC.
pub const PAT_VALUE: u64 = 0x0000_0501_0007_0406;

/// Reads register `number`, which must exist.
#[inline(always)]
pub fn rdmsr(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading has no effect on memory; the register exists.
    unsafe {
        asm!("rdmsr", in("ecx") number, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes register `number`, which must exist and accept the value.
///
/// # Safety
/// The value must not break what the running code relies on.
#[inline(always)]
pub unsafe fn wrmsr(number: u32, value: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "wrmsr",
            in("ecx") number, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags),
        );
    }
}

/// Reads register `number`, or answers `None` where the CPU refuses.
#[inline]
pub fn rdmsr_safe(number: u32) -> Option<u64> {
    let (low, high, fault): (u32, u32, u32);
    // SAFETY: reading has no effect on memory; a fault is recovered with `fault` set.
    unsafe {
        asm!(
            "xor {fault:e}, {fault:e}",
            "2: rdmsr",
            "3:",
            ".pushsection .ex_table, \"a\"",
            ".long 2b - ., 4f - .",
            ".popsection",
            ".pushsection .text.fixup, \"ax\"",
            "4: mov {fault:e}, 1",
            "xor eax, eax",
            "xor edx, edx",
            "jmp 3b",
            ".popsection",
            in("ecx") number,
            out("eax") low,
            out("edx") high,
            fault = out(reg) fault,
        );
    }
    (fault == 0).then_some(u64::from(high) << 32 | u64::from(low))
}

/// Writes register `number`; false where the CPU refuses.
///
/// # Safety
/// As for [`wrmsr`].
#[inline]
pub unsafe fn wrmsr_safe(number: u32, value: u64) -> bool {
    let fault: u32;
    // SAFETY: the caller's promise; a fault is recovered with `fault` set.
    unsafe {
        asm!(
            "xor {fault:e}, {fault:e}",
            "2: wrmsr",
            "3:",
            ".pushsection .ex_table, \"a\"",
            ".long 2b - ., 4f - .",
            ".popsection",
            ".pushsection .text.fixup, \"ax\"",
            "4: mov {fault:e}, 1",
            "jmp 3b",
            ".popsection",
            in("ecx") number,
            in("eax") value as u32,
            in("edx") (value >> 32) as u32,
            fault = out(reg) fault,
        );
    }
    fault == 0
}
