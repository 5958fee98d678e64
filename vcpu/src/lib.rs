//! The pure logic behind virtual CPUs: event channel ports and their two delivery formats, deadlines, run queues,
//! the accounting of run states, and what a CPU keeps an eye on in builds that check themselves: the order of its locks and
//! what it read of a guest.
//!
//! Keeps true: no statics, no locks and no unsafe code here: a caller holds whatever lock guards a value and passes in
//! the words that a guest shares, which are only ever touched atomically and never trusted.
//! Neighbours: `hypervisor::events`, `hypervisor::time` and `hypervisor::sched` wrap these types in locks and connect
//! them to guest memory, interrupts and the processor. Everything here is tested on the host.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod deadline;
pub mod fetches;
pub mod fifo;
pub mod lock_order;
pub mod port;
pub mod run_queue;
pub mod runstate;
pub mod two_level;

/// What raising an event did, for its caller to act on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Raised {
    /// The event was not pending before: whoever polls for it is to be woken.
    pub newly_pending: bool,
    /// The target vCPU has not been told of events in this group yet: it is to be notified.
    pub notify: bool,
}
