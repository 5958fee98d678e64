//! Disks and network cards in dom0: PCI, interrupts and DMA.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{BootTest, COMMAND, Context, check, field, power_off, write};

/// The tests of this file.
pub const TESTS: &[BootTest] = &[
    BootTest {
        name: "devices-virtio",
        run: virtio,
    },
    BootTest {
        name: "devices-emulated",
        run: emulated,
    },
];

/// Size of the test's disk.
const DISK_BYTES: usize = 16 << 20;
/// Size of the file that is fetched over the network.
const FILE_BYTES: usize = 1 << 20;
/// What the guest writes repeatedly.
const WRITTEN: &[u8] = b"written by the guest\n";
/// Where the guest writes.
const WRITTEN_AT: usize = DISK_BYTES / 2;

/// Paravirtual devices, which signal by MSI-X.
pub(super) fn virtio(context: &Context) -> Result<()> {
    works(
        context,
        "virtio-blk-pci,drive=disk",
        "virtio-net-pci,netdev=net",
        "vda",
    )
}

/// A disk on an AHCI controller, which signals by MSI, and a network card with a line interrupt.
fn emulated(context: &Context) -> Result<()> {
    works(
        context,
        "ide-hd,drive=disk,bus=ahci.0",
        "e1000,netdev=net",
        "sda",
    )
}

/// Boots with the two devices, and has the guest read and write the one and talk through the other.
fn works(context: &Context, disk: &str, card: &str, name: &str) -> Result<()> {
    let scratch = context.scratch()?;
    let [image, served] = ["disk.img", "served"].map(|name| scratch.join(name));
    fs::create_dir_all(&served)?;
    write(&image, &noise(DISK_BYTES, 1))?;
    write(&served.join("data"), &noise(FILE_BYTES, 2))?;
    let disk_digest = sha256(&image)?;
    let mut boot = context.debian();
    let drive = format!("file={},format=raw,if=none,id=disk", image.display());
    let net = format!("user,id=net,restrict=on,tftp={}", served.display());
    let arguments = [
        "-drive",
        &drive,
        "-device",
        "ahci,id=ahci",
        "-device",
        disk,
        "-netdev",
        &net,
        "-device",
        card,
    ];
    boot.devices.extend(arguments.map(str::to_owned));
    let mut vm = context.shell(&boot)?;
    let said = check(&mut vm, &format!("disk {name}"), COMMAND * 2)?;
    ensure!(
        field(&said, "sha256")? == disk_digest,
        "the guest read something else from the disk: {said}"
    );
    let said = check(&mut vm, "network", COMMAND * 2)?;
    ensure!(
        field(&said, "sha256")? == sha256(&served.join("data"))?,
        "the guest fetched something else: {said}"
    );
    check(&mut vm, "log", COMMAND)?;
    power_off(vm)?;
    let written: Vec<u8> = WRITTEN.iter().copied().cycle().take(1 << 20).collect();
    let disk = fs::read(&image)?;
    let found = disk.get(WRITTEN_AT..WRITTEN_AT + written.len());
    ensure!(
        found == Some(written.as_slice()),
        "what the guest wrote is not on the disk"
    );
    Ok(())
}

/// Bytes that differ everywhere and are the same in every run.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        // Knuth's linear congruence; its high bits are good enough here.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The file's SHA-256, in hexadecimal.
fn sha256(file: &Path) -> Result<String> {
    let output = Command::new("sha256sum")
        .arg(file)
        .output()
        .context("cannot run sha256sum")?;
    let digest = String::from_utf8_lossy(&output.stdout)
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned();
    ensure!(digest.len() == 64, "no digest of {}", file.display());
    Ok(digest)
}
