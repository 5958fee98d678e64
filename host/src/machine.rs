//! A machine described for QEMU: size, devices, and what it boots.
//!
//! What it keeps true: nothing of the user's QEMU configuration gets in, and the same description is the same
//! command line. Neighbours: [`crate::run`] runs one on the terminal, [`crate::vm`] under a test.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

/// The software CPU that everything is run and measured on unless told otherwise.
pub const DEFAULT_CPU: &str = "qemu64";

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// QEMU's software CPU: works everywhere, and is what tests and measurements use.
    #[default]
    Tcg,
    /// Hardware virtualisation, for those who have it.
    Kvm,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        })
    }
}

/// What the machine starts.
#[derive(Clone, Debug)]
pub enum Payload {
    /// A hypervisor through QEMU's multiboot loader, with a kernel and its initrd as modules.
    Hypervisor {
        /// The hypervisor's ELF file.
        image: PathBuf,
        /// The hypervisor's command line.
        options: String,
        /// The kernel of the first domain.
        kernel: PathBuf,
        /// The kernel's command line.
        kernel_args: String,
        /// The first domain's initrd.
        initrd: Option<PathBuf>,
    },
    /// A kernel alone, as comparison.
    Native {
        /// The kernel.
        kernel: PathBuf,
        /// Its command line.
        kernel_args: String,
        /// Its initrd.
        initrd: Option<PathBuf>,
    },
    /// A CD image, started by the firmware.
    Cdrom(PathBuf),
}

/// A machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// RAM, MiB.
    pub mem_mib: u32,
    /// Number of CPUs.
    pub smp: u32,
    /// What executes it.
    pub accel: Accel,
    /// QEMU's name of the CPU model, with features.
    pub cpu: String,
    /// Whether time is counted in instructions (one nanosecond each), so that runs repeat.
    pub icount: bool,
    /// Further arguments to QEMU: devices and their back ends.
    pub devices: Vec<String>,
    /// What it starts.
    pub payload: Payload,
}

impl Machine {
    /// A machine of one CPU and 1 GiB without devices.
    #[must_use]
    pub fn new(payload: Payload) -> Self {
        Self {
            mem_mib: 1024,
            smp: 1,
            accel: Accel::Tcg,
            cpu: DEFAULT_CPU.to_owned(),
            icount: false,
            devices: Vec::new(),
            payload,
        }
    }

    /// Adds arguments to QEMU.
    #[must_use]
    pub fn with_devices<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.devices.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// The QEMU command, with the first serial port connected as `serial` says (QEMU's `-serial` syntax).
    #[must_use]
    pub fn command(&self, serial: &str) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args([
            "-no-user-config",
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            serial,
        ]);
        qemu.args(["-accel", &self.accel.to_string(), "-cpu", &self.cpu]);
        qemu.args([
            "-m",
            &self.mem_mib.to_string(),
            "-smp",
            &self.smp.to_string(),
        ]);
        if self.icount {
            qemu.args(["-icount", "shift=0,sleep=off"]);
        }
        qemu.args(&self.devices);
        self.payload.arguments(&mut qemu);
        qemu
    }
}

impl Payload {
    /// The files it is made of.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::Hypervisor {
                image,
                kernel,
                initrd,
                ..
            } => [Some(image), Some(kernel), initrd.as_ref()]
                .into_iter()
                .flatten()
                .map(PathBuf::as_path)
                .collect(),
            Self::Native { kernel, initrd, .. } => [Some(kernel), initrd.as_ref()]
                .into_iter()
                .flatten()
                .map(PathBuf::as_path)
                .collect(),
            Self::Cdrom(image) => vec![image],
        }
    }

    /// Adds what makes QEMU start this.
    fn arguments(&self, qemu: &mut Command) {
        match self {
            Self::Hypervisor {
                image,
                options,
                kernel,
                kernel_args,
                initrd,
            } => {
                let mut modules = module(&kernel.to_string_lossy(), kernel_args);
                if let Some(initrd) = initrd {
                    modules.push(',');
                    modules.push_str(&module(&initrd.to_string_lossy(), ""));
                }
                qemu.arg("-kernel")
                    .arg(image)
                    .args(["-append", options, "-initrd", &modules]);
            }
            Self::Native {
                kernel,
                kernel_args,
                initrd,
            } => {
                qemu.arg("-kernel")
                    .arg(kernel)
                    .args(["-append", kernel_args]);
                if let Some(initrd) = initrd {
                    qemu.arg("-initrd").arg(initrd);
                }
            }
            Self::Cdrom(image) => {
                qemu.args(["-boot", "d", "-cdrom"]).arg(image);
            }
        }
    }
}

/// One element of the list of multiboot modules that `-initrd` takes; a comma in it is written twice.
fn module(file: &str, arguments: &str) -> String {
    let separator = if arguments.is_empty() { "" } else { " " };
    format!("{file}{separator}{arguments}").replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(machine: &Machine) -> Vec<String> {
        machine
            .command("stdio")
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn modules_are_given_with_their_arguments_and_commas_doubled() {
        let machine = Machine::new(Payload::Hypervisor {
            image: "hv".into(),
            options: "console=com1".into(),
            kernel: "vmlinuz".into(),
            kernel_args: "console=hvc0,x".into(),
            initrd: Some("initrd.gz".into()),
        });
        let arguments = arguments(&machine);
        let tail = &arguments[arguments.len() - 6..];
        assert_eq!(
            tail,
            [
                "-kernel",
                "hv",
                "-append",
                "console=com1",
                "-initrd",
                "vmlinuz console=hvc0,,x,initrd.gz"
            ]
        );
    }

    #[test]
    fn counting_instructions_is_asked_for_only_when_wanted() {
        let mut machine = Machine::new(Payload::Cdrom("cd.iso".into()));
        assert!(
            !arguments(&machine)
                .iter()
                .any(|argument| argument == "-icount")
        );
        machine.icount = true;
        assert!(
            arguments(&machine)
                .windows(2)
                .any(|pair| pair == ["-icount", "shift=0,sleep=off"])
        );
    }
}
