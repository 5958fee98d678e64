//! Drivers that Debian's kernel has as modules: which we want, what they depend on, and in which order to load them.
//!
//! The kernel package carries no `modules.dep` (that is made at installation), so the dependencies are read where
//! they come from: the `depends=` line in each module's own `.modinfo` section.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

/// A set of drivers that a system loads at its start.
pub struct Set {
    /// The file that lists them in their loading order.
    pub order: &'static str,
    /// The drivers, without what they depend on.
    wanted: &'static [&'static str],
}

impl Set {
    /// Whether [`collect`] has left all of it in `dir`.
    #[must_use]
    pub fn is_in(&self, dir: &Path) -> bool {
        let order = fs::read_to_string(dir.join(self.order)).unwrap_or_default();
        self.wanted
            .iter()
            .all(|name| order.lines().any(|line| line == format!("{name}.ko")))
    }
}

/// The drivers for the disks and network cards that the tests put into the machine.
pub const DEVICES: Set = Set {
    order: "order",
    wanted: &[
        "virtio_pci",
        "virtio_blk",
        "virtio_net",
        "ahci",
        "sd_mod",
        "e1000",
    ],
};

/// What a dom0 that manages other domains needs: the devices of its tools, and the back ends of the guests' devices.
pub const DOM0: Set = Set {
    order: "order-dom0",
    wanted: &[
        "xen_evtchn",
        "xen_gntdev",
        "xen_gntalloc",
        "xen_privcmd",
        "xenfs",
        "xen_blkback",
        "xen_netback",
        "loop",
        "bridge",
    ],
};

/// The drivers of a dom0 that has its root on a disk. The file system asks for the checksum by name, without depending on it.
pub const DISK: Set = Set {
    order: "order-disk",
    wanted: &["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"],
};

/// The front ends of a guest's devices, and the way to hypercalls from its programs.
pub const GUEST: Set = Set {
    order: "order-guest",
    wanted: &["xen_blkfront", "xen_netfront", "xen_privcmd"],
};

/// Every set.
pub const SETS: &[Set] = &[DEVICES, DOM0, DISK, GUEST];

/// Copies the drivers of [`SETS`] and their dependencies from an unpacked kernel's module `tree` to `to`, with each
/// set's list: one file name a line, each after what it depends on.
///
/// # Errors
/// When a module is missing or unreadable.
pub fn collect(tree: &Path, to: &Path) -> Result<()> {
    let mut files = HashMap::new();
    index(tree, &mut files)?;
    for set in SETS {
        let mut order = Vec::new();
        for name in set.wanted {
            visit(name, &files, to, &mut order)?;
        }
        let list: String = order.iter().map(|name| format!("{name}.ko\n")).collect();
        fs::write(to.join(set.order), list)?;
    }
    Ok(())
}

/// The name by which the kernel knows the module in `file`, if it is one.
fn module_name(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let stem = name
        .strip_suffix(".ko")
        .or_else(|| name.strip_suffix(".ko.xz"))?;
    Some(stem.replace('-', "_"))
}

/// Finds every module under `dir`.
fn index(dir: &Path, files: &mut HashMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            index(&entry.path(), files)?;
        } else if let Some(name) = module_name(&entry.path()) {
            files.insert(name, entry.path());
        }
    }
    Ok(())
}

/// Copies the module `name` after what it depends on, unless `order` has it.
fn visit(
    name: &str,
    files: &HashMap<String, PathBuf>,
    to: &Path,
    order: &mut Vec<String>,
) -> Result<()> {
    if order.iter().any(|done| done == name) {
        return Ok(());
    }
    let file = files
        .get(name)
        .with_context(|| format!("the kernel package has no module {name}"))?;
    let module = read_module(file)?;
    for dependency in dependencies(&module).with_context(|| format!("in {}", file.display()))? {
        visit(&dependency.replace('-', "_"), files, to, order)?;
    }
    fs::write(to.join(format!("{name}.ko")), module)?;
    order.push(name.to_owned());
    Ok(())
}

/// The module's ELF file, decompressed.
fn read_module(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|extension| extension == "xz") {
        let output = Command::new("xz")
            .arg("-dc")
            .arg(file)
            .output()
            .context("cannot run xz")?;
        if !output.status.success() {
            bail!("xz cannot decompress {}", file.display());
        }
        return Ok(output.stdout);
    }
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// What the module says it depends on.
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let elf = object::File::parse(module).context("not an ELF file")?;
    let section = elf
        .section_by_name(".modinfo")
        .context("no .modinfo section")?;
    Ok(depends_of(
        section.data().context("unreadable .modinfo section")?,
    ))
}

/// The `depends=` entry of a `.modinfo` section: NUL-separated strings `key=value`, the value comma-separated.
fn depends_of(modinfo: &[u8]) -> Vec<String> {
    modinfo
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"depends="))
        .map(|names| {
            let names = String::from_utf8_lossy(names);
            names
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_modinfo() {
        assert_eq!(
            depends_of(b"license=GPL\0depends=virtio,virtio_ring\0name=x\0"),
            ["virtio", "virtio_ring"]
        );
        assert!(depends_of(b"depends=\0").is_empty());
        assert!(depends_of(b"license=GPL\0").is_empty());
    }

    #[test]
    fn a_driver_that_is_wanted_since_lately_is_missed() {
        let dir = std::env::temp_dir().join(format!("xenocryst-modules-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("made");
        assert!(!GUEST.is_in(&dir));
        let order = "xen_blkfront.ko\nxen_netfront.ko\nxen_privcmd.ko\n";
        fs::write(dir.join(GUEST.order), order).expect("written");
        assert!(GUEST.is_in(&dir));
        fs::write(dir.join(GUEST.order), "xen_blkfront.ko\nxen_netfront.ko\n").expect("written");
        assert!(!GUEST.is_in(&dir));
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn dashes_in_file_names_are_underscores_in_module_names() {
        assert_eq!(
            module_name(Path::new("a/t10-pi.ko")).as_deref(),
            Some("t10_pi")
        );
        assert_eq!(
            module_name(Path::new("a/t10-pi.ko.xz")).as_deref(),
            Some("t10_pi")
        );
        assert_eq!(module_name(Path::new("a/modules.order")), None);
    }
}
