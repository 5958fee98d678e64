//! How a machine ends or starts again: power-off is in every other test; here are reboot and crash.

use std::time::Duration;

use anyhow::Result;

use super::{BootTest, COMMAND, Context, await_shell, check};
use crate::guest;
use crate::vm::Vm;

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "reboot",
        run: reboot,
    },
    BootTest {
        name: "crash-reboots",
        run: crash_reboots,
    },
    BootTest {
        name: "crash-stays-with-noreboot",
        run: crash_stays,
    },
];

/// What Xen says of a first domain that crashed; it prints the registers only of domains that it stops itself.
const CRASHED_ON_XEN: &str = "Dom0 crashed";
/// What we say: the registers, and then what became of the domain.
const CRASHED: &str = r"(?s)^\(XEN\) RIP e033:[0-9a-f]{16}.*^\(XEN\) Dom0 has stopped \(crash\)";

/// `reboot` starts the machine over.
fn reboot(context: &Context) -> Result<()> {
    let mut vm = context.shell(&context.debian())?;
    vm.type_line("reboot")?;
    await_shell(&mut vm)?;
    check(&mut vm, "identity", COMMAND)?;
    Ok(())
}

/// A crash of the first domain is told, and the machine starts over.
fn crash_reboots(context: &Context) -> Result<()> {
    let mut vm = context.shell(&context.debian())?;
    crash(context, &mut vm)?;
    await_shell(&mut vm)
}

/// With `noreboot` the machine stays as it is, for the report to be read.
fn crash_stays(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.options.push_str(" noreboot");
    let mut vm = context.shell(&boot)?;
    crash(context, &mut vm)?;
    vm.expect_quiet(guest::READY, Duration::from_secs(20))
}

/// Has the guest's kernel panic, and waits for its and the hypervisor's reports.
fn crash(context: &Context, vm: &mut Vm) -> Result<()> {
    vm.type_line("echo c > /proc/sysrq-trigger")?;
    vm.expect("Kernel panic - not syncing: sysrq triggered crash", COMMAND)?;
    vm.expect(
        if context.on_xen() {
            CRASHED_ON_XEN
        } else {
            CRASHED
        },
        COMMAND,
    )?;
    Ok(())
}
