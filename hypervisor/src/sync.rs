//! Locks for code that runs with interrupts off.
//!
//! Keeps true: a CPU that waits for a lock still answers what other CPUs ask of it (a TLB flush, a small call), since the holder
//! of that very lock may be waiting for the answer. Hence every lock of the hypervisor is this one.
//! Neighbours: `arch::tlb` and `arch::smp` (the requests).

use spin::RelaxStrategy;

/// What a CPU does while it waits.
pub struct ServeOthers;

impl RelaxStrategy for ServeOthers {
    #[inline(always)]
    fn relax() {
        crate::arch::smp::serve();
        core::hint::spin_loop();
    }
}

/// A lock whose waiters answer other CPUs.
pub type Mutex<T> = spin::mutex::Mutex<T, ServeOthers>;
