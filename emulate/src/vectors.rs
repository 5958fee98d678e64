//! Which interrupt vectors belong to devices, and which are in use.
//!
//! Keeps true: a vector has one user at a time; what the hypervisor keeps for itself is never handed out.

/// The lowest vector for devices.
pub const FIRST: u8 = 0x30;
/// The highest vector for devices.
pub const LAST: u8 = 0xef;

/// The vectors in use.
#[derive(Clone, Debug)]
pub struct Vectors {
    used: [u64; 4],
    next: u8,
}

impl Default for Vectors {
    fn default() -> Self {
        Self::new()
    }
}

impl Vectors {
    /// None in use.
    pub const fn new() -> Self {
        Self {
            used: [0; 4],
            next: FIRST,
        }
    }

    fn bit(vector: u8) -> (usize, u64) {
        (usize::from(vector >> 6), 1 << (vector & 63))
    }

    /// Whether `vector` is in use.
    pub fn in_use(&self, vector: u8) -> bool {
        let (word, bit) = Self::bit(vector);
        self.used[word] & bit != 0
    }

    /// Takes a free vector, or `None` if there is none. Steps through the priority classes (the vector's upper half), so
    /// that no class of the interrupt controller fills up first.
    pub fn take(&mut self) -> Option<u8> {
        let mut vector = self.next;
        for _ in FIRST..=LAST {
            let candidate = vector;
            vector = match vector.checked_add(16) {
                Some(next) if next <= LAST => next,
                // The next column; after the last column the first again.
                _ => FIRST + ((vector + 1) & 15),
            };
            if !self.in_use(candidate) {
                let (word, bit) = Self::bit(candidate);
                self.used[word] |= bit;
                self.next = vector;
                return Some(candidate);
            }
        }
        None
    }

    /// Takes `count` vectors that follow each other, the first a multiple of `count`, which must be a power of two up to
    /// 32 (multi-message MSI).
    pub fn take_block(&mut self, count: u8) -> Option<u8> {
        if !count.is_power_of_two() || count > 32 {
            return None;
        }
        let first = (FIRST..=LAST - (count - 1))
            .filter(|vector| vector & (count - 1) == 0)
            .find(|&vector| (vector..=vector + (count - 1)).all(|each| !self.in_use(each)))?;
        for vector in first..=first + (count - 1) {
            let (word, bit) = Self::bit(vector);
            self.used[word] |= bit;
        }
        Some(first)
    }

    /// Gives `vector` back. A vector that is not the devices' or not in use is ignored.
    pub fn release(&mut self, vector: u8) {
        let (word, bit) = Self::bit(vector);
        self.used[word] &= !bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_vector_is_handed_out_once_and_no_other() {
        let mut vectors = Vectors::new();
        let mut seen = [false; 256];
        for _ in FIRST..=LAST {
            let vector = vectors.take().unwrap();
            assert!((FIRST..=LAST).contains(&vector));
            assert!(!core::mem::replace(&mut seen[vector as usize], true));
        }
        assert_eq!(vectors.take(), None);
        vectors.release(0x77);
        assert_eq!(vectors.take(), Some(0x77));
    }

    #[test]
    fn consecutive_requests_spread_over_priority_classes() {
        let mut vectors = Vectors::new();
        assert_eq!(
            [vectors.take(), vectors.take(), vectors.take()],
            [Some(0x30), Some(0x40), Some(0x50)]
        );
    }

    #[test]
    fn blocks_are_aligned_and_avoid_what_is_in_use() {
        let mut vectors = Vectors::new();
        vectors.take();
        assert_eq!(vectors.take_block(8), Some(0x38));
        assert_eq!(vectors.take_block(32), Some(0x40));
        assert_eq!(vectors.take_block(3), None);
        assert_eq!(vectors.take_block(64), None);
        assert!(vectors.in_use(0x5f) && !vectors.in_use(0x60));
    }
}
