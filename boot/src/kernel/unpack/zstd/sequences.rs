//! Sequences: how many literals to take, then how far back to go and how much to repeat from there.

use super::Failure;
use super::bits::Backward;
use super::fse::Table;
use crate::kernel::unpack::repeat;
use crate::phys::u8_at;

/// What a code of a length adds its extra bits to, and how many there are.
type Length = (u32, u8);

const LITERAL_LENGTHS: [Length; 36] = lengths(
    0,
    16,
    &[
        1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    ],
);
const MATCH_LENGTHS: [Length; 53] = lengths(
    3,
    32,
    &[
        1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    ],
);

/// Shares that hold where the block brings no table of its own.
const LITERAL_SHARES: [i16; 36] = [
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
    -1, -1, -1, -1,
];
const MATCH_SHARES: [i16; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];
const OFFSET_SHARES: [i16; 29] = [
    1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
];

/// The first `plain` codes mean themselves plus `least`; each of the others begins where the one before ends.
const fn lengths<const N: usize>(least: u32, plain: usize, extra: &[u8]) -> [Length; N] {
    let mut table = [(0, 0); N];
    let (mut code, mut next) = (0, least);
    while code < N {
        let bits = if code < plain { 0 } else { extra[code - plain] };
        // From the first jump on, codes begin at the power of two that their bits make.
        table[code] = (next, bits);
        next += 1 << bits;
        code += 1;
    }
    table
}

/// The codes of one part of sequences, and what may be in them.
struct Part {
    table: Option<Table>,
    max_log: u32,
    max_symbol: usize,
    shares: &'static [i16],
    shares_log: u32,
}

impl Part {
    const fn new(shares: &'static [i16], shares_log: u32, max_log: u32, max_symbol: usize) -> Self {
        Self {
            table: None,
            max_log,
            max_symbol,
            shares,
            shares_log,
        }
    }

    /// Sets the table as `mode` says; returns how many bytes of `bytes` that took.
    fn set(&mut self, mode: u8, bytes: &[u8]) -> Result<usize, Failure> {
        let (table, used) = match mode & 3 {
            0 => (Table::from_shares(self.shares, self.shares_log), 0),
            1 => {
                let symbol =
                    u8_at(bytes, 0).filter(|&symbol| usize::from(symbol) <= self.max_symbol);
                (Table::of_one(symbol.ok_or(Failure::Damaged)?), 1)
            }
            2 => Table::read(bytes, self.max_log, self.max_symbol)?,
            _ if self.table.is_some() => return Ok(0),
            _ => return Err(Failure::Damaged),
        };
        self.table = Some(table);
        Ok(used)
    }
}

/// What the sequences of one block leave to those of the next.
pub(super) struct Sequences {
    literals: Part,
    offsets: Part,
    matches: Part,
    /// The last three offsets, latest first.
    last: [usize; 3],
}

impl Sequences {
    pub(super) const fn new() -> Self {
        Self {
            literals: Part::new(&LITERAL_SHARES, 6, 9, 35),
            offsets: Part::new(&OFFSET_SHARES, 5, 8, 31),
            matches: Part::new(&MATCH_SHARES, 6, 9, 52),
            last: [1, 4, 8],
        }
    }

    /// Carries out the sequences of `section` at `at`, and puts the literals left over after them; returns where that ends.
    pub(super) fn unpack(
        &mut self,
        section: &[u8],
        literals: &[u8],
        out: &mut [u8],
        at: usize,
    ) -> Result<usize, Failure> {
        let (count, mut read) = count(section).ok_or(Failure::Damaged)?;
        let (mut at, mut literals) = (at, literals);
        if count > 0 {
            let modes = u8_at(section, read).ok_or(Failure::Damaged)?;
            read += 1;
            for (part, mode) in [
                (&mut self.literals, modes >> 6),
                (&mut self.offsets, modes >> 4),
                (&mut self.matches, modes >> 2),
            ] {
                read += part.set(mode, section.get(read..).ok_or(Failure::Damaged)?)?;
            }
            let stream = section.get(read..).ok_or(Failure::Damaged)?;
            (at, literals) = self.run(stream, count, literals, out, at)?;
        }
        put(literals, out, at)
    }

    /// Carries out `count` sequences; returns where they end and what literals are left.
    fn run<'l>(
        &mut self,
        stream: &[u8],
        count: usize,
        literals: &'l [u8],
        out: &mut [u8],
        at: usize,
    ) -> Result<(usize, &'l [u8]), Failure> {
        let (Some(literal_table), Some(offset_table), Some(match_table)) = (
            &self.literals.table,
            &self.offsets.table,
            &self.matches.table,
        ) else {
            return Err(Failure::Damaged);
        };
        let mut bits = Backward::new(stream)?;
        let mut literal_state = literal_table.start(&mut bits);
        let mut offset_state = offset_table.start(&mut bits);
        let mut match_state = match_table.start(&mut bits);
        let (mut at, mut literals) = (at, literals);
        for left in (0..count).rev() {
            let offset_bits = u32::from(offset_table.symbol(offset_state) & 31);
            let offset = (1usize << offset_bits) + bits.take(offset_bits) as usize;
            let length = |table: &[Length], code: u8, bits: &mut Backward<'_>| {
                let (base, extra) = table.get(usize::from(code)).copied().unwrap_or((0, 0));
                (base + bits.take(extra.into())) as usize
            };
            let match_len = length(&MATCH_LENGTHS, match_table.symbol(match_state), &mut bits);
            let literal_len = length(
                &LITERAL_LENGTHS,
                literal_table.symbol(literal_state),
                &mut bits,
            );
            if left > 0 {
                literal_state = literal_table.next(literal_state, &mut bits);
                match_state = match_table.next(match_state, &mut bits);
                offset_state = offset_table.next(offset_state, &mut bits);
            }
            let (taken, rest) = literals
                .split_at_checked(literal_len)
                .ok_or(Failure::Damaged)?;
            (at, literals) = (put(taken, out, at)?, rest);
            let back = resolve(&mut self.last, offset, literal_len);
            if back == 0 || back > at {
                return Err(Failure::Damaged);
            }
            at = repeat(out, at, back, match_len)?;
        }
        if bits.left() == 0 {
            Ok((at, literals))
        } else {
            Err(Failure::Damaged)
        }
    }
}

/// The number of sequences, and the bytes it takes.
fn count(section: &[u8]) -> Option<(usize, usize)> {
    let byte = |at| u8_at(section, at).map(usize::from);
    Some(match byte(0)? {
        first @ 0..128 => (first, 1),
        first @ 128..255 => (((first - 128) << 8) + byte(1)?, 2),
        _ => (byte(1)? + (byte(2)? << 8) + 0x7f00, 3),
    })
}

/// The distance that an offset code stands for: up to 3 one of the last ones, which moves to the front; 0 if there is none.
#[inline(always)]
fn resolve(last: &mut [usize; 3], offset: usize, literal_len: usize) -> usize {
    if offset > 3 {
        *last = [offset - 3, last[0], last[1]];
        return last[0];
    }
    // Without literals between, repeating at the same distance would have been one match: the choices shift by one.
    match offset + usize::from(literal_len == 0) {
        1 => {}
        2 => *last = [last[1], last[0], last[2]],
        3 => *last = [last[2], last[0], last[1]],
        _ => *last = [last[0] - 1, last[0], last[1]],
    }
    last[0]
}

#[inline(always)]
fn put(literals: &[u8], out: &mut [u8], at: usize) -> Result<usize, Failure> {
    let end = at + literals.len();
    out.get_mut(at..end)
        .ok_or(Failure::Damaged)?
        .copy_from_slice(literals);
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_tables_are_those_of_the_format() {
        assert_eq!(
            LITERAL_LENGTHS[15..21],
            [(15, 0), (16, 1), (18, 1), (20, 1), (22, 1), (24, 2)]
        );
        assert_eq!(LITERAL_LENGTHS[24..27], [(48, 4), (64, 6), (128, 7)]);
        assert_eq!(LITERAL_LENGTHS[35], (65536, 16));
        assert_eq!(MATCH_LENGTHS[31..34], [(34, 0), (35, 1), (37, 1)]);
        assert_eq!(MATCH_LENGTHS[42..45], [(99, 5), (131, 7), (259, 8)]);
        assert_eq!(MATCH_LENGTHS[52], (65539, 16));
    }

    #[test]
    fn shares_add_up() {
        let sum = |shares: &[i16]| shares.iter().map(|share| share.unsigned_abs()).sum::<u16>();
        assert_eq!(
            (
                sum(&LITERAL_SHARES),
                sum(&MATCH_SHARES),
                sum(&OFFSET_SHARES)
            ),
            (64, 64, 32)
        );
    }

    #[test]
    fn repeated_offsets_move_to_the_front() {
        let mut last = [1, 4, 8];
        assert_eq!(resolve(&mut last, 10, 1), 7);
        assert_eq!((resolve(&mut last, 1, 1), last), (7, [7, 1, 4]));
        assert_eq!((resolve(&mut last, 2, 1), last), (1, [1, 7, 4]));
        assert_eq!((resolve(&mut last, 3, 1), last), (4, [4, 1, 7]));
        assert_eq!((resolve(&mut last, 1, 0), last), (1, [1, 4, 7]));
        assert_eq!((resolve(&mut last, 3, 0), last), (0, [0, 1, 4]));
    }
}
