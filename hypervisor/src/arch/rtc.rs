//! The wall clock: the battery-backed clock of the board, read once; from then on system time moves it.
//!
//! Keeps true: the clock is read between two updates (twice alike), and its fields are checked before they are believed.

use core::sync::atomic::{AtomicU64, Ordering};

use super::clock;
use super::io::{inb, outb};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const CENTURY: u8 = 0x32;
const UPDATING: u8 = 1 << 7;
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const AFTERNOON: u8 = 1 << 7;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds from 1970-01-01 00:00 UTC to system time 0.
static EPOCH_NS: AtomicU64 = AtomicU64::new(0);

fn cmos(register: u8) -> u8 {
    // SAFETY: index and data port of the clock, which the hypervisor owns at boot. Bit 7 keeps NMIs as firmware set them: on.
    unsafe {
        outb(INDEX, register);
        inb(DATA)
    }
}

/// Seconds, minutes, hours, day, month, year, century as the registers have them.
fn sample() -> [u8; 7] {
    [0, 2, 4, 7, 8, 9, CENTURY].map(cmos)
}

/// Reads the clock. Without one that makes sense, time starts in 1970.
pub fn init() {
    let mut seconds = 0;
    for _ in 0..100 {
        for _ in 0..10_000 {
            if cmos(STATUS_A) & UPDATING == 0 {
                break;
            }
        }
        let first = sample();
        if cmos(STATUS_A) & UPDATING == 0 && first == sample() {
            seconds = decode(first, cmos(STATUS_B)).unwrap_or(0);
            break;
        }
    }
    EPOCH_NS.store(
        (seconds * NS_PER_SECOND).saturating_sub(clock::now_ns()),
        Ordering::Relaxed,
    );
}

/// Wall-clock nanoseconds since 1970 at system time 0.
pub fn epoch_ns() -> u64 {
    EPOCH_NS.load(Ordering::Relaxed)
}

/// Sets the wall clock: nanoseconds since 1970 at system time 0.
pub fn set_epoch_ns(epoch_ns: u64) {
    EPOCH_NS.store(epoch_ns, Ordering::Relaxed);
}

/// Seconds since 1970 of a reading; `None` where a field is out of range.
fn decode(sample: [u8; 7], status_b: u8) -> Option<u64> {
    let number = |raw: u8| {
        if status_b & BINARY != 0 {
            raw
        } else {
            (raw >> 4) * 10 + (raw & 15)
        }
    };
    let [second, minute, hour, day, month, year, century] = sample;
    let mut hours = number(hour & !AFTERNOON);
    if status_b & HOURS_24 == 0 {
        hours = hours % 12 + if hour & AFTERNOON != 0 { 12 } else { 0 };
    }
    let (second, minute, day, month) = (number(second), number(minute), number(day), number(month));
    if second > 60
        || minute > 59
        || hours > 23
        || !(1..=31).contains(&day)
        || !(1..=12).contains(&month)
    {
        return None;
    }
    let century = match number(century) {
        century @ 19..=21 => u64::from(century),
        _ => 20,
    };
    let year = century * 100 + u64::from(number(year));
    let days = days_since_1970(year, u64::from(month), u64::from(day))?;
    Some(((days * 24 + u64::from(hours)) * 60 + u64::from(minute)) * 60 + u64::from(second))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Counted in years that begin in March, so that a leap day is the
/// last of its year.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}
