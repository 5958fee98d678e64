//! The processor and the board: everything that needs privileged instructions.
//!
//! Keeps true: `unsafe` with hardware effects stays in here; the rest of the hypervisor calls safe functions.
//! Neighbours: `boot` (before), `irq` (who gets which interrupt), `time` (who wants the timer).

pub mod acpi;
pub mod apic;
pub mod calibrate;
pub mod clock;
pub mod control;
pub mod cpu;
pub mod cpu_block;
pub mod entry;
pub mod extable;
pub mod fpu;
pub mod gdt;
pub mod guest_access;
pub mod io;
pub mod ioapic;
pub mod msr;
pub mod pic;
pub mod power;
pub mod rtc;
pub mod smp;
pub mod string;
pub mod tlb;

/// Stops the CPU until the next interrupt; with interrupts off, for ever.
#[inline(always)]
pub fn halt() {
    // SAFETY: touches no memory.
    unsafe { core::arch::asm!("hlt", options(nomem, nostack, preserves_flags)) };
}

/// Stops this CPU for good.
pub fn stop_forever() -> ! {
    loop {
        // SAFETY: nothing runs on this CPU any more.
        unsafe { core::arch::asm!("cli", options(nomem, nostack)) };
        halt();
    }
}
