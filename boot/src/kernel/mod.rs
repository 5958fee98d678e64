//! From a kernel file to an ELF image: bzImage, compressed ELF, plain ELF.
//!
//! Keeps true: nothing is unpacked before its size is known and allowed, and unpacking writes into a buffer of just that size,
//! so that no file can take more memory than it was given. Neighbours: [`unpack`] for the compressions, [`crate::elf`] for what comes out.

pub mod unpack;

pub use unpack::Compression;

use crate::elf::Elf;
use crate::notes::PvKernel;
use crate::phys::{u8_at, u16_at, u32_at};
use crate::refusal::Refusal;

/// What an ELF file begins with.
pub const ELF_MAGIC: &[u8; 4] = b"\x7fELF";

/// A kernel file whose ELF image has been found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KernelFile<'a> {
    /// The image as it is.
    Plain(&'a [u8]),
    /// A compressed image.
    Packed(Packed<'a>),
}

/// A compressed image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packed<'a> {
    /// How.
    pub compression: Compression,
    /// The compressed data, without the size that follows it.
    pub data: &'a [u8],
    /// Bytes of the unpacked image.
    pub unpacked: usize,
}

impl<'a> KernelFile<'a> {
    /// Finds the ELF image in `file`; unpacked it may have at most `limit` bytes.
    ///
    /// # Errors
    /// [`Refusal`] when the file is of no known kind, is truncated, or is too large.
    pub fn find(file: &'a [u8], limit: u64) -> Result<Self, Refusal<'a>> {
        let payload = match bzimage_payload(file)? {
            Some(payload) => payload,
            None => file,
        };
        if payload.starts_with(ELF_MAGIC) {
            return Ok(Self::Plain(payload));
        }
        let Some(compression) = Compression::of(payload) else {
            // Outside a bzImage there is nothing to say that this was meant to be a kernel at all.
            return Err(match (payload.len() == file.len(), payload.first_chunk()) {
                (false, Some(&magic)) => Refusal::UnknownCompression { magic },
                _ => Refusal::UnknownFormat,
            });
        };
        let unpacked = payload
            .len()
            .checked_sub(4)
            .and_then(|at| u32_at(payload, at))
            .ok_or(Refusal::Truncated {
                what: "its size when unpacked",
            })?;
        if u64::from(unpacked) > limit {
            return Err(Refusal::TooLarge {
                bytes: unpacked.into(),
                limit,
            });
        }
        // Linux's build appends the size to every payload but gzip's, whose last four bytes are the size anyway.
        let data = match compression {
            Compression::Gzip => payload,
            _ => payload.get(..payload.len() - 4).unwrap_or(&[]),
        };
        Ok(Self::Packed(Packed {
            compression,
            data,
            unpacked: unpacked as usize,
        }))
    }
}

/// Checks that the ELF image `image` can be started as the control domain.
///
/// # Errors
/// [`Refusal`] with what is in the way.
pub fn pv_kernel(image: &[u8]) -> Result<PvKernel<'_>, Refusal<'_>> {
    PvKernel::check(Elf::parse(image)?)
}

impl Packed<'_> {
    /// Unpacks into `out`, which must have just [`Packed::unpacked`] bytes.
    ///
    /// # Errors
    /// [`Refusal`] when the data is damaged or does not unpack to just that size; `out` then holds anything.
    pub fn unpack(&self, out: &mut [u8]) -> Result<(), Refusal<'static>> {
        unpack::unpack(self.compression, self.data, out)
    }
}

/// The payload of a bzImage; `None` when the file is not a bzImage.
fn bzimage_payload(file: &[u8]) -> Result<Option<&[u8]>, Refusal<'_>> {
    const SETUP_SECTORS: usize = 0x1f1;
    const BOOT_FLAG: usize = 0x1fe;
    const MAGIC: usize = 0x202;
    const VERSION: usize = 0x206;
    const PAYLOAD_OFFSET: usize = 0x248;
    const PAYLOAD_LENGTH: usize = 0x24c;
    if file.get(MAGIC..MAGIC + 4) != Some(b"HdrS") || u16_at(file, BOOT_FLAG) != Some(0xaa55) {
        return Ok(None);
    }
    let header = Refusal::Truncated {
        what: "part of the setup header",
    };
    let version = u16_at(file, VERSION).ok_or(header)?;
    if version < 0x208 {
        return Err(Refusal::OldBootProtocol { version });
    }
    // An image that says 0 sectors has 4: as old as the format itself.
    let sectors = match u8_at(file, SETUP_SECTORS).ok_or(header)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let offset = u32_at(file, PAYLOAD_OFFSET).ok_or(header)? as usize;
    let length = u32_at(file, PAYLOAD_LENGTH).ok_or(header)? as usize;
    let payload = Refusal::Truncated {
        what: "part of the compressed kernel",
    };
    let start = ((sectors + 1) * 512).checked_add(offset).ok_or(payload)?;
    let end = start.checked_add(length).ok_or(payload)?;
    file.get(start..end).ok_or(payload).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 1024];
        file[0x1f1] = 1;
        file[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        file[0x202..0x206].copy_from_slice(b"HdrS");
        file[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
        file[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        file.extend([0xcc; 16]);
        file.extend(payload);
        file.extend(b"signature after the payload");
        file
    }

    #[test]
    fn the_payload_of_a_bzimage_is_found() {
        let file = bzimage(b"\x7fELF and so on");
        assert_eq!(
            KernelFile::find(&file, 1 << 20),
            Ok(KernelFile::Plain(b"\x7fELF and so on"))
        );
        let file = bzimage(b"\xfd7zXZ\0 data\x00\x10\0\0");
        let Ok(KernelFile::Packed(packed)) = KernelFile::find(&file, 1 << 20) else {
            panic!()
        };
        assert_eq!(
            packed,
            Packed {
                compression: Compression::Xz,
                data: b"\xfd7zXZ\0 data",
                unpacked: 4096
            }
        );
    }

    #[test]
    fn a_plain_elf_file_is_taken_as_it_is() {
        assert_eq!(
            KernelFile::find(b"\x7fELFrest", 0),
            Ok(KernelFile::Plain(b"\x7fELFrest"))
        );
    }

    #[test]
    fn old_truncated_and_foreign_files_are_refused() {
        let mut old = bzimage(b"\x7fELF");
        old[0x206] = 7;
        assert_eq!(
            KernelFile::find(&old, 1 << 20),
            Err(Refusal::OldBootProtocol { version: 0x207 })
        );
        let file = bzimage(&[0x7f; 100]);
        assert_eq!(
            KernelFile::find(&file[..1100], 1 << 20),
            Err(Refusal::Truncated {
                what: "part of the compressed kernel"
            })
        );
        assert_eq!(
            KernelFile::find(&file[..0x240], 1 << 20),
            Err(Refusal::Truncated {
                what: "part of the setup header"
            })
        );
        assert_eq!(
            KernelFile::find(&bzimage(b"none at all"), 1 << 20),
            Err(Refusal::UnknownCompression { magic: *b"none" })
        );
        assert_eq!(
            KernelFile::find(b"#!/bin/sh", 1 << 20),
            Err(Refusal::UnknownFormat)
        );
        assert_eq!(KernelFile::find(b"", 1 << 20), Err(Refusal::UnknownFormat));
    }

    #[test]
    fn a_payload_larger_than_allowed_is_refused_before_it_is_unpacked() {
        let file = bzimage(b"\xfd7zXZ\0 data\xff\xff\xff\xff");
        assert_eq!(
            KernelFile::find(&file, 1 << 30),
            Err(Refusal::TooLarge {
                bytes: 0xffff_ffff,
                limit: 1 << 30
            })
        );
    }

    #[test]
    fn lying_offsets_do_not_wrap() {
        for value in [u32::MAX, u32::MAX - 15, 0x8000_0000] {
            let mut file = bzimage(b"\x7fELF");
            file[0x248..0x24c].copy_from_slice(&value.to_le_bytes());
            assert!(KernelFile::find(&file, 1 << 20).is_err());
            let mut file = bzimage(b"\x7fELF");
            file[0x24c..0x250].copy_from_slice(&value.to_le_bytes());
            assert!(KernelFile::find(&file, 1 << 20).is_err());
        }
    }
}
