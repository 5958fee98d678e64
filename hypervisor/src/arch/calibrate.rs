//! How fast the time-stamp counter and the local APIC's timer run, measured against a clock of known rate.
//!
//! Keeps true: the reference is the best there is of HPET, ACPI power-management timer and PIT. Each end of the measurement
//! is the tightest of several readings, so that a delay between the two clocks' readings does not count; a result within a
//! few millionths of a whole megahertz is taken to be that.
//! Specifications: IA-PC HPET 1.0a; ACPI 4.8.3.3; Intel 8254.

use xenocryst_abi::Maddr;

use super::control::rdtsc;
use super::io::{inb, inl, outb};
use super::{apic, clock};
use crate::mm::{Caching, ioremap};

/// How long to measure, in nanoseconds.
const WINDOW_NS: u64 = 20_000_000;
/// Readings at each end.
const READINGS: u32 = 16;
/// A result this close to a whole megahertz, in millionths, is rounded to it.
const SNAP_PPM: u64 = 5;
const PM_TIMER_HERTZ: u64 = 3_579_545;
const PIT_HERTZ: u64 = 1_193_182;
const FEMTOSECONDS: u64 = 1_000_000_000_000_000;

/// Where ACPI says the reference clocks are.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sources {
    /// Physical address of the HPET's registers.
    pub hpet: Option<u64>,
    /// I/O port of the power-management timer.
    pub pm_timer: Option<u16>,
}

/// A clock of known rate.
#[derive(Clone, Copy)]
enum Reference {
    Hpet { registers: u64, hertz: u64 },
    PmTimer { port: u16 },
    Pit,
}

/// One reading of the clocks, taken as close together as could be had.
#[derive(Clone, Copy)]
struct Reading {
    reference: u64,
    tsc: u64,
    apic: u32,
    spread: u64,
}

impl Reference {
    fn choose(sources: Sources) -> Self {
        if let Some(hpet) = sources.hpet.and_then(Self::hpet) {
            return hpet;
        }
        match sources.pm_timer {
            Some(port) if port != 0 && Self::ticks_differ(Self::PmTimer { port }) => {
                Self::PmTimer { port }
            }
            _ => {
                start_pit();
                Self::Pit
            }
        }
    }

    /// The HPET at `maddr`, running, if it is one.
    fn hpet(maddr: u64) -> Option<Self> {
        let registers = ioremap(Maddr::new(maddr), 1024, Caching::Device)? as u64;
        // SAFETY: the HPET's registers, just mapped; capabilities at 0, configuration at 0x10.
        let period = unsafe {
            let configuration = (registers + 0x10) as *mut u64;
            configuration.write_volatile(configuration.read_volatile() | 1);
            (registers as *const u64).read_volatile() >> 32
        };
        // The specification allows periods up to 100 ns, in femtoseconds.
        if !(100_000..=100_000_000).contains(&period) {
            return None;
        }
        let clock = Self::Hpet {
            registers,
            hertz: FEMTOSECONDS / period,
        };
        Self::ticks_differ(clock).then_some(clock)
    }

    /// Whether the clock moves at all.
    fn ticks_differ(self) -> bool {
        let first = self.now();
        (0..100_000).any(|_| self.now() != first)
    }

    fn now(self) -> u64 {
        match self {
            Self::Hpet { registers, .. } => {
                let counter = (registers + 0xf0) as *const u32;
                // SAFETY: the counter of a mapped HPET. 32 bits are read, as some count no further.
                u64::from(unsafe { counter.read_volatile() })
            }
            // SAFETY: reading the timer has no effect.
            Self::PmTimer { port } => u64::from(unsafe { inl(port) }),
            Self::Pit => read_pit(),
        }
    }

    fn hertz(self) -> u64 {
        match self {
            Self::Hpet { hertz, .. } => hertz,
            Self::PmTimer { .. } => PM_TIMER_HERTZ,
            Self::Pit => PIT_HERTZ,
        }
    }

    /// Ticks from `from` to `to`, the counter having wrapped at most once.
    fn elapsed(self, from: u64, to: u64) -> u64 {
        match self {
            Self::Hpet { .. } => to.wrapping_sub(from) & 0xffff_ffff,
            Self::PmTimer { .. } => to.wrapping_sub(from) & 0xff_ffff,
            // It counts down.
            Self::Pit => from.wrapping_sub(to) & 0xffff,
        }
    }

    /// The tightest of several readings, each begun when the reference has just moved on.
    fn read(self) -> Reading {
        let mut best = Reading {
            reference: 0,
            tsc: 0,
            apic: 0,
            spread: u64::MAX,
        };
        for _ in 0..READINGS {
            let last = self.now();
            let mut reference = last;
            let mut before = rdtsc();
            for _ in 0..10_000 {
                before = rdtsc();
                reference = self.now();
                if reference != last {
                    break;
                }
            }
            let after = rdtsc();
            let apic = apic::counted();
            let spread = after.wrapping_sub(before);
            if spread < best.spread {
                best = Reading {
                    reference,
                    tsc: before + spread / 2,
                    apic,
                    spread,
                };
            }
        }
        best
    }
}

/// Starts channel 2 of the interval timer counting down from its top, without sound.
fn start_pit() {
    // SAFETY: the timer and the speaker gate are the hypervisor's.
    unsafe {
        outb(0x61, (inb(0x61) & !2) | 1);
        outb(0x43, 0xb0);
        outb(0x42, 0xff);
        outb(0x42, 0xff);
    }
}

fn read_pit() -> u64 {
    // SAFETY: latches channel 2 and reads it.
    unsafe {
        outb(0x43, 0x80);
        u64::from(inb(0x42)) | u64::from(inb(0x42)) << 8
    }
}

/// Measures both clocks, and starts system time.
pub fn run(sources: Sources) {
    let reference = Reference::choose(sources);
    apic::start_counting();
    let first = reference.read();
    let wanted = reference.hertz() * WINDOW_NS / 1_000_000_000;
    let mut last = reference.now();
    let mut ticks = reference.elapsed(first.reference, last);
    while ticks < wanted {
        last = reference.now();
        ticks = reference.elapsed(first.reference, last);
    }
    let end = reference.read();
    let ticks = reference.elapsed(first.reference, end.reference).max(1);
    let rate = |count: u64| {
        snap((u128::from(count) * u128::from(reference.hertz()) / u128::from(ticks)) as u64)
    };
    let tsc = rate(end.tsc.wrapping_sub(first.tsc));
    let apic = rate(u64::from(end.apic.wrapping_sub(first.apic)));
    clock::init(tsc, rdtsc());
    apic::finish_calibration(apic.max(1));
    let name = match reference {
        Reference::Hpet { .. } => "HPET",
        Reference::PmTimer { .. } => "ACPI timer",
        Reference::Pit => "PIT",
    };
    crate::console::say!(
        "Detected {}.{:03} MHz processor, APIC timer {}.{:03} MHz (measured against the {name})",
        tsc / 1_000_000,
        tsc / 1000 % 1000,
        apic / 1_000_000,
        apic / 1000 % 1000
    );
}

/// Rounds a rate to a whole megahertz if that is where it nearly is.
fn snap(hertz: u64) -> u64 {
    let whole = (hertz + 500_000) / 1_000_000 * 1_000_000;
    if whole != 0 && hertz.abs_diff(whole) <= whole / 1_000_000 * SNAP_PPM {
        whole
    } else {
        hertz
    }
}
