//! `cargo xtask`: the one front door. It builds the hypervisor and hands everything else to the `xenocryst` library.
#![forbid(unsafe_code)]

mod image;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xenocryst::bench::{self, BenchOptions};
use xenocryst::run::{self, Hypervisor, RunOptions};
use xenocryst::workspace::Workspace;
use xenocryst::{debian, guest, packages};

/// Builds, boots, tests and measures Xenocryst; sets up by itself what it needs.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Subcommand)]
enum Command {
    /// Install missing packages, fetch the guest kernel and Xen, pack the guests (the others do this by themselves)
    Setup,
    /// Build the hypervisor: target/xenocryst.elf
    Build,
    /// Boot Debian's kernel to a shell on the terminal
    Run(RunOptions),
    /// Measure the kernel alone, Xen and Xenocryst, and print one table
    Bench(BenchOptions),
}

fn main() -> Result<()> {
    let workspace = Workspace::of_this_build()?;
    match Cli::parse().command {
        Command::Setup => {
            packages::ensure_installed()?;
            debian::xen(&workspace)?;
            guest::shell_initrd(&workspace, &debian::kernel(&workspace)?)?;
            Ok(())
        }
        Command::Build => {
            packages::ensure_installed()?;
            image::build(&workspace)
        }
        Command::Run(options) => {
            packages::ensure_installed()?;
            if options.hypervisor == Hypervisor::Xenocryst {
                image::build(&workspace)?;
            }
            run::interactive(&workspace, &options)
        }
        Command::Bench(options) => {
            packages::ensure_installed()?;
            if options.hypervisor == Hypervisor::Xenocryst {
                image::build(&workspace)?;
            }
            bench::bench(&workspace, &options)
        }
    }
}
