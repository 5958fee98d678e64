//! `cargo xtask fuzz`: running the fuzz targets of `fuzz/` under libFuzzer.
//!
//! What it keeps true: corpus, findings and build products stay under `target/`; a target that hangs or swallows memory
//! counts as found, too. Neighbours: the package in `fuzz/`, which is a workspace of its own; `docs/fuzzing.md`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use xenocryst::workspace::Workspace;

/// The version of cargo-fuzz that is installed where there is none.
const CARGO_FUZZ: &str = "0.13.1";
/// Most memory a target may take, in MiB, and most seconds one input may.
const RSS_LIMIT_MB: u32 = 2048;
const TIMEOUT_SECONDS: u32 = 10;
/// Longest input in bytes, for targets whose usual one is not right.
const LENGTHS: &[(&str, u32)] = &[
    ("requests", 2048),
    ("rules", 2048),
    ("emulate", 200),
    ("pci", 264),
    ("cmdline", 512),
    ("kernel", 32 << 10),
    ("unpack", 32 << 10),
];
const LENGTH: u32 = 4096;

/// What to fuzz, and for how long.
#[derive(Args)]
pub struct FuzzOptions {
    /// The target; all of them, one after the other, if not given
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// The names of all targets: what stands in `fuzz/targets/`.
///
/// # Errors
/// When the directory cannot be read.
pub fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let directory = workspace.root().join("fuzz/targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// Runs the targets that `options` choose; stops at the first finding.
///
/// # Errors
/// When something is found (the input that shows it is named), or a tool is missing and cannot be installed.
pub fn fuzz(workspace: &Workspace, options: &FuzzOptions) -> Result<()> {
    let all = targets(workspace)?;
    let chosen = match &options.target {
        Some(target) => {
            ensure!(
                all.contains(target),
                "no target {target}; there are: {}",
                all.join(", ")
            );
            vec![target.clone()]
        }
        None => all,
    };
    ensure_tools()?;
    chosen
        .iter()
        .try_for_each(|target| run(workspace, target, options.seconds))
}

/// Runs `target` for `seconds` seconds.
///
/// # Errors
/// As [`fuzz`].
pub fn run(workspace: &Workspace, target: &str, seconds: u32) -> Result<()> {
    let home = workspace.target().join("fuzz");
    let corpus = directory(home.join("corpus").join(target))?;
    let findings = directory(home.join("findings").join(target))?;
    let length = LENGTHS
        .iter()
        .find(|(name, _)| *name == target)
        .map_or(LENGTH, |(_, length)| *length);
    println!("fuzzing {target} for {seconds} s ...");
    let status = nightly()
        .current_dir(workspace.root())
        // None of this code has `unsafe`: what an address sanitizer would find cannot be there.
        .args(["fuzz", "run", "--sanitizer", "none", "--target-dir"])
        .arg(home.join("build"))
        .arg(target)
        .arg(&corpus)
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={length}"))
        .arg(format!("-rss_limit_mb={RSS_LIMIT_MB}"))
        .arg(format!("-timeout={TIMEOUT_SECONDS}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg("-print_final_stats=1")
        .env("XENOCRYST_SEEDS", &corpus)
        .status()
        .context("cannot run rustup")?;
    ensure!(
        status.success(),
        "{target} ended with {status}; what it found is in {}",
        findings.display()
    );
    Ok(())
}

fn directory(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// A cargo command of the nightly toolchain, without what this program's own cargo left in the environment.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]);
    for name in [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "CARGO_TARGET_DIR",
    ] {
        command.env_remove(name);
    }
    command
}

/// Installs nightly Rust and cargo-fuzz where they are missing, saying so.
///
/// # Errors
/// When they are missing and cannot be installed.
pub fn ensure_tools() -> Result<()> {
    if !works(nightly().arg("--version")) {
        println!("installing nightly Rust, which coverage instrumentation needs ...");
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
        succeed(install)?;
    }
    if !works(nightly().args(["fuzz", "--version"])) {
        println!("installing cargo-fuzz {CARGO_FUZZ} from crates.io ...");
        let mut install = nightly();
        install.args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ]);
        succeed(install)?;
    }
    Ok(())
}

fn works(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn succeed(mut command: Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(())
}
