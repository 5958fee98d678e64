//! Which messages are printed: a level per source, and a limit on how fast guests can make us talk.
//!
//! Keeps true: as with Xen's `<level>[/<rate-limited level>]`, messages up to the first level are always printed, those above
//! it and up to the second at most [`BURST`] at once and one each [`REFILL_NS`] after that.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::sync::Mutex;

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

/// Messages that may come at once.
const BURST: u32 = 10;
/// Nanoseconds until one more may come.
const REFILL_NS: u64 = 500_000_000;

static ALWAYS: [AtomicU8; 2] = [AtomicU8::new(2), AtomicU8::new(0)];
static LIMITED: [AtomicU8; 2] = [AtomicU8::new(2), AtomicU8::new(2)];

/// Tokens left and when they were last counted.
static BUCKET: Mutex<(u32, u64)> = Mutex::new((BURST, 0));
static LOST: AtomicU32 = AtomicU32::new(0);

/// What to do with a message.
pub(super) enum Verdict {
    Print,
    Drop,
    /// Print it, and say first that this many were dropped.
    PrintAfterLoss(u32),
}

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
    let now = crate::arch::clock::now_ns();
    let Some(mut bucket) = BUCKET.try_lock() else {
        return Verdict::Drop;
    };
    let earned = now.saturating_sub(bucket.1) / REFILL_NS;
    if earned > 0 {
        bucket.0 = bucket
            .0
            .saturating_add(earned.min(u64::from(BURST)) as u32)
            .min(BURST);
        bucket.1 = now;
    }
    if bucket.0 == 0 {
        LOST.fetch_add(1, Ordering::Relaxed);
        return Verdict::Drop;
    }
    bucket.0 -= 1;
    match LOST.swap(0, Ordering::Relaxed) {
        0 => Verdict::Print,
        lost => Verdict::PrintAfterLoss(lost),
    }
}
