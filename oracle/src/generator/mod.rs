//! Traces at random: legal requests, illegal ones, and above all those that miss being legal by one thing.
//!
//! The generator looks at the state as the rules have it, picks something that could well be done, and then, once in a
//! while, spoils one field of it: the right frame and the wrong level, the right level and the wrong owner, an address
//! that is not canonical, a superpage bit. It makes the same choices for the same [`Choices`].

mod grants;
mod kinds;
mod near_miss;
mod pages;
mod pick;
mod spaces;
mod stories;

use std::collections::VecDeque;

use crate::answer::Answer;
use crate::layout::DOMAINS;
use crate::model::Model;
use crate::random::Choices;
use crate::request::{NO_PFN, Request, UNLIMITED};

/// One request in so many is spoilt.
const SPOILT: u64 = 9;

/// Makes one request after the other.
#[derive(Clone, Debug, Default)]
pub struct Generator {
    /// What is to be asked next: parts of something larger.
    plan: VecDeque<Request>,
    /// The last request, if it was preempted.
    interrupted: Option<Request>,
    last: Option<Request>,
    started: bool,
}

impl Generator {
    /// The next request.
    pub fn next(&mut self, model: &Model, c: &mut impl Choices) -> Request {
        if !self.started {
            self.started = true;
            self.start(c);
        }
        let request = self.choose(model, c);
        let request = if c.once_in(SPOILT) {
            near_miss::spoil(&request, c)
        } else {
            request
        };
        self.last = Some(request);
        request
    }

    /// Hears what the last request answered: one that was preempted is mostly repeated.
    pub fn hear(&mut self, answer: &Answer) {
        self.interrupted = self.last.filter(|_| *answer == Answer::Preempted);
    }

    fn start(&mut self, c: &mut impl Choices) {
        for dom in (0..DOMAINS as u64).rev() {
            self.plan.push_back(Request::Switch { cpu: dom, dom });
            for i in 0..8 {
                let order = c.pick(&[0, 0, 1, 1, 2]);
                let pfn = if c.once_in(4) { NO_PFN } else { i * 4 };
                self.plan.push_back(Request::Populate {
                    dom,
                    order,
                    bits: 0,
                    pfn,
                });
            }
        }
    }

    fn choose(&mut self, model: &Model, c: &mut impl Choices) -> Request {
        if let Some(request) = self.interrupted.take()
            && !c.once_in(3)
        {
            return with_budget(&request, budget(c));
        }
        if let Some(request) = self.plan.pop_front() {
            return request;
        }
        if c.once_in(30) {
            spaces::plan(model, &mut self.plan, c);
            if let Some(request) = self.plan.pop_front() {
                return request;
            }
        }
        if c.once_in(5) {
            let dom = pick::dom(model, c);
            return grants::any(model, dom, &mut self.plan, c);
        }
        kinds::any(model, c)
    }
}

/// A budget: often without a limit, often next to nothing.
fn budget(c: &mut impl Choices) -> u64 {
    match c.below(2) {
        0 => UNLIMITED,
        _ => c.pick(&[1, 1, 2, 3, 8, 17, 64, 65, 130, 520, 1100, 5000]),
    }
}

fn with_budget(request: &Request, budget: u64) -> Request {
    with_field(request, "budget", budget)
}

/// The request with one field changed.
#[must_use]
pub fn with_field(request: &Request, name: &str, value: u64) -> Request {
    let fields: Vec<(&str, u64)> = request
        .fields()
        .into_iter()
        .map(|(field, old)| (field, if field == name { value } else { old }))
        .collect();
    Request::from_fields(request.verb(), &fields).unwrap_or(*request)
}
