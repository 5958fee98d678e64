//! The order in which one CPU may take locks: each has a rank, and whoever holds one may only take locks of higher ranks.
//!
//! Keeps true: as long as every CPU keeps to it, no circle of CPUs waits for each other, whichever paths meet.
//! Neighbours: `hypervisor::sync` has the ranks, and asks here in builds with debug assertions.

/// The ranks that a CPU holds at a moment, below 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeldRanks(u64);

/// A lock was about to be taken out of order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfOrder {
    /// The highest rank held already.
    pub held: u8,
}

impl HeldRanks {
    /// As [`HeldRanks::raw`] gave it.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// A bit for each rank held.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Whether a lock of `rank` is held.
    #[must_use]
    pub const fn has(self, rank: u8) -> bool {
        self.0 >> (rank & 63) & 1 != 0
    }

    /// What is held once a lock of `rank` was waited for and taken.
    ///
    /// # Errors
    /// [`OutOfOrder`] if one of that rank or a higher one is held.
    pub const fn wait_for(self, rank: u8) -> Result<Self, OutOfOrder> {
        match self.0.checked_ilog2() {
            Some(held) if held >= rank as u32 => Err(OutOfOrder { held: held as u8 }),
            _ => Ok(Self(self.0 | 1 << (rank & 63))),
        }
    }

    /// What is held once a lock of `rank` was found free and taken: nobody waits, so higher ranks may be held.
    ///
    /// # Errors
    /// [`OutOfOrder`] if one of that very rank is held.
    pub const fn find_free(self, rank: u8) -> Result<Self, OutOfOrder> {
        if self.has(rank) {
            return Err(OutOfOrder { held: rank });
        }
        Ok(Self(self.0 | 1 << (rank & 63)))
    }

    /// What is held once the lock of `rank` was let go.
    #[must_use]
    pub const fn let_go(self, rank: u8) -> Self {
        Self(self.0 & !(1 << (rank & 63)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_upwards_only() {
        let held = HeldRanks::default().wait_for(3).unwrap();
        let held = held.wait_for(7).unwrap();
        assert_eq!(held.wait_for(5), Err(OutOfOrder { held: 7 }));
        assert_eq!(held.let_go(7).wait_for(5).unwrap().raw(), 1 << 3 | 1 << 5);
        assert_eq!(held.wait_for(63).unwrap().let_go(63), held);
    }

    #[test]
    fn a_lock_is_not_waited_for_twice_nor_beside_another_of_its_rank() {
        let held = HeldRanks::default().wait_for(0).unwrap();
        assert_eq!(held.wait_for(0), Err(OutOfOrder { held: 0 }));
        assert_eq!(held.find_free(0), Err(OutOfOrder { held: 0 }));
    }

    #[test]
    fn a_free_lock_may_be_taken_out_of_order_and_then_counts() {
        let held = HeldRanks::default().wait_for(9).unwrap();
        let held = held.find_free(4).unwrap();
        assert!(held.has(4));
        assert_eq!(
            held.let_go(9).wait_for(4),
            Err(OutOfOrder { held: 4 }),
            "held although it was not waited for"
        );
    }

    /// Two CPUs that take two locks in the two orders: whatever the ranks are, one of them is stopped.
    #[test]
    fn of_two_opposite_orders_one_is_always_caught() {
        for a in 0..64 {
            for b in 0..64 {
                let both = |first, second| HeldRanks::default().wait_for(first)?.wait_for(second);
                assert!(both(a, b).is_err() || both(b, a).is_err());
            }
        }
    }
}
