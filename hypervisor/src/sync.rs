//! Locks for code that runs with interrupts off.
//!
//! Keeps true: a CPU that waits for a lock still answers other CPUs' requests to flush its TLB, since the holder of that very
//! lock may be waiting for the answer. A lock under which nobody ever flushes may be a plain `spin::Mutex`.
//! Neighbours: `arch::tlb` (the requests).

use spin::RelaxStrategy;

/// What a CPU does while it waits.
pub struct ServeFlushes;

impl RelaxStrategy for ServeFlushes {
    #[inline(always)]
    fn relax() {
        crate::arch::tlb::serve();
        core::hint::spin_loop();
    }
}

/// A lock whose waiters answer TLB flush requests.
pub type Mutex<T> = spin::mutex::Mutex<T, ServeFlushes>;
