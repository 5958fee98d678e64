//! The compressions that kernels are built with, each from a byte slice into a byte slice of the size the kernel says.
//!
//! Keeps true: the output is filled exactly or the payload is refused; the only memory taken besides is small and fixed.
//! LZMA, xz, zstd and bzip2 are written here rather than taken from a crate: every crate that needs no operating system decodes
//! into a window of its own (32 MiB for Debian's kernel, 128 MiB for one packed with zstd) and copies out of it, where here
//! the output is the window. Neighbours: [`super`], which finds the payload.

mod bzip2;
mod gzip;
mod lz4;
mod lzma;
mod lzo;
mod xz;
mod zstd;

use crate::refusal::Refusal;

/// How a payload is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// gzip (RFC 1952).
    Gzip,
    /// bzip2.
    Bzip2,
    /// LZMA, the form with a 13-byte header.
    Lzma,
    /// xz.
    Xz,
    /// LZO, in lzop's container.
    Lzo,
    /// LZ4, in its legacy container.
    Lz4,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compression {
    /// What a payload that begins so is compressed with.
    pub fn of(payload: &[u8]) -> Option<Self> {
        const MAGICS: [(&[u8], Compression); 7] = [
            (b"\x1f\x8b", Compression::Gzip),
            (b"BZh", Compression::Bzip2),
            // LZMA has no magic number: these are the usual properties and the low bytes of a dictionary size.
            (b"\x5d\x00\x00", Compression::Lzma),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\x89LZO\0\r\n\x1a\n", Compression::Lzo),
            (b"\x02\x21\x4c\x18", Compression::Lz4),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
        ];
        MAGICS
            .into_iter()
            .find(|(magic, _)| payload.starts_with(magic))
            .map(|(_, compression)| compression)
    }

    /// Its usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lzo => "lzo",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Why a payload could not be unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// It contradicts itself, or does not have the size it should have.
    Damaged,
    /// It uses something that is not supported here.
    Unsupported(&'static str),
}

/// Unpacks `data` into `out`, filling it exactly.
pub(crate) fn unpack(
    compression: Compression,
    data: &[u8],
    out: &mut [u8],
) -> Result<(), Refusal<'static>> {
    let unpacked = match compression {
        Compression::Gzip => gzip::unpack(data, out),
        Compression::Bzip2 => bzip2::unpack(data, out),
        Compression::Lzma => lzma::unpack(data, out),
        Compression::Xz => xz::unpack(data, out),
        Compression::Lzo => lzo::unpack(data, out),
        Compression::Lz4 => lz4::unpack(data, out),
        Compression::Zstd => zstd::unpack(data, out),
    };
    unpacked.map_err(|failure| match failure {
        Failure::Damaged => Refusal::Damaged {
            compression: compression.name(),
        },
        Failure::Unsupported(what) => Refusal::UnsupportedPayload { what },
    })
}

/// Repeats `len` bytes of `out` from `back` (at least 1) before `at`; returns where they end. A match may run into what it writes.
#[inline(always)]
fn repeat(out: &mut [u8], at: usize, back: usize, len: usize) -> Result<usize, Failure> {
    let start = at.checked_sub(back).ok_or(Failure::Damaged)?;
    let room = out.get_mut(start..at + len).ok_or(Failure::Damaged)?;
    // What is repeated is always the `back` bytes before: as often as it takes.
    let (before, after) = room.split_at_mut(back);
    if let [byte] = *before {
        after.fill(byte);
    } else {
        for piece in after.chunks_mut(back) {
            piece.copy_from_slice(before.get(..piece.len()).ok_or(Failure::Damaged)?);
        }
    }
    Ok(at + len)
}

#[cfg(test)]
mod tests;
