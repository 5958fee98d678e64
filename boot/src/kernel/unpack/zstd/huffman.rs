//! Huffman codes of literals, described by the weight of each symbol.

use super::Failure;
use super::bits::Backward;
use super::fse::Table;
use crate::phys::{u8_at, u16_at};

/// Longest code.
const MAX_BITS: u32 = 11;
const MAX_SYMBOLS: usize = 256;

/// A code, as a table over the next bits.
pub(super) struct Huffman {
    /// Symbol and length of the code that the index begins with.
    table: [(u8, u8); 1 << MAX_BITS],
    /// How many bits the index has.
    bits: u32,
}

impl Huffman {
    /// Reads a code's description; returns the code and the bytes it took.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), Failure> {
        let header = usize::from(u8_at(bytes, 0).ok_or(Failure::Damaged)?);
        let mut weights = [0u8; MAX_SYMBOLS];
        let (count, used) = if header >= 128 {
            let count = header - 127;
            let packed = bytes
                .get(1..1 + count.div_ceil(2))
                .ok_or(Failure::Damaged)?;
            for (symbol, weight) in weights.iter_mut().take(count).enumerate() {
                *weight = if symbol % 2 == 0 {
                    packed[symbol / 2] >> 4
                } else {
                    packed[symbol / 2] & 0xf
                };
            }
            (count, 1 + packed.len())
        } else {
            let packed = bytes.get(1..1 + header).ok_or(Failure::Damaged)?;
            (read_weights(packed, &mut weights)?, 1 + header)
        };
        Ok((Self::from_weights(&mut weights, count)?, used))
    }

    /// The code of the `count` weights, to which the last one is added that makes it complete.
    fn from_weights(weights: &mut [u8; MAX_SYMBOLS], count: usize) -> Result<Self, Failure> {
        let mut sum = 0u32;
        for &weight in weights.iter().take(count) {
            if u32::from(weight) > MAX_BITS {
                return Err(Failure::Damaged);
            }
            sum += 1 << weight >> 1;
        }
        if sum == 0 || sum >= 1 << MAX_BITS {
            return Err(Failure::Damaged);
        }
        let bits = sum.ilog2() + 1;
        let missing = (1 << bits) - sum;
        if !missing.is_power_of_two() {
            return Err(Failure::Damaged);
        }
        *weights.get_mut(count).ok_or(Failure::Damaged)? = missing.ilog2() as u8 + 1;
        let mut table = [(0, 0); 1 << MAX_BITS];
        let mut at = 0;
        // Low weights have the long codes, which come first; within a weight the symbols ascend.
        for weight in 1..=bits {
            for symbol in (0..=count).filter(|&symbol| u32::from(weights[symbol]) == weight) {
                let end = at + (1usize << (weight - 1));
                let cells = table.get_mut(at..end).ok_or(Failure::Damaged)?;
                cells.fill((symbol as u8, (bits + 1 - weight) as u8));
                at = end;
            }
        }
        Ok(Self { table, bits })
    }

    /// Unpacks one stream, which must have just as many symbols as `out` has room for.
    pub(super) fn unpack(&self, stream: &[u8], out: &mut [u8]) -> Result<(), Failure> {
        let mut bits = Backward::new(stream)?;
        for slot in out {
            let (symbol, length) =
                self.table[bits.peek(self.bits) as usize & ((1 << MAX_BITS) - 1)];
            bits.skip(length.into());
            *slot = symbol;
        }
        if bits.left() == 0 {
            Ok(())
        } else {
            Err(Failure::Damaged)
        }
    }

    /// Unpacks four streams: the first three sizes, then the streams, each for a quarter of `out`.
    pub(super) fn unpack_four(&self, section: &[u8], out: &mut [u8]) -> Result<(), Failure> {
        let quarter = out.len().div_ceil(4);
        let mut streams = section.get(6..).ok_or(Failure::Damaged)?;
        let mut rooms = out.chunks_mut(quarter.max(1));
        for index in 0..4 {
            let size = match index {
                3 => streams.len(),
                _ => usize::from(u16_at(section, index * 2).ok_or(Failure::Damaged)?),
            };
            let (stream, rest) = streams.split_at_checked(size).ok_or(Failure::Damaged)?;
            self.unpack(stream, rooms.next().unwrap_or_default())?;
            streams = rest;
        }
        Ok(())
    }
}

/// Weights coded with two states of one table by turns; returns how many there are.
fn read_weights(bytes: &[u8], weights: &mut [u8; MAX_SYMBOLS]) -> Result<usize, Failure> {
    const MAX_LOG: u32 = 6;
    let (table, used) = Table::read(bytes, MAX_LOG, MAX_BITS as usize + 1)?;
    let mut bits = Backward::new(bytes.get(used..).ok_or(Failure::Damaged)?)?;
    let mut states = [table.start(&mut bits), table.start(&mut bits)];
    // The last weight follows from the others, and one place is kept for it.
    for index in 0..MAX_SYMBOLS - 1 {
        let state = &mut states[index % 2];
        weights[index] = table.symbol(*state);
        if bits.left() < table.step_bits(*state) as isize {
            // This state goes no further; the other one has a last symbol.
            let other = states[(index + 1) % 2];
            *weights.get_mut(index + 1).ok_or(Failure::Damaged)? = table.symbol(other);
            return if index + 2 < MAX_SYMBOLS {
                Ok(index + 2)
            } else {
                Err(Failure::Damaged)
            };
        }
        *state = table.next(*state, &mut bits);
    }
    Err(Failure::Damaged)
}
