//! The image with debug assertions: it stops if locks are taken out of order or held where a guest is entered, if the
//! hypervisor's own tables are changed by two CPUs at once, or if an address that is not the guest's reaches a flush; it says
//! where a word of the guest's is fetched twice for one request; and it audits all frames after each destruction of a domain.
//!
//! What it keeps true: whatever else passes on the ordinary image, these paths keep to the rules that only such an image sees.

use anyhow::{Result, ensure};

use super::debug_keys::SWITCH;
use super::{BOOT, BootTest, COMMAND, Context, check, devices, hostile, power_off};
use crate::lab::{self, LabMachine, Script};
use crate::pv_guest::PvGuest;
use crate::run::Hypervisor;

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "checked-hostile",
        run: |context| on_checked(context, hostile_kernel),
    },
    BootTest {
        name: "checked-debian",
        run: |context| on_checked(context, debian),
    },
    BootTest {
        name: "checked-devices",
        run: |context| on_checked(context, devices::virtio),
    },
    BootTest {
        name: "checked-stacks",
        run: |context| on_checked(context, stacks),
    },
    BootTest {
        name: "checked-lab",
        run: |context| on_checked(context, lab_smoke),
    },
];

/// What such an image says before it stops, or where it need not.
const COMPLAINTS: [&str; 2] = ["Panic:", "fetched twice:"];

/// Runs `test` on the checked image, if it is our own that is to be tested.
fn on_checked(context: &Context, test: fn(&Context) -> Result<()>) -> Result<()> {
    if *context.hypervisor != Hypervisor::Xenocryst {
        return Ok(());
    }
    let image = context.workspace.checked_image();
    test(&Context {
        hypervisor: &Hypervisor::File(image.clone()),
        image,
        ..context.clone()
    })
}

/// Nothing that the guest tries meets an assertion (I38, I45, I47, I49).
fn hostile_kernel(context: &Context) -> Result<()> {
    let mut vm = context.start(&hostile::hostile(context, ""))?;
    vm.expect(&format!("^{}$", PvGuest::Hostile.last_line()), BOOT)?;
    no_complaint(&vm.transcript())
}

/// Debian's kernel on two CPUs: processes, grants and channels between it and itself, and an audit.
fn debian(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.smp = 2;
    let mut vm = context.shell(&boot)?;
    check(&mut vm, "exercise fork-tree exec", COMMAND * 3)?;
    check(&mut vm, "sharing", COMMAND * 3)?;
    check(&mut vm, "hypercall audit", COMMAND)?;
    no_complaint(&vm.transcript())?;
    power_off(vm)
}

/// Running off a stack ends with a report that says so.
fn stacks(context: &Context) -> Result<()> {
    let mut vm = context.shell(&context.debian())?;
    vm.type_line(&format!("{SWITCH}o"))?;
    vm.expect("Panic: CPU 0 ran off its stack at 0x[0-9a-f]+$", COMMAND)?;
    Ok(())
}

/// Debian's `xl` makes a domain and destroys it.
fn lab_smoke(context: &Context) -> Result<()> {
    let script = Script::find(context.workspace, "smoke")?;
    let machine = LabMachine::on(context.hypervisor.clone());
    lab::run_script(context.workspace, &machine, &script, &mut |_| ())?.verdict()
}

fn no_complaint(said: &str) -> Result<()> {
    for complaint in COMPLAINTS {
        let found = said.lines().find(|line| line.contains(complaint));
        ensure!(found.is_none(), "the hypervisor said {found:?}");
    }
    Ok(())
}
