//! What the lab's dom0 and its small guest have in their root file systems.
//!
//! What it keeps true: what Debian's packages have is taken as it is; libraries are those that the programs taken
//! name, and that these name.
//!
//! Neighbours: [`super::packages`] unpacks, [`super::start`] makes of it what dom0 starts from, `host/lab/` holds what
//! runs inside.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use object::LittleEndian;
use object::elf::DT_NEEDED;
use object::read::elf::ElfFile64;
use xenocryst_boot::kernel::KernelFile;

use crate::debian::{DebianKernel, write_whole};
use crate::guest::{self, add_modules, read};
use crate::initrd::Archive;
use crate::modules;
use crate::pv_guest::PvGuest;
use crate::workspace::Workspace;

use super::packages;

/// Files and directories of the packages that dom0 gets, all of each directory.
const TAKEN: &[&str] = &[
    "bin/bash",
    "etc/xen",
    "usr/bin/flock",
    "usr/bin/script",
    "usr/bin/xenstore*",
    "usr/lib/xen-4.17/bin",
    "usr/lib/xen-common",
    "usr/sbin/xen*",
    "usr/sbin/xl",
];

/// Programs of those directories that are large, and that nobody calls here.
const LEFT_OUT: &[&str] = &["oxenstored", "pygrub", "test-cpu-policy"];

/// The most bytes that an unpacked kernel may have.
const LARGEST_KERNEL: u64 = 256 << 20;

/// Where programs look for libraries, best first.
const LIBRARY_DIRECTORIES: &[&str] = &["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];

/// A library that programs name only once they run: C's, where a thread is cancelled.
const NAMED_LATE: &str = "libgcc_s.so.1";

/// The library that loads all others, and the name by which programs call it.
const LOADER: (&str, &str) = ("ld-linux-x86-64.so.2", "lib64/ld-linux-x86-64.so.2");

/// What dom0 has, without a script.
///
/// # Errors
/// When an input cannot be had.
pub fn dom0(workspace: &Workspace, kernel: &DebianKernel) -> Result<Archive> {
    let tree = packages::tree(workspace)?;
    let mut archive = guest::base()?;
    for directory in [
        "proc/xen",
        "root",
        "run/xen",
        "run/xenstored",
        "var/lib/xen/dump",
        "var/lib/xenstored",
        "var/log/xen/console",
    ] {
        archive.directory(directory);
    }
    archive.symlink("var/run", "../run");
    archive.symlink("var/lock", "../run/lock");
    archive.directory("run/lock");
    let mut libraries = BTreeSet::from([NAMED_LATE.to_owned()]);
    for pattern in TAKEN {
        for file in files(&tree, pattern)? {
            take(&tree, &file, &mut archive, &mut libraries)?;
        }
    }
    let deaths = read(&guest::compiled_with(
        workspace,
        "deaths.c",
        "deaths",
        &["xenguest", "xenctrl", "xenforeignmemory"],
    )?)?;
    libraries.extend(needed(&deaths));
    archive.file("bin/deaths", 0o755, deaths);
    add_libraries(&tree, &mut archive, libraries)?;
    add_modules(&mut archive, kernel, &modules::DOM0)?;
    let sources = workspace.lab_sources().join("dom0");
    for (from, to, mode) in [
        ("init", "init", 0o755),
        ("inittab", "etc/inittab", 0o644),
        ("profile", "etc/profile", 0o644),
        ("motd", "etc/motd", 0o644),
        ("small.cfg", "etc/xen/small.cfg", 0o644),
        ("lib.sh", "lab/lib.sh", 0o644),
        ("run", "lab/run", 0o644),
    ] {
        archive.file(to, mode, read(&sources.join(from))?);
    }
    for name in ["frames", "halves", "control"] {
        let program = guest::compiled(workspace, &format!("{name}.c"), name, &[])?;
        archive.file(&format!("bin/{name}"), 0o755, read(&program)?);
    }
    archive.file("boot/vmlinuz", 0o644, read(&kernel.vmlinuz)?);
    for guest in [PvGuest::Balloon, PvGuest::Churn] {
        archive.file(
            &format!("boot/{}", guest.name()),
            0o644,
            read(&guest.file(workspace))?,
        );
    }
    archive.file(
        "boot/vmlinux",
        0o644,
        read(&unpacked_kernel(workspace, kernel)?)?,
    );
    archive.file(
        "boot/small.cpio.gz",
        0o644,
        read(&guest_initrd(workspace, kernel)?)?,
    );
    Ok(archive)
}

/// The ELF image in Debian's kernel: guests of it are created without unpacking it each time, which takes most of the time
/// that it takes to create one.
fn unpacked_kernel(workspace: &Workspace, kernel: &DebianKernel) -> Result<PathBuf> {
    let to = workspace.lab().join("vmlinux");
    let changed = |file: &Path| fs::metadata(file).and_then(|data| data.modified());
    if let (Ok(made), Ok(from)) = (changed(&to), changed(&kernel.vmlinuz))
        && made >= from
    {
        return Ok(to);
    }
    let file = read(&kernel.vmlinuz)?;
    let refused = |refusal| anyhow!("{}: {refusal:?}", kernel.vmlinuz.display());
    let image = match KernelFile::find(&file, LARGEST_KERNEL).map_err(refused)? {
        KernelFile::Plain(image) => image.to_vec(),
        KernelFile::Packed(packed) => {
            let mut image = vec![0; packed.unpacked];
            packed.unpack(&mut image).map_err(refused)?;
            image
        }
    };
    write_whole(&to, &image)?;
    Ok(to)
}

/// The small guest's initrd.
fn guest_initrd(workspace: &Workspace, kernel: &DebianKernel) -> Result<PathBuf> {
    let mut archive = guest::base()?;
    let sources = workspace.lab_sources().join("guest");
    for (from, to, mode) in [
        ("init", "init", 0o755),
        ("inittab", "etc/inittab", 0o644),
        ("profile", "etc/profile", 0o644),
        ("memory", "bin/memory", 0o755),
        // What the kernel calls when the toolstack asks it to.
        ("poweroff", "sbin/poweroff", 0o755),
        ("reboot", "sbin/reboot", 0o755),
    ] {
        archive.file(to, mode, read(&sources.join(from))?);
    }
    let privileges = guest::compiled(workspace, "privileges.c", "privileges", &[])?;
    archive.file("bin/privileges", 0o755, read(&privileges)?);
    add_modules(&mut archive, kernel, &modules::GUEST)?;
    guest::pack(&workspace.lab(), "small.cpio.gz", &archive)
}

/// The files that a line of [`TAKEN`] means, relative to `tree`, in a fixed order.
fn files(tree: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let (directory, start) = match pattern.strip_suffix('*') {
        Some(stem) => stem.rsplit_once('/').unwrap_or(("", stem)),
        None if tree.join(pattern).is_dir() => (pattern, ""),
        None => return Ok(vec![pattern.into()]),
    };
    let mut found = Vec::new();
    let entries = fs::read_dir(tree.join(directory))
        .with_context(|| format!("the packages have no {directory}"))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().context("a file's name is not text")?;
        if !name.starts_with(start) || LEFT_OUT.contains(&name) {
            continue;
        }
        let path = format!("{directory}/{name}");
        if entry.file_type()?.is_dir() {
            found.extend(files(tree, &path)?);
        } else {
            found.push(path.into());
        }
    }
    found.sort();
    Ok(found)
}

/// Adds a file of the packages, and to `libraries` those it names.
fn take(
    tree: &Path,
    file: &Path,
    archive: &mut Archive,
    libraries: &mut BTreeSet<String>,
) -> Result<()> {
    let from = tree.join(file);
    let to = file.to_str().context("a file's name is not text")?;
    let data = fs::symlink_metadata(&from).with_context(|| format!("the packages have no {to}"))?;
    if data.is_symlink() {
        let link = fs::read_link(&from)?;
        archive.symlink(to, link.to_str().context("a link's target is not text")?);
    } else {
        let bytes = read(&from)?;
        libraries.extend(needed(&bytes));
        archive.file(to, data.permissions().mode() & 0o777, bytes);
    }
    Ok(())
}

/// Adds the libraries of these names and those they name in turn.
fn add_libraries(tree: &Path, archive: &mut Archive, named: BTreeSet<String>) -> Result<()> {
    let mut done = BTreeSet::new();
    let mut open = named;
    while let Some(name) = open.pop_first() {
        if !done.insert(name.clone()) {
            continue;
        }
        let found = LIBRARY_DIRECTORIES
            .iter()
            .map(|directory| format!("{directory}/{name}"))
            .find(|path| tree.join(path).exists());
        let Some(path) = found else {
            bail!("no package has the library {name}");
        };
        // The contents under the name that programs ask for; the links of the packages are not needed.
        let bytes = read(&tree.join(&path))?;
        open.extend(needed(&bytes));
        archive.file(&path, 0o755, bytes);
        if name == LOADER.0 {
            archive.symlink(LOADER.1, &format!("/{path}"));
        }
    }
    Ok(())
}

/// The libraries that a program or library names; none for what is neither.
fn needed(bytes: &[u8]) -> Vec<String> {
    let names = || -> object::Result<Vec<String>> {
        let file = ElfFile64::<LittleEndian>::parse(bytes)?;
        let table = file
            .elf_section_table()
            .dynamic_table(LittleEndian, bytes)?;
        let mut names = Vec::new();
        for entry in table.iter() {
            if entry.tag == DT_NEEDED {
                names.push(String::from_utf8_lossy(table.string(entry)?).into_owned());
            }
        }
        Ok(names)
    };
    names().unwrap_or_default()
}
