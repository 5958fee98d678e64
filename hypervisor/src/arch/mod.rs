//! The processor and the board: everything that needs privileged instructions.

pub mod io;
pub mod string;

/// Stops the CPU until the next interrupt; with interrupts off, for ever.
#[inline(always)]
pub fn halt() {
    // SAFETY: touches no memory.
    unsafe { core::arch::asm!("hlt", options(nomem, nostack, preserves_flags)) };
}
