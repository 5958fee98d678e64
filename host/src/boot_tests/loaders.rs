//! Ways into the hypervisor, and forms of kernels: QEMU's plain command line, GRUB, kernels that are not bzImages.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{BootTest, COMMAND, Context, await_shell, check, power_off, write};
use crate::machine::{Machine, Payload};
use crate::packages::quietly;

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "plain-qemu-command",
        run: plain_command,
    },
    BootTest {
        name: "grub",
        run: grub,
    },
    BootTest {
        name: "kernel-plain-elf",
        run: kernel_plain_elf,
    },
];

/// The command that the README gives, on QEMU's default machine with its graphics, disk controller and network card.
fn plain_command(context: &Context) -> Result<()> {
    let modules = format!(
        "{} console=hvc0,{}",
        context.kernel.vmlinuz.display(),
        context.initrd.display()
    );
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args([
            "-display", "none", "-serial", "stdio", "-m", "1024", "-kernel",
        ])
        .arg(&context.image);
    command.args(["-append", "console=com1 dom0_mem=512M", "-initrd", &modules]);
    let mut vm = context.start_command(command)?;
    await_shell(&mut vm)?;
    check(&mut vm, "identity", COMMAND)?;
    power_off(vm)
}

/// From a CD with GRUB by the second multiboot protocol.
fn grub(context: &Context) -> Result<()> {
    let scratch = context.scratch()?;
    let tree = scratch.join("cd");
    fs::create_dir_all(tree.join("boot/grub"))?;
    for (from, to) in [
        (&context.image, "hypervisor"),
        (&context.kernel.vmlinuz, "vmlinuz"),
        (&context.initrd, "initrd.gz"),
    ] {
        fs::copy(from, tree.join("boot").join(to))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    write(
        &tree.join("boot/grub/grub.cfg"),
        b"serial --unit=0 --speed=115200\n\
          terminal_output serial\n\
          multiboot2 /boot/hypervisor console=com1 com1=115200,8n1 dom0_mem=512M\n\
          module2 /boot/vmlinuz console=hvc0\n\
          module2 /boot/initrd.gz\n\
          boot\n",
    )?;
    let image = scratch.join("cd.iso");
    let mut mkrescue = Command::new("grub-mkrescue");
    mkrescue
        .args(["-d", "/usr/lib/grub/i386-pc", "-o"])
        .arg(&image)
        .arg(&tree);
    quietly(mkrescue)?;
    let mut vm = context.start_machine(&Machine::new(Payload::Cdrom(image)))?;
    await_shell(&mut vm)?;
    check(&mut vm, "identity", COMMAND)?;
    power_off(vm)
}

/// The kernel as its linker left it, out of the compressed image.
fn kernel_plain_elf(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.kernel = context.scratch()?.join("vmlinux");
    let packed = boot.kernel.with_extension("xz");
    write(&packed, payload(&fs::read(&context.kernel.vmlinuz)?)?)?;
    let xz = Command::new("xz")
        .args(["-dc", "--single-stream"])
        .arg(&packed)
        .output()
        .context("cannot run xz")?;
    ensure!(
        xz.stdout.starts_with(b"\x7fELF"),
        "no ELF file in the kernel's payload"
    );
    write(&boot.kernel, &xz.stdout)?;
    let mut vm = context.shell(&boot)?;
    check(&mut vm, "identity", COMMAND)?;
    power_off(vm)
}

/// The compressed kernel in a bzImage.
fn payload(bzimage: &[u8]) -> Result<&[u8]> {
    let word = |at: usize| -> Result<usize> {
        let bytes = bzimage
            .get(at..at + 4)
            .context("the kernel has no header")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    // The boot protocol: count of set-up sectors at 0x1f1, payload's place after them at 0x248 and its length.
    let setup = (usize::from(*bzimage.get(0x1f1).context("the kernel has no header")?) + 1) * 512;
    let start = setup + word(0x248)?;
    bzimage
        .get(start..start + word(0x24c)?)
        .context("the kernel is truncated")
}
