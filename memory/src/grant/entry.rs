//! The guest's entries in both layouts: one fetch, one check, and the in-use marks.
//!
//! Keeps true: I47 (an entry is fetched once; in version 2 its frame is fetched once, after the flags were seen to
//! permit the access with the mark already set), I79 (a guest that keeps changing the word cannot hold the loop), I59
//! (references are bounded by the present version).

use super::active::Active;
use super::table::TableState;
use crate::machine::MachineMemory;
use crate::refusal::Rule;
use xenocryst_abi::grant_table::entry_flag as f;
use xenocryst_abi::{DomId, Maddr, Mfn};

/// Tries to set a mark before the entry counts as unstable, as in Xen.
const MARK_TRIES: u32 = 5;
/// Tries to clear one. A guest that wins this race keeps a mark of its own.
const CLEAR_TRIES: u32 = 64;
const PAGE: u16 = 4096;

/// What is asked of a grant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    /// Who asks.
    pub(super) user: DomId,
    /// Whether to write.
    pub(super) write: bool,
    /// Whether to map, and not only to copy.
    pub(super) map: bool,
}

/// A fetched entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) flags: u16,
    pub(super) peer: DomId,
    pub(super) frame: Mfn,
    pub(super) start: u16,
    pub(super) length: u16,
    pub(super) is_part: bool,
}

impl Entry {
    /// Of version 1: all in one word.
    pub(super) fn v1(word: u64) -> Self {
        Self {
            flags: word as u16,
            peer: DomId((word >> 16) as u16),
            frame: Mfn::new(word >> 32),
            start: 0,
            length: PAGE,
            is_part: false,
        }
    }

    /// Of version 2: header and part, then the frame.
    pub(super) fn v2(header: u64, frame: u64) -> Self {
        let flags = header as u16;
        let is_part = flags & f::SUB_PAGE != 0;
        Self {
            flags,
            peer: DomId((header >> 16) as u16),
            frame: Mfn::new(frame),
            start: if is_part { (header >> 32) as u16 } else { 0 },
            length: if is_part { (header >> 48) as u16 } else { PAGE },
            is_part,
        }
    }

    fn check(&self, version: u32, access: Access) -> Result<(), Rule> {
        match self.flags & f::TYPE_MASK {
            f::PERMIT_ACCESS => {}
            f::TRANSITIVE if version == 2 => return Err(Rule::GrantTransitive),
            _ => return Err(Rule::GrantNotPermitted),
        }
        if self.peer != access.user || (access.write && self.flags & f::READONLY != 0) {
            return Err(Rule::GrantNotPermitted);
        }
        if access.map && self.flags & f::SUB_PAGE != 0 {
            return Err(Rule::GrantPartOfPage);
        }
        Ok(())
    }

    /// Whether a used entry still says what it said at first.
    fn agrees(&self, active: &Active) -> bool {
        self.frame == active.frame
            && self.start == active.start
            && self.length == active.length
            && self.is_part == active.is_part
    }
}

fn marks(write: bool) -> u16 {
    f::READING | if write { f::WRITING } else { 0 }
}

impl TableState {
    /// Entries that the table has.
    pub(super) fn entries(&self) -> u32 {
        self.shared.len() * if self.version == 1 { 512 } else { 256 }
    }

    /// Fetches an entry.
    pub(super) fn fetch<M: MachineMemory>(&self, machine: &M, reference: u32) -> Option<Entry> {
        if self.version == 1 {
            return Some(Entry::v1(machine.read_u64(self.shared.word(reference)?)));
        }
        let header = machine.read_u64(self.shared.half(reference, false)?);
        let frame = machine.read_u64(self.shared.half(reference, true)?);
        Some(Entry::v2(header, frame))
    }

    /// Fetches and checks an entry and marks it as in use. Marks may be left behind on refusal: see
    /// [`TableState::settle_marks`].
    pub(super) fn open<M: MachineMemory>(
        &self,
        machine: &M,
        reference: u32,
        access: Access,
        active: &Active,
    ) -> Result<Entry, Rule> {
        let entry = if self.version == 1 {
            self.open_v1(machine, reference, access)
        } else {
            self.open_v2(machine, reference, access)
        }?;
        if !active.pins.is_none() && !entry.agrees(active) {
            return Err(Rule::GrantChanged);
        }
        Ok(entry)
    }

    fn open_v1<M: MachineMemory>(
        &self,
        machine: &M,
        reference: u32,
        access: Access,
    ) -> Result<Entry, Rule> {
        let at = self.shared.word(reference).ok_or(Rule::GrantReference)?;
        let mut word = machine.read_u64(at);
        for _ in 0..MARK_TRIES {
            let entry = Entry::v1(word);
            entry.check(1, access)?;
            let marked = word | u64::from(marks(access.write));
            if marked == word {
                return Ok(entry);
            }
            match machine.compare_exchange_u64(at, word, marked) {
                Ok(_) => return Ok(entry),
                Err(now) => word = now,
            }
        }
        Err(Rule::GrantChanged)
    }

    fn open_v2<M: MachineMemory>(
        &self,
        machine: &M,
        reference: u32,
        access: Access,
    ) -> Result<Entry, Rule> {
        let at = self
            .shared
            .half(reference, false)
            .ok_or(Rule::GrantReference)?;
        let frame_at = self
            .shared
            .half(reference, true)
            .ok_or(Rule::GrantReference)?;
        Entry::v2(machine.read_u64(at), 0).check(2, access)?;
        if !self.change_status(machine, reference, MARK_TRIES, |status| {
            status | marks(access.write)
        }) {
            return Err(Rule::GrantChanged);
        }
        // The guest revokes by changing the flags and then looking at the mark: so the mark came first, and the flags
        // that count are those seen now.
        let header = machine.read_u64(at);
        let entry = Entry::v2(header, machine.read_u64(frame_at));
        entry.check(2, access)?;
        Ok(entry)
    }

    /// Takes marks away that no pin calls for.
    pub(super) fn settle_marks<M: MachineMemory>(&self, machine: &M, reference: u32) {
        let pins = self.active(machine, reference).pins;
        let mut clear = 0;
        if pins.is_none() {
            clear |= f::READING;
        }
        if !pins.has_writer() {
            clear |= f::WRITING;
        }
        if clear == 0 {
            return;
        }
        if self.version == 1 {
            if let Some(at) = self.shared.word(reference) {
                change_word(machine, at, CLEAR_TRIES, |word| word & !u64::from(clear));
            }
        } else {
            self.change_status(machine, reference, CLEAR_TRIES, |status| status & !clear);
        }
    }

    /// The status of an entry (version 2).
    pub(super) fn status<M: MachineMemory>(&self, machine: &M, reference: u32) -> u16 {
        self.status.word(reference / 4).map_or(0, |at| {
            (machine.read_u64(at) >> (reference % 4 * 16)) as u16
        })
    }

    /// Changes the status of an entry (version 2). `false` if the guest kept changing it.
    pub(super) fn change_status<M: MachineMemory>(
        &self,
        machine: &M,
        reference: u32,
        tries: u32,
        change: impl Fn(u16) -> u16,
    ) -> bool {
        let Some(at) = self.status.word(reference / 4) else {
            return false;
        };
        let shift = reference % 4 * 16;
        change_word(machine, at, tries, |word| {
            let status = change((word >> shift) as u16);
            word & !(0xffff << shift) | u64::from(status) << shift
        })
    }
}

/// Replaces a word by what `change` makes of it, in at most `tries` tries.
pub(super) fn change_word<M: MachineMemory>(
    machine: &M,
    at: Maddr,
    tries: u32,
    change: impl Fn(u64) -> u64,
) -> bool {
    let mut word = machine.read_u64(at);
    for _ in 0..tries {
        let new = change(word);
        if new == word {
            return true;
        }
        match machine.compare_exchange_u64(at, word, new) {
            Ok(_) => return true,
            Err(now) => word = now,
        }
    }
    false
}
