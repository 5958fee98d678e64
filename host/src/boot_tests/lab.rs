//! Guests of Debian's own `xl`: the lab's short scripts.

use anyhow::Result;

use super::{BootTest, Context};
use crate::lab::{self, LabMachine, Script};

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "lab-smoke",
        run: |context| script(context, "smoke"),
    },
    BootTest {
        name: "lab-privileges",
        run: |context| script(context, "privileges"),
    },
];

/// A script of `host/lab/scripts/` succeeds.
fn script(context: &Context, name: &str) -> Result<()> {
    let script = Script::find(context.workspace, name)?;
    let machine = LabMachine::on(context.hypervisor.clone());
    lab::run_script(context.workspace, &machine, &script, &mut |_| ())?.verdict()
}
