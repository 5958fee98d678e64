//! Boot tests: a guest is started in QEMU, and what it prints itself decides.
//!
//! What it keeps true: the same tests run on real Xen, which shows that the tests are right; each test has a machine
//! of its own and a log of its own under `target/test/`.
//!
//! Neighbours: [`crate::vm`] waits and types; the guest's side of the checks is in `host/guest/`.

use std::fmt;
use std::ops::Add;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use clap::Args;

use crate::debian::{self, DebianKernel};
use crate::guest;
use crate::machine::{Machine, Payload};
use crate::run::{Hypervisor, hypervisor_options};
use crate::vm::Vm;
use crate::workspace::Workspace;

mod checked;
mod debug_keys;
mod devices;
mod hostile;
mod hostile_history;
mod hostile_lines;
mod lab;
mod loaders;
mod power;
mod refusals;
mod sharing;
mod systems;

/// Time for a machine to come from power-on to the shell, with other machines running beside it.
const BOOT: Duration = Duration::from_secs(240);
/// Time for one command in the shell.
const COMMAND: Duration = Duration::from_secs(60);

/// A boot test.
struct BootTest {
    /// What it is called in filters and results.
    name: &'static str,
    /// What it does; an error is a failure.
    run: fn(&Context) -> Result<()>,
}

impl BootTest {
    /// Whether `boot NAME` has `filter` in it.
    fn matches(&self, filter: &str) -> bool {
        format!("boot {}", self.name).contains(filter)
    }
}

/// Whether there is a boot test with `filter` in its name.
#[must_use]
pub fn any(filter: &str) -> bool {
    all().any(|test| test.matches(filter))
}

/// Whether there is a boot test with `part` in its name that `filter` chooses.
#[must_use]
pub fn matches(part: &str, filter: &str) -> bool {
    all().any(|test| test.name.contains(part) && test.matches(filter))
}

/// Every boot test.
fn all() -> impl Iterator<Item = &'static BootTest> {
    [
        systems::TESTS,
        devices::TESTS,
        power::TESTS,
        loaders::TESTS,
        lab::TESTS,
        refusals::TESTS,
        hostile::TESTS,
        sharing::TESTS,
        debug_keys::TESTS,
        checked::TESTS,
    ]
    .into_iter()
    .flatten()
}

/// How a set of tests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that did not.
    pub failed: usize,
}

impl Add for Outcome {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Which boot tests to run, and how.
#[derive(Args, Clone, Debug)]
pub struct BootTestOptions {
    /// Only tests with this in their names; those of the boot tests begin with "boot "
    #[arg(default_value = "")]
    pub filter: String,
    /// What to boot
    #[arg(long, value_name = "xenocryst|xen|FILE", default_value = "xenocryst", value_parser = Hypervisor::parse)]
    pub hypervisor: Hypervisor,
    /// Machines at a time [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
}

/// Runs the boot tests that `options` choose.
///
/// # Errors
/// When what all tests need cannot be had; a test's own failure is counted and printed.
pub fn run(workspace: &Workspace, options: &BootTestOptions) -> Result<Outcome> {
    let tests: Vec<&BootTest> = all().filter(|test| test.matches(&options.filter)).collect();
    let jobs = options
        .jobs
        .or_else(|| Some(thread::available_parallelism().ok()?.get()))
        .unwrap_or(1);
    if tests.is_empty() {
        return Ok(Outcome::default());
    }
    let context = Context::new(workspace, &options.hypervisor)?;
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new(Outcome::default());
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, tests.len()) {
            scope.spawn(|| {
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let passed = run_one(&context, test);
                    let mut outcome = outcome
                        .lock()
                        .unwrap_or_else(|poisoned| poisoned.into_inner());
                    *if passed {
                        &mut outcome.passed
                    } else {
                        &mut outcome.failed
                    } += 1;
                }
            });
        }
    });
    Ok(outcome
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// Runs a test and prints its line; whether it passed.
fn run_one(context: &Context, test: &BootTest) -> bool {
    let started = Instant::now();
    let result = (test.run)(&Context {
        test: test.name,
        ..context.clone()
    });
    let seconds = started.elapsed().as_secs_f64();
    match result {
        Ok(()) => println!("boot {} ... ok ({seconds:.1} s)", test.name),
        Err(ref error) => println!(
            "boot {} ... FAILED ({seconds:.1} s)\n  {error:#}",
            test.name
        ),
    }
    result.is_ok()
}

/// What the tests share.
#[derive(Clone)]
struct Context<'a> {
    workspace: &'a Workspace,
    hypervisor: &'a Hypervisor,
    image: PathBuf,
    kernel: DebianKernel,
    initrd: PathBuf,
    /// The test that this is for.
    test: &'static str,
}

/// A machine with a hypervisor in it, as the tests describe it.
struct Boot {
    mem_mib: u32,
    smp: u32,
    cpu: Option<&'static str>,
    options: String,
    kernel: PathBuf,
    kernel_args: String,
    initrd: Option<PathBuf>,
    devices: Vec<String>,
}

impl<'a> Context<'a> {
    fn new(workspace: &'a Workspace, hypervisor: &'a Hypervisor) -> Result<Self> {
        let kernel = debian::kernel(workspace)?;
        let initrd = guest::shell_initrd(workspace, &kernel)?;
        let image = hypervisor
            .image(workspace)?
            .context("boot tests are for a hypervisor")?;
        Ok(Self {
            workspace,
            hypervisor,
            image,
            kernel,
            initrd,
            test: "",
        })
    }

    /// Whether the tests run on real Xen, whose wording differs.
    fn on_xen(&self) -> bool {
        *self.hypervisor == Hypervisor::Xen
    }

    /// A place for a test's own files.
    fn scratch(&self) -> Result<PathBuf> {
        let dir = self.directory().join(self.test);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    /// Where logs and scratch files are.
    fn directory(&self) -> PathBuf {
        self.workspace
            .target()
            .join("test")
            .join(if self.on_xen() { "xen" } else { "xenocryst" })
    }

    /// Debian's kernel with a shell in 512 MiB of a machine of 1 GiB.
    fn debian(&self) -> Boot {
        Boot {
            mem_mib: 1024,
            smp: 1,
            cpu: None,
            options: "dom0_mem=512M loglvl=all guest_loglvl=all".to_owned(),
            kernel: self.kernel.vmlinuz.clone(),
            kernel_args: "console=hvc0 earlyprintk=xen".to_owned(),
            initrd: Some(self.initrd.clone()),
            devices: Vec::new(),
        }
    }

    /// Starts the machine.
    fn start(&self, boot: &Boot) -> Result<Vm> {
        let mut machine = Machine::new(Payload::Hypervisor {
            image: self.image.clone(),
            options: hypervisor_options(&boot.options, boot.mem_mib),
            kernel: boot.kernel.clone(),
            kernel_args: boot.kernel_args.clone(),
            initrd: boot.initrd.clone(),
        });
        machine.mem_mib = boot.mem_mib;
        machine.smp = boot.smp;
        if let Some(cpu) = boot.cpu {
            cpu.clone_into(&mut machine.cpu);
        }
        self.start_machine(&machine.with_devices(boot.devices.iter().cloned()))
    }

    /// Starts a machine, logging to this test's file.
    fn start_machine(&self, machine: &Machine) -> Result<Vm> {
        self.start_command(machine.command("stdio"))
    }

    /// Starts the machine of a QEMU command, logging to this test's file.
    fn start_command(&self, qemu: Command) -> Result<Vm> {
        Vm::start_command(qemu, &self.directory().join(format!("{}.log", self.test)))
    }

    /// Starts the machine and waits for its shell.
    fn shell(&self, boot: &Boot) -> Result<Vm> {
        let mut vm = self.start(boot)?;
        await_shell(&mut vm)?;
        Ok(vm)
    }
}

/// Waits for the shell's first prompt.
fn await_shell(vm: &mut Vm) -> Result<()> {
    vm.expect(&format!("^{}", guest::READY), BOOT)?;
    vm.expect(guest::PROMPT, COMMAND)?;
    Ok(())
}

/// Types `check ARGUMENTS` and returns what the check printed.
fn check(vm: &mut Vm, arguments: &str, within: Duration) -> Result<String> {
    let name = arguments.split(' ').next().unwrap_or(arguments);
    vm.type_line(&format!("check {arguments}"))?;
    let found = vm.expect(
        &format!(r"(?s)\A(.*?)^check {name}: (passed|failed)$"),
        within,
    )?;
    match found.as_slice() {
        [_, output, result] if result == "passed" => Ok(output.clone()),
        _ => bail!(
            "`check {arguments}` failed in the guest: {}",
            found.concat()
        ),
    }
}

/// The value in the line `NAME=value` of a check's output.
fn field<'t>(output: &'t str, name: &str) -> Result<&'t str> {
    output
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .with_context(|| format!("no {name}= in {output:?}"))
}

/// Types `poweroff` and waits for the machine to end.
fn power_off(mut vm: Vm) -> Result<()> {
    vm.type_line("poweroff")?;
    vm.expect("reboot: Power down", COMMAND)?;
    vm.expect_end(COMMAND)
}

/// Writes a test's input file.
fn write(file: &Path, contents: &[u8]) -> Result<()> {
    std::fs::write(file, contents).with_context(|| format!("cannot write {}", file.display()))
}
