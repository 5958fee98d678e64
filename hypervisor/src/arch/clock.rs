//! System time: nanoseconds since the hypervisor started, from the time-stamp counter.
//!
//! Keeps true: the conversion is the one that `struct vcpu_time_info` describes to guests (`public/xen.h`), with the same
//! multiplier and shift, so that a guest that reads the counter itself gets our answer to the nanosecond.
//! Neighbours: `arch::calibrate` (finds the counter's rate), `arch::apic` (the timer), `time` (what guests see).

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::control::rdtsc;

/// How counter ticks become nanoseconds: shift left by `shift` (right if negative), multiply by `multiplier`, divide by 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scale {
    /// `tsc_to_system_mul`.
    pub multiplier: u32,
    /// `tsc_shift`.
    pub shift: i8,
}

static MULTIPLIER: AtomicU32 = AtomicU32::new(0x8000_0000);
static SHIFT: AtomicI32 = AtomicI32::new(1);
static START: AtomicU64 = AtomicU64::new(0);
static HERTZ: AtomicU64 = AtomicU64::new(1_000_000_000);
static TICKS_PER_NS: AtomicU64 = AtomicU64::new(1 << 32);

const NS_PER_SECOND: u64 = 1_000_000_000;

impl Scale {
    /// The scale for a counter of `hertz` ticks a second (1 kHz at least).
    pub fn new(hertz: u64) -> Self {
        let mut ticks = hertz.max(1000);
        let mut shift = 0_i8;
        while ticks > 2 * NS_PER_SECOND {
            ticks >>= 1;
            shift -= 1;
        }
        while ticks <= NS_PER_SECOND {
            ticks <<= 1;
            shift += 1;
        }
        // Now 10^9 < ticks <= 2 * 10^9, so that the quotient is between 2^31 and 2^32.
        Self {
            multiplier: ((NS_PER_SECOND << 32) / ticks) as u32,
            shift,
        }
    }

    /// Nanoseconds in `ticks` ticks.
    #[inline(always)]
    pub fn nanoseconds(self, ticks: u64) -> u64 {
        let shifted = if self.shift >= 0 {
            ticks << self.shift
        } else {
            ticks >> -self.shift
        };
        ((u128::from(shifted) * u128::from(self.multiplier)) >> 32) as u64
    }
}

/// Sets the rate. Called once, before any guest runs; time 0 is at counter value `start`.
pub fn init(hertz: u64, start: u64) {
    let scale = Scale::new(hertz);
    MULTIPLIER.store(scale.multiplier, Ordering::Relaxed);
    SHIFT.store(i32::from(scale.shift), Ordering::Relaxed);
    START.store(start, Ordering::Relaxed);
    TICKS_PER_NS.store(ticks_per_ns(hertz), Ordering::Relaxed);
    HERTZ.store(hertz, Ordering::Release);
}

/// The scale in force.
#[inline(always)]
pub fn scale() -> Scale {
    Scale {
        multiplier: MULTIPLIER.load(Ordering::Relaxed),
        shift: SHIFT.load(Ordering::Relaxed) as i8,
    }
}

/// Ticks of the time-stamp counter a second.
pub fn tsc_hertz() -> u64 {
    HERTZ.load(Ordering::Acquire)
}

/// The counter's value at time 0.
pub fn tsc_start() -> u64 {
    START.load(Ordering::Relaxed)
}

/// System time now, in nanoseconds.
#[inline(always)]
pub fn now_ns() -> u64 {
    ns_of_tsc(rdtsc())
}

/// System time now, or 0 while it has not started.
pub fn uptime_ns() -> u64 {
    if tsc_start() == 0 { 0 } else { now_ns() }
}

/// System time at counter value `tsc`.
#[inline(always)]
pub fn ns_of_tsc(tsc: u64) -> u64 {
    scale().nanoseconds(tsc.wrapping_sub(START.load(Ordering::Relaxed)))
}

/// Counter ticks in `ns` nanoseconds, rounded up.
#[inline]
pub fn ticks_of_ns(ns: u64) -> u64 {
    ticks(ns, TICKS_PER_NS.load(Ordering::Relaxed))
}

/// What a clock of `hertz` ticks a second makes of a nanosecond, in ticks times 2^32, rounded up. For [`ticks`], which is then
/// a multiplication and not a division.
pub fn ticks_per_ns(hertz: u64) -> u64 {
    let scaled = (u128::from(hertz) << 32).div_ceil(u128::from(NS_PER_SECOND));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// Ticks in `ns` nanoseconds of a clock with `ticks_per_ns`, rounded up.
#[inline(always)]
pub fn ticks(ns: u64, ticks_per_ns: u64) -> u64 {
    let scaled = u128::from(ns) * u128::from(ticks_per_ns) + u128::from(u32::MAX);
    u64::try_from(scaled >> 32).unwrap_or(u64::MAX)
}

/// Waits.
pub fn delay_ns(ns: u64) {
    let start = rdtsc();
    let ticks = ticks_of_ns(ns);
    while rdtsc().wrapping_sub(start) < ticks {
        super::control::pause();
    }
}
