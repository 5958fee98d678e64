//! `cargo xtask bench`: the same measurements in the same machine on the kernel alone, on real Xen, and on Xenocryst.
//!
//! What it keeps true: the three machines differ in nothing but the hypervisor; time is counted in instructions, so
//! that figures repeat; what is measured once for the kernel alone and for Xen is kept only for the same inputs.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::debian::{self, write_whole};
use crate::guest;
use crate::machine::{DEFAULT_CPU, Machine, Payload};
use crate::progress::step;
use crate::run::{Hypervisor, hypervisor_options};
use crate::vm::Vm;
use crate::workspace::Workspace;

mod table;

pub use table::{Row, render};

/// The options of `cargo xtask bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchOptions {
    /// Measure the kernel alone and Xen again rather than take the kept figures
    #[arg(long)]
    pub fresh: bool,
    /// QEMU's CPU model, for all three
    #[arg(long, value_name = "MODEL", default_value = DEFAULT_CPU)]
    pub cpu: String,
    /// What to measure in the place of Xenocryst
    #[arg(long, value_name = "xenocryst|FILE", default_value = "xenocryst", value_parser = Hypervisor::parse)]
    pub hypervisor: Hypervisor,
}

/// Figures by the names that the benchmark guest gives them; nanoseconds, which are instructions.
pub type Figures = BTreeMap<String, u64>;

/// Time for a whole run; instruction counting makes QEMU several times slower.
const PATIENCE: Duration = Duration::from_secs(900);

/// Measures, and prints the table.
///
/// # Errors
/// When a machine does not come to the end of its measurements.
pub fn bench(workspace: &Workspace, options: &BenchOptions) -> Result<()> {
    let measure = |what: &str, hypervisor: &Hypervisor, keep: bool| -> Result<Figures> {
        let machine = machine(workspace, hypervisor, &options.cpu)?;
        let kept = kept_file(workspace, &machine)?;
        if keep
            && !options.fresh
            && let Ok(text) = fs::read_to_string(&kept)
        {
            return Ok(figures(&text));
        }
        let log = workspace.target().join("bench").join(format!("{what}.log"));
        let said = step(&format!("Measuring {what}"), || {
            let mut vm = Vm::start(&machine, &log)?;
            vm.expect("^bench done$", PATIENCE)?;
            vm.expect_end(Duration::from_secs(60))?;
            Ok(vm.transcript())
        })?;
        if keep {
            write_whole(&kept, said.as_bytes())?;
        }
        Ok(figures(&said))
    };
    let native = measure("native", &Hypervisor::Native, true)?;
    let xen = measure("xen", &Hypervisor::Xen, true)?;
    let ours = measure("xenocryst", &options.hypervisor, false)?;
    println!(
        "Instructions per operation; QEMU -icount, -cpu {}, 1 CPU, 1 GiB, dom0_mem=512M,max:512M",
        options.cpu
    );
    print!("{}", render(&native, &xen, &ours));
    Ok(())
}

/// The machine to measure in.
fn machine(workspace: &Workspace, hypervisor: &Hypervisor, cpu: &str) -> Result<Machine> {
    let kernel = debian::kernel(workspace)?.vmlinuz;
    let initrd = Some(guest::bench_initrd(workspace)?);
    let payload = match hypervisor.image(workspace)? {
        Some(image) => Payload::Hypervisor {
            image,
            options: hypervisor_options("dom0_mem=512M,max:512M", 1024),
            kernel,
            kernel_args: "console=hvc0 quiet".to_owned(),
            initrd,
        },
        None => Payload::Native {
            kernel,
            kernel_args: "console=ttyS0 quiet".to_owned(),
            initrd,
        },
    };
    let mut machine = Machine::new(payload);
    cpu.clone_into(&mut machine.cpu);
    machine.icount = true;
    Ok(machine)
}

/// Where the figures of this machine are kept: the name depends on everything that makes them.
fn kept_file(workspace: &Workspace, machine: &Machine) -> Result<PathBuf> {
    let qemu = Command::new("qemu-system-x86_64")
        .arg("--version")
        .output()
        .context("cannot run QEMU")?;
    let mut hasher = DefaultHasher::new();
    qemu.stdout.hash(&mut hasher);
    for argument in machine.command("stdio").get_args() {
        argument.hash(&mut hasher);
    }
    for file in machine.payload.files() {
        fs::read(file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .hash(&mut hasher);
    }
    Ok(workspace
        .target()
        .join("bench")
        .join(format!("{:016x}.txt", hasher.finish())))
}

/// Reads the lines `bench NAME NUMBER`.
fn figures(said: &str) -> Figures {
    said.lines()
        .filter_map(|line| line.strip_prefix("bench "))
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, number)| Some((name.to_owned(), number.trim().parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_between_other_lines() {
        let said = "(XEN) hello\nbench null-system-call 338\nbench done\n[ 2.0] bench x 3\n";
        assert_eq!(
            figures(said),
            Figures::from([("null-system-call".to_owned(), 338)])
        );
    }
}
