//! `xenocryst-oracle`: many random steps on engine and rules, with progress and final figures.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use xenocryst_oracle::campaign::{self, Campaign};

/// Runs random traces of requests on the memory engine and on the rules, and compares them step by step.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Steps to make
    #[arg(long, default_value_t = 1_000_000)]
    steps: u64,
    /// What the pseudo-random numbers start from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Make the engine's own audit after so many steps
    #[arg(long, default_value_t = 50)]
    audit_every: usize,
    /// Where a failing trace is written
    #[arg(long, default_value = "target/oracle-failure.trace")]
    failure: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let campaign = Campaign {
        steps: cli.steps,
        seed: cli.seed,
        audit_every: cli.audit_every,
    };
    let start = Instant::now();
    let mut said = Instant::now();
    let outcome = campaign::run(&campaign, |done| {
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            println!(
                "{done} steps, {:.0} a second",
                done as f64 / start.elapsed().as_secs_f64()
            );
        }
    });
    print!("{}", outcome.statistics);
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} steps in {seconds:.1} s, seed {}",
        outcome.statistics.steps(),
        cli.seed
    );
    let Some(failure) = outcome.failure else {
        println!("engine and rules agree");
        return ExitCode::SUCCESS;
    };
    println!("{}", failure.what);
    match std::fs::write(&cli.failure, failure.text()) {
        Ok(()) => println!(
            "the trace of {} steps is in {}",
            failure.trace.len(),
            cli.failure.display()
        ),
        Err(error) => println!("cannot write {}: {error}", cli.failure.display()),
    }
    ExitCode::FAILURE
}
