//! The checks that `cargo xtask test --long` makes beyond the usual ones, which take minutes each.
//!
//! Neighbours: `fuzz.rs`.

use anyhow::Result;
use xenocryst::boot_tests::Outcome;
use xenocryst::workspace::Workspace;

use crate::fuzz;

/// Seconds that each fuzz target runs.
const FUZZ_SECONDS: u32 = 60;

/// Makes the long checks whose names contain `filter` (all for an empty one).
#[must_use]
pub fn run(workspace: &Workspace, filter: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let mut count = |name: &str, result: Result<()>| match result {
        Ok(()) => {
            outcome.passed += 1;
            println!("{name} ... ok");
        }
        Err(error) => {
            outcome.failed += 1;
            println!("{name} ... FAILED\n  {error:#}");
        }
    };
    match fuzz::targets(workspace) {
        Ok(targets) => {
            let named = targets
                .iter()
                .map(|target| (format!("fuzz {target}"), target));
            let chosen: Vec<_> = named.filter(|(name, _)| name.contains(filter)).collect();
            let ready = chosen.is_empty() || {
                let tools = fuzz::ensure_tools();
                let ready = tools.is_ok();
                if !ready {
                    count("fuzz", tools);
                }
                ready
            };
            for (name, target) in chosen.iter().filter(|_| ready) {
                count(name, fuzz::run(workspace, target, FUZZ_SECONDS));
            }
        }
        Err(error) => count("fuzz", Err(error)),
    }
    outcome
}
