//! The lab: a dom0 with Debian's own `xl` and its daemons, unmodified, that manages small guests; on the terminal, or
//! running a script whose results come back.
//!
//! What it keeps true: the same scripts run on Xenocryst and on real Xen; what a script prints reaches the host by a
//! serial port of its own, so that no message of a hypervisor or a kernel cuts into it. Each start is from the same root,
//! whether that is in dom0's memory or on a disk (`--root disk`).
//!
//! Neighbours: [`root`] and [`start`] make dom0 and the small guest, [`report`] reads results, [`compare`] sets those of two
//! hypervisors against each other; `host/lab/` holds what runs inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};

use crate::debian;
use crate::machine::{Accel, DEFAULT_CPU, Machine, Payload};
use crate::run::{self, Hypervisor};
use crate::vm::Vm;
use crate::workspace::Workspace;

pub mod answers;
pub mod compare;
pub mod packages;
pub mod report;
pub mod root;
pub mod start;

use report::Report;
use start::{Root, Start};

/// How often results are looked at.
const POLL: Duration = Duration::from_millis(250);

/// `cargo xtask lab`.
#[derive(Args, Clone, Debug)]
pub struct LabOptions {
    /// What to do instead of starting dom0 on the terminal
    #[command(subcommand)]
    pub command: Option<LabCommand>,
    /// The machine
    #[command(flatten)]
    pub machine: LabMachine,
}

/// What to do with the lab.
#[derive(Subcommand, Clone, Debug)]
pub enum LabCommand {
    /// Run a script in dom0 and show its results
    Run {
        /// A file, or the name of one in host/lab/scripts/
        script: String,
    },
    /// Run a script on Xenocryst and on Xen, and show where the results differ
    Compare {
        /// A file, or the name of one in host/lab/scripts/
        script: String,
    },
    /// Run every script of host/lab/scripts/ with this in its name
    Test {
        /// [default: all]
        #[arg(default_value = "")]
        filter: String,
    },
}

/// The machine that the lab is in; what is not said, the script's line `# machine:` says.
#[derive(Args, Clone, Debug)]
pub struct LabMachine {
    /// What to boot dom0 on
    #[arg(long, global = true, value_name = "xenocryst|xen|FILE", default_value = "xenocryst", value_parser = Hypervisor::parse)]
    pub hypervisor: Hypervisor,
    /// Where dom0 has its root
    #[arg(long, global = true, value_enum, default_value_t)]
    pub root: Root,
    /// RAM of the machine [default: what the script asks for, or 1024]
    #[arg(long, global = true, value_name = "MiB")]
    pub mem: Option<u32>,
    /// RAM of dom0 [default: what the script asks for, or 512]
    #[arg(long, global = true, value_name = "MiB")]
    pub dom0: Option<u32>,
    /// CPUs of the machine [default: what the script asks for, or 1]
    #[arg(long, global = true, value_name = "N")]
    pub smp: Option<u32>,
    /// Longest time that a script may take [default: what it asks for, or 600]
    #[arg(long, global = true, value_name = "S")]
    pub seconds: Option<u64>,
    /// What executes the machine's instructions
    #[arg(long, global = true, value_enum, default_value_t)]
    pub accel: Accel,
    /// Run scripts by the host's clock; otherwise the machine's is its instructions, a nanosecond each, so that
    /// nothing takes longer where the host is busy
    #[arg(long, global = true)]
    pub real_time: bool,
    /// Set a variable for the script
    #[arg(long = "set", global = true, value_name = "NAME=VALUE")]
    pub settings: Vec<String>,
    /// Added to the hypervisor's command line
    #[arg(
        long,
        global = true,
        value_name = "ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub hv_append: String,
}

impl LabMachine {
    /// The machine that a script asks for, with this hypervisor.
    #[must_use]
    pub fn on(hypervisor: Hypervisor) -> Self {
        Self {
            hypervisor,
            root: Root::default(),
            mem: None,
            dom0: None,
            smp: None,
            seconds: None,
            accel: Accel::Tcg,
            real_time: false,
            settings: Vec::new(),
            hv_append: String::new(),
        }
    }
}

/// Does what the options say.
///
/// # Errors
/// When the lab cannot be made or started, or a script fails.
pub fn lab(workspace: &Workspace, options: &LabOptions) -> Result<()> {
    match &options.command {
        None => interactive(workspace, &options.machine),
        Some(LabCommand::Run { script }) => {
            let script = Script::find(workspace, script)?;
            let report = run_script(workspace, &options.machine, &script, &mut report::show)?;
            report.verdict()
        }
        Some(LabCommand::Compare { script }) => {
            let script = Script::find(workspace, script)?;
            compare::compare(workspace, &options.machine, &script)
        }
        Some(LabCommand::Test { filter }) => test(workspace, &options.machine, filter),
    }
}

/// A script for dom0.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its name, for results and logs.
    pub name: String,
    file: PathBuf,
    /// What its line `# machine:` says.
    machine: Requirements,
}

/// The machine that a script needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirements {
    mem: u32,
    dom0: u32,
    smp: u32,
    seconds: u64,
    /// Which messages about guests the hypervisor prints.
    guest_loglvl: String,
}

impl Default for Requirements {
    fn default() -> Self {
        Self {
            mem: 1024,
            dom0: 512,
            smp: 1,
            seconds: 600,
            guest_loglvl: "all".to_owned(),
        }
    }
}

impl Requirements {
    /// Reads the line `# machine: mem=MiB dom0=MiB smp=N seconds=S guest_loglvl=LEVEL` of a script, each part of which
    /// may be missing.
    fn of(script: &str) -> Result<Self> {
        let mut all = Self::default();
        let line = script
            .lines()
            .find_map(|line| line.strip_prefix("# machine:"));
        for part in line.unwrap_or_default().split_whitespace() {
            let (key, value) = part
                .split_once('=')
                .with_context(|| format!("{part:?} is no requirement"))?;
            match key {
                "mem" => all.mem = value.parse()?,
                "dom0" => all.dom0 = value.parse()?,
                "smp" => all.smp = value.parse()?,
                "seconds" => all.seconds = value.parse()?,
                "guest_loglvl" => all.guest_loglvl = value.to_owned(),
                _ => bail!("{key:?} is no requirement of a machine"),
            }
        }
        Ok(all)
    }
}

impl Script {
    /// The script in the file `name`, or of that name in `host/lab/scripts/`.
    ///
    /// # Errors
    /// When there is none, or its requirements cannot be read.
    pub fn find(workspace: &Workspace, name: &str) -> Result<Self> {
        let own = workspace
            .lab_sources()
            .join("scripts")
            .join(name)
            .with_extension("sh");
        let file = [PathBuf::from(name), own]
            .into_iter()
            .find(|file| file.is_file())
            .with_context(|| format!("no script {name}"))?;
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self {
            name: file
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            machine: Requirements::of(&text).with_context(|| format!("in {}", file.display()))?,
            file,
        })
    }

    /// The scripts of `host/lab/scripts/` with `filter` in their names, in order of these.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn all(workspace: &Workspace, filter: &str) -> Result<Vec<Self>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(workspace.lab_sources().join("scripts"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".sh").map(str::to_owned));
        }
        names.retain(|name| name.contains(filter));
        names.sort();
        names
            .iter()
            .map(|name| Self::find(workspace, name))
            .collect()
    }
}

/// Dom0 on the terminal, until it ends or the user leaves.
fn interactive(workspace: &Workspace, options: &LabMachine) -> Result<()> {
    let start = Start::new(workspace, &debian::kernel(workspace)?, options.root)?;
    let machine = machine(workspace, options, &Requirements::default(), &start)?;
    run::on_terminal(&machine)
}

/// The machine whose dom0 starts so.
fn machine(
    workspace: &Workspace,
    options: &LabMachine,
    needs: &Requirements,
    start: &Start,
) -> Result<Machine> {
    let image = options
        .hypervisor
        .image(workspace)?
        .context("the lab needs a hypervisor")?;
    let mem = options.mem.unwrap_or(needs.mem);
    let dom0 = options.dom0.unwrap_or(needs.dom0);
    let options_text = format!(
        "dom0_mem={dom0}M,max:{dom0}M loglvl=all guest_loglvl={}",
        needs.guest_loglvl
    );
    Ok(Machine {
        mem_mib: mem,
        smp: options.smp.unwrap_or(needs.smp),
        accel: options.accel,
        cpu: DEFAULT_CPU.to_owned(),
        icount: false,
        devices: start.devices(),
        payload: Payload::Hypervisor {
            image,
            options: run::hypervisor_options(&run::joined(&options_text, &options.hv_append), mem),
            kernel: debian::kernel(workspace)?.vmlinuz,
            kernel_args: start.kernel_args().to_owned(),
            initrd: Some(start.initrd().to_owned()),
        },
    })
}

/// Runs a script; `watch` gets each line of its results as it comes.
///
/// # Errors
/// When the lab cannot be made, or the machine ends or is ended before the script does.
pub fn run_script(
    workspace: &Workspace,
    options: &LabMachine,
    script: &Script,
    watch: &mut dyn FnMut(&str),
) -> Result<Report> {
    let start = Start::new(workspace, &debian::kernel(workspace)?, options.root)?;
    let directory = run_directory(workspace, script, options);
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let initrd = directory.join("initrd.cpio");
    let start = start.with_script(&script.file, &options.settings, initrd)?;
    let results = directory.join("results");
    fs::write(&results, "").with_context(|| format!("cannot write {}", results.display()))?;
    let mut machine = machine(workspace, options, &script.machine, &start)?
        .with_devices(["-serial".to_owned(), format!("file:{}", results.display())]);
    machine.icount = options.accel == Accel::Tcg && !options.real_time;
    let mut vm = Vm::start(&machine, &directory.join("console"))?;
    let within = Duration::from_secs(options.seconds.unwrap_or(script.machine.seconds));
    let said = follow(&mut vm, &results, within, watch);
    let report = Report::read(&fs::read_to_string(&results)?)?;
    if report.failed.is_none() {
        // What the machine said last tells more than that it did not finish.
        said?;
        bail!("the machine ended, but the script had not");
    }
    Ok(report)
}

/// Where a run of a script leaves `console`, what the serial console said, and `results`.
#[must_use]
pub fn run_directory(workspace: &Workspace, script: &Script, options: &LabMachine) -> PathBuf {
    let root = match options.root {
        Root::Initrd => "",
        Root::Disk => "-disk",
    };
    let hypervisor = hypervisor_name(&options.hypervisor);
    workspace
        .lab()
        .join("runs")
        .join(format!("{}-{hypervisor}{root}", script.name))
}

/// Hands each line of `results` to `watch` until the machine ends, which it must in time.
fn follow(
    vm: &mut Vm,
    results: &Path,
    within: Duration,
    watch: &mut dyn FnMut(&str),
) -> Result<()> {
    let deadline = Instant::now() + within;
    let mut shown = 0;
    loop {
        let ended = vm.ended_within(POLL)?.is_some();
        let bytes = fs::read(results)?;
        while let Some(length) = bytes[shown..].iter().position(|byte| *byte == b'\n') {
            watch(&String::from_utf8_lossy(&bytes[shown..shown + length]));
            shown += length + 1;
        }
        if ended {
            return Ok(());
        }
        if vm.alarm()?.is_some() || Instant::now() >= deadline {
            return vm.expect_end(Duration::from_secs(2));
        }
    }
}

/// Runs the scripts with `filter` in their names, and prints a line for each.
fn test(workspace: &Workspace, options: &LabMachine, filter: &str) -> Result<()> {
    let mut failed = 0;
    let scripts = Script::all(workspace, filter)?;
    ensure!(!scripts.is_empty(), "no script has {filter:?} in its name");
    for script in &scripts {
        let started = Instant::now();
        let result =
            run_script(workspace, options, script, &mut |_| ()).and_then(|report| report.verdict());
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("lab {} ... ok ({seconds:.1} s)", script.name),
            Err(error) => {
                failed += 1;
                println!(
                    "lab {} ... FAILED ({seconds:.1} s)\n  {error:#}",
                    script.name
                );
            }
        }
    }
    println!("{} passed, {failed} failed", scripts.len() - failed);
    ensure!(failed == 0, "scripts failed");
    Ok(())
}

/// What a hypervisor is called in the names of files.
fn hypervisor_name(hypervisor: &Hypervisor) -> String {
    match hypervisor {
        Hypervisor::Xenocryst => "xenocryst".to_owned(),
        Hypervisor::Xen => "xen".to_owned(),
        Hypervisor::Native => "native".to_owned(),
        Hypervisor::File(file) => file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_may_be_made_side_by_side_leave_nothing_in_the_same_place() {
        let workspace = Workspace::of_this_build().expect("in a checkout");
        let script = Script::find(&workspace, "smoke").expect("there");
        let place = |hypervisor, root| {
            let options = LabMachine {
                root,
                ..LabMachine::on(hypervisor)
            };
            run_directory(&workspace, &script, &options)
        };
        let places = [
            place(Hypervisor::Xenocryst, Root::Initrd),
            place(Hypervisor::Xenocryst, Root::Disk),
            place(Hypervisor::Xen, Root::Initrd),
            place(Hypervisor::Xen, Root::Disk),
        ];
        let different: std::collections::BTreeSet<_> = places.iter().collect();
        assert_eq!(different.len(), places.len());
    }

    #[test]
    fn a_script_says_what_machine_it_needs() {
        let script = "# machine: mem=4096 smp=2\n# What it does.\nstep list xl list\n";
        let needs = Requirements::of(script).expect("readable");
        assert_eq!(
            needs,
            Requirements {
                mem: 4096,
                smp: 2,
                ..Requirements::default()
            }
        );
        assert!(Requirements::of("# machine: memory=1\n").is_err());
        assert_eq!(
            Requirements::of("step list xl list\n").ok(),
            Some(Requirements::default())
        );
    }
}
