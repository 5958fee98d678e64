//! Zstandard (RFC 8878): frames of blocks, each of literals and of sequences that place them and repeat what came before.
//!
//! Keeps true: the output is the window, so the window's size, which for kernels is 128 MiB, costs nothing; one block's literals
//! (at most 128 KiB) are all that is held besides. Dictionaries are not supported. Neighbours: [`fse`] and [`huffman`] for the
//! entropy codes, [`sequences`] for the second half of a block.

mod bits;
mod fse;
mod huffman;
mod sequences;
mod xxh64;

use super::Failure;
use crate::phys::{array_at, u8_at, u32_at};
use alloc::vec;
use alloc::vec::Vec;
use huffman::Huffman;
use sequences::Sequences;

const MAGIC: u32 = 0xfd2f_b528;
/// Frames to be passed over begin with this and fifteen more.
const SKIPPABLE: u32 = 0x184d_2a50;
/// Largest block, unpacked or not.
const BLOCK: usize = 128 << 10;

pub(super) fn unpack(data: &[u8], out: &mut [u8]) -> Result<(), Failure> {
    let (mut at, mut done) = (0, 0);
    while at < data.len() {
        let frame = data.get(at..).ok_or(Failure::Damaged)?;
        let magic = u32_at(frame, 0).ok_or(Failure::Damaged)?;
        at += if magic == MAGIC {
            let (read, written) =
                unpack_frame(frame, out.get_mut(done..).ok_or(Failure::Damaged)?)?;
            done += written;
            read
        } else if magic & !0xf == SKIPPABLE {
            8 + u32_at(frame, 4).ok_or(Failure::Damaged)? as usize
        } else {
            return Err(Failure::Damaged);
        };
    }
    if done == out.len() {
        Ok(())
    } else {
        Err(Failure::Damaged)
    }
}

/// What matters of a frame's header.
struct Header {
    bytes: usize,
    has_checksum: bool,
}

impl Header {
    fn read(frame: &[u8]) -> Result<Self, Failure> {
        let descriptor = u8_at(frame, 4).ok_or(Failure::Damaged)?;
        let single_segment = descriptor & 1 << 5 != 0;
        if descriptor & 1 << 3 != 0 {
            return Err(Failure::Unsupported(
                "zstd data with an unknown frame header",
            ));
        }
        if descriptor & 3 != 0 {
            return Err(Failure::Unsupported("zstd data with a dictionary"));
        }
        // The window's size, unless the whole frame is one; then the frame's size, which the kernel says too.
        let window = usize::from(!single_segment);
        let size = [usize::from(single_segment), 2, 4, 8][usize::from(descriptor >> 6)];
        Ok(Self {
            bytes: 5 + window + size,
            has_checksum: descriptor & 1 << 2 != 0,
        })
    }
}

/// Unpacks one frame; returns how many bytes were read and written.
fn unpack_frame(frame: &[u8], out: &mut [u8]) -> Result<(usize, usize), Failure> {
    let header = Header::read(frame)?;
    let (mut at, mut done) = (header.bytes, 0);
    let mut state = State {
        huffman: None,
        sequences: Sequences::new(),
        literals: vec![0; BLOCK],
    };
    loop {
        let [low, middle, high] = array_at(frame, at).ok_or(Failure::Damaged)?;
        let block = u32::from_le_bytes([low, middle, high, 0]);
        at += 3;
        let (is_last, kind, size) = (block & 1 == 1, block >> 1 & 3, (block >> 3) as usize);
        if size > BLOCK {
            return Err(Failure::Damaged);
        }
        let packed = if kind == 1 { 1 } else { size };
        let bytes = frame.get(at..at + packed).ok_or(Failure::Damaged)?;
        at += packed;
        done = match kind {
            0 => fill(out, done, size, |room| room.copy_from_slice(bytes))?,
            1 => fill(out, done, size, |room| room.fill(bytes[0]))?,
            2 => state.unpack_block(bytes, out, done)?,
            _ => return Err(Failure::Damaged),
        };
        if is_last {
            break;
        }
    }
    if header.has_checksum {
        let sum = u32_at(frame, at).ok_or(Failure::Damaged)?;
        if sum != xxh64::hash(out.get(..done).unwrap_or(&[])) as u32 {
            return Err(Failure::Damaged);
        }
        at += 4;
    }
    Ok((at, done))
}

/// Has `with` fill the `len` bytes at `at`; returns where they end.
fn fill(
    out: &mut [u8],
    at: usize,
    len: usize,
    with: impl FnOnce(&mut [u8]),
) -> Result<usize, Failure> {
    with(out.get_mut(at..at + len).ok_or(Failure::Damaged)?);
    Ok(at + len)
}

/// What one block leaves to the next.
struct State {
    huffman: Option<Huffman>,
    sequences: Sequences,
    literals: Vec<u8>,
}

impl State {
    /// Unpacks a compressed block at `at`; returns where what it unpacks to ends.
    fn unpack_block(&mut self, block: &[u8], out: &mut [u8], at: usize) -> Result<usize, Failure> {
        let (read, literals) = self.read_literals(block)?;
        let rest = block.get(read..).ok_or(Failure::Damaged)?;
        let literals = self.literals.get(..literals).ok_or(Failure::Damaged)?;
        self.sequences.unpack(rest, literals, out, at)
    }

    /// Reads the block's literals into the buffer; returns how long their section is, and how many they are.
    fn read_literals(&mut self, block: &[u8]) -> Result<(usize, usize), Failure> {
        let first = u8_at(block, 0).ok_or(Failure::Damaged)?;
        let (kind, format) = (first & 3, first >> 2 & 3);
        let mut header = [0; 8];
        for (slot, byte) in header.iter_mut().zip(block.iter().take(5)) {
            *slot = *byte;
        }
        let header = u64::from_le_bytes(header);
        if kind < 2 {
            let (bytes, shift, width) =
                [(1, 3, 5), (2, 4, 12), (1, 3, 5), (3, 4, 20)][usize::from(format)];
            let len = (header >> shift) as usize & ((1 << width) - 1);
            let room = self.literals.get_mut(..len).ok_or(Failure::Damaged)?;
            if kind == 1 {
                room.fill(u8_at(block, bytes).ok_or(Failure::Damaged)?);
                return Ok((bytes + 1, len));
            }
            room.copy_from_slice(block.get(bytes..bytes + len).ok_or(Failure::Damaged)?);
            return Ok((bytes + len, len));
        }
        let (bytes, width) = [(3, 10), (3, 10), (4, 14), (5, 18)][usize::from(format)];
        let len = (header >> 4) as usize & ((1 << width) - 1);
        let packed = (header >> (4 + width)) as usize & ((1 << width) - 1);
        let mut section = block.get(bytes..bytes + packed).ok_or(Failure::Damaged)?;
        if kind == 2 {
            let (huffman, read) = Huffman::read(section)?;
            self.huffman = Some(huffman);
            section = section.get(read..).ok_or(Failure::Damaged)?;
        }
        let huffman = self.huffman.as_ref().ok_or(Failure::Damaged)?;
        let room = self.literals.get_mut(..len).ok_or(Failure::Damaged)?;
        if format == 0 {
            huffman.unpack(section, room)?;
        } else {
            huffman.unpack_four(section, room)?;
        }
        Ok((bytes + packed, len))
    }
}
