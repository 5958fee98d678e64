//! A campaign: random traces one after the other, each on a fresh machine, until so many steps are made or one fails.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::generator::Generator;
use crate::machine::Books;
use crate::model::Role;
use crate::random::Random;
use crate::request::{self, Request};
use crate::runner::{self, Checks, Runner};
use crate::shrink::shrink;
use crate::statistics::Statistics;

/// Steps in one trace.
pub const TRACE: usize = 2000;

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// Steps in all.
    pub steps: u64,
    /// What the pseudo-random numbers start from.
    pub seed: u64,
    /// The engine's own audit is made after so many steps.
    pub audit_every: usize,
}

/// A trace that failed, cut down.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The requests.
    pub trace: Vec<Request>,
    /// What was wrong.
    pub what: String,
}

impl Failure {
    /// As a trace file, with what was wrong as a comment.
    #[must_use]
    pub fn text(&self) -> String {
        let comment: String = self
            .what
            .lines()
            .map(|line| format!("# {line}\n"))
            .collect();
        comment + &request::print(&self.trace)
    }
}

/// What a campaign showed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was asked and answered.
    pub statistics: Statistics,
    /// The first failure.
    pub failure: Option<Failure>,
}

/// Runs a campaign; `progress` hears the number of steps made now and then.
pub fn run(campaign: &Campaign, mut progress: impl FnMut(u64)) -> Outcome {
    let mut outcome = Outcome::default();
    let mut episode = 0;
    while outcome.statistics.steps() < campaign.steps && outcome.failure.is_none() {
        let checks = Checks {
            audit_every: campaign.audit_every,
            fault: None,
        };
        let seed = campaign.seed.wrapping_mul(1_000_003).wrapping_add(episode);
        let (trace, what) = random_trace(seed, TRACE, checks, &mut outcome.statistics);
        outcome.failure = what.map(|what| minimal(&trace, what, checks));
        episode += 1;
        progress(outcome.statistics.steps());
    }
    outcome
}

/// One random trace on both sides. The trace as far as it went, and what was wrong at its end.
pub fn random_trace(
    seed: u64,
    steps: usize,
    checks: Checks,
    statistics: &mut Statistics,
) -> (Vec<Request>, Option<String>) {
    let trace = RefCell::new(Vec::with_capacity(steps));
    let result = catching(|| {
        let books = Books::new();
        let mut runner = Runner::new(&books, checks);
        let mut generator = Generator::default();
        let mut random = Random::new(seed);
        for _ in 0..steps {
            let request = generator.next(runner.model(), &mut random);
            trace.borrow_mut().push(request);
            let answer = runner
                .step(&request)
                .map_err(|difference| difference.to_string())?;
            statistics.note(&request, &answer);
            generator.hear(&answer);
        }
        let live = |frame: &&crate::model::state::Frame| frame.role == Role::Table(4);
        statistics.note_roots(runner.model().frames.iter().filter(live).count());
        Ok(())
    });
    (trace.into_inner(), result.err())
}

/// What is wrong with a trace: a difference, or a panic of the engine.
#[must_use]
pub fn fault_of(trace: &[Request], checks: Checks) -> Option<String> {
    catching(|| {
        runner::run(trace, checks)
            .map(drop)
            .map_err(|difference| difference.to_string())
    })
    .err()
}

/// Cuts a failing trace down.
#[must_use]
pub fn minimal(trace: &[Request], what: String, checks: Checks) -> Failure {
    let short = shrink(trace, |candidate| fault_of(candidate, checks).is_some());
    let what = fault_of(&short, checks).unwrap_or(what);
    Failure { trace: short, what }
}

/// Makes a panic an error. In a build that aborts on panic, there is nothing to catch: see `main`.
fn catching(action: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!(
            "the engine panicked: {}",
            text.unwrap_or("without a word")
        ))
    })
}
