//! The checks that `cargo xtask test --long` makes beyond the usual ones, which take minutes each.
//!
//! Neighbours: `fuzz.rs`, `checks.rs`, the crate `oracle`, and the memory engine's own tests, which explore interleavings.

use anyhow::{Context, Result, ensure};
use xenocryst::boot_tests::Outcome;
use xenocryst::workspace::Workspace;

use crate::{checks, fuzz, image};

/// Seconds that each fuzz target runs.
const FUZZ_SECONDS: u32 = 60;

/// Random requests that are made of the engine and of the rules, and compared.
const ORACLE_STEPS: &str = "10000000";

/// Random requests that are compared with real Xen, and what they follow from.
const REQUESTS: u64 = 256_000;
const SEED: u64 = 2;

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
    if "oracle".contains(filter) {
        count("oracle", oracle(workspace));
    }
    if "interleavings".contains(filter) {
        count("interleavings", interleavings(workspace));
    }
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
    if "diff long".contains(filter) {
        let compared = checks::compared_with_xen(workspace, REQUESTS, SEED);
        count("diff long", compared.map(drop));
    }
    outcome
}

/// The engine and the rules agree on many random requests.
fn oracle(workspace: &Workspace) -> Result<()> {
    let status = image::plain_cargo()
        .current_dir(workspace.root())
        .args([
            "run",
            "--quiet",
            "--profile",
            "long",
            "-p",
            "xenocryst-oracle",
            "--",
        ])
        .args(["--steps", ORACLE_STEPS])
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "engine and rules differ ({status})");
    Ok(())
}

/// Explores every schedule of the engine's operations that has one switch, where the usual tests take a few of each.
fn interleavings(workspace: &Workspace) -> Result<()> {
    let status = image::plain_cargo()
        .current_dir(workspace.root())
        .args([
            "test",
            "--quiet",
            "--release",
            "--package",
            "xenocryst-memory",
        ])
        .args(["--lib", "interleave"])
        .env("XENOCRYST_LONG", "1")
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "see above ({status})");
    Ok(())
}
