//! Which vCPU a physical CPU runs next: a queue in turn, with a short cut for those that were asleep.
//!
//! Keeps true: an entry stands in the queue at most once and is never also the running one; memory is reserved when
//! an entry is announced, so that no later step can fail. What runs keeps the CPU for a slice while others wait, but
//! one that has just been woken gets it sooner: it is what somebody waits for, and it has used little.

use alloc::collections::VecDeque;

use crate::deadline::{NEVER, NoMemory};

/// How long an entry runs while others wait, in nanoseconds.
pub const SLICE_NS: u64 = 10_000_000;
/// How long an entry runs at least before one that was woken takes its place, in nanoseconds.
pub const MIN_RUN_NS: u64 = 500_000;

/// The queue of one physical CPU.
pub struct RunQueue<K> {
    waiting: VecDeque<K>,
    /// How many at the front of `waiting` were woken rather than preempted.
    woken: usize,
    running: Option<K>,
    /// When the running entry was chosen.
    started: u64,
    /// The running entry asked to be passed over once.
    yielding: bool,
}

impl<K: Copy + PartialEq> Default for RunQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy + PartialEq> RunQueue<K> {
    /// An empty queue. Allocates nothing.
    pub const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            woken: 0,
            running: None,
            started: 0,
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

    /// Entries that wait.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Adds an entry that has become runnable, unless it is there. True if it was added.
    pub fn wake(&mut self, entry: K) -> bool {
        if self.running == Some(entry) || self.waiting.contains(&entry) {
            return false;
        }
        self.waiting.insert(self.woken, entry);
        self.woken += 1;
        true
    }

    /// Takes an entry out. True if it waited here.
    pub fn remove(&mut self, entry: K) -> bool {
        match self.waiting.iter().position(|&other| other == entry) {
            Some(index) => {
                self.take(index);
                true
            }
            None => false,
        }
    }

    /// Lets the running entry pass over its turn at the next choice.
    pub fn yield_now(&mut self) {
        self.yielding = true;
    }

    /// Chooses what runs from `now` on: the running entry while it may and its time is not up, otherwise the first
    /// that `may_run`. Entries that may not run leave the queue.
    pub fn choose(&mut self, now: u64, may_run: impl Fn(K) -> bool) -> Option<K> {
        let yielding = core::mem::take(&mut self.yielding);
        let running = self.running.filter(|&entry| may_run(entry));
        if let Some(entry) = running
            && !yielding
            && (self.waiting.is_empty() || now < self.end_of_turn())
        {
            return Some(entry);
        }
        let next = self.take_first(&may_run);
        if next.is_some()
            && let Some(entry) = running
        {
            self.waiting.push_back(entry);
        }
        if next.is_some() || running.is_none() || yielding {
            self.started = now;
        }
        self.running = next.or(running);
        self.running
    }

    /// When the running entry must give way to another; [`NEVER`] while none waits.
    pub fn deadline(&self) -> u64 {
        if self.running.is_none() || self.waiting.is_empty() {
            NEVER
        } else {
            self.end_of_turn()
        }
    }

    /// Takes out the first entry that `may_go`, for another CPU to run it.
    pub fn steal(&mut self, may_go: impl Fn(K) -> bool) -> Option<K> {
        let index = self.waiting.iter().position(|&entry| may_go(entry))?;
        Some(self.take(index))
    }

    /// Makes `entry`, which stands in no queue, what runs from `now` on.
    pub fn run_stolen(&mut self, entry: K, now: u64) {
        self.running = Some(entry);
        self.started = now;
    }

    fn end_of_turn(&self) -> u64 {
        let length = if self.woken > 0 { MIN_RUN_NS } else { SLICE_NS };
        self.started.saturating_add(length)
    }

    fn take_first(&mut self, may_run: impl Fn(K) -> bool) -> Option<K> {
        while !self.waiting.is_empty() {
            let entry = self.take(0);
            if may_run(entry) {
                return Some(entry);
            }
        }
        None
    }

    /// Removes the entry at `index`, which must exist.
    fn take(&mut self, index: usize) -> K {
        if index < self.woken {
            self.woken -= 1;
        }
        self.waiting
            .remove(index)
            .expect("the caller found the entry")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(_: char) -> bool {
        true
    }

    #[test]
    fn lone_entry_runs_without_a_deadline() {
        let mut queue = RunQueue::new();
        assert_eq!(queue.choose(0, any), None);
        assert!(queue.wake('a'));
        assert!(!queue.wake('a'));
        assert_eq!(queue.choose(0, any), Some('a'));
        assert!(!queue.wake('a'), "it runs");
        assert_eq!(queue.deadline(), NEVER);
        assert_eq!(queue.choose(10 * SLICE_NS, any), Some('a'));
        assert_eq!(queue.choose(0, |_| false), None);
        assert_eq!(queue.running(), None);
    }

    #[test]
    fn busy_entries_take_turns_of_a_slice() {
        let mut queue = RunQueue::new();
        queue.wake('a');
        queue.wake('b');
        assert_eq!(queue.choose(0, any), Some('a'));
        assert_eq!(
            queue.choose(MIN_RUN_NS, any),
            Some('b'),
            "b was woken and waited"
        );
        let start = MIN_RUN_NS;
        assert_eq!(
            queue.deadline(),
            start + SLICE_NS,
            "a was preempted, so it waits a full slice"
        );
        assert_eq!(queue.choose(start + SLICE_NS - 1, any), Some('b'));
        assert_eq!(queue.choose(start + SLICE_NS, any), Some('a'));
    }

    #[test]
    fn woken_entry_goes_before_preempted_ones() {
        let mut queue = RunQueue::new();
        queue.wake('a');
        queue.wake('b');
        queue.choose(0, any);
        queue.choose(MIN_RUN_NS, any);
        queue.wake('c');
        assert_eq!(queue.deadline(), 2 * MIN_RUN_NS);
        assert_eq!(queue.choose(2 * MIN_RUN_NS, any), Some('c'));
    }

    #[test]
    fn yielding_lets_another_run_and_is_harmless_alone() {
        let mut queue = RunQueue::new();
        queue.wake('a');
        queue.choose(0, any);
        queue.yield_now();
        assert_eq!(queue.choose(1, any), Some('a'));
        queue.wake('b');
        queue.yield_now();
        assert_eq!(queue.choose(2, any), Some('b'));
        assert_eq!(queue.waiting(), 1);
    }

    #[test]
    fn entries_that_may_not_run_leave_the_queue() {
        let mut queue = RunQueue::new();
        for entry in ['a', 'b', 'c'] {
            queue.wake(entry);
        }
        assert_eq!(queue.choose(0, |entry| entry == 'c'), Some('c'));
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn stolen_entry_is_gone_here() {
        let mut queue = RunQueue::new();
        for entry in ['a', 'b', 'c'] {
            queue.wake(entry);
        }
        queue.choose(0, any);
        assert_eq!(queue.steal(|entry| entry != 'b'), Some('c'));
        assert_eq!(queue.steal(|entry| entry != 'b'), None);
        assert!(queue.remove('b') && !queue.remove('b'));
        assert_eq!(queue.deadline(), NEVER);
    }

    #[test]
    fn no_entry_is_lost_or_doubled_whatever_happens() {
        let mut queue = RunQueue::new();
        let mut present = [false; 6];
        let (mut random, mut now) = (7_u64, 0);
        for _ in 0..5000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            now += (random >> 50) * 1000;
            let entry = (random >> 33) as usize % present.len();
            match (random >> 60) % 5 {
                0 => {
                    let stolen = queue.steal(|other| other % 2 == 0);
                    if let Some(stolen) = stolen {
                        present[stolen] = false;
                    }
                }
                1 => queue.yield_now(),
                2 => {
                    let blocked = queue.running();
                    queue.choose(now, |other| Some(other) != blocked || other != entry);
                    if blocked == Some(entry) {
                        present[entry] = false;
                    }
                }
                3 => {
                    assert_eq!(
                        queue.choose(now, |_| true).is_some(),
                        present.iter().any(|here| *here)
                    );
                }
                _ => {
                    assert_eq!(queue.wake(entry), !present[entry]);
                    present[entry] = true;
                }
            }
            let there = queue.waiting() + usize::from(queue.running().is_some());
            assert_eq!(there, present.iter().filter(|here| **here).count());
        }
    }
}
