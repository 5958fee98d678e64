//! Which frames that are no RAM a domain may map, from one request to the next.

use super::state::Model;
use crate::answer::Answer;

/// The most ranges that are kept for a domain.
const MOST_RANGES: usize = 64;

/// What a domain may map: ranges that are listed, both ends included. The control domain has everything but these.
#[derive(Clone, Debug)]
pub struct Io {
    listed: Vec<(u64, u64)>,
    listed_are_permitted: bool,
}

impl Io {
    /// What domain `dom` may map at first.
    #[must_use]
    pub fn new(dom: usize) -> Self {
        Self {
            listed: crate::layout::io_listed(dom).to_vec(),
            listed_are_permitted: dom != 0,
        }
    }

    /// Whether a frame may be mapped.
    #[must_use]
    pub fn permits(&self, frame: u64) -> bool {
        let listed = self.listed.iter().any(|&(a, b)| a <= frame && frame <= b);
        listed == self.listed_are_permitted
    }

    /// Whether anything may, as far as the hypervisor looks.
    #[must_use]
    pub fn permits_something(&self) -> bool {
        !self.listed_are_permitted || !self.listed.is_empty()
    }
}

impl Model {
    /// Permits or forbids a range. There is room for so many ranges only; taking one out of the middle of others may need
    /// room for each of them meanwhile, so when exactly there is none is left to the engine.
    pub(super) fn change_io(
        &mut self,
        dom: usize,
        range: (u64, u64),
        allow: bool,
        engine: &Answer,
    ) -> Answer {
        let (first, last) = range;
        if first > last {
            return Answer::False;
        }
        let io = &mut self.domains[dom].io;
        let mut listed = io.listed.clone();
        let mut most = listed.len();
        if allow == io.listed_are_permitted {
            listed.push(range);
            most += 1;
        } else {
            listed = Vec::new();
            for &(a, b) in &io.listed {
                if b < first || last < a {
                    listed.push((a, b));
                    continue;
                }
                let left = (a < first).then(|| (a, first - 1));
                let right = (last < b).then(|| (last + 1, b));
                most += usize::from(left.is_some() && right.is_some());
                listed.extend(left.into_iter().chain(right));
            }
        }
        let full = listed.len() > MOST_RANGES;
        if full || (*engine == Answer::False && most > MOST_RANGES) {
            return Answer::False;
        }
        io.listed = listed;
        Answer::Done
    }
}
