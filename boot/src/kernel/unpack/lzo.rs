//! LZO1X in lzop's container: the container here, the blocks from `lzokay` (safe, needs no heap, writes into a slice).
//!
//! Checksums are passed over: a damaged block shows itself by its size.

use super::Failure;
use crate::phys::{array_at, u8_at};

const ADLER32_OUT: u32 = 1 << 0;
const ADLER32_IN: u32 = 1 << 1;
const EXTRA: u32 = 1 << 6;
const CRC32_OUT: u32 = 1 << 8;
const CRC32_IN: u32 = 1 << 9;
const FILTER: u32 = 1 << 11;

pub(super) fn unpack(data: &[u8], out: &mut [u8]) -> Result<(), Failure> {
    let (mut at, flags) = header(data)?;
    let sums = |which: u32| 4 * (flags & which).count_ones() as usize;
    let mut done = 0usize;
    loop {
        let unpacked = be32(data, at)?;
        if unpacked == 0 {
            break;
        }
        let packed = be32(data, at + 4)?;
        at += 8 + sums(ADLER32_OUT | CRC32_OUT);
        if packed < unpacked {
            at += sums(ADLER32_IN | CRC32_IN);
        }
        let end = at.checked_add(packed).ok_or(Failure::Damaged)?;
        let block = data.get(at..end).ok_or(Failure::Damaged)?;
        let room_end = done.checked_add(unpacked).ok_or(Failure::Damaged)?;
        let room = out.get_mut(done..room_end).ok_or(Failure::Damaged)?;
        if packed == unpacked {
            room.copy_from_slice(block);
        } else if lzokay::decompress::decompress(block, room) != Ok(unpacked) {
            return Err(Failure::Damaged);
        }
        (done, at) = (room_end, end);
    }
    if done == out.len() {
        Ok(())
    } else {
        Err(Failure::Damaged)
    }
}

/// The header's length and flags.
fn header(data: &[u8]) -> Result<(usize, u32), Failure> {
    let version = u16::from_be_bytes(array_at(data, 9).ok_or(Failure::Damaged)?);
    // After the versions (of lzop, of the library, needed to extract): method, level, flags, mode, two times, name, sum.
    let extended = version >= 0x940;
    let mut at = if extended { 17 } else { 14 };
    let flags = be32(data, at)? as u32;
    if flags & FILTER != 0 {
        return Err(Failure::Unsupported("lzo data with a filter"));
    }
    at += if extended { 16 } else { 12 };
    at += 1 + usize::from(u8_at(data, at).ok_or(Failure::Damaged)?) + 4;
    if flags & EXTRA != 0 {
        at += 8 + be32(data, at)?;
    }
    Ok((at, flags))
}

fn be32(data: &[u8], at: usize) -> Result<usize, Failure> {
    array_at(data, at)
        .map(|bytes| u32::from_be_bytes(bytes) as usize)
        .ok_or(Failure::Damaged)
}
