//! Bits of a byte slice, forwards for tables and backwards for what is coded with them.

use super::Failure;

/// Bits from the lowest of the first byte on.
pub(super) struct Forward<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Forward<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 32, without taking them; zeros after the end.
    pub(super) fn peek(&self, count: u32) -> u32 {
        (word(self.bytes, self.at / 8) >> (self.at % 8)) as u32 & (((1u64 << count) - 1) as u32)
    }

    /// Takes `count` bits.
    pub(super) fn skip(&mut self, count: u32) {
        self.at += count as usize;
    }

    /// Bytes of which bits were taken; an error if there are not that many.
    pub(super) fn bytes_used(&self) -> Result<usize, Failure> {
        let used = self.at.div_ceil(8);
        if used > self.bytes.len() {
            Err(Failure::Damaged)
        } else {
            Ok(used)
        }
    }
}

/// Bits from the highest of the last byte down; the highest that is set only marks the end.
pub(super) struct Backward<'a> {
    bytes: &'a [u8],
    /// Bits not read yet; below 0 when more were read than there are.
    left: isize,
}

impl<'a> Backward<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Failure> {
        let last = bytes
            .last()
            .filter(|&&last| last != 0)
            .ok_or(Failure::Damaged)?;
        let left = bytes.len() as isize * 8 - 1 - last.leading_zeros() as isize;
        Ok(Self { bytes, left })
    }

    /// The next `count` bits, at most 32, without taking them; zeros after the end.
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> u32 {
        let mask = ((1u64 << count) - 1) as u32;
        let from = self.left - count as isize;
        if from >= 0 {
            (word(self.bytes, from as usize / 8) >> (from % 8)) as u32 & mask
        } else if self.left > 0 {
            let there = word(self.bytes, 0) & ((1 << self.left) - 1);
            (there << -from) as u32 & mask
        } else {
            0
        }
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.left -= count as isize;
    }

    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let value = self.peek(count);
        self.skip(count);
        value
    }

    /// Bits not read yet; below 0 when more were read than there are.
    pub(super) fn left(&self) -> isize {
        self.left
    }
}

/// The eight bytes at `at`, with zeros for those after the end.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => short_word(bytes.get(at..).unwrap_or(&[])),
    }
}

#[cold]
fn short_word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, &byte| word << 8 | u64::from(byte))
}
