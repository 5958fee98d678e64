//! The time-stamp counter as a domain reads it: the processor's own, or one that is emulated at each reading, which keeps its
//! rate and goes on from where it was when the domain was restored elsewhere (`tsc_mode = "always_emulate"`).
//!
//! Keeps true: an emulated counter and the time record of the same domain agree, as both follow from [`Emulated`]; while it
//! is emulated no vCPU of the domain reads the processor's (CR4.TSD, `emulate::load_cr4`).

use core::sync::atomic::Ordering;

use crate::arch::clock::{self, Scale};
use crate::arch::control::rdtsc;
use crate::domain::Domain;

/// Hertz in a kilohertz.
const HERTZ: u64 = 1000;

/// An emulated counter.
#[derive(Clone, Copy)]
pub struct Emulated {
    /// Its rate, in kHz.
    pub khz: u32,
    /// System time at which it was 0, in nanoseconds; before the start of the machine if the domain is older.
    pub start_ns: u64,
}

impl Emulated {
    /// Its value when system time is `now`.
    fn at(self, now: u64) -> u64 {
        let rate = clock::ticks_per_ns(u64::from(self.khz) * HERTZ);
        clock::ticks(now.wrapping_sub(self.start_ns), rate)
    }

    /// How its ticks become nanoseconds.
    pub fn scale(self) -> Scale {
        Scale::new(u64::from(self.khz) * HERTZ)
    }
}

/// Whether each reading of `domain`'s counter is emulated.
#[inline(always)]
pub fn is_emulated(domain: &Domain) -> bool {
    domain.control.tsc_emulated.load(Ordering::Relaxed)
}

/// What `domain` reads now.
pub fn read(domain: &Domain) -> u64 {
    if !is_emulated(domain) {
        return rdtsc();
    }
    let emulated = domain.control.tsc.lock().emulated;
    emulated.at(clock::now_ns())
}
