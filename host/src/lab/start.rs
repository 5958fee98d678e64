//! What the lab's dom0 starts from: an initrd that is its whole root, or a disk that its root is on and a small initrd
//! that goes there.
//!
//! What it keeps true: both have the same contents, and neither keeps anything of a run: what is written to the disk goes
//! to a temporary file that ends with the machine. A script comes with the initrd, whichever that is.
//!
//! Neighbours: [`super::root`] says what is in the root, [`crate::initrd`] and [`crate::disk`] pack it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use clap::ValueEnum;

use super::root;
use crate::debian::{DebianKernel, write_whole};
use crate::disk;
use crate::guest::{self, add_modules, read};
use crate::initrd::Archive;
use crate::modules;
use crate::workspace::Workspace;

/// Room on dom0's disk besides its root, MiB.
const FREE_MIB: u64 = 512;

/// Where dom0 has its root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Root {
    /// In its memory: the initrd holds all of it
    #[default]
    Initrd,
    /// On a virtio disk, which leaves it with more memory; it is the same again at the next start
    Disk,
}

/// What dom0 starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its initrd.
    initrd: PathBuf,
    /// The image of the disk with its root.
    disk: Option<PathBuf>,
}

impl Start {
    /// What a dom0 with its root there starts from, packed anew where something in it changed.
    ///
    /// # Errors
    /// When an input cannot be had, or the result not be written.
    pub fn new(workspace: &Workspace, kernel: &DebianKernel, root: Root) -> Result<Self> {
        // Tests run side by side, and the first one makes it for all.
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = root::dom0(workspace, kernel)?;
        let dir = workspace.lab();
        match root {
            Root::Initrd => {
                let initrd = dir.join("dom0.cpio");
                write_if_changed(&initrd, &contents.plain()?)?;
                Ok(Self { initrd, disk: None })
            }
            Root::Disk => {
                let initrd = dir.join("dom0-disk.cpio");
                write_if_changed(&initrd, &to_the_disk(workspace, kernel)?.plain()?)?;
                let disk = disk::pack(&dir, "dom0.ext4", &contents, FREE_MIB)?;
                Ok(Self {
                    initrd,
                    disk: Some(disk),
                })
            }
        }
    }

    /// The initrd.
    #[must_use]
    pub fn initrd(&self) -> &Path {
        &self.initrd
    }

    /// The kernel's command line.
    #[must_use]
    pub fn kernel_args(&self) -> &'static str {
        match self.disk {
            None => "console=hvc0",
            Some(_) => "console=hvc0 root=/dev/vda",
        }
    }

    /// The arguments to QEMU for the disk.
    #[must_use]
    pub fn devices(&self) -> Vec<String> {
        let Some(disk) = &self.disk else {
            return Vec::new();
        };
        // QEMU takes a comma in a value that is written twice.
        let file = disk.to_string_lossy().replace(',', ",,");
        vec![
            "-drive".to_owned(),
            format!("file={file},format=raw,if=none,id=root,snapshot=on"),
            "-device".to_owned(),
            "virtio-blk-pci,drive=root".to_owned(),
        ]
    }

    /// The same with a script to run instead of a shell, and variables set for it, each `NAME=VALUE`; the initrd with these
    /// is left in `to`.
    ///
    /// # Errors
    /// When the script cannot be read or the file not be written.
    pub fn with_script(self, script: &Path, settings: &[String], to: PathBuf) -> Result<Self> {
        let mut archive = Archive::default();
        archive.file("lab/script", 0o644, read(script)?);
        archive.file("lab/settings", 0o644, settings.join("\n") + "\n");
        let mut bytes = read(&self.initrd)?;
        // The kernel takes a further archive where one ends, at a multiple of four bytes.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(archive.plain()?);
        write_whole(&to, &bytes)?;
        Ok(Self { initrd: to, ..self })
    }
}

/// The small initrd of a dom0 that has its root on a disk.
fn to_the_disk(workspace: &Workspace, kernel: &DebianKernel) -> Result<Archive> {
    let mut archive = guest::base()?;
    let init = workspace.lab_sources().join("dom0").join("init-disk");
    archive.file("init", 0o755, read(&init)?);
    add_modules(&mut archive, kernel, &modules::DISK)?;
    Ok(archive)
}

/// Writes a file unless it has these contents.
fn write_if_changed(file: &Path, contents: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|has| has == contents) {
        return Ok(());
    }
    write_whole(file, contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(disk: Option<&str>) -> Start {
        Start {
            initrd: "initrd.cpio".into(),
            disk: disk.map(PathBuf::from),
        }
    }

    #[test]
    fn what_is_written_to_the_disk_is_not_kept() {
        let devices = on(Some("a,b.ext4")).devices();
        assert_eq!(
            devices[1],
            "file=a,,b.ext4,format=raw,if=none,id=root,snapshot=on"
        );
        assert_eq!(devices[3], "virtio-blk-pci,drive=root");
        assert!(on(None).devices().is_empty());
    }

    #[test]
    fn the_kernel_is_told_where_the_root_is_only_if_it_is_on_a_disk() {
        assert_eq!(on(None).kernel_args(), "console=hvc0");
        assert!(on(Some("dom0.ext4")).kernel_args().contains("root="));
    }

    #[test]
    fn a_script_comes_with_the_initrd_wherever_the_root_is() {
        let dir = std::env::temp_dir().join(format!("xenocryst-start-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("made");
        let [initrd, script, to] =
            ["initrd.cpio", "script.sh", "to.cpio"].map(|name| dir.join(name));
        fs::write(&initrd, "no multiple of four").expect("written");
        fs::write(&script, "step list xl list\n").expect("written");
        let start = Start {
            initrd,
            disk: Some("dom0.ext4".into()),
        };
        let start = start
            .with_script(&script, &["kills=5".to_owned()], to.clone())
            .expect("packed");
        assert_eq!(start.initrd(), to);
        assert!(!start.devices().is_empty());
        let bytes = fs::read(&to).expect("readable");
        // The kernel looks for a further archive at multiples of four bytes.
        assert_eq!(&bytes[..26], b"no multiple of four\x00070701");
        let text = String::from_utf8_lossy(&bytes);
        for part in [
            "lab/script\0",
            "step list xl list\n",
            "lab/settings\0",
            "kills=5\n",
        ] {
            assert!(text.contains(part), "no {part:?}");
        }
        fs::remove_dir_all(dir).expect("removed");
    }
}
