//! Time as guests know it: system time and wall clock in shared memory, and timers that end in an event.
//!
//! Keeps true: a vCPU's timers stand, as one deadline, in the queue of the CPU that last set one of them, and that CPU's
//! interrupt timer is set to the earliest deadline there, or earlier; no lock is held while an expired timer acts.
//! Lock order: a vCPU's timers, then a CPU's queue.
//! Neighbours: `arch::clock` (the counter), `arch::apic` (the interrupt), `xenocryst_vcpu::deadline`, `events`, `sched`
//! (slices), `hypercall::vcpu_op`.

pub mod counter;
mod record;
mod timers;
mod wall;

use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::sync::{Mutex, Rank};

pub use record::{outdated, register_area, switched_in, update};
pub use timers::{
    Timer, on_timer_interrupt, reserve, set_periodic, set_single_shot, set_slice, set_timer,
    set_timer_far, set_watchdog, stop_all, stop_timer,
};
pub use wall::{set_wall_clock, show_wall_clock};

/// One vCPU's timers and time records.
pub struct VcpuTime {
    timers: Mutex<timers::Timers>,
    /// Which calibration the vCPU's time record shows; 0 for none yet.
    shown: AtomicU32,
    /// Where the guest wants a second copy of the time record, as a linear address; 0 for nowhere.
    area: AtomicU64,
}

impl VcpuTime {
    /// No timers, no records.
    pub const fn new() -> Self {
        Self {
            timers: Mutex::new(Rank::VcpuTimers, timers::Timers::new()),
            shown: AtomicU32::new(0),
            area: AtomicU64::new(0),
        }
    }
}
