//! Saving and restoring the floating point and vector state of a guest.
//!
//! Keeps true: the hypervisor itself leaves the vector registers alone (its logging saves what it needs), so a guest's
//! state is moved only when another vCPU is loaded.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a save area. A page holds every state component up to AVX-512.
pub const AREA_SIZE: usize = 4096;

/// State components the hypervisor manages (XCR0); 0 where the CPU has only FXSAVE.
static COMPONENTS: AtomicU64 = AtomicU64::new(0);

/// The components of XCR0 a guest may use; 0 without XSAVE.
pub fn components() -> u64 {
    COMPONENTS.load(Ordering::Relaxed)
}

/// Says which components CR4.OSXSAVE and XCR0 were set up with on every CPU.
pub fn set_components(mask: u64) {
    COMPONENTS.store(mask, Ordering::Relaxed);
}

/// Saves the state to `area`.
///
/// # Safety
/// `area` must be a 64-byte aligned area of [`AREA_SIZE`] bytes that nobody else uses now.
pub unsafe fn save(area: *mut u8) {
    // SAFETY: the caller's contract. TS is the guest's wish, and would trap here too; whoever is loaded next sets its own.
    unsafe {
        asm!("clts", options(nomem, nostack));
        if components() != 0 {
            asm!("xsave64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
        } else {
            asm!("fxsave64 [{}]", in(reg) area, options(nostack));
        }
    }
}

/// Restores the state from `area`.
///
/// # Safety
/// As [`save`]; the area must hold what `save` or [`initialise`] wrote.
pub unsafe fn restore(area: *mut u8) {
    // SAFETY: the caller's contract. TS is cleared first, or these instructions trap.
    unsafe {
        asm!("clts", options(nomem, nostack));
        if components() != 0 {
            asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
        } else {
            asm!("fxrstor64 [{}]", in(reg) area, options(nostack));
        }
    }
}

/// Writes the state of a reset FPU to `area`: all exceptions masked, everything else initial.
///
/// # Safety
/// As [`save`].
pub unsafe fn initialise(area: *mut u8) {
    // SAFETY: the caller's contract; offsets from the FXSAVE layout (FCW at 0, MXCSR at 24).
    unsafe {
        area.write_bytes(0, AREA_SIZE);
        area.cast::<u16>().write(0x037f);
        area.add(24).cast::<u32>().write(0x1f80);
    }
}

/// Sets or clears CR0.TS, the guest's own wish to be told of its next floating point instruction.
pub fn set_task_switched(on: bool) {
    // SAFETY: TS affects only floating point instructions, which the hypervisor runs only after clearing it.
    unsafe {
        if on {
            let cr0: u64;
            asm!("mov {}, cr0", out(reg) cr0, options(nomem, nostack, preserves_flags));
            asm!("mov cr0, {}", in(reg) cr0 | 8, options(nomem, nostack, preserves_flags));
        } else {
            asm!("clts", options(nomem, nostack));
        }
    }
}
