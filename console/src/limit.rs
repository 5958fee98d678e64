//! A limit on how fast guests can make the hypervisor talk (invariant I85).
//!
//! Keeps true: from any moment on, at most [`BURST`] messages and one more for each [`REFILL_NS`] that passes are let
//! through; how many were not is said with the next one that is.

/// Messages that may come at once.
pub const BURST: u32 = 10;
/// Nanoseconds until one more may come.
pub const REFILL_NS: u64 = 500_000_000;

/// What to do with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Print it.
    Print,
    /// Do not.
    Drop,
    /// Print it, and say first that this many were dropped.
    PrintAfterLoss(u32),
}

/// The limit's state.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Messages that may come now.
    tokens: u32,
    /// Up to when time was turned into tokens.
    counted: u64,
    /// Messages dropped since the last one printed.
    lost: u32,
}

impl Default for Limit {
    fn default() -> Self {
        Self::new()
    }
}

impl Limit {
    /// Nothing was said yet.
    pub const fn new() -> Self {
        Self {
            tokens: BURST,
            counted: 0,
            lost: 0,
        }
    }

    /// Decides about a message that comes at `now`, in nanoseconds that never run backwards by much.
    pub fn admit(&mut self, now: u64) -> Verdict {
        let earned = now.saturating_sub(self.counted) / REFILL_NS;
        if earned >= u64::from(BURST) {
            (self.tokens, self.counted) = (BURST, now);
        } else {
            self.tokens = (self.tokens + earned as u32).min(BURST);
            self.counted += earned * REFILL_NS;
        }
        if self.tokens == 0 {
            self.lost = self.lost.saturating_add(1);
            return Verdict::Drop;
        }
        self.tokens -= 1;
        match core::mem::take(&mut self.lost) {
            0 => Verdict::Print,
            lost => Verdict::PrintAfterLoss(lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `count` messages, `apart` nanoseconds apart from `from` on, are printed.
    fn printed(limit: &mut Limit, from: u64, count: u64, apart: u64) -> u64 {
        (0..count)
            .filter(|i| limit.admit(from + i * apart) != Verdict::Drop)
            .count() as u64
    }

    #[test]
    fn a_guest_that_floods_gets_a_burst_and_then_two_a_second() {
        let mut limit = Limit::new();
        // A million messages in ten seconds.
        let said = printed(&mut limit, 5, 1_000_000, 10_000);
        assert!(
            (u64::from(BURST) + 19..=u64::from(BURST) + 20).contains(&said),
            "{said}"
        );
    }

    #[test]
    fn the_losses_are_told_once_and_exactly() {
        let mut limit = Limit::new();
        assert_eq!(printed(&mut limit, 0, 110, 0), u64::from(BURST));
        assert_eq!(limit.admit(REFILL_NS), Verdict::PrintAfterLoss(100));
        assert_eq!(limit.admit(2 * REFILL_NS), Verdict::Print);
    }

    #[test]
    fn silence_is_saved_up_to_one_burst_only() {
        let mut limit = Limit::new();
        printed(&mut limit, 0, 1000, 0);
        let later = REFILL_NS * 1_000_000;
        assert_eq!(printed(&mut limit, later, 1000, 0), u64::from(BURST));
        assert_eq!(printed(&mut limit, later, 1000, 0), 0);
    }

    #[test]
    fn a_slow_trickle_is_never_cut() {
        let mut limit = Limit::new();
        assert_eq!(printed(&mut limit, 0, 1000, REFILL_NS), 1000);
        // Nor is one whose pauses are no whole number of refills: the rest of a pause is not lost.
        let mut limit = Limit::new();
        printed(&mut limit, 0, 100, 0);
        assert_eq!(printed(&mut limit, 0, 300, REFILL_NS / 3), 99);
    }

    #[test]
    fn a_clock_that_ends_or_steps_back_does_no_harm() {
        let mut limit = Limit::new();
        assert_eq!(limit.admit(u64::MAX), Verdict::Print);
        assert_eq!(printed(&mut limit, 0, 100, 0), u64::from(BURST) - 1);
        let mut limit = Limit {
            lost: u32::MAX,
            tokens: 0,
            counted: 0,
        };
        assert_eq!(limit.admit(0), Verdict::Drop);
        assert_eq!(limit.admit(REFILL_NS), Verdict::PrintAfterLoss(u32::MAX));
    }
}
