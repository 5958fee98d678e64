//! The memory engine against the second statement of its rules (the crate `oracle`): the bytes choose the requests, and
//! answers, states and the audit are compared after every step.

use xenocryst_oracle::generator::Generator;
use xenocryst_oracle::machine::Books;
use xenocryst_oracle::random::Bytes;
use xenocryst_oracle::runner::{Checks, Runner};

/// Most steps of one input.
const STEPS: usize = 400;

/// Runs the trace that the bytes choose.
pub fn run(data: &[u8]) {
    let books = Books::new();
    let mut runner = Runner::new(&books, Checks::ALL);
    let mut generator = Generator::default();
    let mut bytes = Bytes::new(data);
    for _ in 0..STEPS {
        if bytes.is_used_up() {
            break;
        }
        let request = generator.next(runner.model(), &mut bytes);
        match runner.step(&request) {
            Ok(answer) => generator.hear(&answer),
            Err(difference) => panic!("{difference}"),
        }
    }
}

/// The same bytes as for the engine alone: any will do.
pub fn seeds() -> Vec<Vec<u8>> {
    crate::requests::seeds()
}
