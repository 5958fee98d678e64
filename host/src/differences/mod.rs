//! `cargo xtask diff`: the same requests to real Xen and to Xenocryst, and where the answers differ.
//!
//! PV kernels of ours are booted on both in the same machine. One (`guest/src/bin/hostile/`) tries to break out, and prints
//! how each attempt ended. The other (`guest/src/bin/diff/`) makes memory requests. It prints what it asks and what it is
//! answered: scripted requests line by line, random ones as one digest for a block of them. Where digests differ, the
//! block is run again on both with a line for each request.
//!
//! What it keeps true: nothing is passed over: every line of one transcript is compared with its counterpart, and a
//! difference is an error unless `known` lists it with its reason; a row of `known` that is about nothing is one too. Neighbours: [`crate::docs`] writes the page.

mod known;
mod transcript;

use std::fmt::Write;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;

use crate::boot_tests::Outcome;
use crate::machine::{Machine, Payload};
use crate::progress::step;
use crate::pv_guest::PvGuest;
use crate::run::{Hypervisor, hypervisor_options};
use crate::vm::Vm;
use crate::workspace::Workspace;

use known::{KNOWN, Known};
use transcript::{Difference, Place, Transcript};

/// Requests in a block: what the guest makes unless told otherwise.
const BLOCK: u64 = 64;
/// Blocks with differences that are looked into; further ones are counted.
const LOOKED_INTO: usize = 8;
/// Time for a machine to start and for the scripted part.
const START: Duration = Duration::from_secs(120);
/// Requests that a machine makes in a second at the very least.
const SLOWEST: u64 = 100;
/// What either hypervisor says when the guest is no more.
const STOPPED: &str = r"Dom0 crashed|Dom0 has stopped";
/// RAM of the machine, and of the guest, MiB. The guest tells only frames of the first GiB apart.
const MACHINE_MIB: u32 = 512;
const GUEST_MIB: u32 = 64;
/// What the guest may have, MiB.
const MOST_MIB: u32 = 128;

/// The options of `cargo xtask diff`.
#[derive(Args, Clone, Debug)]
pub struct DiffOptions {
    /// How many random requests to compare
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub requests: u64,
    /// What the random requests follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Run only this block of random requests, and print it on both
    #[arg(long, value_name = "N")]
    pub block: Option<u64>,
    /// With so many blocks before it, for a block that differs only after others
    #[arg(long, value_name = "N", default_value_t = 0, requires = "block")]
    pub before: u64,
    /// What to compare with Xen
    #[arg(long, value_name = "xenocryst|FILE", default_value = "xenocryst", value_parser = Hypervisor::parse)]
    pub hypervisor: Hypervisor,
}

impl DiffOptions {
    /// So many random requests that follow from `seed`, on what was built from the checkout.
    #[must_use]
    pub fn random(requests: u64, seed: u64) -> Self {
        Self {
            requests,
            seed,
            block: None,
            before: 0,
            hypervisor: Hypervisor::Xenocryst,
        }
    }
}

/// What the guest is to do.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    first: u64,
    blocks: u64,
    /// Each request of the last block is printed, and there is no scripted part.
    closely: bool,
}

impl Plan {
    /// The guest's command line.
    fn arguments(self) -> String {
        let closely = if self.closely {
            let last = self.first + self.blocks - 1;
            format!(" closely={last} no-script")
        } else {
            String::new()
        };
        format!(
            "seed={} first={} blocks={} requests={BLOCK}{closely}",
            self.seed, self.first, self.blocks
        )
    }

    /// Time that it may take.
    fn patience(self) -> Duration {
        START + Duration::from_secs(self.blocks * BLOCK / SLOWEST)
    }
}

/// Compares, and prints the differences and a summary; the outcome counts lines and blocks.
///
/// # Errors
/// When a machine cannot be started.
pub fn compare(workspace: &Workspace, options: &DiffOptions) -> Result<Outcome> {
    let plan = match options.block {
        Some(block) => {
            let before = options.before.min(block);
            Plan {
                seed: options.seed,
                first: block - before,
                blocks: before + 1,
                closely: true,
            }
        }
        None => Plan {
            seed: options.seed,
            first: 0,
            blocks: options.requests.div_ceil(BLOCK),
            closely: false,
        },
    };
    let [xen, ours] = both(workspace, options, Task::Requests(plan))?;
    if plan.closely {
        print!("{}", transcript::beside(&xen, &ours));
    }
    let mut differences = transcript::differences(&xen, &ours);
    let mut compared = xen.lines().len().max(ours.lines().len());
    if !plan.closely {
        let [xen, ours] = both(workspace, options, Task::BreakOut)?;
        differences.extend(transcript::differences(&xen, &ours));
        compared += xen.lines().len().max(ours.lines().len());
    }
    // One block has none of the lines that rows are about.
    let stale = if plan.closely {
        Vec::new()
    } else {
        stale(KNOWN, &differences)
    };
    let (known, unknown): (Vec<_>, Vec<_>) = differences
        .into_iter()
        .partition(|difference| KNOWN.iter().any(|row| is_about(row, difference)));
    let mut blocks = 0;
    for difference in &unknown {
        match difference.place {
            Place::Block(block) if !plan.closely => {
                blocks += 1;
                if blocks <= LOOKED_INTO {
                    println!("{}", looked_into(workspace, options, block)?);
                } else {
                    println!("block {block} differs too");
                }
            }
            _ => println!("{difference}"),
        }
    }
    for row in &stale {
        println!(
            "listed as a difference, but there is none any more: {:?}, Xen {:?}, Xenocryst {:?}",
            row.line, row.xen, row.ours
        );
    }
    println!(
        "{} random requests and {} lines compared: {} differences, {} deliberate ones, {} listed in vain",
        plan.blocks * BLOCK,
        compared,
        unknown.len(),
        known.len(),
        stale.len()
    );
    Ok(Outcome {
        passed: compared.saturating_sub(unknown.len()),
        failed: unknown.len() + stale.len(),
    })
}

/// Runs one block on both with every request printed, and says where they part.
fn looked_into(workspace: &Workspace, options: &DiffOptions, block: u64) -> Result<String> {
    let plan = Plan {
        seed: options.seed,
        first: block,
        blocks: 1,
        closely: true,
    };
    let [xen, ours] = both(workspace, options, Task::Requests(plan))?;
    let mut said = match transcript::differences(&xen, &ours).into_iter().next() {
        Some(first) => first.to_string(),
        None => format!("block {block} differed, but not when run alone (try --before N)\n"),
    };
    let _ = write!(
        said,
        "  to see it: cargo xtask diff --seed {} --block {block}",
        options.seed
    );
    Ok(said)
}

/// What is run on both.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// The guest that makes memory requests.
    Requests(Plan),
    /// The guest that tries to break out.
    BreakOut,
}

impl Task {
    fn guest(self) -> PvGuest {
        match self {
            Self::Requests(_) => PvGuest::Diff,
            Self::BreakOut => PvGuest::Hostile,
        }
    }

    fn arguments(self) -> String {
        match self {
            Self::Requests(plan) => plan.arguments(),
            Self::BreakOut => String::new(),
        }
    }

    fn patience(self) -> Duration {
        match self {
            Self::Requests(plan) => plan.patience(),
            Self::BreakOut => START,
        }
    }

    fn description(self) -> String {
        match self {
            Self::Requests(plan) if plan.closely => format!("Running block {} on both", plan.first),
            Self::Requests(plan) => format!("Running {} requests on both", plan.blocks * BLOCK),
            Self::BreakOut => "Running the guest that tries to break out on both".to_owned(),
        }
    }
}

/// What the guest says on Xen and on Xenocryst.
fn both(workspace: &Workspace, options: &DiffOptions, task: Task) -> Result<[Transcript; 2]> {
    step(&task.description(), || {
        thread::scope(|scope| {
            let xen = scope.spawn(|| transcript(workspace, &Hypervisor::Xen, "xen", task));
            let ours = transcript(workspace, &options.hypervisor, "xenocryst", task)?;
            let xen = xen
                .join()
                .map_err(|_| anyhow!("the thread with Xen panicked"))??;
            Ok([xen, ours])
        })
    })
}

/// What the guest says on one hypervisor. A machine that does not come to its end has said what it has said.
fn transcript(
    workspace: &Workspace,
    hypervisor: &Hypervisor,
    name: &str,
    task: Task,
) -> Result<Transcript> {
    let image = hypervisor
        .image(workspace)?
        .context("a hypervisor is needed")?;
    let guest = task.guest();
    let mut machine = Machine::new(Payload::Hypervisor {
        image,
        options: hypervisor_options(&options(), MACHINE_MIB),
        kernel: guest.file(workspace),
        kernel_args: task.arguments(),
        initrd: None,
    });
    machine.mem_mib = MACHINE_MIB;
    let log = format!("{name}-{}.log", guest.name());
    let mut vm = Vm::start(&machine, &workspace.target().join("diff").join(log))?;
    let end = vm
        .expect(
            &format!("^{}$|{STOPPED}", guest.last_line()),
            task.patience(),
        )
        .and_then(|found| match found.first() {
            Some(end) if *end == guest.last_line() => Ok(()),
            _ => Err(anyhow!("the guest crashed")),
        });
    Ok(Transcript::new(guest, &vm.transcript(), end.err()))
}

/// The hypervisors' options. Refused requests are what most of this is: so nothing is logged of them. On Xen a dom0 may have
/// more than it begins with; here too, if told so.
fn options() -> String {
    format!(
        "dom0_mem={GUEST_MIB}M,max:{MOST_MIB}M dom0_max_vcpus=2 noreboot loglvl=warning guest_loglvl=none"
    )
}

/// Whether `row` gives the reason for `difference`.
fn is_about(row: &Known, difference: &Difference) -> bool {
    let Place::Line(line) = &difference.place else {
        return false;
    };
    line.starts_with(row.line)
        && difference.xen.ends_with(row.xen)
        && difference.ours.ends_with(row.ours)
}

/// The rows that none of the differences is for: what they say is not so any more.
fn stale<'a>(rows: &'a [Known], differences: &[Difference]) -> Vec<&'a Known> {
    rows.iter()
        .filter(|row| {
            !differences
                .iter()
                .any(|difference| is_about(row, difference))
        })
        .collect()
}

const HEAD: &str = "\
# Differences from Xen

Where Xenocryst answers a guest otherwise than Xen 4.17, and why. `cargo xtask diff` makes the same scripted and random
requests about memory on both, and runs a guest that tries to break out on both; it fails at any difference that is not in
this table, and at any row of it that is not so any more. The table is generated from `host/src/differences/known.rs` by `cargo xtask docs`.

Random requests leave out what would differ for these reasons, and one thing more: when the validation of a table fails at its
first entry, and that of the table below it at a later one, Xen 4.17 forgets to undo the latter, and the frame can be
nothing but that table until the domain ends. So no first entry names what may be a table. Nor is the M2P of devices' frames
changed, which Xen lets dom0 do as `DOMID_IO`, and Xenocryst does not.
";

/// The whole of `docs/differences.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n| Request | Xen | Xenocryst | Why |\n|---|---|---|---|\n");
    for known in KNOWN {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            known.line, known.xen, known.ours, known.reason
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: &'static str, xen: &'static str, ours: &'static str) -> Known {
        Known {
            line,
            xen,
            ours,
            reason: "",
        }
    }

    fn difference(xen: &str, ours: &str) -> Difference {
        Difference {
            place: Place::Line(xen.to_owned()),
            before: Vec::new(),
            xen: xen.to_owned(),
            ours: ours.to_owned(),
        }
    }

    #[test]
    fn a_row_that_is_about_no_difference_is_stale() {
        let rows = [
            row("script a: ", "-1", "-2"),
            row("script a: ", "-1", "-3"),
            row("script b: ", "", "-2"),
        ];
        let found = [difference("script a: x -> -1", "script a: x -> -2")];
        let stale: Vec<_> = stale(&rows, &found).iter().map(|row| row.ours).collect();
        assert_eq!(stale, ["-3", "-2"]);
    }
}
