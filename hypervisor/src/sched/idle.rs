//! Which CPUs have nothing to run, and for how long they had nothing.
//!
//! Keeps true: only the CPU itself says of itself that it is idle or no longer is. The mask is a hint for others.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch::clock::now_ns;
use crate::percpu::MAX_CPUS;

struct Idle {
    /// When it became idle, in nanoseconds of system time; 0 while it is not.
    since: AtomicU64,
    /// Nanoseconds of idleness that are over.
    before: AtomicU64,
}

static CPUS: [Idle; MAX_CPUS] = [const {
    Idle {
        since: AtomicU64::new(0),
        before: AtomicU64::new(0),
    }
}; MAX_CPUS];
static MASK: AtomicU64 = AtomicU64::new(0);

/// CPUs that have nothing to run, a bit each.
#[inline]
pub fn mask() -> u64 {
    MASK.load(Ordering::Relaxed)
}

/// `cpu`, the calling one, has nothing to run from `now` on.
pub fn enter(cpu: u32, now: u64) {
    let bit = 1 << cpu;
    if mask() & bit != 0 {
        return;
    }
    if let Some(idle) = CPUS.get(cpu as usize) {
        idle.since.store(now.max(1), Ordering::Relaxed);
    }
    MASK.fetch_or(bit, Ordering::Relaxed);
}

/// `cpu`, the calling one, has something to run.
#[inline]
pub fn leave(cpu: u32, now: u64) {
    let bit = 1 << cpu;
    if mask() & bit == 0 {
        return;
    }
    MASK.fetch_and(!bit, Ordering::Relaxed);
    if let Some(idle) = CPUS.get(cpu as usize) {
        let since = idle.since.swap(0, Ordering::Relaxed);
        let slept = now.saturating_sub(since);
        idle.before.fetch_add(slept, Ordering::Relaxed);
    }
}

/// How long `cpu` was idle since it started, in nanoseconds.
pub fn time(cpu: u32) -> u64 {
    let Some(idle) = CPUS.get(cpu as usize) else {
        return 0;
    };
    let before = idle.before.load(Ordering::Relaxed);
    match idle.since.load(Ordering::Relaxed) {
        0 => before,
        since => before.saturating_add(now_ns().saturating_sub(since)),
    }
}
