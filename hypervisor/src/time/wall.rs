//! The wall clock in a domain's shared page: what it showed at system time 0.

use core::sync::atomic::{Ordering, fence};

use crate::arch::rtc;
use crate::domain::Domain;
use crate::sync::{Mutex, Rank};

const NS_PER_SECOND: u64 = 1_000_000_000;

/// One writer at a time, so that every domain ends with the same time.
static WRITER: Mutex<()> = Mutex::new(Rank::WallClock, ());

/// Sets the wall clock, which shows `seconds` since 1970 and `nanoseconds` at system time `at_ns`, and shows it to all
/// domains (`XENPF_settime64`).
pub fn set_wall_clock(seconds: u64, nanoseconds: u32, at_ns: u64) {
    let shown = u128::from(seconds) * u128::from(NS_PER_SECOND) + u128::from(nanoseconds);
    let epoch = u64::try_from(shown.saturating_sub(u128::from(at_ns))).unwrap_or(u64::MAX);
    rtc::set_epoch_ns(epoch);
    crate::domain::for_each(show_wall_clock);
}

/// Shows `domain` the wall clock.
pub fn show_wall_clock(domain: &'static Domain) {
    let _writer = WRITER.lock();
    let epoch = rtc::epoch_ns();
    let offset = domain.control.time_offset.load(Ordering::Relaxed);
    let seconds = (epoch / NS_PER_SECOND).wrapping_add_signed(offset);
    let [version, low, nanoseconds, high] = domain.shared_info.wall_clock();
    let before = version.load(Ordering::Relaxed) & !1;
    version.store(before.wrapping_add(1), Ordering::Relaxed);
    fence(Ordering::Release);
    low.store(seconds as u32, Ordering::Relaxed);
    nanoseconds.store((epoch % NS_PER_SECOND) as u32, Ordering::Relaxed);
    high.store((seconds >> 32) as u32, Ordering::Relaxed);
    version.store(before.wrapping_add(2), Ordering::Release);
}
