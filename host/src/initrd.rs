//! Packing an initrd: a cpio archive in the form the kernel takes ("newc"), compressed or not.
//!
//! What it keeps true: the same contents give the same bytes (fixed times, numbers in order of addition, root owns
//! all), so that figures measured with an initrd can be compared between runs.
//!
//! Neighbours: [`crate::guest`] fills archives; [`crate::disk`] makes a disk image of one.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;

use anyhow::{Context, Result};
use cpio::newc::{Builder, trailer};
use flate2::Compression;
use flate2::write::GzEncoder;

/// What a member is; the value is the file type bits in a cpio header's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// A directory.
    Directory = 0o040_000,
    /// A regular file.
    Regular = 0o100_000,
    /// A symbolic link.
    Symlink = 0o120_000,
}

/// An archive being filled. Missing parent directories are added on the way.
#[derive(Default)]
pub struct Archive {
    entries: Vec<Entry>,
    directories: BTreeSet<String>,
}

/// One member.
struct Entry {
    path: String,
    kind: Kind,
    permissions: u32,
    data: Vec<u8>,
}

/// A member as a reader of the archive sees it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its path, without a leading slash.
    pub path: &'a str,
    /// What it is.
    pub kind: Kind,
    /// Its permission bits.
    pub permissions: u32,
    /// A file's contents, or a link's target.
    pub data: &'a [u8],
}

impl Archive {
    /// Adds a directory.
    pub fn directory(&mut self, path: &str) {
        self.parents(path);
        if self.directories.insert(path.to_owned()) {
            self.entries.push(Entry {
                path: path.to_owned(),
                kind: Kind::Directory,
                permissions: 0o755,
                data: Vec::new(),
            });
        }
    }

    /// Adds a regular file with the permission bits `mode`.
    pub fn file(&mut self, path: &str, mode: u32, data: impl Into<Vec<u8>>) {
        self.parents(path);
        self.entries.push(Entry {
            path: path.to_owned(),
            kind: Kind::Regular,
            permissions: mode,
            data: data.into(),
        });
    }

    /// Adds a symbolic link to `to`.
    pub fn symlink(&mut self, path: &str, to: &str) {
        self.parents(path);
        self.entries.push(Entry {
            path: path.to_owned(),
            kind: Kind::Symlink,
            permissions: 0o777,
            data: to.into(),
        });
    }

    /// The members in order of addition, each directory before what is in it.
    pub fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.entries.iter().map(|entry| Member {
            path: &entry.path,
            kind: entry.kind,
            permissions: entry.permissions,
            data: &entry.data,
        })
    }

    /// How many bytes all contents have together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries
            .iter()
            .map(|entry| entry.data.len() as u64)
            .sum()
    }

    /// The archive, compressed.
    ///
    /// # Errors
    /// When a file is over 4 GiB, which the format cannot say.
    pub fn compressed(&self) -> Result<Vec<u8>> {
        let mut out = GzEncoder::new(Vec::new(), Compression::default());
        self.write(&mut out)?;
        Ok(out.finish()?)
    }

    /// The archive as it is: larger, but a machine in software need not decompress it.
    ///
    /// # Errors
    /// As [`Self::compressed`].
    pub fn plain(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.write(&mut out)?;
        Ok(out)
    }

    /// Writes all members and the end's mark.
    fn write(&self, mut out: &mut impl Write) -> Result<()> {
        for (number, entry) in (1_u32..).zip(&self.entries) {
            let size = u32::try_from(entry.data.len())
                .with_context(|| format!("{} is too large", entry.path))?;
            let header = Builder::new(&entry.path)
                .ino(number)
                .mode(entry.kind as u32 | entry.permissions)
                .nlink(1)
                .mtime(0);
            let mut member = header.write(&mut out, size);
            member.write_all(&entry.data)?;
            member.finish()?;
        }
        trailer(&mut out)?;
        Ok(())
    }

    /// A short value that differs where the contents differ, for telling whether to pack anew.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = DefaultHasher::new();
        for entry in &self.entries {
            (&entry.path, entry.kind, entry.permissions, &entry.data).hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }

    /// Adds the directories above `path`.
    fn parents(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn unpacked(archive: &Archive) -> Vec<u8> {
        let mut plain = Vec::new();
        let packed = archive.compressed().expect("packs");
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_end(&mut plain)
            .expect("is gzip");
        plain
    }

    #[test]
    fn parents_come_before_what_is_in_them() {
        let mut archive = Archive::default();
        archive.file("a/b/c", 0o644, "text");
        archive.file("a/b/d", 0o755, "more");
        let mut plain = unpacked(&archive).to_vec();
        let mut names = Vec::new();
        while let Ok(mut reader) = cpio::newc::Reader::new(plain.as_slice()) {
            if reader.entry().is_trailer() {
                break;
            }
            names.push(reader.entry().name().to_owned());
            let mut data = Vec::new();
            reader.read_to_end(&mut data).expect("readable");
            plain = reader.finish().expect("finishes").to_vec();
        }
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d"]);
    }

    #[test]
    fn the_same_contents_give_the_same_bytes() {
        let make = || {
            let mut archive = Archive::default();
            archive.symlink("init", "bin/busybox");
            archive.file("etc/rc", 0o755, "#!/bin/sh\n");
            archive.compressed().expect("packs")
        };
        assert_eq!(make(), make());
    }
}
