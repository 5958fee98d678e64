//! Kernels and settings that a hypervisor must refuse, each with its reason on the console.
//!
//! Most are variants of one tiny kernel of ours, which boots where nothing is wrong with it: so a refusal is of the
//! one thing that differs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{BOOT, Boot, BootTest, COMMAND, Context, write};
use crate::guest;

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "tiny-kernel",
        run: tiny_kernel,
    },
    BootTest {
        name: "refuse-no-notes",
        run: no_notes,
    },
    BootTest {
        name: "refuse-32-bit",
        run: bits_32,
    },
    BootTest {
        name: "refuse-unknown-feature",
        run: unknown_feature,
    },
    BootTest {
        name: "refuse-wrong-version",
        run: wrong_version,
    },
    BootTest {
        name: "refuse-wrong-loader",
        run: wrong_loader,
    },
    BootTest {
        name: "refuse-entry-outside",
        run: entry_outside,
    },
    BootTest {
        name: "refuse-truncated",
        run: truncated,
    },
    BootTest {
        name: "refuse-noise",
        run: noise,
    },
    BootTest {
        name: "refuse-too-large",
        run: too_large,
    },
    BootTest {
        name: "refuse-initrd-too-large",
        run: initrd_too_large,
    },
    BootTest {
        name: "refuse-no-kernel",
        run: no_kernel,
    },
];

/// What the tiny kernel prints.
const HELLO: &str = "hello from a tiny kernel";

/// How a refused machine is watched for going on all the same.
const WATCH: Duration = Duration::from_secs(2);

/// The tiny kernel boots, says hello and powers off.
fn tiny_kernel(context: &Context) -> Result<()> {
    let mut vm = context.start(&tiny(context, "OK")?)?;
    vm.expect(&format!("^{HELLO}$"), BOOT)?;
    vm.expect_end(COMMAND)
}

fn no_notes(context: &Context) -> Result<()> {
    refused(
        context,
        &tiny(context, "NO_NOTES")?,
        "(?i)no ELF notes?|not a PV kernel|no Xen (ELF )?notes?",
    )
}

fn bits_32(context: &Context) -> Result<()> {
    refused(context, &tiny(context, "BITS_32")?, "(?i)32-bit")
}

fn unknown_feature(context: &Context) -> Result<()> {
    // Xen gives no reason here.
    let reason = if context.on_xen() {
        "Could not construct"
    } else {
        "no_such_feature"
    };
    refused(context, &tiny(context, "UNKNOWN_FEATURE")?, reason)
}

fn wrong_version(context: &Context) -> Result<()> {
    refused(context, &tiny(context, "WRONG_VERSION")?, "xen-9.9")
}

fn wrong_loader(context: &Context) -> Result<()> {
    refused(context, &tiny(context, "WRONG_LOADER")?, "peculiar")
}

fn entry_outside(context: &Context) -> Result<()> {
    refused(
        context,
        &tiny(context, "ENTRY_OUTSIDE")?,
        "(?i)entr(y|ies).*(out|not)",
    )
}

/// Half of Debian's kernel.
fn truncated(context: &Context) -> Result<()> {
    let whole = fs::read(&context.kernel.vmlinuz)?;
    let half = whole.get(..whole.len() / 2).context("an empty kernel")?;
    // Xen does not refuse it: it faults itself.
    let reason = if context.on_xen() {
        "Panic on CPU"
    } else {
        "(?i)truncated|payload|beyond|short"
    };
    refused(context, &altered(context, half)?, reason)
}

/// A file that is no kernel at all.
fn noise(context: &Context) -> Result<()> {
    let reason = if context.on_xen() {
        "Could not construct"
    } else {
        "(?i)neither|not a kernel|unknown (format|kernel)|no kernel"
    };
    refused(
        context,
        &altered(context, &b"no kernel ".repeat(10_000))?,
        reason,
    )
}

/// Debian's kernel with less memory than it needs to be unpacked into.
fn too_large(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.options = "dom0_mem=24M noreboot".to_owned();
    refused(
        context,
        &boot,
        "(?i)not enough|too (large|small|little)|does not fit|Domain 0 allocation",
    )
}

/// An initrd larger than the memory given.
fn initrd_too_large(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    let initrd = context.scratch()?.join("initrd");
    write(&initrd, &vec![0; 200 << 20])?;
    boot.initrd = Some(initrd);
    boot.options = "dom0_mem=160M noreboot".to_owned();
    refused(
        context,
        &boot,
        "(?i)not enough|too (large|small|little)|does not fit|Domain 0 allocation",
    )
}

/// A hypervisor without a kernel to start.
fn no_kernel(context: &Context) -> Result<()> {
    let mut command = std::process::Command::new("qemu-system-x86_64");
    command.args([
        "-no-user-config",
        "-nodefaults",
        "-display",
        "none",
        "-serial",
        "stdio",
        "-m",
        "512",
    ]);
    command
        .arg("-kernel")
        .arg(&context.image)
        .args(["-append", "console=com1 noreboot"]);
    let mut vm = context.start_command(command)?;
    vm.expect(
        "(?i)(dom0|domain 0|no) .*kernel|no kernel|no modules?|dom0 kernel not specified",
        BOOT,
    )?;
    Ok(())
}

/// The tiny kernel, with the thing wrong with it that `variant` names.
fn tiny(context: &Context, variant: &str) -> Result<Boot> {
    let mut boot = context.debian();
    boot.kernel = guest::tiny_kernel(context.workspace, variant)?;
    boot.initrd = None;
    boot.options = "dom0_mem=64M noreboot loglvl=all".to_owned();
    Ok(boot)
}

/// A kernel of these bytes.
fn altered(context: &Context, bytes: &[u8]) -> Result<Boot> {
    let mut boot = context.debian();
    boot.kernel = kernel_file(context)?;
    boot.options = "dom0_mem=512M noreboot".to_owned();
    write(&boot.kernel, bytes)?;
    Ok(boot)
}

/// Where an altered kernel is written.
fn kernel_file(context: &Context) -> Result<PathBuf> {
    Ok(context.scratch()?.join("kernel"))
}

/// The machine says why it refuses, and starts nothing.
fn refused(context: &Context, boot: &Boot, reason: &str) -> Result<()> {
    let mut vm = context.start(boot)?;
    vm.expect(reason, BOOT)?;
    vm.expect_quiet(&format!("{HELLO}|Linux version"), WATCH)
}
