//! The order of things, as a list: every schedule with one switch at a chosen point, then some with two.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// A scheduler that runs one task until it waits or ends, but for a switch at each of the points `cuts`, counted over
/// all tasks. Execution by execution the first cut goes through all points there are, or as many as are wanted, spread
/// evenly; then pairs of points do, spread evenly too.
pub(crate) struct Preempting {
    cuts: [usize; 2],
    /// Points met in this execution.
    met: usize,
    /// Points met in the execution that had most.
    most: usize,
    /// Executions with one cut that are wanted, and the place of the first cut.
    singles: usize,
    offset: usize,
    /// Executions with two cuts that are wanted, and how many were made.
    pairs: usize,
    pair: usize,
    started: bool,
}

impl Preempting {
    /// With `singles` executions with one cut (fewer if there are no more points) and `pairs` with two. Different
    /// numbers `seed` put the cuts at different places.
    pub(crate) fn new(singles: usize, pairs: usize, seed: usize) -> Self {
        Self {
            singles,
            offset: seed,
            cuts: [usize::MAX; 2],
            met: 0,
            most: 0,
            pairs,
            pair: 0,
            started: false,
        }
    }

    /// Moves to the next list of cuts. False after the last.
    fn advance(&mut self) -> bool {
        if !self.started {
            // First without any cut.
            self.started = true;
            return true;
        }
        if self.pair == 0 {
            let stride = self.most.div_ceil(self.singles.max(1)).max(1);
            let next = match self.cuts[0] {
                usize::MAX => self.offset % stride,
                last => last + stride,
            };
            if next < self.most {
                self.cuts = [next, usize::MAX];
                return true;
            }
        }
        if self.pair == self.pairs || self.most < 2 {
            return false;
        }
        // The fractional parts of multiples of irrational numbers fill the square evenly.
        self.pair += 1;
        let number = (self.pair + self.offset) as f64;
        let part = |factor: f64| (number * factor).fract();
        let first = (part(0.754_877_666) * self.most as f64) as usize;
        let second = first + 1 + (part(0.569_840_291) * (self.most - first) as f64) as usize;
        self.cuts = [first, second];
        true
    }
}

impl Scheduler for Preempting {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.most = self.most.max(self.met);
        self.met = 0;
        self.advance().then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let after = |current: TaskId| {
            runnable
                .iter()
                .find(|task| task.id() > current)
                .or(runnable.first())
                .map(|task| task.id())
        };
        let Some(current) = current else {
            return runnable.first().map(|task| task.id());
        };
        let point = self.met;
        self.met += 1;
        let stays = runnable.iter().any(|task| task.id() == current);
        if stays && !is_yielding && !self.cuts.contains(&point) {
            return Some(current);
        }
        after(current)
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}
