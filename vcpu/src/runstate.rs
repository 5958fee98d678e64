//! How long a vCPU has been in each of its four run states (`public/vcpu.h`, `struct vcpu_runstate_info`).
//!
//! Keeps true: the four times add up to the time since the account was opened.

/// Where a vCPU stands towards the physical CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// It runs.
    Running = 0,
    /// It could run, but another vCPU does.
    Runnable = 1,
    /// It waits for an event.
    Blocked = 2,
    /// It may not run: down, paused, or its domain was stopped.
    Offline = 3,
}

/// The account of one vCPU. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    state: State,
    since: u64,
    spent: [u64; 4],
}

impl Account {
    /// An account that starts at `now`, offline.
    pub const fn new(now: u64) -> Self {
        Self {
            state: State::Offline,
            since: now,
            spent: [0; 4],
        }
    }

    /// The present state.
    pub fn state(&self) -> State {
        self.state
    }

    /// When the present state was entered (ns of system time).
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Notes that the vCPU is in `state` from `now` on. False, and nothing changes, if it was in it already.
    pub fn enter(&mut self, state: State, now: u64) -> bool {
        if self.state == state {
            return false;
        }
        self.spent = self.spent_until(now);
        self.state = state;
        self.since = self.since.max(now);
        true
    }

    /// Time spent in each state before the present one was entered.
    pub fn spent(&self) -> [u64; 4] {
        self.spent
    }

    /// Time spent in each state up to `now`.
    pub fn spent_until(&self, now: u64) -> [u64; 4] {
        let mut spent = self.spent;
        let slot = &mut spent[self.state as usize];
        *slot = slot.wrapping_add(now.saturating_sub(self.since));
        spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_to_the_age_of_the_account() {
        let mut account = Account::new(100);
        assert!(account.enter(State::Runnable, 110));
        assert!(account.enter(State::Running, 115));
        assert!(!account.enter(State::Running, 120));
        assert!(account.enter(State::Blocked, 145));
        assert_eq!(account.spent(), [30, 5, 0, 10]);
        assert_eq!(account.spent_until(200).iter().sum::<u64>(), 100);
        assert_eq!(account.since(), 145);
    }

    #[test]
    fn clock_that_steps_back_costs_no_time() {
        let mut account = Account::new(100);
        account.enter(State::Running, 90);
        assert_eq!((account.spent(), account.since()), ([0; 4], 100));
    }
}
