//! Deadlines: one for each key, and which is the earliest.
//!
//! Keeps true: a key stands in the queue at most once; adding is the only operation that needs memory, and says so when
//! there is none. Keys are few (the vCPUs at home on one CPU), so that a plain array beats anything cleverer.

use alloc::vec::Vec;

/// A time in nanoseconds of system time at which something is to happen.
pub type Deadline = u64;

/// The time that never comes.
pub const NEVER: Deadline = u64::MAX;

/// No memory to note another deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMemory;

/// The deadlines of a set of keys.
pub struct DeadlineQueue<K> {
    entries: Vec<(Deadline, K)>,
    /// The least deadline in `entries`, or [`NEVER`].
    earliest: Deadline,
}

impl<K: Copy + PartialEq> Default for DeadlineQueue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy + PartialEq> DeadlineQueue<K> {
    /// An empty queue. Allocates nothing.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            earliest: NEVER,
        }
    }

    /// Makes room for `keys` keys, so that [`DeadlineQueue::set`] cannot fail for them.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none.
    pub fn reserve(&mut self, keys: usize) -> Result<(), NoMemory> {
        let more = keys.saturating_sub(self.entries.len());
        self.entries.try_reserve(more).map_err(|_| NoMemory)
    }

    /// The earliest deadline, [`NEVER`] if there is none.
    #[inline]
    pub fn earliest(&self) -> Deadline {
        self.earliest
    }

    /// Gives `key` the deadline `at`, in place of the one it may have; [`NEVER`] removes it.
    ///
    /// # Errors
    /// [`NoMemory`] if the key is new and cannot be noted.
    #[inline]
    pub fn set(&mut self, key: K, at: Deadline) -> Result<(), NoMemory> {
        let found = self.entries.iter().position(|&(_, other)| other == key);
        match found {
            Some(index) => {
                let old = self.entries[index].0;
                if at == NEVER {
                    self.entries.swap_remove(index);
                } else {
                    self.entries[index].0 = at;
                }
                if at <= self.earliest {
                    self.earliest = at;
                } else if old == self.earliest {
                    self.find_earliest();
                }
            }
            None if at == NEVER => {}
            None => {
                self.entries.try_reserve(1).map_err(|_| NoMemory)?;
                self.entries.push((at, key));
                self.earliest = self.earliest.min(at);
            }
        }
        Ok(())
    }

    /// Takes out one key whose deadline is not after `now`.
    pub fn pop_expired(&mut self, now: Deadline) -> Option<K> {
        if self.earliest > now {
            return None;
        }
        let index = self.entries.iter().position(|&(at, _)| at <= now)?;
        let (_, key) = self.entries.swap_remove(index);
        self.find_earliest();
        Some(key)
    }

    fn find_earliest(&mut self) {
        self.earliest = self
            .entries
            .iter()
            .map(|&(at, _)| at)
            .min()
            .unwrap_or(NEVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_follows_every_change() {
        let mut queue = DeadlineQueue::new();
        assert_eq!(queue.earliest(), NEVER);
        queue.set('a', 50).unwrap();
        queue.set('b', 30).unwrap();
        assert_eq!(queue.earliest(), 30);
        queue.set('b', 70).unwrap();
        assert_eq!(queue.earliest(), 50);
        queue.set('a', NEVER).unwrap();
        assert_eq!(queue.earliest(), 70);
        queue.set('a', NEVER).unwrap();
        queue.set('b', NEVER).unwrap();
        assert_eq!(queue.earliest(), NEVER);
    }

    #[test]
    fn removing_the_earliest_uncovers_the_next() {
        let mut queue = DeadlineQueue::new();
        queue.set('a', 10).unwrap();
        queue.set('b', 20).unwrap();
        queue.set('a', NEVER).unwrap();
        assert_eq!(queue.earliest(), 20);
    }

    #[test]
    fn expired_keys_come_out_once_each() {
        let mut queue = DeadlineQueue::new();
        for (key, at) in [('a', 5), ('b', 6), ('c', 7)] {
            queue.set(key, at).unwrap();
        }
        assert_eq!(queue.pop_expired(4), None);
        let mut out = [queue.pop_expired(6).unwrap(), queue.pop_expired(6).unwrap()];
        out.sort_unstable();
        assert_eq!(out, ['a', 'b']);
        assert_eq!(queue.pop_expired(6), None);
        assert_eq!(queue.earliest(), 7);
    }

    #[test]
    fn agrees_with_a_sorted_map_over_many_changes() {
        let mut queue = DeadlineQueue::new();
        let mut model = alloc::collections::BTreeMap::new();
        let mut random = 1_u64;
        for _ in 0..5000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (key, at) = ((random >> 33) % 7, (random >> 40) % 100);
            match (random >> 60) % 4 {
                0 => {
                    queue.set(key, NEVER).unwrap();
                    model.remove(&key);
                }
                1 => {
                    if let Some(key) = queue.pop_expired(at) {
                        assert!(model.remove(&key).is_some_and(|due| due <= at));
                    } else {
                        assert!(model.values().all(|due| *due > at));
                    }
                }
                _ => {
                    queue.set(key, at).unwrap();
                    model.insert(key, at);
                }
            }
            assert_eq!(
                queue.earliest(),
                model.values().min().copied().unwrap_or(NEVER)
            );
        }
    }
}
