//! Interleavings: operations of two and three vCPUs on the same frames, cut into each other at every place where one can
//! see what another does, with TLBs that hold all that they could.
//!
//! Every access to a frame's state and to the machine's memory is a [`point`]. A scheduler for the `shuttle` crate
//! ([`Preempting`]) runs one vCPU and gives way to the next at chosen points: first at each single point, then at pairs
//! of points. Where a vCPU waits for a lock it gives way by itself. So what is explored is not chance, but a list.
//!
//! Tests only. Neighbours: `frame` and [`machine`] call [`point`]; [`tests`] has the operations.

mod machine;
mod schedule;
mod tests;

use core::cell::Cell;

pub(crate) use schedule::Preempting;

std::thread_local! {
    /// Whether points count: only inside an exploration, and not in what only looks.
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
}

/// A place where another vCPU may come in between.
#[inline]
pub(crate) fn point() {
    if ACTIVE.get() {
        // What shuttle takes for a place to switch at is an access to an atomic of its own.
        shuttle::sync::atomic::AtomicBool::new(false).load(core::sync::atomic::Ordering::SeqCst);
    }
}

/// Runs `work` without points.
fn undisturbed<R>(work: impl FnOnce() -> R) -> R {
    let before = ACTIVE.replace(false);
    let result = work();
    ACTIVE.set(before);
    result
}

/// Runs `work` with points.
fn disturbed<R>(work: impl FnOnce() -> R) -> R {
    let before = ACTIVE.replace(true);
    let result = work();
    ACTIVE.set(before);
    result
}
