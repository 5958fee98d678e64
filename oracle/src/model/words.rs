//! The contents of a frame: only words that are not zero are kept.

/// 512 words.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Words(Vec<(u16, u64)>);

impl Words {
    /// The word in `slot`.
    #[must_use]
    pub fn get(&self, slot: u16) -> u64 {
        match self.0.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(at) => self.0[at].1,
            Err(_) => 0,
        }
    }

    /// Sets the word in `slot`.
    pub fn set(&mut self, slot: u16, value: u64) {
        match self.0.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(at) if value == 0 => drop(self.0.remove(at)),
            Ok(at) => self.0[at].1 = value,
            Err(_) if value == 0 => {}
            Err(at) => self.0.insert(at, (slot, value)),
        }
    }

    /// The words that are not zero, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.0.iter().copied()
    }

    /// All zero.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
