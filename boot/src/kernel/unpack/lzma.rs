//! LZMA: a range coder whose probabilities adapt, literals that depend on the byte before, and matches at distances into what was
//! unpacked already.
//!
//! Keeps true: the output slice is the dictionary, so every match is checked against what has been written since the last
//! reset, and against the room left. Reading past the end of the input gives zero bytes and is noticed at the end of the chunk:
//! the loop is bounded by the output in any case, and its hottest path stays free of a second exit.
//! Neighbours: [`super::xz`] drives it chunk by chunk.

use super::Failure;
use crate::phys::{u8_at, u32_at, u64_at};
use alloc::boxed::Box;

/// Probabilities begin at one half, in units of 1/2048.
const HALF: u16 = 1024;
const STATES: usize = 16;
/// States below this follow a literal.
const LITERAL_STATES: usize = 7;
/// Literal probabilities: 0x300 for each of at most 16 contexts, rounded up so that a mask replaces the bounds check.
const LITERALS: usize = 0x4000;

/// Unpacks a payload with the 13-byte header.
pub(super) fn unpack(data: &[u8], out: &mut [u8]) -> Result<(), Failure> {
    let properties = u8_at(data, 0)
        .and_then(Properties::decode)
        .ok_or(Failure::Damaged)?;
    // The dictionary's size, at 1, does not matter here. All ones as the unpacked size: up to an end mark.
    let size = u64_at(data, 5).ok_or(Failure::Damaged)?;
    if size != u64::MAX && size != out.len() as u64 {
        return Err(Failure::Damaged);
    }
    let mut decoder = Decoder::new();
    decoder.set_properties(properties);
    let mut input = Input::new(data.get(13..).unwrap_or(&[])).ok_or(Failure::Damaged)?;
    let mut output = Output {
        bytes: out,
        at: 0,
        from: 0,
    };
    let end = output.bytes.len();
    decoder.run(&mut input, &mut output, end)?;
    Ok(())
}

/// The three numbers that shape a stream.
#[derive(Clone, Copy)]
pub(super) struct Properties {
    literal_context: u32,
    literal_position: u32,
    position: u32,
}

impl Properties {
    /// Decodes the properties byte. More than 4 bits of literal context and position together are refused: LZMA2 forbids
    /// them, and nothing writes them.
    pub(super) fn decode(byte: u8) -> Option<Self> {
        let byte = u32::from(byte);
        let (literal_context, literal_position, position) = (byte % 9, byte / 9 % 5, byte / 45);
        (position < 5 && literal_context + literal_position <= 4).then_some(Self {
            literal_context,
            literal_position,
            position,
        })
    }
}

/// The range coder's input.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    range: u32,
    code: u32,
}

impl<'a> Input<'a> {
    /// Starts on `bytes`: a zero byte, then the first 32 bits of the code.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let code = u32_at(bytes, 1)?.swap_bytes();
        (u8_at(bytes, 0)? == 0).then_some(Self {
            bytes,
            at: 5,
            range: u32::MAX,
            code,
        })
    }

    /// Whether just the whole input has been used and the coder is at rest, as at the end of a chunk.
    pub(super) fn is_finished(&mut self) -> bool {
        self.normalise();
        self.at == self.bytes.len() && self.code == 0
    }

    #[inline(always)]
    fn normalise(&mut self) {
        if self.range < 1 << 24 {
            let byte = self.bytes.get(self.at).copied().unwrap_or(0);
            self.at += 1;
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(byte);
        }
    }

    #[inline(always)]
    fn bit(&mut self, probability: &mut u16) -> u32 {
        self.normalise();
        let bound = (self.range >> 11).wrapping_mul(u32::from(*probability));
        if self.code < bound {
            self.range = bound;
            *probability += (2048 - *probability) >> 5;
            0
        } else {
            self.range -= bound;
            self.code -= bound;
            *probability -= *probability >> 5;
            1
        }
    }

    /// `N` is a power of two; the result is below it.
    #[inline(always)]
    fn tree<const N: usize>(&mut self, probabilities: &mut [u16; N]) -> u32 {
        let mut node = 1;
        while node < N {
            node = node << 1 | self.bit(&mut probabilities[node & (N - 1)]) as usize;
        }
        (node - N) as u32
    }

    /// `bits` bits, lowest first, from the tree whose root is at `base` + 1.
    #[inline(always)]
    fn reverse_tree<const N: usize>(
        &mut self,
        probabilities: &mut [u16; N],
        base: usize,
        bits: u32,
    ) -> u32 {
        let (mut node, mut value) = (1, 0);
        for place in 0..bits {
            let bit = self.bit(&mut probabilities[(base + node) & (N - 1)]);
            node = node << 1 | bit as usize;
            value |= bit << place;
        }
        value
    }

    /// `bits` bits without a model.
    #[inline(always)]
    fn direct(&mut self, bits: u32) -> u32 {
        let mut value = 0;
        for _ in 0..bits {
            self.normalise();
            self.range >>= 1;
            let one = self.code >= self.range;
            if one {
                self.code -= self.range;
            }
            value = value << 1 | u32::from(one);
        }
        value
    }
}

/// The output so far, which is also the dictionary.
pub(super) struct Output<'a> {
    /// All of the output.
    pub(super) bytes: &'a mut [u8],
    /// How much of it has been written.
    pub(super) at: usize,
    /// Where the dictionary begins: matches may not reach before this.
    pub(super) from: usize,
}

impl Output<'_> {
    /// The byte `distance` + 1 before the next one; 0 before the dictionary's beginning.
    #[inline(always)]
    fn back(&self, distance: u32) -> u8 {
        if distance as usize >= self.at - self.from {
            return 0;
        }
        self.bytes
            .get(self.at - distance as usize - 1)
            .copied()
            .unwrap_or(0)
    }

    #[inline(always)]
    fn push(&mut self, byte: u8) -> Result<(), Failure> {
        *self.bytes.get_mut(self.at).ok_or(Failure::Damaged)? = byte;
        self.at += 1;
        Ok(())
    }

    /// Repeats `len` bytes from `distance` + 1 back.
    #[inline(always)]
    fn repeat(&mut self, distance: u32, len: usize) -> Result<(), Failure> {
        let back = distance as usize + 1;
        if back > self.at - self.from {
            return Err(Failure::Damaged);
        }
        self.at = super::repeat(self.bytes, self.at, back, len)?;
        Ok(())
    }
}

/// Match lengths: 2 to 9, 10 to 17 or 18 to 273.
struct Lengths {
    choice: [u16; 2],
    low: [[u16; 8]; STATES],
    middle: [[u16; 8]; STATES],
    high: [u16; 256],
}

impl Lengths {
    const fn new() -> Self {
        Self {
            choice: [HALF; 2],
            low: [[HALF; 8]; STATES],
            middle: [[HALF; 8]; STATES],
            high: [HALF; 256],
        }
    }

    #[inline(always)]
    fn decode(&mut self, input: &mut Input<'_>, position: usize) -> usize {
        let length = if input.bit(&mut self.choice[0]) == 0 {
            2 + input.tree(&mut self.low[position])
        } else if input.bit(&mut self.choice[1]) == 0 {
            10 + input.tree(&mut self.middle[position])
        } else {
            18 + input.tree(&mut self.high)
        };
        length as usize
    }
}

/// Everything that adapts.
struct Model {
    is_match: [[u16; STATES]; STATES],
    is_repeat: [u16; STATES],
    /// Whether a repeat is of an older distance than the last, the one before, the one before that.
    is_older: [[u16; STATES]; 3],
    is_long: [[u16; STATES]; STATES],
    slots: [[u16; 64]; 4],
    distances: [u16; 128],
    align: [u16; 16],
    match_lengths: Lengths,
    repeat_lengths: Lengths,
    literals: [u16; LITERALS],
}

impl Model {
    const NEW: Self = Self {
        is_match: [[HALF; STATES]; STATES],
        is_repeat: [HALF; STATES],
        is_older: [[HALF; STATES]; 3],
        is_long: [[HALF; STATES]; STATES],
        slots: [[HALF; 64]; 4],
        distances: [HALF; 128],
        align: [HALF; 16],
        match_lengths: Lengths::new(),
        repeat_lengths: Lengths::new(),
        literals: [HALF; LITERALS],
    };
}

/// A decoder between symbols.
pub(super) struct Decoder {
    model: Box<Model>,
    properties: Properties,
    /// What the last symbols were: below [`LITERAL_STATES`], the last was a literal.
    state: usize,
    /// The last four distances, latest first.
    last: [u32; 4],
}

impl Decoder {
    pub(super) fn new() -> Self {
        let properties = Properties {
            literal_context: 3,
            literal_position: 0,
            position: 2,
        };
        Self {
            model: Box::new(Model::NEW),
            properties,
            state: 0,
            last: [0; 4],
        }
    }

    /// Sets the properties and resets everything that adapts.
    pub(super) fn set_properties(&mut self, properties: Properties) {
        self.properties = properties;
        self.reset();
    }

    /// Resets everything that adapts.
    pub(super) fn reset(&mut self) {
        *self.model = Model::NEW;
        self.state = 0;
        self.last = [0; 4];
    }

    /// Decodes until the output has `end` bytes. An end mark before that is damage, as is a match that reaches beyond.
    pub(super) fn run(
        &mut self,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
        end: usize,
    ) -> Result<(), Failure> {
        // By value while it lasts, so that all of it can stay in registers.
        let mut run = Run {
            input: *input,
            output: Output {
                bytes: output.bytes,
                ..*output
            },
            model: &mut self.model,
            properties: self.properties,
            state: self.state,
            last: self.last,
        };
        let result = run.symbols(end);
        (self.state, self.last) = (run.state, run.last);
        *input = run.input;
        output.at = run.output.at;
        result
    }
}

/// A decoder at work.
struct Run<'i, 'o, 'm> {
    input: Input<'i>,
    output: Output<'o>,
    model: &'m mut Model,
    properties: Properties,
    state: usize,
    last: [u32; 4],
}

impl Run<'_, '_, '_> {
    #[inline(always)]
    fn symbols(&mut self, end: usize) -> Result<(), Failure> {
        let position_mask = (1usize << self.properties.position) - 1;
        while self.output.at < end {
            let position = (self.output.at - self.output.from) & position_mask & (STATES - 1);
            let state = self.state & (STATES - 1);
            if self.input.bit(&mut self.model.is_match[state][position]) == 0 {
                let byte = self.literal();
                self.output.push(byte)?;
                self.state = match state {
                    0..4 => 0,
                    4..10 => state - 3,
                    _ => state - 6,
                };
                continue;
            }
            let len = if self.input.bit(&mut self.model.is_repeat[state]) == 0 {
                self.fresh_match(position)
            } else {
                self.repeated_match(state, position)
            };
            if len > end - self.output.at {
                return Err(Failure::Damaged);
            }
            self.output.repeat(self.last[0], len)?;
        }
        if self.input.at > self.input.bytes.len() {
            Err(Failure::Damaged)
        } else {
            Ok(())
        }
    }

    /// One byte, coded after the byte before it, and after a match also against the byte that the match would have had next.
    #[inline(always)]
    fn literal(&mut self) -> u8 {
        let Properties {
            literal_context,
            literal_position,
            ..
        } = self.properties;
        let low = (self.output.at - self.output.from) & ((1 << literal_position) - 1);
        let context =
            low << literal_context | usize::from(self.output.back(0)) >> (8 - literal_context);
        let base = 0x300 * context;
        let literals = &mut self.model.literals;
        let mut symbol = 1;
        if self.state >= LITERAL_STATES {
            let mut expected = usize::from(self.output.back(self.last[0]));
            // As long as the bits agree with the expected byte's, each has probabilities of its own for either value.
            let mut agree = 0x100;
            while symbol < 0x100 {
                expected <<= 1;
                let wanted = expected & agree;
                let bit = self
                    .input
                    .bit(&mut literals[(base + agree + wanted + symbol) & (LITERALS - 1)])
                    as usize;
                symbol = symbol << 1 | bit;
                agree &= if bit == 1 { wanted } else { !wanted };
            }
        }
        while symbol < 0x100 {
            symbol = symbol << 1
                | self
                    .input
                    .bit(&mut literals[(base + symbol) & (LITERALS - 1)])
                    as usize;
        }
        symbol as u8
    }

    /// A match at a new distance: leaves the distance in `last` and returns the length.
    #[inline(always)]
    fn fresh_match(&mut self, position: usize) -> usize {
        self.last = [0, self.last[0], self.last[1], self.last[2]];
        self.state = if self.state < LITERAL_STATES { 7 } else { 10 };
        let len = self.model.match_lengths.decode(&mut self.input, position);
        let slot = self.input.tree(&mut self.model.slots[(len - 2).min(3)]);
        self.last[0] = match slot {
            0..4 => slot,
            4..14 => {
                let bits = (slot >> 1) - 1;
                let distance = (2 | slot & 1) << bits;
                distance
                    + self.input.reverse_tree(
                        &mut self.model.distances,
                        (distance - slot) as usize,
                        bits,
                    )
            }
            _ => {
                let bits = (slot >> 1) - 1;
                let distance =
                    ((2 | slot & 1) << bits).wrapping_add(self.input.direct(bits - 4) << 4);
                distance.wrapping_add(self.input.reverse_tree(&mut self.model.align, 0, 4))
            }
        };
        len
    }

    /// A match at one of the last distances: moves that to the front of `last` and returns the length.
    #[inline(always)]
    fn repeated_match(&mut self, state: usize, position: usize) -> usize {
        let after_literal = state < LITERAL_STATES;
        let [latest, second, third, fourth] = self.last;
        if self.input.bit(&mut self.model.is_older[0][state]) == 0 {
            if self.input.bit(&mut self.model.is_long[state][position]) == 0 {
                self.state = if after_literal { 9 } else { 11 };
                return 1;
            }
        } else if self.input.bit(&mut self.model.is_older[1][state]) == 0 {
            self.last = [second, latest, third, fourth];
        } else if self.input.bit(&mut self.model.is_older[2][state]) == 0 {
            self.last = [third, latest, second, fourth];
        } else {
            self.last = [fourth, latest, second, third];
        }
        self.state = if after_literal { 8 } else { 11 };
        self.model.repeat_lengths.decode(&mut self.input, position)
    }
}
