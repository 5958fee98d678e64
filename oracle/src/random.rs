//! Where the generator's choices come from: pseudo-random numbers, or bytes that a fuzzer chose.

/// A source of choices.
pub trait Choices {
    /// A number below `n`, which is at least 1.
    fn below(&mut self, n: u64) -> u64;

    /// One of several; there is at least one.
    fn pick<T: Copy>(&mut self, from: &[T]) -> T
    where
        Self: Sized,
    {
        from[self.below(from.len() as u64) as usize]
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Pseudo-random numbers (xorshift64*): the same seed, the same run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that belong to a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Spread small seeds over all bits; the state must not be 0.
        let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((state ^ state >> 31) | 1)
    }

    /// The next number, 48 bits.
    pub fn next_number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

impl Choices for Random {
    fn below(&mut self, n: u64) -> u64 {
        self.next_number() % n
    }
}

/// Choices made by bytes, zero once they are used up.
#[derive(Clone, Debug)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// Choices that follow `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether no byte is left.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }
}

impl Choices for Bytes<'_> {
    fn below(&mut self, n: u64) -> u64 {
        let mut number = 0;
        let mut reach = 1u64;
        while reach < n && reach < 1 << 32 {
            let Some((&first, rest)) = self.0.split_first() else {
                break;
            };
            self.0 = rest;
            number = number << 8 | u64::from(first);
            reach <<= 8;
        }
        number % n
    }
}
