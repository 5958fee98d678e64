//! `cargo xtask bench --engine`: what the memory engine's own work costs, without a machine around it.
//!
//! What it keeps true: instructions are counted (by valgrind), since these repeat, and seconds on a shared machine do not.
//! An operation's cost is the difference between doing it a few times and a few times more, so that preparations do not
//! count. Neighbours: the package in `memory/bench/`; `docs/engine-speed.md` keeps the figures.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xenocryst::workspace::Workspace;

use crate::image;

const PACKAGE: &str = "xenocryst-memory-bench";
/// Elements that are worked on between the two counts, at least.
const ELEMENTS: u64 = 2000;
/// How often an operation is done to settle before the first count.
const WARM_UP: u64 = 2;

/// Counts and prints.
///
/// # Errors
/// When the program does not build, or valgrind is missing.
pub fn print(workspace: &Workspace) -> Result<()> {
    let program = build(workspace)?;
    let listed = output(&mut Command::new(&program))?;
    let mut lines = listed.lines();
    println!(
        "bookkeeping: {} bytes a frame, M2P included\n",
        lines.next().unwrap_or("?")
    );
    println!("| operation | size | instructions an element | elements are |");
    println!("|---|---:|---:|---|");
    for line in lines {
        let mut fields = line.split('\t');
        let (Some(name), Some(size), Some(unit)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let elements: u64 = size.parse()?;
        let times = ELEMENTS.div_ceil(elements).clamp(2, 200);
        let more = count(&program, name, size, WARM_UP + times)?;
        let few = count(&program, name, size, WARM_UP)?;
        let each = more.saturating_sub(few) as f64 / (times * elements) as f64;
        println!("| {name} | {size} | {each:.0} | {unit} |");
    }
    println!("\n| threads | domains | CPU time an update, ns |\n|---:|---|---:|");
    for line in output(Command::new(&program).arg("threads"))?.lines() {
        println!("| {} |", line.replace('\t', " | "));
    }
    Ok(())
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let target = workspace.target().join("bench");
    let status = image::plain_cargo()
        .current_dir(workspace.root())
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            PACKAGE,
            "--target-dir",
        ])
        .arg(&target)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "{PACKAGE} does not build ({status})");
    Ok(target.join("release/engine-cost"))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed ({})",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Instructions of the whole program when it does the operation `times` times.
fn count(program: &Path, name: &str, size: &str, times: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, size, &times.to_string()]);
    let output = valgrind
        .output()
        .context("cannot run valgrind (Debian package valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{valgrind:?} failed:\n{said}");
    collected(&said).with_context(|| format!("{valgrind:?} counted nothing:\n{said}"))
}

/// The number in callgrind's line `==123== Collected : 456`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Collected : "))?;
    line.rsplit(' ').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        let said = "==7== \n==7== Events    : Ir\n==7== Collected : 123456\n==7== \n";
        assert_eq!(collected(said), Some(123_456));
        assert_eq!(collected("==7== done"), None);
    }
}
