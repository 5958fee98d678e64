//! `xenocryst`: the host-side command, for an image that is already built. `cargo xtask` builds it first.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Parser, Subcommand};
use xenocryst::boot_tests::{self, BootTestOptions};
use xenocryst::packages;
use xenocryst::refusals;
use xenocryst::run::{self, RunOptions};
use xenocryst::workspace::Workspace;

/// Boots Xenocryst, or what it is compared with, in QEMU; explains its refusals.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Subcommand)]
enum Command {
    /// Boot a machine on the terminal
    Run(RunOptions),
    /// Run the boot tests
    BootTest(BootTestOptions),
    /// Replay a trace of memory requests on the engine and on the rules, step by step
    Replay {
        /// The trace: see oracle/regressions
        file: PathBuf,
    },
    /// Say what the code of a refused memory request means
    Explain {
        /// The code, as the log line begins with it
        #[arg(value_name = "CODE")]
        code: String,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Run(options) => run::interactive(&prepared()?, &options),
        Command::BootTest(options) => {
            let outcome = boot_tests::run(&prepared()?, &options)?;
            println!("{outcome}");
            ensure!(outcome.failed == 0, "boot tests failed");
            Ok(())
        }
        Command::Replay { file } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let agreed = xenocryst_oracle::replay::replay(&text, |line| println!("{line}"))
                .map_err(|error| anyhow!("{}: {error}", file.display()))?;
            ensure!(agreed, "the engine and the rules differ");
            Ok(())
        }
        Command::Explain { code } => {
            print!("{}", refusals::explain(&code)?);
            Ok(())
        }
    }
}

/// The checkout, with everything installed that starting machines needs.
fn prepared() -> Result<Workspace> {
    packages::ensure_installed()?;
    Workspace::of_this_build()
}
