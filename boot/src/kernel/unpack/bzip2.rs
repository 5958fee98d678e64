//! bzip2: Huffman codes, run lengths, move-to-front, the Burrows-Wheeler transform, run lengths again; block by block.
//!
//! Keeps true: one block (at most 900,000 bytes) is all that is held besides the output. Block checksums are compared.

use super::Failure;
use alloc::vec;
use alloc::vec::Vec;

const BLOCK_MAGIC: u64 = 0x3141_5926_5359;
const END_MAGIC: u64 = 0x1772_4538_5090;
/// Longest Huffman code.
const MAX_CODE: usize = 20;
/// Symbols a code covers at most: 256 bytes, two run symbols, end of block.
const MAX_SYMBOLS: usize = 258;
/// Symbols coded with one table before the next selector.
const GROUP: usize = 50;

pub(super) fn unpack(data: &[u8], out: &mut [u8]) -> Result<(), Failure> {
    let mut bits = Bits { data, at: 24 };
    let level = bits.take(8)?.wrapping_sub(u64::from(b'0'));
    if !(1..=9).contains(&level) {
        return Err(Failure::Damaged);
    }
    let mut block = vec![0; level as usize * 100_000];
    let mut done = 0;
    loop {
        match bits.take(48)? {
            BLOCK_MAGIC => {
                let sum = bits.take(32)? as u32;
                let (len, start) = read_block(&mut bits, &mut block)?;
                let room = out.get_mut(done..).ok_or(Failure::Damaged)?;
                let first = done;
                done += write_block(block.get_mut(..len).ok_or(Failure::Damaged)?, start, room)?;
                if checksum(out.get(first..done).unwrap_or(&[])) != sum {
                    return Err(Failure::Damaged);
                }
            }
            END_MAGIC => break,
            _ => return Err(Failure::Damaged),
        }
    }
    if done == out.len() {
        Ok(())
    } else {
        Err(Failure::Damaged)
    }
}

/// Bits, highest first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 48.
    fn take(&mut self, count: usize) -> Result<u64, Failure> {
        let mut window = [0; 8];
        let bytes = self.data.get(self.at / 8..).unwrap_or(&[]);
        for (slot, byte) in window.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        let value = u64::from_be_bytes(window) << (self.at % 8) >> (64 - count);
        self.at += count;
        if self.at > self.data.len() * 8 {
            Err(Failure::Damaged)
        } else {
            Ok(value)
        }
    }

    fn bit(&mut self) -> Result<bool, Failure> {
        Ok(self.take(1)? == 1)
    }
}

/// One Huffman code: symbols by length, and where each length's codes begin.
struct Code {
    symbols: [u16; MAX_SYMBOLS],
    /// For each length: its first code, and the index of that code's symbol.
    first: [(u32, u16); MAX_CODE + 1],
    counts: [u16; MAX_CODE + 1],
}

impl Code {
    fn read(bits: &mut Bits<'_>, alphabet: usize) -> Result<Self, Failure> {
        let mut lengths = [0u8; MAX_SYMBOLS];
        let mut length = bits.take(5)?;
        for slot in lengths.iter_mut().take(alphabet) {
            while bits.bit()? {
                length = if bits.bit()? {
                    length.wrapping_sub(1)
                } else {
                    length + 1
                };
                if !(1..=MAX_CODE as u64).contains(&length) {
                    return Err(Failure::Damaged);
                }
            }
            if !(1..=MAX_CODE as u64).contains(&length) {
                return Err(Failure::Damaged);
            }
            *slot = length as u8;
        }
        let mut code = Self {
            symbols: [0; MAX_SYMBOLS],
            first: [(0, 0); MAX_CODE + 1],
            counts: [0; MAX_CODE + 1],
        };
        let (mut next, mut index) = (0u32, 0u16);
        for length in 1..=MAX_CODE {
            code.first[length] = (next, index);
            for (symbol, _) in lengths
                .iter()
                .take(alphabet)
                .enumerate()
                .filter(|&(_, &have)| usize::from(have) == length)
            {
                code.symbols[usize::from(index)] = symbol as u16;
                index += 1;
            }
            code.counts[length] = index - code.first[length].1;
            next = (next + u32::from(code.counts[length])) << 1;
        }
        Ok(code)
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Result<u16, Failure> {
        let mut code = 0u32;
        for length in 1..=MAX_CODE {
            code = code << 1 | u32::from(bits.bit()?);
            let (first, index) = self.first[length];
            if let Some(offset) = code
                .checked_sub(first)
                .filter(|&offset| offset < u32::from(self.counts[length]))
            {
                return self
                    .symbols
                    .get(usize::from(index) + offset as usize)
                    .copied()
                    .ok_or(Failure::Damaged);
            }
        }
        Err(Failure::Damaged)
    }
}

/// Reads one block into `block` as bytes in transformed order; returns how many, and where the original begins.
fn read_block(bits: &mut Bits<'_>, block: &mut [u32]) -> Result<(usize, usize), Failure> {
    if bits.bit()? {
        return Err(Failure::Unsupported("bzip2 data of the randomised kind"));
    }
    let start = bits.take(24)? as usize;
    let mut front = used_bytes(bits)?;
    let alphabet = front.len() + 2;
    let tables = bits.take(3)? as usize;
    let groups = bits.take(15)? as usize;
    if !(2..=6).contains(&tables) || groups == 0 {
        return Err(Failure::Damaged);
    }
    let selectors = read_selectors(bits, tables, groups)?;
    let codes = (0..tables)
        .map(|_| Code::read(bits, alphabet))
        .collect::<Result<Vec<_>, _>>()?;
    let (mut len, mut run, mut place) = (0, 0usize, 0u32);
    for coded in 0..groups * GROUP {
        let code = selectors
            .get(coded / GROUP)
            .and_then(|&selector| codes.get(usize::from(selector)));
        let symbol = usize::from(code.ok_or(Failure::Damaged)?.symbol(bits)?);
        if symbol < 2 {
            // A run of the byte in front, its length in base 2 with the digits 1 and 2.
            run += (symbol + 1) << place.min(24);
            place += 1;
            if run > block.len() {
                return Err(Failure::Damaged);
            }
            continue;
        }
        let byte = *front.first().ok_or(Failure::Damaged)?;
        block
            .get_mut(len..len + run)
            .ok_or(Failure::Damaged)?
            .fill(byte.into());
        len += run;
        (run, place) = (0, 0);
        if symbol == alphabet - 1 {
            return Ok((len, start));
        }
        let moved = front.get_mut(..symbol).ok_or(Failure::Damaged)?;
        moved.rotate_right(1);
        *block.get_mut(len).ok_or(Failure::Damaged)? = moved[0].into();
        len += 1;
    }
    Err(Failure::Damaged)
}

/// The bytes that occur in the block, ascending: 16 bits for groups of 16, then 16 for each group that has any.
fn used_bytes(bits: &mut Bits<'_>) -> Result<Vec<u8>, Failure> {
    let groups = bits.take(16)?;
    let mut used = Vec::with_capacity(256);
    for group in (0..16u8).filter(|group| groups >> (15 - group) & 1 == 1) {
        let members = bits.take(16)?;
        used.extend(
            (0..16)
                .filter(|member| members >> (15 - member) & 1 == 1)
                .map(|member| group * 16 + member),
        );
    }
    if used.is_empty() {
        Err(Failure::Damaged)
    } else {
        Ok(used)
    }
}

/// Which table codes each group: move-to-front numbers in unary.
fn read_selectors(bits: &mut Bits<'_>, tables: usize, groups: usize) -> Result<Vec<u8>, Failure> {
    let mut front = [0u8, 1, 2, 3, 4, 5];
    let mut selectors = Vec::with_capacity(groups);
    for _ in 0..groups {
        let mut place = 0;
        while bits.bit()? {
            place += 1;
            if place >= tables {
                return Err(Failure::Damaged);
            }
        }
        front[..=place].rotate_right(1);
        selectors.push(front[0]);
    }
    Ok(selectors)
}

/// Undoes the transform and the first run-length coding; returns how many bytes were written.
///
/// Each element of `block` has its byte in the low 8 bits; the link to the next byte's place is put above.
fn write_block(block: &mut [u32], start: usize, out: &mut [u8]) -> Result<usize, Failure> {
    let mut places = [0u32; 256];
    for &element in block.iter() {
        places[element as usize & 0xff] += 1;
    }
    let mut sum = 0;
    for place in &mut places {
        sum += core::mem::replace(place, sum);
    }
    for from in 0..block.len() {
        let place = &mut places[block[from] as usize & 0xff];
        block[*place as usize] |= (from as u32) << 8;
        *place += 1;
    }
    let mut link = *block.get(start).ok_or(Failure::Damaged)? >> 8;
    let (mut done, mut same, mut last) = (0, 0, None);
    for _ in 0..block.len() {
        let element = *block.get(link as usize).ok_or(Failure::Damaged)?;
        let byte = element as u8;
        link = element >> 8;
        if same == 4 {
            // After four equal bytes: how often it is repeated beyond them.
            let room = out
                .get_mut(done..done + usize::from(byte))
                .ok_or(Failure::Damaged)?;
            room.fill(last.unwrap_or(0));
            done += usize::from(byte);
            (same, last) = (0, None);
            continue;
        }
        same = if last == Some(byte) { same + 1 } else { 1 };
        last = Some(byte);
        *out.get_mut(done).ok_or(Failure::Damaged)? = byte;
        done += 1;
    }
    Ok(done)
}

/// CRC-32 with the highest bit first, as bzip2 has it.
fn checksum(bytes: &[u8]) -> u32 {
    let mut table = [0u32; 256];
    for (index, slot) in table.iter_mut().enumerate() {
        *slot = (0..8).fold((index as u32) << 24, |sum, _| {
            (sum << 1) ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        });
    }
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        sum << 8 ^ table[(sum >> 24) as usize ^ usize::from(byte)]
    })
}
