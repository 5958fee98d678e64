//! Debian's kernel to a shell in machines of several sizes, and what runs in it.

use anyhow::{Result, ensure};

use super::{BootTest, COMMAND, Context, check, field, power_off};
use crate::vm::Vm;

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "shell",
        run: shell,
    },
    BootTest {
        name: "exercise",
        run: exercise,
    },
    BootTest {
        name: "memory-256m",
        run: memory_256m,
    },
    BootTest {
        name: "memory-6g",
        run: memory_6g,
    },
    BootTest {
        name: "memory-64g",
        run: memory_64g,
    },
    BootTest {
        name: "two-cpus",
        run: two_cpus,
    },
    BootTest {
        name: "newest-cpu",
        run: newest_cpu,
    },
];

/// Everything that the README promises of the shell.
fn shell(context: &Context) -> Result<()> {
    let mut vm = context.shell(&context.debian())?;
    identity(context, &mut vm, 512, 1)?;
    vm.type_line("free -m")?;
    vm.expect(r"^Mem: +\d+ ", COMMAND)?;
    check(&mut vm, "log", COMMAND)?;
    power_off(vm)
}

/// Processes and memory work, one exercise after the other.
fn exercise(context: &Context) -> Result<()> {
    let mut vm = context.shell(&context.debian())?;
    check(&mut vm, "exercise", COMMAND * 5)?;
    check(&mut vm, "log", COMMAND)?;
    power_off(vm)
}

/// A small machine.
fn memory_256m(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    // Xen wants the kernel's memory in one run of 128 MiB, which a machine of 256 MiB has not got.
    boot.mem_mib = if context.on_xen() { 384 } else { 256 };
    boot.options = "dom0_mem=208M".to_owned();
    let mut vm = context.shell(&boot)?;
    identity(context, &mut vm, 208, 1)?;
    check(
        &mut vm,
        "exercise fork-tree exec much-memory all-memory",
        COMMAND,
    )?;
    power_off(vm)
}

/// RAM on both sides of the hole below 4 GiB, most of it given to the guest, which uses it.
fn memory_6g(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.mem_mib = 6144;
    boot.options = "dom0_mem=5120M".to_owned();
    let mut vm = context.shell(&boot)?;
    identity(context, &mut vm, 5120, 1)?;
    check(
        &mut vm,
        "exercise fork-tree exec much-memory all-memory",
        COMMAND * 5,
    )?;
    check(&mut vm, "log", COMMAND)?;
    power_off(vm)
}

/// As much RAM as is promised to work. The machine running the test need not have it: what is not used is not there.
fn memory_64g(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.mem_mib = 65536;
    let ram = [
        "-object",
        "memory-backend-ram,id=ram,size=65536M,reserve=off",
        "-machine",
        "memory-backend=ram",
    ];
    boot.devices.extend(ram.map(str::to_owned));
    let mut vm = context.shell(&boot)?;
    check(&mut vm, "exercise fork-tree exec much-memory", COMMAND)?;
    power_off(vm)
}

/// Two CPUs, both working.
fn two_cpus(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.smp = 2;
    let mut vm = context.shell(&boot)?;
    identity(context, &mut vm, 512, 2)?;
    check(&mut vm, "exercise", COMMAND * 5)?;
    check(&mut vm, "log", COMMAND)?;
    power_off(vm)
}

/// All that QEMU's CPU has: extended state, protection of user memory from the kernel, and so on.
fn newest_cpu(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.cpu = Some("max");
    let mut vm = context.shell(&boot)?;
    identity(context, &mut vm, 512, 1)?;
    check(&mut vm, "exercise", COMMAND * 5)?;
    power_off(vm)
}

/// The guest runs Debian's kernel on Xen's interface, with the memory and CPUs given.
fn identity(context: &Context, vm: &mut Vm, mib: u64, cpus: u32) -> Result<()> {
    let said = check(vm, "identity", COMMAND)?;
    ensure!(
        field(&said, "release")? == context.kernel.release,
        "another kernel: {said}"
    );
    ensure!(
        field(&said, "type")? == "xen",
        "not on Xen's interface: {said}"
    );
    ensure!(
        field(&said, "version")? == "4.17",
        "another version of the interface: {said}"
    );
    ensure!(
        field(&said, "cpus")? == cpus.to_string(),
        "{cpus} CPUs expected: {said}"
    );
    let kib: u64 = field(&said, "kib")?.parse()?;
    // The kernel keeps much to itself: its image, a buffer for DMA (64 MiB where it finds them), and a descriptor for
    // each frame that it may ever own.
    let given = mib * 1024;
    ensure!(
        (given * 3 / 4).saturating_sub(80 * 1024) < kib && kib < given,
        "{mib} MiB expected: {said}"
    );
    Ok(())
}
