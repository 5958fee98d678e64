//! System packages: which are needed, which are missing, and installing those.
//!
//! What it keeps true: nothing is installed without a line saying so, and without the rights to install, the error
//! names the packages and the command. The package index is refreshed at most once a run.

use std::process::{Command, Stdio};
use std::sync::Once;

use anyhow::{Context, Result, bail};

use crate::progress::step;

/// What the front door needs of the system, with the reason for each.
pub const NEEDED: &[(&str, &str)] = &[
    ("qemu-system-x86", "the machine"),
    ("busybox-static", "the guest's shell and tools"),
    (
        "gcc",
        "links the image; compiles the ABI layout test and the guests' small programs",
    ),
    (
        "libc6-dev",
        "static C library for the guests' small programs",
    ),
    ("binutils", "linker"),
    (
        "libxen-dev",
        "Xen's public headers, for the ABI layout test; its libraries, for a program of the lab's dom0",
    ),
    ("xz-utils", "unpacks Debian's archives and kernel modules"),
    ("e2fsprogs", "makes the disk image of the lab's dom0"),
    ("grub-common", "grub-mkrescue, for the GRUB boot test"),
    ("grub-pc-bin", "GRUB itself"),
    ("xorriso", "used by grub-mkrescue"),
    ("mtools", "used by grub-mkrescue"),
];

/// Installs what is missing of [`NEEDED`].
///
/// # Errors
/// When something is missing and cannot be installed: not Debian, no root rights, or `apt-get` failing.
pub fn ensure_installed() -> Result<()> {
    let missing = missing_packages()?;
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root()? {
        bail!(without_rights(&missing));
    }
    let list = missing.join(" ");
    eprintln!("Installing missing Debian packages: {list}");
    refresh_index();
    step("apt-get install", || {
        let mut apt = apt_get();
        apt.args(["install", "--yes", "--no-install-recommends"])
            .args(&missing);
        quietly(apt)
    })
}

/// What to tell someone who may not install `missing`.
fn without_rights(missing: &[&str]) -> String {
    let list = missing.join(" ");
    format!(
        "these Debian packages are missing, and installing them needs root rights: {list}\n\
         Run: sudo apt-get update && sudo apt-get install --no-install-recommends {list}"
    )
}

/// Refreshes the package index, once a run and only as root; a failure is only told, as the old index may do.
pub fn refresh_index() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !is_root().unwrap_or(false) {
            return;
        }
        let refreshed = step("apt-get update", || {
            let mut apt = apt_get();
            apt.arg("update");
            quietly(apt)
        });
        if let Err(error) = refreshed {
            eprintln!("warning: {error:#}; going on with the package index as it is");
        }
    });
}

/// Those of [`NEEDED`] that `dpkg` does not know as installed.
fn missing_packages() -> Result<Vec<&'static str>> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .args(NEEDED.iter().map(|(name, _)| name))
        .stderr(Stdio::null())
        .output()
        .with_context(|| {
            let names: Vec<&str> = NEEDED.iter().map(|(name, _)| *name).collect();
            format!(
                "no dpkg-query here: this needs Debian, with the packages {}",
                names.join(" ")
            )
        })?;
    let installed = String::from_utf8_lossy(&output.stdout);
    Ok(not_installed(&installed))
}

/// Those of [`NEEDED`] without a line `NAME installed` in `dpkg-query`'s answer.
fn not_installed(answer: &str) -> Vec<&'static str> {
    let has = |name: &str| {
        answer
            .lines()
            .any(|line| line.split_once(' ') == Some((name, "installed")))
    };
    NEEDED
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !has(name))
        .collect()
}

/// Whether this process may install packages.
fn is_root() -> Result<bool> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .context("cannot run `id -u`")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// `apt-get`, never asking.
fn apt_get() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Runs `command`, showing its output only where it fails.
///
/// # Errors
/// When it cannot be run or fails; what it said is in the error.
pub fn quietly(mut command: Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed ({})\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_installed_leaves_nothing_missing() {
        let answer: String = NEEDED
            .iter()
            .map(|(name, _)| format!("{name} installed\n"))
            .collect();
        assert!(not_installed(&answer).is_empty());
    }

    #[test]
    fn a_package_removed_but_still_configured_is_missing() {
        let answer: String = NEEDED
            .iter()
            .map(|(name, _)| {
                format!(
                    "{name} {}\n",
                    if *name == "mtools" {
                        "config-files"
                    } else {
                        "installed"
                    }
                )
            })
            .collect();
        assert_eq!(not_installed(&answer), ["mtools"]);
    }

    #[test]
    fn without_rights_the_packages_and_the_command_are_named() {
        let message = without_rights(&["mtools", "xorriso"]);
        assert!(
            message.contains("missing") && message.contains("apt-get install"),
            "{message}"
        );
        assert!(message.ends_with("mtools xorriso"), "{message}");
    }
}
