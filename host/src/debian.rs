//! Debian's kernel and Debian's Xen, downloaded and unpacked under `target/guest/`, never installed.
//!
//! What it keeps true: a file that is there is whole (it arrives by rename), and is not fetched again before something is
//! wanted that it lacks.
//! Neighbours: [`crate::modules`] picks drivers out of the unpacked kernel, [`crate::guest`] packs initrds.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::modules;
use crate::packages::{quietly, refresh_index};
use crate::progress::step;
use crate::workspace::Workspace;

/// The package that depends on Debian's present kernel.
const KERNEL_METAPACKAGE: &str = "linux-image-amd64";
/// The package with the hypervisor everything is compared with.
const XEN_PACKAGE: &str = "xen-hypervisor-4.17-amd64";

/// Debian's kernel, unpacked.
#[derive(Clone, Debug)]
pub struct DebianKernel {
    /// `uname -r` of it.
    pub release: String,
    /// The bzImage.
    pub vmlinuz: PathBuf,
    /// Its `System.map`, for reading addresses in a trace.
    pub system_map: PathBuf,
    /// Directory with the modules of [`modules::SETS`] and what they depend on, and the lists of their loading orders.
    pub modules: PathBuf,
}

/// Debian's kernel, fetched the first time.
///
/// # Errors
/// When the package cannot be found, downloaded or unpacked.
pub fn kernel(workspace: &Workspace) -> Result<DebianKernel> {
    let dir = workspace.guests().join("kernel");
    // One unpacked before a driver was wanted lacks that.
    let whole = modules::SETS
        .iter()
        .all(|set| set.is_in(&dir.join("modules")));
    if !whole {
        unpack_package(workspace, kernel_package, |unpacked| {
            keep_kernel(unpacked, &dir)
        })?;
    }
    let release = fs::read_to_string(dir.join("release")).context("no kernel release recorded")?;
    Ok(DebianKernel {
        release: release.trim().to_owned(),
        vmlinuz: dir.join("vmlinuz"),
        system_map: dir.join("System.map"),
        modules: dir.join("modules"),
    })
}

/// Debian's Xen 4.17 as an ELF file that QEMU's multiboot loader takes, fetched the first time.
///
/// # Errors
/// When the package cannot be found, downloaded or unpacked.
pub fn xen(workspace: &Workspace) -> Result<PathBuf> {
    let file = workspace.guests().join("xen");
    if !file.exists() {
        unpack_package(
            workspace,
            || Ok(XEN_PACKAGE.to_owned()),
            |unpacked| {
                let packed = only_file(&unpacked.join("boot"), "xen-", ".gz")?;
                let mut image = Vec::new();
                flate2::read::GzDecoder::new(fs::File::open(&packed)?)
                    .read_to_end(&mut image)
                    .with_context(|| format!("cannot decompress {}", packed.display()))?;
                write_whole(&file, &image)
            },
        )?;
    }
    Ok(file)
}

/// Writes a file so that it is either absent or whole.
///
/// # Errors
/// Those of writing and renaming.
pub fn write_whole(file: &Path, contents: &[u8]) -> Result<()> {
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    let mut name = file
        .file_name()
        .with_context(|| format!("{} names no file", file.display()))?
        .to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = file.with_file_name(name);
    fs::write(&new, contents).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, file).with_context(|| format!("cannot put {} in place", file.display()))
}

/// The real, versioned package behind [`KERNEL_METAPACKAGE`], as the package index has it now.
fn kernel_package() -> Result<String> {
    let output = Command::new("apt-cache")
        .args(["depends", KERNEL_METAPACKAGE])
        .output()
        .context("cannot run apt-cache")?;
    versioned_image(&String::from_utf8_lossy(&output.stdout)).with_context(|| {
        format!("the package index has no {KERNEL_METAPACKAGE}: run `apt-get update` as root, on Debian for amd64")
    })
}

/// The first `linux-image-VERSION` that `apt-cache depends` names.
fn versioned_image(depends: &str) -> Option<String> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| {
            name.strip_prefix("linux-image-")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .map(str::to_owned)
}

/// Downloads the package that `name` gives, unpacks it, and lets `keep` take from it what is wanted; the rest is removed.
fn unpack_package(
    workspace: &Workspace,
    name: impl Fn() -> Result<String>,
    keep: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let scratch = workspace
        .guests()
        .join(format!("unpack-{}", std::process::id()));
    let unpacked = scratch.join("root");
    fs::create_dir_all(&unpacked).with_context(|| format!("cannot make {}", unpacked.display()))?;
    let result = download(&name, &scratch).and_then(|archive| {
        step("Unpacking it", || {
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("--extract").arg(&archive).arg(&unpacked);
            quietly(dpkg)?;
            keep(&unpacked)
        })
    });
    let removed = fs::remove_dir_all(&scratch)
        .with_context(|| format!("cannot remove {}", scratch.display()));
    result.and(removed)
}

/// Downloads the archive of the package that `name` gives into `dir`. Where that fails the package index may be an old
/// one, which names what is gone from the mirrors: so once more with a fresh one.
fn download(name: &impl Fn() -> Result<String>, dir: &Path) -> Result<PathBuf> {
    let attempt = || {
        let package = name()?;
        step(&format!("Downloading Debian's {package}"), || {
            let mut apt = Command::new("apt-get");
            // As root apt drops to a user who may not write here; it then warns and goes on.
            apt.args(["download", &package]).current_dir(dir);
            quietly(apt)
        })?;
        only_file(dir, &package, ".deb")
    };
    attempt().or_else(|_| {
        refresh_index();
        attempt()
    })
}

/// Moves what we use of an unpacked kernel package to `dir`.
fn keep_kernel(unpacked: &Path, dir: &Path) -> Result<()> {
    let boot = unpacked.join("boot");
    let vmlinuz = only_file(&boot, "vmlinuz-", "")?;
    let release = vmlinuz
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_prefix("vmlinuz-"))
        .context("the kernel's file name has no release")?
        .to_owned();
    let whole = unpacked.join("kernel");
    fs::create_dir_all(whole.join("modules"))?;
    fs::rename(&vmlinuz, whole.join("vmlinuz"))?;
    fs::rename(
        boot.join(format!("System.map-{release}")),
        whole.join("System.map"),
    )?;
    let tree = ["lib", "usr/lib"].map(|lib| unpacked.join(lib).join("modules").join(&release));
    let tree = tree
        .iter()
        .find(|tree| tree.exists())
        .context("the package has no modules")?;
    modules::collect(tree, &whole.join("modules"))?;
    fs::write(whole.join("release"), release)?;
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::rename(&whole, dir).with_context(|| format!("cannot put {} in place", dir.display()))
}

/// The one file in `dir` whose name starts and ends as given.
pub(crate) fn only_file(dir: &Path, prefix: &str, suffix: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let fits = |name: &str| name.starts_with(prefix) && name.ends_with(suffix);
        if path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(fits)
        {
            found.push(path);
        }
    }
    match found.as_slice() {
        [file] => Ok(file.clone()),
        _ => bail!(
            "{} files {prefix}*{suffix} in {}, one expected",
            found.len(),
            dir.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versioned_kernel_is_taken_from_the_dependencies() {
        let depends =
            "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n  Suggests: linux-doc\n";
        assert_eq!(
            versioned_image(depends).as_deref(),
            Some("linux-image-6.1.0-56-amd64")
        );
        assert_eq!(versioned_image("  Depends: linux-image-rt-amd64\n"), None);
    }
}
