//! The guest's entries: where they are, what they say, and the marks in them (I47, I51, I55).

use super::Use;
use crate::model::state::Model;
use crate::no::{self, No};

/// Kind: may be mapped and copied.
pub const PERMIT: u64 = 1;
/// Kind: accepts a frame.
pub const ACCEPT: u64 = 2;
/// Kind: stands for another's.
const TRANSITIVE: u64 = 3;
const READ_ONLY: u64 = 4;
const READING: u64 = 8;
const WRITING: u64 = 16;
const SUB_PAGE: u64 = 0x100;
pub(super) const MARKS: u64 = READING | WRITING;

/// What is asked of a grant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) user: usize,
    pub(super) write: bool,
    pub(super) map: bool,
}

/// An entry as it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) flags: u64,
    pub(super) peer: u64,
    pub(super) frame: u64,
    pub(super) part: Option<(u64, u64)>,
}

impl Model {
    /// How many entries a table has.
    #[must_use]
    pub fn grant_entries(&self, dom: usize) -> u64 {
        let grants = &self.domains[dom].grants;
        grants.lists.shared.len() as u64 * if grants.version == 1 { 512 } else { 256 }
    }

    /// The frame and the slot where an entry begins.
    #[must_use]
    pub fn grant_place(&self, dom: usize, reference: u64) -> Option<(usize, u16)> {
        let grants = &self.domains[dom].grants;
        let (each, words) = if grants.version == 1 {
            (512, 1)
        } else {
            (256, 2)
        };
        let frame = grants.lists.shared.get((reference / each) as usize)?;
        Some((*frame, (reference % each * words) as u16))
    }

    fn status_place(&self, dom: usize, reference: u64) -> Option<(usize, u16, u64)> {
        let frame = self.domains[dom]
            .grants
            .lists
            .status
            .get((reference / 2048) as usize)?;
        Some((*frame, (reference / 4 % 512) as u16, reference % 4 * 16))
    }

    pub(super) fn grant_entry(&self, dom: usize, reference: u64) -> Option<Entry> {
        let (frame, slot) = self.grant_place(dom, reference)?;
        let words = &self.frames[frame].words;
        let word = words.get(slot);
        let (flags, peer) = (word & 0xffff, word >> 16 & 0xffff);
        let (frame, part) = if self.domains[dom].grants.version == 1 {
            (word >> 32, None)
        } else {
            let part = (word >> 32 & 0xffff, word >> 48);
            (words.get(slot + 1), (flags & SUB_PAGE != 0).then_some(part))
        };
        Some(Entry {
            flags,
            peer,
            frame,
            part,
        })
    }

    /// The marks of an entry: among its flags in version 1, in a word of their own in version 2.
    pub(super) fn marks(&self, dom: usize, reference: u64) -> u64 {
        match self.domains[dom].grants.version {
            1 => self.grant_entry(dom, reference).map_or(0, |e| e.flags),
            _ => self
                .status_place(dom, reference)
                .map_or(0, |(frame, slot, shift)| {
                    self.frames[frame].words.get(slot) >> shift & 0xffff
                }),
        }
    }

    pub(super) fn set_marks(&mut self, dom: usize, reference: u64, marks: u64) {
        let place = match self.domains[dom].grants.version {
            1 => self.grant_place(dom, reference).map(|(f, s)| (f, s, 0)),
            _ => self.status_place(dom, reference),
        };
        if let Some((frame, slot, shift)) = place {
            let word = self.frames[frame].words.get(slot);
            self.write(frame, slot, word & !(0xffff << shift) | marks << shift);
        }
    }

    /// Leaves those marks only that the uses of an entry call for.
    pub(super) fn settle_marks(&mut self, dom: usize, reference: u64) {
        let mut marks = self.marks(dom, reference);
        match self.domains[dom].grants.uses.get(&reference) {
            Some(one) if one.is_written() => return,
            Some(_) => marks &= !WRITING,
            None => marks &= !MARKS,
        }
        self.set_marks(dom, reference, marks);
    }

    /// Whether an entry permits an access; if so it is marked. The use as it was before, or a new one without pins.
    pub(super) fn claim(&mut self, dom: usize, reference: u64, access: Access) -> Result<Use, No> {
        if reference >= self.grant_entries(dom) {
            return Err(no::GRANT_REFERENCE);
        }
        if self.domains[dom].dying {
            return Err(no::GRANT_DYING);
        }
        let present = self.domains[dom].grants.uses.get(&reference).copied();
        if let Some(present) = present {
            if present.user != access.user {
                return Err(no::GRANT_NOT_PERMITTED);
            }
            if access.map && present.part.is_some() {
                return Err(no::GRANT_PART);
            }
        }
        let result = self.open(dom, reference, access, present);
        if result.is_err() {
            self.settle_marks(dom, reference);
        }
        result
    }

    fn open(
        &mut self,
        dom: usize,
        reference: u64,
        access: Access,
        present: Option<Use>,
    ) -> Result<Use, No> {
        let entry = self
            .grant_entry(dom, reference)
            .ok_or(no::GRANT_REFERENCE)?;
        match entry.flags & 3 {
            PERMIT => {}
            TRANSITIVE if self.domains[dom].grants.version == 2 => {
                return Err(no::GRANT_TRANSITIVE);
            }
            _ => return Err(no::GRANT_NOT_PERMITTED),
        }
        let may =
            entry.peer == access.user as u64 && !(access.write && entry.flags & READ_ONLY != 0);
        if !may {
            return Err(no::GRANT_NOT_PERMITTED);
        }
        if access.map && entry.flags & SUB_PAGE != 0 {
            return Err(no::GRANT_PART);
        }
        let mark = READING | if access.write { WRITING } else { 0 };
        self.set_marks(dom, reference, self.marks(dom, reference) | mark);
        match present {
            Some(used) if (used.frame, used.part) != (entry.frame, entry.part) => {
                Err(no::GRANT_CHANGED)
            }
            Some(used) => Ok(used),
            None => Ok(Use {
                user: access.user,
                frame: entry.frame,
                pins: [0; 4],
                part: entry.part,
            }),
        }
    }
}
