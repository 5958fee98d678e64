//! Which vCPU a physical CPU runs next: whoever has had least of it, for its weight.
//!
//! Keeps true: an entry stands in the queue at most once and is never also the running one; memory is reserved when
//! an entry is announced, so that no later step can fail. Every entry is charged for the time it runs, and gives way once
//! it is [`LEAD_NS`] of its own time ahead of one that waits; one that has slept for long starts at most as far behind the others, so
//! that it runs soon but cannot save up its time. So a vCPU that holds what others spin for, and is woken as often as they
//! are, still gets its share.

use core::sync::atomic::{AtomicU64, Ordering};

use alloc::vec::Vec;

use crate::deadline::{NEVER, NoMemory};

/// How far the running entry may get ahead of one that waits, in nanoseconds. Two that only compute take turns of twice
/// this.
pub const LEAD_NS: u64 = 5_000_000;
/// How long an entry runs at least before another takes its place, in nanoseconds: what `xl sched-credit2` shows as its rate
/// limit, and the same as in Xen.
pub const MIN_RUN_NS: u64 = 1_000_000;

/// The weight of an entry that was given none (Xen's).
pub const USUAL_WEIGHT: u32 = 256;

/// What stands in a queue.
pub trait Entry: Copy + PartialEq {
    /// The time it is charged with, in nanoseconds at the usual weight. Only the queue that the entry belongs to uses
    /// this.
    fn charged(&self) -> &AtomicU64;

    /// Its weight, at least 1: with twice the weight it gets twice the time.
    fn weight(&self) -> u32 {
        USUAL_WEIGHT
    }
}

/// The queue of one physical CPU.
pub struct RunQueue<K> {
    waiting: Vec<K>,
    running: Option<K>,
    /// When the running entry was chosen.
    started: u64,
    /// Up to when the running entry was charged.
    charged_until: u64,
    /// The least charge of any entry, as far as it was ever seen: never falls.
    floor: u64,
    /// The running entry asked to be passed over once.
    yielding: bool,
}

impl<K: Entry> Default for RunQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

fn charge_of<K: Entry>(entry: K) -> u64 {
    entry.charged().load(Ordering::Relaxed)
}

/// What `entry` is charged for running for `time`.
fn weighted<K: Entry>(entry: K, time: u64) -> u64 {
    time.saturating_mul(u64::from(USUAL_WEIGHT)) / u64::from(entry.weight().max(1))
}

/// For how long `entry` runs until it is charged with `charge` more.
fn unweighted<K: Entry>(entry: K, charge: u64) -> u64 {
    let time = charge.saturating_mul(u64::from(entry.weight().max(1)));
    time.div_ceil(u64::from(USUAL_WEIGHT))
}

impl<K: Entry> RunQueue<K> {
    /// An empty queue. Allocates nothing.
    pub const fn new() -> Self {
        Self {
            waiting: Vec::new(),
            running: None,
            started: 0,
            charged_until: 0,
            floor: 0,
            yielding: false,
        }
    }

    /// Makes room for `entries` of them.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none.
    pub fn reserve(&mut self, entries: usize) -> Result<(), NoMemory> {
        let more = entries.saturating_sub(self.waiting.len());
        self.waiting.try_reserve(more).map_err(|_| NoMemory)
    }

    /// What runs now.
    #[inline]
    pub fn running(&self) -> Option<K> {
        self.running
    }

    /// The entries that wait, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = K> + '_ {
        self.waiting.iter().copied()
    }

    /// Entries that wait.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Adds an entry that has become runnable at `now`, unless it is there. True if it was added.
    pub fn wake(&mut self, entry: K, now: u64) -> bool {
        if self.running == Some(entry) || self.waiting.contains(&entry) {
            return false;
        }
        self.charge_running(now);
        let least = self.floor.saturating_sub(LEAD_NS);
        entry.charged().fetch_max(least, Ordering::Relaxed);
        self.waiting.push(entry);
        true
    }

    /// Takes an entry out. True if it waited here.
    pub fn remove(&mut self, entry: K) -> bool {
        match self.waiting.iter().position(|&other| other == entry) {
            Some(index) => {
                self.waiting.swap_remove(index);
                true
            }
            None => false,
        }
    }

    /// Lets the running entry pass over its turn at the next choice.
    pub fn yield_now(&mut self) {
        self.yielding = true;
    }

    /// Whether the running entry asked to be passed over at the next choice.
    #[inline]
    pub fn is_yielding(&self) -> bool {
        self.yielding
    }

    /// Chooses what runs from `now` on: the running entry while it may and its turn lasts, otherwise the one that waits
    /// with the least charge. Entries for which `may_run` says no leave the queue.
    pub fn choose(&mut self, now: u64, may_run: impl Fn(K) -> bool) -> Option<K> {
        let yielding = core::mem::take(&mut self.yielding);
        self.charge_running(now);
        let running = self.running.filter(|&entry| may_run(entry));
        if let Some(entry) = running
            && (self.waiting.is_empty() || (!yielding && now < self.end_of_turn(entry)))
        {
            return Some(entry);
        }
        let Some(next) = self.take_least(&may_run) else {
            self.running = running;
            return running;
        };
        if let Some(entry) = running {
            self.waiting.push(entry);
        }
        self.start(next, now);
        Some(next)
    }

    /// When another entry takes the running one's place; [`NEVER`] while none waits.
    #[inline]
    pub fn deadline(&self) -> u64 {
        match self.running {
            Some(entry) if !self.waiting.is_empty() => self.end_of_turn(entry),
            _ => NEVER,
        }
    }

    /// Takes out the first entry that `may_go`, for another CPU to run it.
    pub fn steal(&mut self, may_go: impl Fn(K) -> bool) -> Option<K> {
        let index = self.waiting.iter().position(|&entry| may_go(entry))?;
        Some(self.waiting.swap_remove(index))
    }

    /// Lets `entry`, which comes from another CPU's queue, wait here at `now`, as one that has had as much as those here.
    pub fn adopt(&mut self, entry: K, now: u64) {
        // It may have been woken here as soon as it was known to have left the other queue.
        if self.running == Some(entry) || self.waiting.contains(&entry) {
            return;
        }
        self.charge_running(now);
        // Charges of different queues cannot be compared.
        entry.charged().store(self.floor, Ordering::Relaxed);
        self.waiting.push(entry);
    }

    fn start(&mut self, entry: K, now: u64) {
        self.running = Some(entry);
        self.started = now;
        self.charged_until = now;
    }

    /// Charges the running entry for its time up to `now`, and raises the floor.
    fn charge_running(&mut self, now: u64) {
        let Some(running) = self.running else { return };
        let ran = now.saturating_sub(self.charged_until);
        let more = weighted(running, ran);
        // What the division left over is charged next time.
        self.charged_until += unweighted(running, more).min(ran);
        let charge = charge_of(running).saturating_add(more);
        running.charged().store(charge, Ordering::Relaxed);
        self.floor = self.floor.max(charge.min(self.least_waiting()));
    }

    fn least_waiting(&self) -> u64 {
        self.waiting
            .iter()
            .map(|&entry| charge_of(entry))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// When `entry`, which runs, must give way to the one that waits with the least charge.
    fn end_of_turn(&self, entry: K) -> u64 {
        let behind = self
            .least_waiting()
            .saturating_add(weighted(entry, LEAD_NS))
            .saturating_sub(charge_of(entry));
        self.charged_until
            .saturating_add(unweighted(entry, behind))
            .max(self.started.saturating_add(MIN_RUN_NS))
    }

    fn take_least(&mut self, may_run: impl Fn(K) -> bool) -> Option<K> {
        self.waiting.retain(|&entry| may_run(entry));
        let least = self.least_waiting();
        let index = self
            .waiting
            .iter()
            .position(|&entry| charge_of(entry) == least)?;
        // In order of arrival among equals.
        Some(self.waiting.remove(index))
    }
}

#[cfg(test)]
mod tests;
