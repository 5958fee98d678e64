//! Guests of Debian's own `xl`: the lab's short scripts.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::{BootTest, Context};
use crate::lab::report::Report;
use crate::lab::start::Root;
use crate::lab::{self, LabMachine, Script, answers};

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "lab-smoke",
        run: |context| script(context, "smoke", &[]).map(|_| ()),
    },
    BootTest {
        name: "lab-disk",
        run: disk,
    },
    BootTest {
        name: "lab-deaths",
        run: |context| script(context, "deaths", &["deaths=50"]).map(|_| ()),
    },
    BootTest {
        name: "lab-privileges",
        run: |context| answered(context, "privileges"),
    },
    BootTest {
        name: "lab-control",
        run: |context| answered(context, "control"),
    },
];

/// A script of `host/lab/scripts/` succeeds with these settings.
fn script(context: &Context, name: &str, settings: &[&str]) -> Result<Report> {
    let script = Script::find(context.workspace, name)?;
    let mut machine = LabMachine::on(context.hypervisor.clone());
    machine.settings = settings.iter().map(ToString::to_string).collect();
    let report = lab::run_script(context.workspace, &machine, &script, &mut |_| ())?;
    report.verdict()?;
    Ok(report)
}

/// The first guest, in a dom0 that has its root on a disk, and less memory than it needs with the root in there.
fn disk(context: &Context) -> Result<()> {
    let mut machine = LabMachine::on(context.hypervisor.clone());
    machine.root = Root::Disk;
    machine.dom0 = Some(320);
    let script = Script::find(context.workspace, "smoke")?;
    let report = lab::run_script(context.workspace, &machine, &script, &mut |_| ())?;
    report.verdict()?;
    let root = report.value("root");
    ensure!(root == Some("ext4:/dev/vda"), "the root is {root:?}");
    Ok(())
}

/// Each request that the script's step `answers` makes is answered as Xen answers it: an unprivileged guest asks for
/// everything (`privileges`), dom0 for what `xl` does not (`control`).
fn answered(context: &Context, name: &str) -> Result<()> {
    let report = script(context, name, &[])?;
    let file = context.workspace.lab_sources().join("answers").join(name);
    let recorded =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let step = report.step("answers").context("nothing was asked")?;
    let found = answers::differences(&recorded, &step.output)?;
    ensure!(
        found.is_empty(),
        "answers differ from Xen's:\n{}",
        found.join("\n")
    );
    Ok(())
}
