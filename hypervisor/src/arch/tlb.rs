//! Translation caches: the clock that says how fresh they are, and flushing those of other CPUs.
//!
//! Keeps true: [`CLOCK`] grows by one before each whole flush, and `DONE` of a CPU is the clock's value at the start of its
//! last one; so a CPU whose `DONE` is above a value read from the clock holds no translation from before the reading.
//! Requests are answered by interrupt, or by polling ([`serve`]) where interrupts are off: whoever waits for an answer or for
//! a lock polls, so two CPUs that flush each other both get on. A CPU without a guest's address space knows nothing of guests'
//! and is not asked.
//! Neighbours: `mm::machine` (the engine's flushes), `sync` (locks that poll), `arch::apic` (the interrupt).

use core::sync::atomic::{AtomicU64, Ordering, fence};

use super::{apic, control};
use crate::percpu::{MAX_CPUS, this_cpu};

/// The interrupt by which a CPU is asked to flush.
pub const VECTOR: u8 = 0xf2;

/// Whole flushes begun so far, on any CPU.
static CLOCK: AtomicU64 = AtomicU64::new(1);
/// For each CPU, the clock at the start of its last whole flush.
static DONE: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// For each CPU, the clock at the latest request to it.
static WANTED: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// CPUs that may hold a guest's translations, a bit each: one is set before a guest's address space is loaded, and cleared when
/// it was left and everything of it flushed.
static GUESTS: AtomicU64 = AtomicU64::new(0);

/// `cpu`, the calling CPU, is about to load a guest's address space.
#[inline]
pub fn guest_enters(cpu: u32) {
    let bit = 1 << (cpu & 63);
    if GUESTS.load(Ordering::Relaxed) & bit == 0 {
        GUESTS.fetch_or(bit, Ordering::SeqCst);
    }
}

/// `cpu`, the calling CPU, has left the last guest's address space: it need not be asked to flush until the next.
pub fn guest_left(cpu: u32) {
    flush_local();
    GUESTS.fetch_and(!(1 << (cpu & 63)), Ordering::SeqCst);
}

/// What the clock showed at the last whole flush of `cpu`.
#[inline]
pub fn last_flush(cpu: u32) -> u64 {
    DONE[cpu_index(cpu)].load(Ordering::Relaxed)
}

/// The clock, of which users may keep the low bits only. It is the time after every store that this CPU has made: a CPU
/// whose flush is not counted here may have walked the tables before those stores, one whose flush is counted later
/// cannot.
#[inline(always)]
pub fn clock() -> u32 {
    // A load may overtake stores: without the fence, a removed entry could still stand in this CPU's store buffer when the
    // clock is read, and be found by a CPU after the flush that the clock then counts as later.
    fence(Ordering::SeqCst);
    CLOCK.load(Ordering::SeqCst) as u32
}

/// Flushes this CPU's translations, all of them.
#[inline]
pub fn flush_local() {
    let now = CLOCK.fetch_add(1, Ordering::SeqCst) + 1;
    control::flush_tlb_local();
    // Nobody else writes this CPU's word.
    DONE[cpu_index(this_cpu().cpu)].store(now, Ordering::Release);
}

/// Flushes every CPU in the bit mask `cpus`, and returns when all have done it.
pub fn flush(cpus: u64) {
    let me = this_cpu().cpu;
    let mine = 1_u64 << (me & 63);
    // A CPU that is not among them yet sees, once it is, what was changed before this.
    fence(Ordering::SeqCst);
    let others = cpus & !mine & GUESTS.load(Ordering::SeqCst);
    if others != 0 {
        ask(others);
    }
    if cpus & mine != 0 {
        flush_local();
    }
}

/// Flushes those CPUs in the bit mask `cpus` that may hold a translation from before the clock read `since`, of which only
/// the low [`xenocryst_memory::CLOCK_BITS`] bits count.
#[inline]
pub fn flush_stale(cpus: u64, since: u32) {
    let now = CLOCK.load(Ordering::SeqCst);
    let mask = (1_u64 << xenocryst_memory::CLOCK_BITS) - 1;
    // The latest moment that `since` can stand for: if it is older, the answer errs towards flushing.
    let since = now.saturating_sub(now.wrapping_sub(u64::from(since)) & mask);
    let mut stale = 0;
    let mut left = cpus;
    while left != 0 {
        let cpu = left.trailing_zeros();
        left &= left - 1;
        if DONE[cpu_index(cpu)].load(Ordering::SeqCst) <= since {
            stale |= 1 << cpu;
        }
    }
    if stale != 0 {
        flush(stale);
    }
}

/// Answers a request to this CPU, if there is one.
#[inline]
pub fn serve() {
    let cpu = cpu_index(this_cpu().cpu);
    if WANTED[cpu].load(Ordering::SeqCst) > DONE[cpu].load(Ordering::SeqCst) {
        flush_local();
    }
}

/// Asks the CPUs in `others` (all online, this one not among them) to flush, and waits for them.
#[cold]
fn ask(others: u64) {
    let now = CLOCK.fetch_add(1, Ordering::SeqCst) + 1;
    for_each(others, |cpu| {
        WANTED[cpu_index(cpu)].fetch_max(now, Ordering::SeqCst);
        apic::send_ipi(cpu, VECTOR);
    });
    for_each(others, |cpu| {
        while DONE[cpu_index(cpu)].load(Ordering::SeqCst) < now {
            super::smp::serve();
            control::pause();
        }
    });
}

fn for_each(mask: u64, mut work: impl FnMut(u32)) {
    let mut left = mask;
    while left != 0 {
        work(left.trailing_zeros());
        left &= left - 1;
    }
}

#[inline(always)]
fn cpu_index(cpu: u32) -> usize {
    cpu as usize & (MAX_CPUS - 1)
}
