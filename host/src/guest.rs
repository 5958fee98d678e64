//! The guests' initrds: a busybox system with a shell, our checks and the drivers; and the benchmark alone.
//!
//! What it keeps true: an initrd is packed anew only where something in it changed (its inputs are kept beside it as
//! one digest). Neighbours: [`crate::debian`] gives the drivers, [`crate::initrd`] packs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::debian::{DebianKernel, write_whole};
use crate::initrd::Archive;
use crate::modules;
use crate::packages::quietly;
use crate::progress::step;
use crate::workspace::Workspace;

/// Where Debian's busybox-static puts it.
const BUSYBOX: &str = "/bin/busybox";

/// What the system's start-up script prints when it is done, before the shell's first prompt.
pub const READY: &str = "xenocryst-guest: ready";

/// The shell's prompt.
pub const PROMPT: &str = "dom0# ";

/// The drivers that `check sharing` and `check grantops` load, out of [`modules::DOM0`]: they depend on no others.
const SHARING_MODULES: &[&str] = &["xen_evtchn", "xen_gntdev", "xen_gntalloc", "xen_privcmd"];

/// The initrd with a shell on the console, `check NAME` and the drivers of `kernel`.
///
/// # Errors
/// When an input cannot be read or compiled.
pub fn shell_initrd(workspace: &Workspace, kernel: &DebianKernel) -> Result<PathBuf> {
    let mut archive = base()?;
    let sources = workspace.guest_sources();
    for (from, to) in [("inittab", "etc/inittab"), ("profile", "etc/profile")] {
        archive.file(to, 0o644, read(&sources.join(from))?);
    }
    for (from, to) in [
        ("rc", "etc/rc"),
        ("udhcpc", "etc/udhcpc"),
        ("check", "bin/check"),
    ] {
        archive.file(to, 0o755, read(&sources.join(from))?);
    }
    archive.symlink("init", "bin/busybox");
    let exercise = compiled(workspace, "exercise.c", "exercise", &["-pthread"])?;
    archive.file("bin/exercise", 0o755, read(&exercise)?);
    for name in ["sharing", "grantops", "hypercall"] {
        let program = compiled(workspace, &format!("{name}.c"), name, &[])?;
        archive.file(&format!("bin/{name}"), 0o755, read(&program)?);
    }
    add_modules(&mut archive, kernel, &modules::DEVICES)?;
    for name in SHARING_MODULES {
        let file = format!("{name}.ko");
        archive.file(
            &format!("lib/modules/{file}"),
            0o644,
            read(&kernel.modules.join(&file))?,
        );
    }
    pack(&workspace.guests(), "shell.cpio.gz", &archive)
}

/// The tiny kernel of `tiny.S` with `variant` defined; `BITS_32` is the one that is not for 64-bit guests.
///
/// # Errors
/// When it cannot be assembled.
pub fn tiny_kernel(workspace: &Workspace, variant: &str) -> Result<PathBuf> {
    let (bits, base) = if variant == "BITS_32" {
        ("-m32", 0xc010_0000)
    } else {
        ("-m64", 0xffff_ffff_8010_0000_u64)
    };
    compiled(
        workspace,
        "tiny.S",
        &format!("tiny-{variant}"),
        &[
            bits,
            "-nostdlib",
            "-no-pie",
            "-Wl,--build-id=none",
            &format!("-Wl,-Ttext-segment={base:#x}"),
            &format!("-D{variant}"),
        ],
    )
}

/// The initrd whose only program is the benchmark.
///
/// # Errors
/// When it cannot be compiled.
pub fn bench_initrd(workspace: &Workspace) -> Result<PathBuf> {
    let mut archive = Archive::default();
    archive.file(
        "init",
        0o755,
        read(&compiled(workspace, "bench.c", "bench", &[])?)?,
    );
    pack(&workspace.guests(), "bench.cpio.gz", &archive)
}

/// Adds the drivers of a set, and the list of their loading order.
pub(crate) fn add_modules(
    archive: &mut Archive,
    kernel: &DebianKernel,
    set: &modules::Set,
) -> Result<()> {
    let order = fs::read_to_string(kernel.modules.join(set.order))
        .context("no loading order of modules recorded")?;
    for name in order.lines() {
        archive.file(
            &format!("lib/modules/{name}"),
            0o644,
            read(&kernel.modules.join(name))?,
        );
    }
    archive.file(&format!("lib/modules/{}", set.order), 0o644, order);
    Ok(())
}

/// The directories, busybox, and the commands it offers.
pub(crate) fn base() -> Result<Archive> {
    let mut archive = Archive::default();
    for directory in [
        "bin",
        "dev",
        "etc",
        "lib/modules",
        "proc",
        "root",
        "sys",
        "tmp",
    ] {
        archive.directory(directory);
    }
    archive.file("bin/busybox", 0o755, read(Path::new(BUSYBOX))?);
    archive.symlink("bin/sh", "busybox");
    Ok(archive)
}

/// The static program `name` made of the guest source `source`, compiled when that changed.
pub(crate) fn compiled(
    workspace: &Workspace,
    source: &str,
    name: &str,
    options: &[&str],
) -> Result<PathBuf> {
    let options: Vec<&str> = ["-static"].iter().chain(options).copied().collect();
    compile(workspace, source, name, &options)
}

/// As [`compiled`], linked at run time to these libraries, which the initrd must have.
///
/// # Errors
/// When it cannot be compiled.
pub(crate) fn compiled_with(
    workspace: &Workspace,
    source: &str,
    name: &str,
    libraries: &[&str],
) -> Result<PathBuf> {
    let libraries: Vec<String> = libraries.iter().map(|name| format!("-l{name}")).collect();
    let options: Vec<&str> = libraries.iter().map(String::as_str).collect();
    compile(workspace, source, name, &options)
}

fn compile(workspace: &Workspace, source: &str, name: &str, options: &[&str]) -> Result<PathBuf> {
    let source = workspace.guest_sources().join(source);
    let program = workspace.guests().join(name);
    let changed = |file: &Path| fs::metadata(file).and_then(|data| data.modified()).ok();
    if changed(&program).is_none_or(|made| changed(&source).is_none_or(|edited| edited > made)) {
        fs::create_dir_all(workspace.guests())?;
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-Wall", "-Wextra", "-Werror"]);
        gcc.arg("-o").arg(&program).arg(&source).args(options);
        quietly(gcc).with_context(|| format!("cannot compile {}", source.display()))?;
    }
    Ok(program)
}

/// Leaves `archive` compressed as the file `name` in `dir`, unless it is there already.
pub(crate) fn pack(dir: &Path, name: &str, archive: &Archive) -> Result<PathBuf> {
    made_of(dir, name, &archive.digest(), |file| {
        write_whole(file, &archive.compressed()?)
    })
}

/// The file `name` in `dir`, which `make` makes unless it is there and was made of the same `inputs`.
pub(crate) fn made_of(
    dir: &Path,
    name: &str,
    inputs: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let file = dir.join(name);
    let recorded = dir.join(format!("{name}.inputs"));
    if !file.exists() || fs::read_to_string(&recorded).ok().as_deref() != Some(inputs) {
        step(&format!("Packing {name}"), || make(&file))?;
        write_whole(&recorded, inputs.as_bytes())?;
    }
    Ok(file)
}

/// The contents of a file that must be there.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
