//! Timers: each vCPU's few, each CPU's queue of them, and the one interrupt that serves the earliest.

use core::sync::atomic::{AtomicU64, Ordering};

use xenocryst_abi::hypercall::errno::{EINVAL, ENOMEM, ENOSPC, Errno};
use xenocryst_abi::sched::shutdown;
use xenocryst_abi::virq;
use xenocryst_vcpu::deadline::{DeadlineQueue, NEVER};

use crate::arch::apic;
use crate::arch::clock::now_ns;
use crate::console::{Level, Source, log};
use crate::domain::{Domain, Vcpu};
use crate::percpu::{MAX_CPUS, this_cpu, work};
use crate::sync::{Mutex, Rank};
use crate::{events, sched};

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
/// The shortest period of a periodic timer, in nanoseconds (Xen's).
const MIN_PERIOD: u64 = 1_000_000;
/// The longest, in nanoseconds: what keeps sums of times from overflowing (Xen's).
const MAX_PERIOD: u64 = i64::MAX as u64 / 4;
/// Watchdogs of a domain.
const WATCHDOGS: usize = 2;

/// The timers of a vCPU. The watchdogs are the domain's, kept on vCPU 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Timer {
    /// `VCPUOP_set_singleshot_timer` and `set_timer_op`.
    SingleShot = 0,
    /// `VCPUOP_set_periodic_timer`.
    Periodic = 1,
    /// The timeout of `SCHEDOP_poll`.
    Poll = 2,
    /// The first watchdog (`SCHEDOP_watchdog`).
    Watchdog1 = 3,
    /// The second.
    Watchdog2 = 4,
}

const TIMERS: usize = 5;
const WATCHDOG: [Timer; WATCHDOGS] = [Timer::Watchdog1, Timer::Watchdog2];

/// One vCPU's timers.
pub struct Timers {
    /// When each expires, in nanoseconds of system time.
    at: [u64; TIMERS],
    /// The period of the periodic one, in nanoseconds.
    period: u64,
    /// The CPU whose queue has the earliest of them.
    cpu: u32,
    /// Watchdogs in use, a bit each: one stays in use after it fired.
    watchdogs: u8,
}

impl Timers {
    /// None set.
    pub const fn new() -> Self {
        Self {
            at: [NEVER; TIMERS],
            period: 0,
            cpu: 0,
            watchdogs: 0,
        }
    }

    fn earliest(&self) -> u64 {
        self.at.iter().copied().min().unwrap_or(NEVER)
    }

    /// Sets `timer` and sees to it that this CPU's interrupt comes for it.
    #[inline]
    fn set(&mut self, vcpu: &'static Vcpu, timer: Timer, at: u64) -> Result<(), Errno> {
        let before = self.earliest();
        let old = core::mem::replace(&mut self.at[timer as usize], at);
        let earliest = self.earliest();
        let here = this_cpu().cpu;
        if earliest == before && self.cpu == here {
            return Ok(());
        }
        if self.cpu != here {
            let gone = cpu_timers(self.cpu).queue.lock().set(Key(vcpu), NEVER);
            debug_assert!(gone.is_ok());
            self.cpu = here;
        }
        let cpu = cpu_timers(here);
        let next = {
            let mut queue = cpu.queue.lock();
            if queue.set(Key(vcpu), earliest).is_err() {
                self.at[timer as usize] = old;
                return Err(ENOMEM);
            }
            queue.earliest()
        };
        cpu.arm(next);
        Ok(())
    }
}

/// A vCPU as a key of a queue.
#[derive(Clone, Copy)]
struct Key(&'static Vcpu);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }
}

/// What one CPU keeps. Only that CPU sets `slice` and `armed`.
struct CpuTimers {
    queue: Mutex<DeadlineQueue<Key>>,
    /// When the running vCPU's turn ends.
    slice: AtomicU64,
    /// What the interrupt timer is set to.
    armed: AtomicU64,
}

static CPUS: [CpuTimers; MAX_CPUS] = [const {
    CpuTimers {
        queue: Mutex::new(Rank::CpuTimers, DeadlineQueue::new()),
        slice: AtomicU64::new(NEVER),
        armed: AtomicU64::new(NEVER),
    }
}; MAX_CPUS];

#[inline]
fn cpu_timers(cpu: u32) -> &'static CpuTimers {
    &CPUS[cpu as usize % MAX_CPUS]
}

impl CpuTimers {
    /// Sets the interrupt timer of this CPU, whose timers these are, for the earliest timer, which expires at `earliest`,
    /// and for the end of the turn.
    #[inline]
    fn arm(&self, earliest: u64) {
        let next = earliest.min(self.slice.load(Ordering::Relaxed));
        if next != self.armed.load(Ordering::Relaxed) {
            self.armed.store(next, Ordering::Relaxed);
            apic::arm_timer((next != NEVER).then_some(next));
        }
    }
}

/// Sets the end of the running vCPU's turn on this CPU, in nanoseconds of system time.
#[inline]
pub fn set_slice(cpu: u32, at: u64) {
    let cpu = cpu_timers(cpu);
    if cpu.slice.swap(at, Ordering::Relaxed) != at {
        let earliest = cpu.queue.lock().earliest();
        cpu.arm(earliest);
    }
}

/// Makes room in every CPU's queue for the timers of `vcpus` vCPUs. False if there is no memory.
pub fn reserve(vcpus: usize) -> bool {
    CPUS.iter()
        .all(|cpu| cpu.queue.lock().reserve(vcpus).is_ok())
}

/// Lets `timer` of `vcpu` expire at system time `at` (ns), at once if that has passed; in place of what it was set to.
///
/// # Errors
/// `ENOMEM` if it cannot be noted.
#[inline]
pub fn set_timer(vcpu: &'static Vcpu, timer: Timer, at: u64) -> Result<(), Errno> {
    vcpu.time.timers.lock().set(vcpu, timer, at.min(NEVER - 1))
}

/// Sets the one-shot timer of the calling vCPU to `at` (ns of system time). A time that has passed raises the event now.
///
/// # Errors
/// Those of [`set_timer`].
#[inline]
pub fn set_single_shot(vcpu: &'static Vcpu, at: u64) -> Result<(), Errno> {
    if at < now_ns() {
        stop_timer(vcpu, Timer::SingleShot);
        events::send_virq(vcpu, virq::TIMER);
        return Ok(());
    }
    set_timer(vcpu, Timer::SingleShot, at)
}

/// Stops `timer` of `vcpu`.
#[inline]
pub fn stop_timer(vcpu: &'static Vcpu, timer: Timer) {
    let mut timers = vcpu.time.timers.lock();
    if timers.at[timer as usize] != NEVER {
        // Stopping needs no memory: the vCPU leaves a queue, or stays in it with a later deadline.
        let _ = timers.set(vcpu, timer, NEVER);
    }
}

/// `set_timer_op`: sets the one-shot timer of the calling vCPU to `timeout` (ns, signed), with Xen's kindness to guests
/// whose arithmetic wrapped: a time before the start, or more than about 13 days ahead, becomes 100 ms from now.
///
/// # Errors
/// Those of [`set_timer`].
pub fn set_timer_far(vcpu: &'static Vcpu, timeout: u64) -> Result<(), Errno> {
    let now = now_ns();
    let absurd = (timeout as i64) < 0 || timeout.saturating_sub(now) >> 50 != 0;
    let at = if absurd { now + SECOND / 10 } else { timeout };
    set_timer(vcpu, Timer::SingleShot, at)
}

/// Sets the periodic timer of `vcpu` to `period` nanoseconds; 0 stops it.
///
/// # Errors
/// `EINVAL` for a period below 1 ms or absurdly long; those of [`set_timer`].
pub fn set_periodic(vcpu: &'static Vcpu, period: u64) -> Result<(), Errno> {
    if period == 0 {
        vcpu.time.timers.lock().period = 0;
        stop_timer(vcpu, Timer::Periodic);
        return Ok(());
    }
    if !(MIN_PERIOD..=MAX_PERIOD).contains(&period) {
        return Err(EINVAL);
    }
    let mut timers = vcpu.time.timers.lock();
    timers.period = period;
    timers.set(vcpu, Timer::Periodic, now_ns() + period)
}

/// `SCHEDOP_watchdog`: sets watchdog `id` (from 1; 0 for one not in use) of `domain` to expire in `seconds`; 0 seconds
/// stop it. Answers the number of a new watchdog, else 0.
///
/// # Errors
/// `EINVAL` for a number that is not in use, `ENOSPC` if all are, those of [`set_timer`].
pub fn set_watchdog(domain: &'static Domain, id: u32, seconds: u32) -> Result<u64, Errno> {
    let vcpu = domain.vcpu(0).ok_or(EINVAL)?;
    let at = now_ns() + u64::from(seconds) * SECOND;
    let mut timers = vcpu.time.timers.lock();
    if id == 0 {
        let free = (0..WATCHDOGS)
            .find(|index| timers.watchdogs & 1 << index == 0)
            .ok_or(ENOSPC)?;
        timers.set(vcpu, WATCHDOG[free], at)?;
        timers.watchdogs |= 1 << free;
        return Ok(free as u64 + 1);
    }
    let index = id as usize - 1;
    let timer = *WATCHDOG.get(index).ok_or(EINVAL)?;
    if timers.watchdogs & 1 << index == 0 {
        return Err(EINVAL);
    }
    if seconds == 0 {
        timers.watchdogs &= !(1 << index);
    }
    timers.set(vcpu, timer, if seconds == 0 { NEVER } else { at })?;
    Ok(0)
}

/// Stops every timer of `vcpu`, which is going away.
pub fn stop_all(vcpu: &'static Vcpu) {
    let mut timers = vcpu.time.timers.lock();
    timers.at = [NEVER; TIMERS];
    timers.period = 0;
    let gone = cpu_timers(timers.cpu).queue.lock().set(Key(vcpu), NEVER);
    debug_assert!(gone.is_ok());
}

/// The timer interrupt of this CPU came: lets what has expired act, and sets the interrupt anew.
pub fn on_timer_interrupt() {
    let here = this_cpu();
    let cpu = cpu_timers(here.cpu);
    let now = now_ns();
    cpu.armed.store(NEVER, Ordering::Relaxed);
    loop {
        let expired = cpu.queue.lock().pop_expired(now);
        match expired {
            Some(Key(vcpu)) => expire(vcpu, now),
            None => break,
        }
    }
    if cpu.slice.load(Ordering::Relaxed) <= now {
        cpu.slice.store(NEVER, Ordering::Relaxed);
        here.raise(work::SCHEDULE);
    }
    let earliest = cpu.queue.lock().earliest();
    cpu.arm(earliest);
}

/// Lets those timers of `vcpu` act that have expired by `now`, and puts the others back in the queue.
fn expire(vcpu: &'static Vcpu, now: u64) {
    let mut expired = [false; TIMERS];
    {
        let mut timers = vcpu.time.timers.lock();
        for (at, expired) in timers.at.iter_mut().zip(&mut expired) {
            if *at <= now {
                *at = NEVER;
                *expired = true;
            }
        }
        if expired[Timer::Periodic as usize] && timers.period != 0 {
            timers.at[Timer::Periodic as usize] = now + timers.period;
        }
        let (earliest, cpu) = (timers.earliest(), timers.cpu);
        if earliest != NEVER {
            // The entry was just taken out, so there is room for it.
            let back = cpu_timers(cpu).queue.lock().set(Key(vcpu), earliest);
            debug_assert!(back.is_ok());
        }
    }
    if expired[Timer::SingleShot as usize] || expired[Timer::Periodic as usize] {
        events::send_virq(vcpu, virq::TIMER);
    }
    if expired[Timer::Poll as usize] {
        events::poll_timed_out(vcpu);
    }
    if WATCHDOG.iter().any(|timer| expired[*timer as usize]) && !vcpu.domain.is_stopped() {
        log!(
            Source::Hypervisor,
            Level::Warning,
            "{}: its watchdog was not reset in time",
            vcpu.domain.id
        );
        sched::shutdown(vcpu.domain, shutdown::WATCHDOG);
    }
}
