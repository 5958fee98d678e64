//! `xenocryst`: the host-side command, for an image that is already built. `cargo xtask` builds it first.
#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use xenocryst::boot_tests::{self, BootTestOptions};
use xenocryst::packages;
use xenocryst::run::{self, RunOptions};
use xenocryst::workspace::Workspace;

/// Boots Xenocryst, or what it is compared with, in QEMU.
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
}

fn main() -> Result<()> {
    let workspace = Workspace::of_this_build()?;
    packages::ensure_installed()?;
    match Cli::parse().command {
        Command::Run(options) => run::interactive(&workspace, &options),
        Command::BootTest(options) => {
            let outcome = boot_tests::run(&workspace, &options)?;
            println!("{outcome}");
            ensure!(outcome.failed == 0, "boot tests failed");
            Ok(())
        }
    }
}
