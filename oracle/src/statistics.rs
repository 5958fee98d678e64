//! How many requests of each kind succeeded, were refused, or were interrupted.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use crate::answer::Answer;
use crate::request::Request;

/// Counts for one kind of request.
#[derive(Clone, Copy, Default, Debug)]
struct Row {
    done: u64,
    refused: u64,
    preempted: u64,
    void: u64,
}

/// Counts by kind of request, and by refusal.
#[derive(Clone, Default, Debug)]
pub struct Statistics {
    rows: BTreeMap<&'static str, Row>,
    refusals: BTreeMap<&'static str, u64>,
    deepest: usize,
}

impl Statistics {
    /// Counts one step.
    pub fn note(&mut self, request: &Request, answer: &Answer) {
        let row = self.rows.entry(request.verb()).or_default();
        match answer {
            Answer::Void => row.void += 1,
            Answer::Preempted => row.preempted += 1,
            Answer::Refused(no) => {
                row.refused += 1;
                *self.refusals.entry(no.code).or_default() += 1;
            }
            answer if answer.is_success() => row.done += 1,
            _ => row.refused += 1,
        }
    }

    /// Notes how many validated L4 tables there are at once.
    pub fn note_roots(&mut self, roots: usize) {
        self.deepest = self.deepest.max(roots);
    }

    /// Steps counted.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.rows
            .values()
            .map(|row| row.done + row.refused + row.preempted + row.void)
            .sum()
    }

    /// The share of requests that were done, in percent, of those that meant something.
    #[must_use]
    pub fn share_done(&self) -> u64 {
        let sum = |count: fn(&Row) -> u64| self.rows.values().map(count).sum::<u64>();
        let meant = sum(|row| row.done + row.refused + row.preempted);
        sum(|row| row.done) * 100 / meant.max(1)
    }

    /// The codes of all rules that refused something.
    pub fn codes(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.refusals.keys().copied()
    }

    /// Requests of a kind that were done.
    #[must_use]
    pub fn done(&self, verb: &str) -> u64 {
        self.rows.get(verb).map_or(0, |row| row.done)
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        for (verb, row) in &other.rows {
            let sum = self.rows.entry(verb).or_default();
            sum.done += row.done;
            sum.refused += row.refused;
            sum.preempted += row.preempted;
            sum.void += row.void;
        }
        for (code, count) in &other.refusals {
            *self.refusals.entry(code).or_default() += count;
        }
        self.deepest = self.deepest.max(other.deepest);
    }
}

impl Display for Statistics {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:>10} {:>10} {:>10} {:>10} {:>6}",
            "request", "done", "refused", "preempted", "void", "done%"
        )?;
        for (verb, row) in &self.rows {
            let meant = (row.done + row.refused + row.preempted).max(1);
            let share = row.done * 100 / meant;
            let Row {
                done,
                refused,
                preempted,
                void,
            } = row;
            writeln!(
                f,
                "{verb:<12} {done:>10} {refused:>10} {preempted:>10} {void:>10} {share:>5}%"
            )?;
        }
        write!(f, "refusals:")?;
        for (code, count) in &self.refusals {
            write!(f, " {code} {count}")?;
        }
        writeln!(
            f,
            "\nat most {} L4 tables at once; {}% of what was asked was done",
            self.deepest,
            self.share_done()
        )
    }
}
