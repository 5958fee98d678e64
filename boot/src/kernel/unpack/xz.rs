//! The xz container: blocks of LZMA2 chunks, with or without the filter that makes x86 calls compress better.
//!
//! Keeps true: headers and contents are checked by their CRC32 (the only check kernels are built with; the longer ones are passed over,
//! a damaged LZMA2 stream betrays itself). The index at the end is not needed. Neighbours: [`super::lzma`].

use super::Failure;
use super::lzma::{Decoder, Input, Output, Properties};
use crate::phys::{array_at, u8_at, u32_at, u64_at};

const FILTER_X86: u64 = 0x04;
const FILTER_LZMA2: u64 = 0x21;
const CHECK_CRC32: u8 = 1;

pub(super) fn unpack(data: &[u8], out: &mut [u8]) -> Result<(), Failure> {
    let flags = data.get(6..8).ok_or(Failure::Damaged)?;
    if u32_at(data, 8) != Some(crc32fast::hash(flags)) || flags[0] != 0 {
        return Err(Failure::Damaged);
    }
    let check = flags[1] & 0xf;
    // None, then three kinds each of 4, 8, 16, 32 and 64 bytes.
    let check_bytes = if check == 0 {
        0
    } else {
        4 << ((check - 1) / 3)
    };
    let mut decoder = Decoder::new();
    let mut output = Output {
        bytes: out,
        at: 0,
        from: 0,
    };
    let mut at = 12;
    // An index, which begins with a zero byte, follows the last block.
    while u8_at(data, at).ok_or(Failure::Damaged)? != 0 {
        let header = BlockHeader::read(data.get(at..).ok_or(Failure::Damaged)?)?;
        let start = at + header.bytes;
        let first = output.at;
        at = start
            + chunks(
                &mut decoder,
                data.get(start..).ok_or(Failure::Damaged)?,
                &mut output,
            )?;
        at = start + (at - start).next_multiple_of(4);
        let block = output
            .bytes
            .get_mut(first..output.at)
            .ok_or(Failure::Damaged)?;
        if header.x86 {
            undo_x86(block);
        }
        if check == CHECK_CRC32 && u32_at(data, at) != Some(crc32fast::hash(block)) {
            return Err(Failure::Damaged);
        }
        at += check_bytes;
    }
    if output.at == output.bytes.len() {
        Ok(())
    } else {
        Err(Failure::Damaged)
    }
}

/// What matters of a block's header.
struct BlockHeader {
    bytes: usize,
    x86: bool,
}

impl BlockHeader {
    fn read(data: &[u8]) -> Result<Self, Failure> {
        let bytes = (usize::from(u8_at(data, 0).ok_or(Failure::Damaged)?) + 1) * 4;
        let header = data.get(..bytes - 4).ok_or(Failure::Damaged)?;
        if u32_at(data, bytes - 4) != Some(crc32fast::hash(header)) {
            return Err(Failure::Damaged);
        }
        let flags = u8_at(header, 1).ok_or(Failure::Damaged)?;
        if flags & 0x3c != 0 {
            return Err(Failure::Unsupported("xz data with unknown block flags"));
        }
        let mut at = 2;
        // Packed and unpacked size: not needed.
        for _ in 0..(flags >> 6).count_ones() {
            number(header, &mut at).ok_or(Failure::Damaged)?;
        }
        let mut x86 = false;
        for last in (0..=flags & 3).rev().map(|left| left == 0) {
            let filter = number(header, &mut at).ok_or(Failure::Damaged)?;
            let properties = number(header, &mut at).ok_or(Failure::Damaged)?;
            match (filter, properties, last) {
                (FILTER_X86, 0, false) if !x86 => x86 = true,
                (FILTER_LZMA2, 1, true) => {}
                _ => {
                    return Err(Failure::Unsupported(
                        "xz data with other filters than x86 and LZMA2",
                    ));
                }
            }
            at += properties as usize;
        }
        Ok(Self { bytes, x86 })
    }
}

/// A number of 7 bits a byte, lowest first; at most 63 bits.
fn number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for place in 0..9 {
        let byte = u8_at(bytes, *at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Unpacks LZMA2 chunks up to the end mark; returns how many bytes they took.
fn chunks(decoder: &mut Decoder, data: &[u8], output: &mut Output<'_>) -> Result<usize, Failure> {
    let mut at = 0;
    // What must be reset before anything may be decoded.
    let (mut needs_dictionary, mut needs_properties) = (true, true);
    loop {
        let control = u8_at(data, at).ok_or(Failure::Damaged)?;
        if control == 0 {
            return Ok(at + 1);
        }
        if control == 1 || control >= 0xe0 {
            output.from = output.at;
            (needs_dictionary, needs_properties) = (false, true);
        }
        if needs_dictionary {
            return Err(Failure::Damaged);
        }
        let low = usize::from(be16(data, at + 1)?) + 1;
        if control < 0x80 {
            if control > 2 {
                return Err(Failure::Damaged);
            }
            at = stored(data, at + 3, low, output)?;
            continue;
        }
        let unpacked = (usize::from(control & 0x1f) << 16) + low;
        let packed = usize::from(be16(data, at + 3)?) + 1;
        at += 5;
        if control >= 0xc0 {
            let byte = u8_at(data, at).ok_or(Failure::Damaged)?;
            decoder.set_properties(Properties::decode(byte).ok_or(Failure::Damaged)?);
            needs_properties = false;
            at += 1;
        } else if needs_properties {
            return Err(Failure::Damaged);
        } else if control >= 0xa0 {
            decoder.reset();
        }
        let end = at.checked_add(packed).ok_or(Failure::Damaged)?;
        let mut input = data
            .get(at..end)
            .and_then(Input::new)
            .ok_or(Failure::Damaged)?;
        let goal = output
            .at
            .checked_add(unpacked)
            .filter(|&goal| goal <= output.bytes.len());
        decoder.run(&mut input, output, goal.ok_or(Failure::Damaged)?)?;
        if !input.is_finished() {
            return Err(Failure::Damaged);
        }
        at = end;
    }
}

/// A chunk that is not compressed; returns where it ends.
fn stored(data: &[u8], at: usize, len: usize, output: &mut Output<'_>) -> Result<usize, Failure> {
    let bytes = data.get(at..at + len).ok_or(Failure::Damaged)?;
    let room = output
        .bytes
        .get_mut(output.at..output.at + len)
        .ok_or(Failure::Damaged)?;
    room.copy_from_slice(bytes);
    output.at += len;
    Ok(at + len)
}

fn be16(data: &[u8], at: usize) -> Result<u16, Failure> {
    array_at(data, at)
        .map(u16::from_be_bytes)
        .ok_or(Failure::Damaged)
}

/// Undoes the x86 filter: the 32-bit operand of `call` and `jmp` was made absolute, so that calls of one function look alike.
///
/// An operand counts as one if its top byte is 0 or 0xff. Opcode bytes inside what could be the operand of an earlier opcode
/// make a case ambiguous; the filter's rule for those is kept by `seen`: bit n says that an opcode byte stood n + 1 before.
fn undo_x86(block: &mut [u8]) {
    let is_sign = |byte: u8| byte == 0 || byte == 0xff;
    let Some(last) = block.len().checked_sub(5) else {
        return;
    };
    let (mut seen, mut since, mut at) = (0usize, usize::MAX, 0);
    while at <= last {
        if since > 2 {
            let gap = bytes_without_opcode(&block[at..]);
            at += gap;
            since = since.saturating_add(gap);
            if at > last {
                return;
            }
        }
        if block[at] & 0xfe != 0xe8 {
            at += 1;
            since = since.saturating_add(1);
            continue;
        }
        seen = if since > 2 { 0 } else { (seen << since) & 7 };
        since = 0;
        // The byte of the operand in which the nearest of those opcodes would have its own sign byte.
        let overlap = [0, 1, 2, 2, 3, 3, 3, 3][seen];
        let ambiguous =
            seen != 0 && (matches!(seen, 3 | 5 | 6 | 7) || is_sign(block[at + 4 - overlap]));
        if ambiguous || !is_sign(block[at + 4]) {
            seen = seen << 1 | 1;
            at += 1;
            continue;
        }
        let operand = u32_at(block, at + 1).unwrap_or(0);
        let relative = to_relative(
            operand,
            (at as u32).wrapping_add(5),
            seen,
            overlap as u32 * 8,
        );
        block[at + 1..at + 5].copy_from_slice(&relative.to_le_bytes());
        at += 5;
        // As if four bytes had been looked at since: too far for any overlap.
        (seen, since) = (0, 4);
    }
}

/// How many bytes at the start are no opcode of `call` or `jmp`, as far as eight at a time tell.
fn bytes_without_opcode(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let mut count = 0;
    for word in bytes.chunks_exact(8) {
        let word = u64_at(word, 0).unwrap_or(0);
        // Zero where an opcode is; the lowest zero byte shows as the lowest bit set below.
        let other = (word & !LOW) ^ (0xe8 * LOW);
        let found = other.wrapping_sub(LOW) & !other & (LOW << 7);
        if found != 0 {
            return count + found.trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    count
}

/// The operand relative to `next`, with its sign byte made of bit 24.
fn to_relative(operand: u32, next: u32, seen: usize, overlap_bits: u32) -> u32 {
    let mut relative = operand.wrapping_sub(next);
    // Where an earlier opcode overlaps, a result that would look like an operand of that one was avoided by flipping the bits
    // below. Once does it; the bound is for inputs that no filter made.
    for _ in 0..3 {
        let byte = (relative >> (24 - overlap_bits)) as u8;
        if seen == 0 || !(byte == 0 || byte == 0xff) {
            break;
        }
        let below = ((1u64 << (32 - overlap_bits)) - 1) as u32;
        relative = (relative ^ below).wrapping_sub(next);
    }
    let relative = relative & 0x01ff_ffff;
    relative | 0u32.wrapping_sub(relative & 0x0100_0000)
}
