//! Debian's packages for the lab's dom0, downloaded and unpacked side by side under `target/lab/`, never installed.
//!
//! What it keeps true: the tree is there as a whole (it arrives by rename) and is made of the packages listed in it.
//! Neighbours: [`super::root`] takes from the tree what it needs; [`crate::debian`] does the same for single packages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::packages::{quietly, refresh_index};
use crate::progress::step;
use crate::workspace::Workspace;

/// What dom0 is made of; the libraries that these depend on come by themselves.
const ROOTS: &[&str] = &[
    "xen-utils-4.17",
    "xen-utils-common",
    "xenstore-utils",
    // The hotplug scripts of Xen's packages are for bash, and use flock.
    "bash",
    "util-linux",
    // `script`, which gives `xl console` a terminal where there is none.
    "bsdutils",
];

/// The unpacked packages, fetched the first time.
///
/// # Errors
/// When a package cannot be found, downloaded or unpacked.
pub fn tree(workspace: &Workspace) -> Result<PathBuf> {
    let tree = workspace.lab().join("packages");
    let wanted = ROOTS.join("\n");
    let has = fs::read_to_string(tree.join("roots")).unwrap_or_default();
    if has != wanted {
        let scratch = workspace
            .lab()
            .join(format!("unpack-{}", std::process::id()));
        let result = fetch(&scratch, &wanted).and_then(|whole| {
            if tree.exists() {
                fs::remove_dir_all(&tree)?;
            }
            fs::rename(&whole, &tree).context("cannot put the packages in place")
        });
        let removed = fs::remove_dir_all(&scratch);
        result?;
        removed.with_context(|| format!("cannot remove {}", scratch.display()))?;
    }
    Ok(tree.join("root"))
}

/// Downloads and unpacks everything below `scratch`; the directory to keep.
fn fetch(scratch: &Path, wanted: &str) -> Result<PathBuf> {
    let (archives, whole) = (scratch.join("archives"), scratch.join("whole"));
    let root = whole.join("root");
    fs::create_dir_all(&archives)?;
    fs::create_dir_all(&root)?;
    step("Downloading Debian's xl and what it needs", || {
        download(&archives).or_else(|_| {
            // The package index may be an old one, which names what is gone from the mirrors.
            refresh_index();
            download(&archives)
        })
    })?;
    step("Unpacking it", || {
        for archive in fs::read_dir(&archives)? {
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("--extract").arg(archive?.path()).arg(&root);
            quietly(dpkg)?;
        }
        Ok(())
    })?;
    fs::write(whole.join("roots"), wanted)?;
    Ok(whole)
}

/// Downloads [`ROOTS`] and their libraries into `dir`.
fn download(dir: &Path) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.arg("download").args(closure()?).current_dir(dir);
    quietly(apt)
}

/// [`ROOTS`] and every library that one of these depends on, and that a library depends on.
fn closure() -> Result<BTreeSet<String>> {
    let mut all: BTreeSet<String> = ROOTS.iter().map(|&name| name.to_owned()).collect();
    let mut new = all.clone();
    while !new.is_empty() {
        let output = Command::new("apt-cache")
            .args(["depends", "--important", "--no-recommends"])
            .args(&new)
            .output()
            .context("cannot run apt-cache")?;
        ensure!(
            output.status.success(),
            "the package index lacks one of {new:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        new = libraries(&String::from_utf8_lossy(&output.stdout))
            .filter(|name| !all.contains(*name))
            .map(str::to_owned)
            .collect();
        all.extend(new.iter().cloned());
    }
    Ok(all)
}

/// The libraries among the dependencies that `apt-cache depends` tells. Others are for installing, or for the tools
/// written in Python, which the lab does without.
fn libraries(depends: &str) -> impl Iterator<Item = &str> {
    depends
        .lines()
        .map(str::trim)
        .filter_map(|line| {
            line.strip_prefix("Depends: ")
                .or_else(|| line.strip_prefix("PreDepends: "))
        })
        .filter(|name| name.starts_with("lib") || name.starts_with("zlib"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_are_followed() {
        let depends = "xen-utils-4.17\n  Depends: libc6\n  Depends: <python3:any>\n    python3\n  Depends: python3\n  \
                       PreDepends: libxenstore4\n  Recommends: libxl\n Depends: zlib1g\n";
        assert_eq!(
            libraries(depends).collect::<Vec<_>>(),
            ["libc6", "libxenstore4", "zlib1g"]
        );
    }
}
