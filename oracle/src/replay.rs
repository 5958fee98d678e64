//! Replaying a trace from a file, step by step.

use crate::machine::Books;
use crate::request::parse;
use crate::runner::{Checks, Runner};

/// Replays a trace with every check after every step, up to the first difference. `say` hears each step's request and
/// both answers as they come, so that nothing is lost should the engine stop. Whether engine and rules agreed to the
/// end; an error if the text is no trace.
pub fn replay(text: &str, mut say: impl FnMut(&str)) -> Result<bool, String> {
    let trace = parse(text)?;
    let books = Books::new();
    let mut runner = Runner::new(&books, Checks::ALL);
    for (step, request) in trace.iter().enumerate() {
        say(&format!("step {step}: {request}"));
        match runner.step(request) {
            Ok(answer) => {
                say(&format!("  engine: {answer}\n  rules:  {answer}"));
            }
            Err(difference) => {
                say(&format!(
                    "  engine: {}\n  {}",
                    difference.engine, difference.what
                ));
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_said_with_both_answers() {
        let mut said = String::new();
        let agreed = replay(
            "populate dom=1 order=0 bits=0 pfn=7\nunpin dom=1 frame=2 budget=1",
            |line| {
                said += line;
                said += "\n";
            },
        );
        assert_eq!(agreed, Ok(true));
        assert!(
            said.contains("engine: gave frame") && said.contains("rules:  gave frame"),
            "{said}"
        );
        assert!(said.contains("engine: refused: EINVAL FR-001"), "{said}");
        assert!(replay("nonsense", |_| {}).is_err());
    }
}
