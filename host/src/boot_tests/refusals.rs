//! Kernels, settings and requests that a hypervisor must refuse, each with its reason on the console.
//!
//! Most are variants of one tiny kernel of ours, which boots where nothing is wrong with it: so a refusal is of the
//! one thing that differs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
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
        name: "refuse-forbidden-update",
        run: forbidden_update,
    },
    BootTest {
        name: "unknown-option",
        run: unknown_option,
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

/// Xen's words where it gives no reason.
const NO_REASON: &str = "Could not construct domain 0";

/// How a refused machine is watched for going on all the same.
const WATCH: Duration = Duration::from_secs(2);

/// The tiny kernel boots, says hello and powers off. Xen leaves the machine on: it is dom0's to switch off.
fn tiny_kernel(context: &Context) -> Result<()> {
    let mut vm = context.start(&tiny(context, "OK")?)?;
    vm.expect(&format!("^{HELLO}$"), BOOT)?;
    if context.on_xen() {
        vm.expect("Dom0 halted", COMMAND)?;
        return Ok(());
    }
    vm.expect_end(COMMAND)
}

/// A page-table update that the kernel may not make is refused to it, and the console says which rule, which entry,
/// whose frame, and what it would have had to be.
fn forbidden_update(context: &Context) -> Result<()> {
    let mut vm = context.start(&tiny(context, "FORBIDDEN_UPDATE")?)?;
    let told = if context.on_xen() {
        "Error mfn 00200"
    } else {
        "d0v0: PT-002: L4 table 0x[0-9a-f]+ slot 0 value 0x0000000000200007, frame 0x200 is the hypervisor's; \
         wanted a frame of d0"
    };
    vm.expect(told, BOOT)?;
    vm.expect("^the update was refused$", COMMAND)?;
    Ok(())
}

/// A misspelt option is named, and does not keep the machine from starting. Xen says nothing.
fn unknown_option(context: &Context) -> Result<()> {
    let mut boot = tiny(context, "OK")?;
    boot.options.push_str(" dom0_mme=64M");
    let mut vm = context.start(&boot)?;
    if !context.on_xen() {
        vm.expect("Option 'dom0_mme.*' is not known and is ignored", BOOT)?;
    }
    vm.expect(&format!("^{HELLO}$"), BOOT)?;
    Ok(())
}

fn no_notes(context: &Context) -> Result<()> {
    refused(
        context,
        &tiny(context, "NO_NOTES")?,
        "No ELF notes",
        "it has no Xen ELF notes",
    )
}

fn bits_32(context: &Context) -> Result<()> {
    refused(
        context,
        &tiny(context, "BITS_32")?,
        "Found 32-bit PV kernel",
        "only 64-bit kernels are supported",
    )
}

fn unknown_feature(context: &Context) -> Result<()> {
    refused(
        context,
        &tiny(context, "UNKNOWN_FEATURE")?,
        NO_REASON,
        "requires the feature no_such_feature",
    )
}

fn wrong_version(context: &Context) -> Result<()> {
    refused(
        context,
        &tiny(context, "WRONG_VERSION")?,
        r"\(Not 'xen-9\.9'\)",
        r#"for the interface "xen-9\.9""#,
    )
}

fn wrong_loader(context: &Context) -> Result<()> {
    refused(
        context,
        &tiny(context, "WRONG_LOADER")?,
        "Not 'peculiar'",
        "note LOADER is not",
    )
}

fn entry_outside(context: &Context) -> Result<()> {
    refused(
        context,
        &tiny(context, "ENTRY_OUTSIDE")?,
        "entries are out of bounds",
        "note ENTRY says .* outside",
    )
}

/// Half of Debian's kernel. Xen does not refuse it but reads past its end, and faults.
fn truncated(context: &Context) -> Result<()> {
    let whole = fs::read(&context.kernel.vmlinuz)?;
    let half = whole.get(..whole.len() / 2).context("an empty kernel")?;
    refused(
        context,
        &altered(context, half)?,
        "FATAL TRAP",
        "the kernel file is truncated",
    )
}

/// A file that is no kernel at all.
fn noise(context: &Context) -> Result<()> {
    let boot = altered(context, &b"no kernel ".repeat(10_000))?;
    refused(
        context,
        &boot,
        NO_REASON,
        "neither a bzImage nor an ELF file",
    )
}

/// Debian's kernel with less memory than it needs to be unpacked into.
fn too_large(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.options = "dom0_mem=24M noreboot".to_owned();
    refused(
        context,
        &boot,
        "allocation is too small",
        "when unpacked, and only 24576 KiB can be had",
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
        "allocation is too small",
        "has 163840 KiB of memory, and this kernel needs",
    )
}

/// A hypervisor without a kernel to start.
fn no_kernel(context: &Context) -> Result<()> {
    let mut command = Command::new("qemu-system-x86_64");
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
        if context.on_xen() {
            "dom0 kernel not specified"
        } else {
            "no dom0 kernel"
        },
        BOOT,
    )?;
    Ok(())
}

/// The tiny kernel, with the thing wrong with it that `variant` names.
fn tiny(context: &Context, variant: &str) -> Result<Boot> {
    let mut boot = context.debian();
    boot.kernel = guest::tiny_kernel(context.workspace, variant)?;
    boot.initrd = None;
    boot.options = "dom0_mem=64M noreboot loglvl=all guest_loglvl=all".to_owned();
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

/// The machine says why it refuses, in the words of the one hypervisor or the other, and starts nothing.
fn refused(context: &Context, boot: &Boot, on_xen: &str, on_ours: &str) -> Result<()> {
    let mut vm = context.start(boot)?;
    vm.expect(if context.on_xen() { on_xen } else { on_ours }, BOOT)?;
    vm.expect_quiet(&format!("{HELLO}|Linux version"), WATCH)
}
