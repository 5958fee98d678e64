//! `cargo xtask`: the one front door. It builds and checks the hypervisor, and hands everything else to the
//! `xenocryst` library.
#![forbid(unsafe_code)]

mod checks;
mod engine_cost;
mod fuzz;
mod image;
mod long;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};
use fuzz::FuzzOptions;
use xenocryst::bench::{self, BenchOptions};
use xenocryst::boot_tests::{self, BootTestOptions, Outcome};
use xenocryst::differences::{self, DiffOptions};
use xenocryst::lab::start::{Root, Start};
use xenocryst::lab::{self, LabOptions};
use xenocryst::map::{self, MapOptions};
use xenocryst::run::{self, Hypervisor, RunOptions};
use xenocryst::workspace::Workspace;
use xenocryst::{debian, docs, guest, packages};

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
    /// Build the hypervisor, target/xenocryst.elf, and our PV guests, target/guest/pv-*
    Build {
        /// With debug assertions, which audit all frames after each destruction of a domain: target/xenocryst-checked.elf
        #[arg(long)]
        checked: bool,
    },
    /// Boot Debian's kernel to a shell on the terminal
    Run(RunOptions),
    /// Make every check: fmt, clippy, doc, unit, image, diff, and the boot tests; on another hypervisor the boot tests alone
    Test(TestOptions),
    /// Run what reads foreign bytes, and the engine's requests, under a coverage-guided fuzzer
    Fuzz(FuzzOptions),
    /// Boot a dom0 with Debian's xl on the terminal, or run a script in it
    Lab(LabOptions),
    /// Draw who has which frame of the machine's memory
    Map(MapOptions),
    /// Measure the kernel alone, Xen and Xenocryst, and print one table
    Bench(BenchCommand),
    /// Make the same memory requests on Xen and on Xenocryst, and print where the answers differ
    Diff(DiffOptions),
    /// Write the pages under docs/ that are generated from the source
    Docs,
}

/// What to measure.
#[derive(Args)]
struct BenchCommand {
    #[command(flatten)]
    options: BenchOptions,
    /// Measure the memory engine by itself, on the host, instead
    #[arg(long)]
    engine: bool,
}

/// Which checks to make.
#[derive(Args)]
struct TestOptions {
    #[command(flatten)]
    boot: BootTestOptions,
    /// Make the long checks too: ten million random requests, each fuzz target for a minute, every interleaving of two vCPUs
    #[arg(long)]
    long: bool,
}

fn main() -> Result<()> {
    let workspace = Workspace::of_this_build()?;
    let command = Cli::parse().command;
    if !matches!(command, Command::Docs) {
        packages::ensure_installed()?;
    }
    match command {
        Command::Setup => {
            debian::xen(&workspace)?;
            guest::bench_initrd(&workspace)?;
            let kernel = debian::kernel(&workspace)?;
            guest::shell_initrd(&workspace, &kernel)?;
            // Dom0 of the lab starts one of them.
            image::build_guests(&workspace)?;
            for root in [Root::Initrd, Root::Disk] {
                Start::new(&workspace, &kernel, root)?;
            }
            Ok(())
        }
        Command::Build { checked: true } => image::build_checked(&workspace),
        Command::Build { checked: false } => {
            image::build(&workspace)?;
            image::build_guests(&workspace)
        }
        Command::Run(options) => {
            build_if_ours(&workspace, &options.hypervisor)?;
            run::interactive(&workspace, &options)
        }
        Command::Test(options) => test(&workspace, &options),
        Command::Fuzz(options) => fuzz::fuzz(&workspace, &options),
        Command::Bench(BenchCommand { engine: true, .. }) => engine_cost::print(&workspace),
        Command::Bench(BenchCommand { options, .. }) => {
            build_if_ours(&workspace, &options.hypervisor)?;
            bench::bench(&workspace, &options)
        }
        Command::Lab(options) => {
            build_if_ours(&workspace, &options.machine.hypervisor)?;
            image::build_guests(&workspace)?;
            lab::lab(&workspace, &options)
        }
        Command::Map(options) => {
            if let Some(hypervisor) = options.boots() {
                build_if_ours(&workspace, hypervisor)?;
                image::build_guests(&workspace)?;
            }
            map::map(&workspace, &options)
        }
        Command::Diff(options) => {
            build_if_ours(&workspace, &options.hypervisor)?;
            image::build_guests(&workspace)?;
            let outcome = differences::compare(&workspace, &options)?;
            if outcome.failed > 0 {
                // What was printed says all there is to say.
                std::process::exit(1);
            }
            Ok(())
        }
        Command::Docs => docs::write(&workspace),
    }
}

/// Brings the image up to date where it is what will be booted.
fn build_if_ours(workspace: &Workspace, hypervisor: &Hypervisor) -> Result<()> {
    if *hypervisor == Hypervisor::Xenocryst {
        image::build(workspace)
    } else {
        Ok(())
    }
}

/// Builds the image with debug assertions where it is what some test boots.
fn build_checked_if_booted(workspace: &Workspace, options: &BootTestOptions) -> Result<()> {
    if options.hypervisor == Hypervisor::Xenocryst
        && boot_tests::matches("checked", &options.filter)
    {
        image::build_checked(workspace)
    } else {
        Ok(())
    }
}

/// Makes the checks that `options` choose; the last line counts them.
fn test(workspace: &Workspace, options: &TestOptions) -> Result<()> {
    let (options, long) = (&options.boot, options.long);
    let ours = options.hypervisor == Hypervisor::Xenocryst;
    let checked = if ours {
        checks::run(workspace, &options.filter)
    } else {
        Outcome::default()
    };
    let built = if boot_tests::any(&options.filter) {
        build_if_ours(workspace, &options.hypervisor)
            .and_then(|()| image::build_guests(workspace))
            .and_then(|()| build_checked_if_booted(workspace, options))
    } else {
        Ok(())
    };
    let booted = match built {
        Ok(()) => boot_tests::run(workspace, options)?,
        Err(error) => {
            println!("boot ... FAILED\n  {error:#}");
            Outcome {
                passed: 0,
                failed: 1,
            }
        }
    };
    let mut outcome = checked + booted;
    if long && ours {
        outcome = outcome + long::run(workspace, &options.filter);
    }
    ensure!(
        outcome != Outcome::default(),
        "no check has {:?} in its name",
        options.filter
    );
    println!("{outcome}");
    if outcome.failed > 0 {
        // The line above says all there is to say, and stays the last.
        std::process::exit(1);
    }
    Ok(())
}
