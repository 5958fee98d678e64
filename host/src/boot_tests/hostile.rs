//! A kernel that tries to break out: what it tries ends as its own fault or as an error, or else as the end of its domain.
//!
//! The guest's side is `guest/src/bin/hostile/`. `cargo xtask diff` compares each of its lines with real Xen's; here are those
//! that stand for an invariant, the same on both hypervisors.

use anyhow::{Context as _, Result, ensure};

use super::hostile_history::HISTORY;
use super::hostile_lines::LINES;
use super::{BOOT, Boot, BootTest, COMMAND, Context};
use crate::pv_guest::PvGuest;

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "hostile-kernel",
        run: hostile_kernel,
    },
    BootTest {
        name: "hostile-kernel-ends-itself",
        run: ends_itself,
    },
    BootTest {
        name: "hostile-kernel-at-random",
        run: at_random,
    },
    BootTest {
        name: "crash-at-fault",
        run: crash_at_fault,
    },
];

/// What the guest must say, and what that shows.
const SAID: &[(&str, &str)] = &[
    ("privileged: lgdt -> fault 13 error 0 rip +0", "I100"),
    (
        "privileged: wrmsr LSTAR = 0 -> fault 13 error 0 rip +0",
        "I97",
    ),
    ("privileged: rdmsr 12345 -> fault 13 error 0 rip +0", "I97"),
    (
        "privileged: wrmsr FS base = 800000000000 -> fault 13 error 0 rip +0",
        "I93",
    ),
    ("privileged: mov cr0, 0 -> fault 13 error 0 rip +0", "I97"),
    ("privileged: mov cr3, 1 -> fault 13 error 0 rip +0", "I97"),
    ("privileged: popf IOPL, now 200 -> done", "I90"),
    (
        "memory: load direct map -> fault 14 error 0 at ffff830000000000 rip +0",
        "I95",
    ),
    (
        "memory: store m2p -> fault 14 error 3 at ffff800000000000 rip +0",
        "I95",
    ),
    (
        "memory: call image -> fault 14 error 10 at ffff82d080200000",
        "I95",
    ),
    ("requests: mmu_update at direct map -> -14", "I95"),
    ("requests: console write at direct map -> -14", "I95"),
    ("requests: memory_op machphys at m2p -> -14", "I95"),
    ("requests: callback 0 at non-canonical -> -22", "I93"),
    ("requests: trap 200 at non-canonical, flat -> -22", "I93"),
    ("requests: base 0 at non-canonical -> -22", "I93"),
    ("requests: breakpoint 0 at direct map -> -1", "I94"),
    ("requests: debug register 7 = 2000 -> -1", "I94"),
    (
        "requests: memory_op 1 from 3ffffffffffffff -> 288230376151711743",
        "I82",
    ),
    ("requests: 1 goes on, ffffffff -> -14", "I82"),
    (
        "iret: IOPL 3, flags then 200 -> fault 6 error 0 rip +2",
        "I90",
    ),
    ("iret: VM, flags then 200 -> fault 6 error 0 rip +2", "I90"),
    (
        "iret: code selector e008, flags then 200 -> fault 13 error e008 rip +0",
        "I90",
    ),
    (
        "iret: to non-canonical, flags then 200 -> fault 13 error 0",
        "I90",
    ),
    ("user: cli -> fault 13 error 0 rip +0", "I97"),
    (
        "user: read the direct map -> fault 14 error 5 at ffff830000000000 rip +a",
        "I95",
    ),
];

/// The guest tries everything that it survives, and comes to its end; what it says shows the invariants that stand beside the
/// lines. However it was refused, no reference was kept (I45).
fn hostile_kernel(context: &Context) -> Result<()> {
    // Real Xen has no hypercall for an audit.
    let options = if context.on_xen() { "" } else { "audit" };
    let mut vm = context.start(&hostile(context, options))?;
    vm.expect(&format!("^{}$", PvGuest::Hostile.last_line()), BOOT)?;
    let said = vm.transcript();
    if !context.on_xen() {
        ensure!(
            said.lines().any(|said| said == "hostile audit: 0"),
            "I45: the audit found something"
        );
        // Real Xen gives some of it back later.
        ensure!(
            said.lines()
                .any(|said| said.ends_with("like the first true, nothing left true")),
            "I48: something is left of domains"
        );
    }
    for (line, invariant) in SAID.iter().chain(LINES).chain(HISTORY) {
        let line = format!("hostile {line}");
        let found = said.lines().any(|said| said == line);
        ensure!(found, "{invariant}: the guest did not say {line:?}");
    }
    Ok(())
}

/// The domain whose table has an entry that no CPU may walk is crashed, not the control domain that pins the table (XSA-273).
/// Xen has other ways with such an entry, and none on CPUs that it does not harm.
fn crash_at_fault(context: &Context) -> Result<()> {
    if context.on_xen() {
        return Ok(());
    }
    let mut vm = context.start(&hostile(context, "at-fault"))?;
    vm.expect(&format!("^{}$", PvGuest::Hostile.last_line()), BOOT)?;
    let said = vm.transcript();
    for wanted in [
        "xsa_273 pinned by the control domain -> false",
        "xsa_273 the table's owner -> shut down true, reason 3",
        "xsa_273 gone -> true",
    ] {
        let line = format!("hostile lives: {wanted}");
        ensure!(
            said.lines().any(|said| said == line),
            "the guest did not say {line:?}"
        );
    }
    Ok(())
}

/// What the guest does to itself ends its domain, and nothing more (I91, I92, I100): it has no stack to be told of a fault on,
/// or one that has no room for all of it, no handler, no address space to go on in. Each way is a machine of its own.
fn ends_itself(context: &Context) -> Result<()> {
    for way in 0..WAYS {
        let mut vm = context.start(&hostile(context, &format!("fatal={way}")))?;
        vm.expect(&format!("^hostile fatal: way {way}$"), BOOT)
            .with_context(|| format!("way {way}"))?;
        let ended = if context.on_xen() {
            "Dom0 crashed"
        } else {
            r"Dom0 has stopped \(crash\)"
        };
        vm.expect(ended, COMMAND)
            .with_context(|| format!("way {way}"))?;
    }
    Ok(())
}

/// Random hypercalls from three seeds (I100): the guest comes to its end each time, the hypervisor goes on, and its counts are
/// right afterwards.
fn at_random(context: &Context) -> Result<()> {
    for seed in 1..=3 {
        let what = format!("random={RANDOM_CALLS} seed={seed}");
        let mut vm = context.start(&hostile(context, &what))?;
        vm.expect(&format!("^{}$", PvGuest::Hostile.last_line()), BOOT)
            .with_context(|| format!("seed {seed}"))?;
        let said = vm.transcript();
        // Real Xen has no such hypercall.
        let audit = if context.on_xen() { "-38" } else { "0" };
        for line in [
            format!("hostile random: {RANDOM_CALLS} hypercalls, some done, some refused"),
            format!("hostile random: audit -> {audit}"),
        ] {
            let found = said.lines().any(|said| said == line);
            ensure!(found, "seed {seed}: the guest did not say {line:?}");
        }
    }
    Ok(())
}

/// Hypercalls of one seed.
const RANDOM_CALLS: u32 = 20_000;

/// Ways that the guest knows to end itself.
const WAYS: u32 = 11;

/// The guest, told to do `what`.
pub(super) fn hostile(context: &Context, what: &str) -> Boot {
    let mut boot = context.debian();
    boot.kernel = PvGuest::Hostile.file(context.workspace);
    boot.kernel_args = what.to_owned();
    boot.initrd = None;
    boot.options =
        "dom0_mem=64M dom0_max_vcpus=2 noreboot loglvl=warning guest_loglvl=none".to_owned();
    boot
}
