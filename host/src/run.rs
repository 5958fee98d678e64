//! `cargo xtask run`: a machine on the terminal.
//!
//! Neighbours: [`crate::machine`]; tests, benchmark and lab choose a [`Hypervisor`] and write its command line as here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::debian;
use crate::guest;
use crate::machine::{Accel, DEFAULT_CPU, Machine, Payload};
use crate::workspace::Workspace;

/// Which hypervisor to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hypervisor {
    /// This project's, built from the checkout.
    Xenocryst,
    /// Debian's Xen 4.17.
    Xen,
    /// None: the kernel alone.
    Native,
    /// An image of the user's.
    File(PathBuf),
}

impl Hypervisor {
    /// Reads the option's value.
    ///
    /// # Errors
    /// Never; a name that is none of ours is a file's.
    pub fn parse(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(match text {
            "xenocryst" => Self::Xenocryst,
            "xen" => Self::Xen,
            "native" => Self::Native,
            file => Self::File(file.into()),
        })
    }

    /// The image to boot, fetched where it is Debian's; none for the kernel alone.
    ///
    /// # Errors
    /// When it is not there and cannot be had.
    pub fn image(&self, workspace: &Workspace) -> Result<Option<PathBuf>> {
        let image = match self {
            Self::Xenocryst => workspace.image(),
            Self::Xen => debian::xen(workspace)?,
            Self::Native => return Ok(None),
            Self::File(file) => file.clone(),
        };
        if !image.is_file() {
            bail!("no hypervisor image at {}", image.display());
        }
        Ok(Some(image))
    }
}

/// The options of `cargo xtask run`.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// Kernel of the first domain [default: Debian's]
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Its initrd [default: a busybox system with a shell]
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// Added to the kernel's command line
    #[arg(
        long,
        value_name = "ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub append: String,
    /// Added to the hypervisor's command line
    #[arg(
        long,
        value_name = "ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub hv_append: String,
    /// RAM of the machine; the first domain gets half unless --hv-append says dom0_mem=
    #[arg(long, value_name = "MiB", default_value_t = 1024)]
    pub mem: u32,
    /// CPUs of the machine
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub smp: u32,
    /// What executes the machine's instructions
    #[arg(long, value_enum, default_value_t)]
    pub accel: Accel,
    /// QEMU's CPU model
    #[arg(long, value_name = "MODEL", default_value = DEFAULT_CPU)]
    pub cpu: String,
    /// What to boot the kernel on
    #[arg(long, value_name = "xenocryst|xen|native|FILE", default_value = "xenocryst", value_parser = Hypervisor::parse)]
    pub hypervisor: Hypervisor,
    /// Count time in instructions, one nanosecond each, so that runs repeat
    #[arg(long)]
    pub icount: bool,
    /// Further arguments to QEMU, after `--`
    #[arg(last = true)]
    pub qemu: Vec<String>,
}

impl RunOptions {
    /// The machine that these options describe; fetches and packs what is missing for it.
    ///
    /// # Errors
    /// When something cannot be fetched or a named file is not there.
    pub fn machine(&self, workspace: &Workspace) -> Result<Machine> {
        let kernel = match &self.kernel {
            Some(file) => existing(file)?,
            None => debian::kernel(workspace)?.vmlinuz,
        };
        let initrd = match &self.initrd {
            Some(file) => existing(file)?,
            None => guest::shell_initrd(workspace, &debian::kernel(workspace)?)?,
        };
        let payload = match self.hypervisor.image(workspace)? {
            Some(image) => Payload::Hypervisor {
                image,
                options: hypervisor_options(&self.hv_append, self.mem),
                kernel,
                kernel_args: joined("console=hvc0", &self.append),
                initrd: Some(initrd),
            },
            None => Payload::Native {
                kernel,
                kernel_args: joined("console=ttyS0", &self.append),
                initrd: Some(initrd),
            },
        };
        Ok(Machine {
            mem_mib: self.mem,
            smp: self.smp,
            accel: self.accel,
            cpu: self.cpu.clone(),
            icount: self.icount,
            devices: self.qemu.clone(),
            payload,
        })
    }
}

/// Runs the machine with its serial port on the terminal until it ends or the user leaves.
///
/// # Errors
/// When QEMU cannot be run or fails.
pub fn interactive(workspace: &Workspace, options: &RunOptions) -> Result<()> {
    on_terminal(&options.machine(workspace)?)
}

/// Runs a machine as [`interactive`] does.
///
/// # Errors
/// When QEMU cannot be run or fails.
pub fn on_terminal(machine: &Machine) -> Result<()> {
    eprintln!(
        "Ctrl-A X leaves QEMU, Ctrl-A H lists its other keys; `poweroff` in the shell ends the machine."
    );
    let status = machine
        .command("mon:stdio")
        .status()
        .context("cannot run qemu-system-x86_64")?;
    if !status.success() {
        bail!("QEMU ended with {status}");
    }
    Ok(())
}

/// The hypervisor's command line: serial console, half of the machine's memory for the first domain, and `extra`.
#[must_use]
pub fn hypervisor_options(extra: &str, machine_mib: u32) -> String {
    let mut options = String::from("console=com1 com1=115200,8n1");
    if !extra
        .split_whitespace()
        .any(|option| option.starts_with("dom0_mem="))
    {
        options = format!("{options} dom0_mem={}M", machine_mib / 2);
    }
    joined(&options, extra)
}

/// Two command lines as one.
pub(crate) fn joined(first: &str, second: &str) -> String {
    if second.is_empty() {
        first.to_owned()
    } else {
        format!("{first} {second}")
    }
}

/// The file, if it is one.
fn existing(file: &Path) -> Result<PathBuf> {
    if !file.is_file() {
        bail!("no file at {}", file.display());
    }
    Ok(file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_domain_gets_half_of_the_memory_unless_told() {
        assert_eq!(
            hypervisor_options("", 1024),
            "console=com1 com1=115200,8n1 dom0_mem=512M"
        );
        assert_eq!(
            hypervisor_options("dom0_mem=300M noreboot", 1024),
            "console=com1 com1=115200,8n1 dom0_mem=300M noreboot"
        );
    }

    #[test]
    fn a_hypervisor_that_is_no_known_name_is_a_file() {
        assert_eq!(Hypervisor::parse("xen"), Ok(Hypervisor::Xen));
        assert_eq!(
            Hypervisor::parse("./my.elf"),
            Ok(Hypervisor::File("./my.elf".into()))
        );
    }
}
