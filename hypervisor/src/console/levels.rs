//! Which messages are printed: a level per source, and a limit on how fast guests can make us talk.
//!
//! Keeps true: as with Xen's `<level>[/<rate-limited level>]`, messages up to the first level are always printed, those above
//! it and up to the second as fast as `xenocryst_console::limit` allows.

use core::sync::atomic::{AtomicU8, Ordering};

use xenocryst_console::limit::Limit;
pub use xenocryst_console::limit::Verdict;

use crate::sync::{Mutex, Rank};

/// How grave a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// Something failed.
    Error = 0,
    /// Something is not as it should be.
    Warning = 1,
    /// Worth knowing.
    Info = 2,
    /// Worth knowing while looking for a bug.
    Debug = 3,
}

/// On whose account a message is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The hypervisor's own: `loglvl=`.
    Hypervisor,
    /// A guest provoked it: `guest_loglvl=`.
    Guest,
}

/// How many levels are printed: 0 for none, 1 for errors, up to 4 for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Levels below this are always printed.
    pub always: u8,
    /// Levels below this are printed at a limited rate.
    pub limited: u8,
}

static ALWAYS: [AtomicU8; 2] = [AtomicU8::new(2), AtomicU8::new(0)];
static LIMITED: [AtomicU8; 2] = [AtomicU8::new(2), AtomicU8::new(2)];

static LIMIT: Mutex<Limit> = Mutex::new(Rank::MessageLimit, Limit::new());

/// Sets the thresholds of one source.
pub fn set_thresholds(source: Source, thresholds: Thresholds) {
    ALWAYS[source as usize].store(thresholds.always, Ordering::Relaxed);
    LIMITED[source as usize].store(thresholds.limited.max(thresholds.always), Ordering::Relaxed);
}

/// Decides about one message.
pub(super) fn admit(source: Source, level: Level) -> Verdict {
    let level = level as u8;
    if level < ALWAYS[source as usize].load(Ordering::Relaxed) {
        return Verdict::Print;
    }
    if level >= LIMITED[source as usize].load(Ordering::Relaxed) {
        return Verdict::Drop;
    }
    match LIMIT.try_lock() {
        Some(mut limit) => limit.admit(crate::arch::clock::now_ns()),
        None => Verdict::Drop,
    }
}
