//! A disk image: the contents of an archive as an ext4 file system, made without rights and without mounting it.
//!
//! What it keeps true: as in an initrd, root owns all and every time is the same; it is made anew only where something in
//! it changed. Neighbours: [`crate::initrd`] holds what goes in, [`crate::guest`] packs the same as an initrd.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::guest;
use crate::initrd::{Archive, Kind};
use crate::packages::quietly;

/// Where e2fsprogs has its programs, which is not on everybody's path.
const MKE2FS: &str = "/sbin/mke2fs";
const DEBUGFS: &str = "/sbin/debugfs";

/// How the file system is made. Its name and seed are fixed, as whatever else would differ from one making to the next.
/// There is no journal: nobody goes on with an image that a machine was stopped on.
const OPTIONS: &[&str] = &[
    "-q",
    "-F",
    "-t",
    "ext4",
    "-b",
    "4096",
    "-i",
    "65536",
    "-m",
    "0",
    "-O",
    "^has_journal",
    "-U",
    "78656e6f-6372-4973-8000-000000000001",
    "-E",
    "hash_seed=78656e6f-6372-4973-8000-000000000002,root_owner=0:0,lazy_itable_init=0",
];

/// The second that the tools take the time for, as zero would be none.
const NOW: (&str, &str) = ("E2FSPROGS_FAKE_TIME", "1");

/// What is set to zero in every inode: who owns it, which is whoever made it otherwise, and its times.
const ZEROED: &[&str] = &["uid", "gid", "atime", "ctime", "mtime", "crtime"];

/// Leaves `archive` as the disk image `name` in `dir`, unless it is there already. It has `free_mib` MiB more than the
/// contents, which take no room on the host before something is written there.
///
/// # Errors
/// When e2fsprogs is not there or fails, or files cannot be written.
pub fn pack(dir: &Path, name: &str, archive: &Archive, free_mib: u64) -> Result<PathBuf> {
    let inputs = format!("{} {free_mib} {}", archive.digest(), OPTIONS.join(" "));
    guest::made_of(dir, name, &inputs, |file| {
        let scratch = dir.join(format!("{name}.new-{}", std::process::id()));
        fs::create_dir_all(&scratch)
            .with_context(|| format!("cannot make {}", scratch.display()))?;
        let made = make(archive, free_mib, &scratch).and_then(|image| {
            fs::rename(image, file)
                .with_context(|| format!("cannot put {} in place", file.display()))
        });
        let removed = fs::remove_dir_all(&scratch)
            .with_context(|| format!("cannot remove {}", scratch.display()));
        made.and(removed)
    })
}

/// Makes the image in an empty directory.
fn make(archive: &Archive, free_mib: u64, scratch: &Path) -> Result<PathBuf> {
    let (tree, image) = (scratch.join("tree"), scratch.join("image"));
    fs::create_dir(&tree)?;
    lay_out(archive, &tree)?;
    let size_mib = archive.bytes().div_ceil(1 << 20) + free_mib;
    let mut mke2fs = Command::new(MKE2FS);
    mke2fs.env(NOW.0, NOW.1).args(OPTIONS).arg("-d").arg(&tree);
    mke2fs.arg(&image).arg(format!("{size_mib}M"));
    quietly(mke2fs)?;
    own_by_root(archive, &image, &scratch.join("commands"))?;
    Ok(image)
}

/// Writes the archive's members below `dir`, which is empty.
fn lay_out(archive: &Archive, dir: &Path) -> Result<()> {
    for member in archive.members() {
        let to = dir.join(member.path);
        let written = match member.kind {
            Kind::Directory => fs::create_dir(&to),
            Kind::Symlink => symlink(OsStr::from_bytes(member.data), &to),
            Kind::Regular => fs::File::create_new(&to).and_then(|_| fs::write(&to, member.data)),
        };
        written.with_context(|| format!("cannot make {}", to.display()))?;
        if member.kind != Kind::Symlink {
            fs::set_permissions(&to, fs::Permissions::from_mode(member.permissions))?;
        }
    }
    Ok(())
}

/// Sets [`ZEROED`] to zero in every inode of the image; `commands` is a file that may be written.
fn own_by_root(archive: &Archive, image: &Path, commands: &Path) -> Result<()> {
    let mut script = String::new();
    for path in archive
        .members()
        .map(|member| member.path)
        .chain(["", "lost+found"])
    {
        ensure!(
            !path.contains(['"', '\n']),
            "{path:?} cannot be named to debugfs"
        );
        for field in ZEROED {
            script.push_str(&format!("set_inode_field \"/{path}\" {field} 0\n"));
        }
    }
    fs::write(commands, script)?;
    let output = Command::new(DEBUGFS)
        .env(NOW.0, NOW.1)
        .arg("-w")
        .arg("-f")
        .arg(commands)
        .arg(image)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {DEBUGFS}"))?;
    // It tells its version there, and succeeds whatever came of the commands.
    let said = String::from_utf8_lossy(&output.stderr);
    let complaint = said.lines().find(|line| !line.starts_with("debugfs "));
    ensure!(
        output.status.success() && complaint.is_none(),
        "{DEBUGFS} failed on {}: {said}",
        image.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with a member of each kind.
    fn archive(text: &str) -> Archive {
        let mut archive = Archive::default();
        archive.file("etc/rc", 0o755, text);
        archive.file("lib/big", 0o644, vec![7; 100_000]);
        archive.symlink("bin/sh", "busybox");
        archive.directory("run/lock");
        archive
    }

    /// An empty directory of this name for a test.
    fn scratch(name: &str) -> PathBuf {
        let dir =
            std::env::temp_dir().join(format!("xenocryst-disk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("made");
        dir
    }

    /// What debugfs answers to a request about the image.
    fn asked(image: &Path, request: &str) -> String {
        let output = Command::new(DEBUGFS)
            .arg("-R")
            .arg(request)
            .arg(image)
            .output()
            .expect("e2fsprogs is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn the_image_holds_what_the_archive_holds_owned_by_root() {
        let dir = scratch("holds");
        let image = pack(&dir, "image", &archive("#!/bin/sh\n"), 4).expect("made");
        assert_eq!(asked(&image, "cat /etc/rc"), "#!/bin/sh\n");
        assert_eq!(asked(&image, "cat /lib/big").into_bytes(), [7; 100_000]);
        assert!(asked(&image, "stat /bin/sh").contains("Fast link dest: \"busybox\""));
        assert!(asked(&image, "stat /run/lock").contains("Type: directory    Mode:  0755"));
        let file = asked(&image, "stat /etc/rc");
        assert!(file.contains("Type: regular    Mode:  0755"), "{file}");
        assert!(file.contains("User:     0   Group:     0"), "{file}");
        assert!(file.contains("mtime: 0x00000000"), "{file}");
        // Nothing is left beside the image but what tells whether to make it again.
        let mut left: Vec<_> = fs::read_dir(&dir)
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["image", "image.inputs"]);
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn the_image_is_sound() {
        let dir = scratch("sound");
        let image = pack(&dir, "image", &archive("text"), 4).expect("made");
        let checked = Command::new("/sbin/e2fsck")
            .arg("-fn")
            .arg(&image)
            .output()
            .expect("e2fsprogs is installed");
        assert!(checked.status.success(), "{checked:?}");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn the_image_is_made_again_only_where_something_in_it_changed() {
        let dir = scratch("again");
        let image = pack(&dir, "image", &archive("one"), 4).expect("made");
        let first = fs::read(&image).expect("readable");
        fs::write(&image, "as it was").expect("written");
        pack(&dir, "image", &archive("one"), 4).expect("made");
        assert_eq!(fs::read(&image).expect("readable"), b"as it was");
        pack(&dir, "image", &archive("two"), 4).expect("made");
        assert_eq!(asked(&image, "cat /etc/rc"), "two");
        // The same contents are the same image, whenever it is made.
        pack(&dir, "image", &archive("one"), 4).expect("made");
        assert!(
            fs::read(&image).expect("readable") == first,
            "the images differ"
        );
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn a_member_that_comes_twice_is_refused() {
        let dir = scratch("twice");
        let mut archive = archive("one");
        archive.file("etc/rc", 0o644, "other");
        assert!(pack(&dir, "image", &archive, 4).is_err());
        fs::remove_dir_all(dir).expect("removed");
    }
}
