//! The checks that `cargo xtask test` makes besides the boot tests: form, lints, documentation, unit tests, the images, the
//! comparison with Xen.
//!
//! What it keeps true: the hypervisor and the guests are checked with the flags they are built with; everything else with the host's.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use xenocryst::boot_tests::Outcome;
use xenocryst::differences::{self, DiffOptions};
use xenocryst::image_check;
use xenocryst::workspace::Workspace;

use crate::image;

/// A check: its name in filters and results, and how it is made; the answer counts what it consists of.
struct Check {
    name: &'static str,
    run: fn(&Workspace) -> Result<usize>,
}

/// Every check, cheapest first.
const CHECKS: &[Check] = &[
    Check {
        name: "fmt",
        run: format,
    },
    Check {
        name: "clippy",
        run: clippy,
    },
    Check {
        name: "doc",
        run: documentation,
    },
    Check {
        name: "unit",
        run: unit_tests,
    },
    Check {
        name: "image",
        run: built_image,
    },
    Check {
        name: "diff",
        run: same_as_xen,
    },
];

/// Makes the checks whose names contain `filter` (all for an empty one).
#[must_use]
pub fn run(workspace: &Workspace, filter: &str) -> Outcome {
    let mut outcome = Outcome::default();
    for check in CHECKS.iter().filter(|check| check.name.contains(filter)) {
        println!("{} ...", check.name);
        match (check.run)(workspace) {
            Ok(passed) => {
                outcome.passed += passed;
                println!("{} ... ok ({passed})", check.name);
            }
            Err(error) => {
                outcome.failed += 1;
                println!("{} ... FAILED\n  {error:#}", check.name);
            }
        }
    }
    outcome
}

/// Every file is as rustfmt would have it.
fn format(workspace: &Workspace) -> Result<usize> {
    let workspaces = succeeds(host_cargo(workspace).args(["fmt", "--all", "--check"]))?;
    // The fuzz targets are a workspace of their own, as they need a nightly compiler; to be formatted they need none.
    let targets = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    Ok(workspaces + succeeds(host_cargo(workspace).args(targets))?)
}

/// No lint has anything to say.
fn clippy(workspace: &Workspace) -> Result<usize> {
    succeeds(host_cargo(workspace).args([
        "clippy",
        "--quiet",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    for image in &image::ALL {
        succeeds(
            image
                .cargo(workspace, "clippy")
                .args(["--quiet", "--", "-D", "warnings"]),
        )?;
    }
    Ok(1 + image::ALL.len())
}

/// The documentation builds without warnings, private items included.
fn documentation(workspace: &Workspace) -> Result<usize> {
    let options = ["--quiet", "--no-deps", "--document-private-items"];
    succeeds(
        host_cargo(workspace)
            .arg("doc")
            .args(options)
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    for image in &image::ALL {
        succeeds(
            image
                .cargo(workspace, "doc")
                .args(options)
                .env("RUSTDOCFLAGS", "-D warnings"),
        )?;
    }
    Ok(1 + image::ALL.len())
}

/// The unit tests, among them the layout of the ABI's structures against the C headers.
fn unit_tests(workspace: &Workspace) -> Result<usize> {
    let output = host_cargo(workspace)
        .args(["test", "--quiet", "--no-fail-fast"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}");
    let passed = passed_tests(&said);
    ensure!(passed > 0, "there were no unit tests");
    Ok(passed)
}

/// The image is what boot loaders and the rest of the hypervisor rely on.
fn built_image(workspace: &Workspace) -> Result<usize> {
    image::build(workspace)?;
    image::build_guests(workspace)?;
    image_check::check(&workspace.image())
}

/// Random requests that are compared with real Xen in the ordinary checks.
const REQUESTS: u64 = 12_800;

/// Memory requests are answered as real Xen answers them, but for the deliberate differences.
fn same_as_xen(workspace: &Workspace) -> Result<usize> {
    compared_with_xen(workspace, REQUESTS, 1)
}

/// The same with so many requests that follow from `seed`.
pub fn compared_with_xen(workspace: &Workspace, requests: u64, seed: u64) -> Result<usize> {
    image::build(workspace)?;
    image::build_guests(workspace)?;
    let outcome = differences::compare(workspace, &DiffOptions::random(requests, seed))?;
    ensure!(
        outcome.failed == 0,
        "{} answers differ from Xen's",
        outcome.failed
    );
    Ok(outcome.passed)
}

/// The numbers in the lines `test result: ok. N passed; ...`, added up.
fn passed_tests(said: &str) -> usize {
    said.lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok())
        .sum()
}

/// A cargo command for the workspace's default members: all but the bare-metal images.
fn host_cargo(workspace: &Workspace) -> Command {
    let mut cargo = image::plain_cargo();
    cargo.current_dir(workspace.root());
    cargo
}

/// Runs a command that counts as one check.
fn succeeds(command: &mut Command) -> Result<usize> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_are_added_up_over_all_crates() {
        let said = "running 2 tests\n..\ntest result: ok. 2 passed; 0 failed\n\ntest result: ok. 40 passed; 0 failed\n";
        assert_eq!(passed_tests(said), 42);
    }
}
