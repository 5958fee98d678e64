//! Finite state entropy codes: each state has a symbol, and says how many bits lead to which next states.

use super::Failure;
use super::bits::{Backward, Forward};

/// Largest table: 2^9 states.
const MAX_STATES: usize = 512;
/// Most symbols: the codes of match lengths.
const MAX_SYMBOLS: usize = 64;

#[derive(Clone, Copy)]
struct State {
    symbol: u8,
    bits: u8,
    base: u16,
}

/// A code.
#[derive(Clone)]
pub(super) struct Table {
    states: [State; MAX_STATES],
    log: u32,
}

impl Table {
    /// Reads a table of at most 2^`max_log` states over the symbols up to `max_symbol`; returns it and the bytes it took.
    pub(super) fn read(
        bytes: &[u8],
        max_log: u32,
        max_symbol: usize,
    ) -> Result<(Self, usize), Failure> {
        let mut bits = Forward::new(bytes);
        let log = bits.peek(4) + 5;
        bits.skip(4);
        if log > max_log {
            return Err(Failure::Damaged);
        }
        let mut shares = [0i16; MAX_SYMBOLS];
        let (mut symbol, mut left) = (0, 1i32 << log);
        while left > 0 {
            if symbol > max_symbol {
                return Err(Failure::Damaged);
            }
            let share = read_share(&mut bits, left);
            left -= share.abs();
            shares[symbol] = share as i16;
            symbol += 1;
            if share == 0 {
                symbol += more_of_none(&mut bits, max_symbol)?;
            }
        }
        if left < 0 {
            return Err(Failure::Damaged);
        }
        let used = bits.bytes_used()?;
        let shares = shares.get(..symbol).ok_or(Failure::Damaged)?;
        Ok((Self::from_shares(shares, log), used))
    }

    /// The table that gives each symbol its share of the 2^`log` states; -1 stands for less than one. The shares add up.
    pub(super) fn from_shares(shares: &[i16], log: u32) -> Self {
        let size = 1usize << log;
        let mut states = [State {
            symbol: 0,
            bits: 0,
            base: 0,
        }; MAX_STATES];
        let mut next = [0u32; MAX_SYMBOLS];
        // Rare symbols have one state each, from the end.
        let mut end = size;
        for (symbol, &share) in shares.iter().enumerate() {
            next[symbol] = u32::from(share.unsigned_abs());
            if share == -1 {
                end -= 1;
                states[end].symbol = symbol as u8;
            }
        }
        let step = (size >> 1) + (size >> 3) + 3;
        let mut at = 0;
        for (symbol, &share) in shares.iter().enumerate() {
            for _ in 0..share.max(0) {
                states[at].symbol = symbol as u8;
                at = (at + step) & (size - 1);
                // As often as the place is taken; a step that is odd comes past every one.
                while at >= end && end > 0 {
                    at = (at + step) & (size - 1);
                }
            }
        }
        for state in states.iter_mut().take(size) {
            let place = &mut next[usize::from(state.symbol)];
            let bits = log - place.ilog2();
            state.bits = bits as u8;
            state.base = ((*place << bits) - size as u32) as u16;
            *place += 1;
        }
        Self { states, log }
    }

    /// The table of one symbol, which takes no bits.
    pub(super) fn of_one(symbol: u8) -> Self {
        Self {
            states: [State {
                symbol,
                bits: 0,
                base: 0,
            }; MAX_STATES],
            log: 0,
        }
    }

    /// The first state.
    pub(super) fn start(&self, bits: &mut Backward<'_>) -> usize {
        bits.take(self.log) as usize
    }

    #[inline(always)]
    pub(super) fn symbol(&self, state: usize) -> u8 {
        self.states[state & (MAX_STATES - 1)].symbol
    }

    /// The state after `state`.
    #[inline(always)]
    pub(super) fn next(&self, state: usize, bits: &mut Backward<'_>) -> usize {
        let State {
            bits: count, base, ..
        } = self.states[state & (MAX_STATES - 1)];
        usize::from(base) + bits.take(count.into()) as usize
    }

    /// How many bits the step from `state` takes.
    pub(super) fn step_bits(&self, state: usize) -> u32 {
        self.states[state & (MAX_STATES - 1)].bits.into()
    }
}

/// After a share of none: how many more symbols have none, three at a time.
fn more_of_none(bits: &mut Forward<'_>, max_symbol: usize) -> Result<usize, Failure> {
    let mut count = 0;
    loop {
        let more = bits.peek(2) as usize;
        bits.skip(2);
        count += more;
        if count > max_symbol {
            return Err(Failure::Damaged);
        }
        if more != 3 {
            return Ok(count);
        }
    }
}

/// One symbol's share of the `left` states: a number from -1 to `left`, in one bit less where that is enough.
fn read_share(bits: &mut Forward<'_>, left: i32) -> i32 {
    let width = (left + 1).ilog2() + 1;
    let value = bits.peek(width) as i32;
    let low = (1 << (width - 1)) - 1;
    let short = (1 << width) - 1 - (left + 1);
    let value = if value & low < short {
        bits.skip(width - 1);
        value & low
    } else {
        bits.skip(width);
        if value > low { value - short } else { value }
    };
    value - 1
}
