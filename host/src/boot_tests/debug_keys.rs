//! What the hypervisor tells of itself when asked: by keys on the serial console, and by hypercalls of dom0's programs.

use anyhow::{Result, ensure};

use super::{BootTest, COMMAND, Context, check, field, power_off};
use crate::vm::Vm;

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "debug-keys",
        run: debug_keys,
    },
    BootTest {
        name: "audit",
        run: audit,
    },
    BootTest {
        name: "message-flood",
        run: message_flood,
    },
];

/// What switches the input between dom0 and the hypervisor.
pub const SWITCH: &str = "\x01\x01\x01";
/// What the audit of a machine ends with in which nothing is wrong.
const CLEAN: &str = r"^\(XEN\) audit: \d+ frames, \d+ tables, 0 discrepancies, \d+ ms$";

/// Ctrl-A three times, a key, and back: the keys reach the hypervisor, then dom0 has the console again.
fn debug_keys(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.smp = 2;
    let mut vm = context.shell(&boot)?;
    vm.type_line(&format!("{SWITCH}h"))?;
    let wanted = if context.on_xen() {
        "key 'r'"
    } else {
        "^\\(XEN\\)  'r': run queues$"
    };
    vm.expect(wanted, COMMAND)?;
    vm.type_line("q")?;
    if !context.on_xen() {
        vm.expect(r"^\(XEN\)   v1: CPU \d, ", COMMAND)?;
        vm.type_line("0")?;
        vm.expect(r"^\(XEN\) d0v1 on CPU", COMMAND)?;
        vm.expect(r"^\(XEN\) RIP e033:", COMMAND)?;
        vm.type_line("m")?;
        vm.expect(r"^\(XEN\) d0: \d+ frames \(512 MiB\)", COMMAND)?;
        vm.type_line("r")?;
        vm.expect(r"^\(XEN\) CPU 1: idle for", COMMAND)?;
        vm.type_line("k")?;
        vm.expect(CLEAN, COMMAND)?;
    }
    vm.type_line(SWITCH)?;
    vm.type_line("echo back $((6 * 7))")?;
    vm.expect("^back 42$", COMMAND)?;
    check(&mut vm, "log", COMMAND)?;
    power_off(vm)
}

/// An audit while dom0 works on two CPUs finds every count right, and says so to whoever asked for it.
fn audit(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.smp = 2;
    let mut vm = context.shell(&boot)?;
    let answer = |vm: &mut Vm| -> Result<String> {
        let said = check(vm, "hypercall audit", COMMAND)?;
        Ok(field(&said, "answer")?.to_owned())
    };
    if context.on_xen() {
        // ENOSYS: the number is not Xen's.
        ensure!(answer(&mut vm)? == "-38");
        return power_off(vm);
    }
    ensure!(answer(&mut vm)? == "0", "the audit found something");
    vm.type_line("while true; do exercise fork-tree exec much-memory; done > /dev/null 2>&1 &")?;
    for _ in 0..10 {
        ensure!(answer(&mut vm)? == "0", "the audit found something");
    }
    vm.type_line("kill $!")?;
    let said = check(&mut vm, "hypercall keys k", COMMAND)?;
    ensure!(field(&said, "answer")? == "0");
    let told = regex::Regex::new(&format!("(?m){CLEAN}"))?;
    ensure!(
        told.find_iter(&vm.transcript()).count() == 12,
        "not every audit was told"
    );
    check(&mut vm, "log", COMMAND)?;
    power_off(vm)
}

/// However many refusals a guest provokes, few of them are printed, and how many were not is said.
fn message_flood(context: &Context) -> Result<()> {
    let mut boot = context.debian();
    boot.options = "dom0_mem=512M".to_owned();
    let mut vm = context.shell(&boot)?;
    let said = check(&mut vm, "hypercall flood 5000", COMMAND)?;
    ensure!(
        field(&said, "answer")?.starts_with('-'),
        "not refused: {said}"
    );
    if !context.on_xen() {
        let printed = vm.transcript().matches(" d0v0: FR-001:").count();
        ensure!(
            (5..200).contains(&printed),
            "{printed} refusals were printed"
        );
        vm.type_line("sleep 1; check hypercall flood 1")?;
        vm.expect(r"^\(XEN\) \d+ guest messages were suppressed$", COMMAND)?;
    }
    power_off(vm)
}
