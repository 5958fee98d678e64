//! Memory and events that domains share. One domain with itself is enough for most of it: Debian's drivers grant and map,
//! copy and signal as if another domain were at the other end.

use anyhow::{Context as _, Result, ensure};

use super::{BootTest, COMMAND, Context, check, field, power_off};

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "sharing",
        run: sharing,
    },
    BootTest {
        name: "sharing-two-cpus",
        run: sharing_two_cpus,
    },
    BootTest {
        name: "grant-operations",
        run: grant_operations,
    },
];

/// Real Xen's answer to each request of `grantops.c`.
const ANSWERS: &str = include_str!("grantops.txt");

/// What the guest must have been told, by the names under which it prints it: how often one grant can be mapped (each of the
/// driver's mappings counts twice), the statuses of copies, and the error numbers of channels that cannot be bound.
const TOLD: &[(&str, &str)] = &[
    ("maps", "64"),
    ("copy-to-read-only", "-1"),
    ("copy-not-for-us", "-1"),
    ("copy-never-made", "-1"),
    ("copy-beyond-table", "-3"),
    ("copy-of-nobody", "-2"),
    ("bind-twice", "22"),
    ("bind-not-for-us", "22"),
    ("bind-never-made", "22"),
    ("bind-beyond-table", "22"),
    ("bind-of-nobody", "3"),
];

/// Every exercise on one CPU.
fn sharing(context: &Context) -> Result<()> {
    on_cpus(context, 1)
}

/// The same on two, whose TLBs both know the mappings.
fn sharing_two_cpus(context: &Context) -> Result<()> {
    on_cpus(context, 2)
}

fn on_cpus(context: &Context, cpus: u32) -> Result<()> {
    let mut boot = context.debian();
    boot.smp = cpus;
    let mut vm = context.shell(&boot)?;
    let said = check(&mut vm, "sharing", COMMAND * 3)?;
    for (name, expected) in TOLD {
        let told = field(&said, name)?;
        ensure!(told == *expected, "{name} is {told}, expected {expected}");
    }
    check(&mut vm, "log", COMMAND)?;
    power_off(vm)
}

/// Every operation on grants in both versions, asked directly: what it does is what it should, and every answer is the one
/// that real Xen gives.
fn grant_operations(context: &Context) -> Result<()> {
    let mut vm = context.shell(&context.debian())?;
    let said = check(&mut vm, "grantops", COMMAND)?;
    for line in ANSWERS.lines() {
        let (name, expected) = line.split_once('=').context("a line without an answer")?;
        let told = field(&said, name)?;
        ensure!(told == expected, "{name} is {told}, expected {expected}");
    }
    power_off(vm)
}
