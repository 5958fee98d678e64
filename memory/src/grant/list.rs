//! A growing list of machine frames that hold records of words.

use crate::machine::MachineMemory;
use xenocryst_abi::{Maddr, Mfn};

/// Words in a frame.
pub(super) const FRAME_WORDS: u32 = 512;

/// At most `N` frames, in which records of a power of two of words are numbered through.
pub(super) struct FrameList<const N: usize> {
    frames: [u32; N],
    len: u32,
}

impl<const N: usize> FrameList<N> {
    pub(super) const fn new() -> Self {
        Self {
            frames: [0; N],
            len: 0,
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn get(&self, index: u32) -> Option<Mfn> {
        let used = self.frames.get(..self.len as usize)?;
        used.get(index as usize)
            .map(|&frame| Mfn::new(u64::from(frame)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Mfn> {
        (0..self.len).filter_map(|index| self.get(index))
    }

    /// Appends a frame. `false` if there is no room.
    pub(super) fn push(&mut self, frame: Mfn) -> bool {
        match (
            self.frames.get_mut(self.len as usize),
            u32::try_from(frame.raw()),
        ) {
            (Some(slot), Ok(number)) => {
                *slot = number;
                self.len += 1;
                true
            }
            _ => false,
        }
    }

    pub(super) fn pop(&mut self) -> Option<Mfn> {
        let last = self.get(self.len.checked_sub(1)?)?;
        self.len -= 1;
        Some(last)
    }

    /// The address of word `word` of record `record`, records having `words` words.
    fn address(&self, record: u32, words: u32, word: u32) -> Option<Maddr> {
        let per_frame = FRAME_WORDS / words;
        let frame = self.get(record / per_frame)?;
        let offset = (record % per_frame * words + word) * 8;
        Some(Maddr::new(frame.maddr().raw() + u64::from(offset)))
    }

    /// The address of the one-word record `record`.
    pub(super) fn word(&self, record: u32) -> Option<Maddr> {
        self.address(record, 1, 0)
    }

    /// The address of the first or second word of the two-word record `record`.
    pub(super) fn half(&self, record: u32, second: bool) -> Option<Maddr> {
        self.address(record, 2, u32::from(second))
    }

    /// Reads the two-word record `record`; zeroes if there is none.
    pub(super) fn read_pair<M: MachineMemory>(&self, machine: &M, record: u32) -> [u64; 2] {
        [false, true].map(|second| {
            self.half(record, second)
                .map_or(0, |at| machine.read_u64(at))
        })
    }

    /// Writes the two-word record `record`, second word first.
    pub(super) fn write_pair<M: MachineMemory>(&self, machine: &M, record: u32, pair: [u64; 2]) {
        for (second, value) in [(true, pair[1]), (false, pair[0])] {
            if let Some(at) = self.half(record, second) {
                machine.write_u64(at, value);
            }
        }
    }
}
