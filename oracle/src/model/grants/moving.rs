//! Copying bytes and giving frames away (I5 to I7, I41, I57).

use super::entries::{ACCEPT, Access};
use super::{Mapping, READ_ONLY};
use crate::answer::Answer;
use crate::layout::DOMAINS;
use crate::model::grants::HOST;
use crate::model::state::{Model, Owner, Role};
use crate::no::{self, No};

const PAGE: u64 = 4096;
/// Most uses of a grant in one way.
const MOST_PINS: u8 = 128;

/// One end of a copy: a domain that grants and the grant, or (3) a frame of the caller's.
pub type End = (u64, u64);

/// A request to copy; see `Request::GrantCopy`.
#[derive(Clone, Copy, Debug)]
pub struct Copying {
    pub(in crate::model) dom: usize,
    pub(in crate::model) from: End,
    pub(in crate::model) from_offset: u64,
    pub(in crate::model) to: End,
    pub(in crate::model) to_offset: u64,
    pub(in crate::model) length: u64,
}

/// An end that is held.
#[derive(Clone, Copy, Debug)]
struct Held {
    owner: usize,
    frame: usize,
    part: (u64, u64),
    grant: Option<Mapping>,
}

impl Model {
    pub(in crate::model) fn grant_copy(&mut self, copy: &Copying) -> Result<Answer, No> {
        let from = self.hold_end(copy.dom, copy.from, false)?;
        let result = match self.hold_end(copy.dom, copy.to, true) {
            Ok(to) => {
                let result = self.copy_bytes(copy, &from, &to);
                self.release_end(&to);
                result
            }
            Err(no) => Err(no),
        };
        self.release_end(&from);
        result.map(|()| Answer::Done)
    }

    fn hold_end(&mut self, dom: usize, (granter, which): End, write: bool) -> Result<Held, No> {
        if granter as usize == DOMAINS {
            let frame = self.hold_granted(dom, which, write)?;
            return Ok(Held {
                owner: dom,
                frame,
                part: (0, PAGE),
                grant: None,
            });
        }
        let (owner, reference) = (granter as usize, which & 0xffff_ffff);
        let access = Access {
            user: dom,
            write,
            map: false,
        };
        let mut used = self.claim(owner, reference, access)?;
        let pin = usize::from(!write);
        let held = if used.pins[pin] >= MOST_PINS {
            Err(no::GRANT_PINS)
        } else {
            self.hold_granted(owner, used.frame, write)
        };
        let frame = held.inspect_err(|_| self.settle_marks(owner, reference))?;
        used.pins[pin] += 1;
        self.domains[owner].grants.uses.insert(reference, used);
        Ok(Held {
            owner,
            frame,
            part: used.part.unwrap_or((0, PAGE)),
            grant: Some(Mapping {
                handle: 0,
                granter: owner,
                reference,
                frame,
                flags: HOST | if write { 0 } else { READ_ONLY },
                host: 0,
            }),
        })
    }

    fn release_end(&mut self, end: &Held) {
        if let Some(mapping) = &end.grant {
            self.drop_pins(mapping);
        }
        self.let_go(end.owner);
    }

    fn copy_bytes(&mut self, copy: &Copying, from: &Held, to: &Held) -> Result<(), No> {
        let length = copy.length;
        if copy.from_offset + length > PAGE || copy.to_offset + length > PAGE {
            return Err(no::GRANT_COPY_RANGE);
        }
        let covers = |(start, granted): (u64, u64), offset: u64| {
            offset >= start && offset + length <= start + granted
        };
        if !covers(from.part, copy.from_offset) || !covers(to.part, copy.to_offset) {
            return Err(no::GRANT_COPY_PART);
        }
        let source = self.frames[from.frame].words.clone();
        for i in 0..length {
            let (at, to_at) = (copy.from_offset + i, copy.to_offset + i);
            let byte = source.get((at / 8) as u16) >> (at % 8 * 8) & 0xff;
            let (slot, shift) = ((to_at / 8) as u16, to_at % 8 * 8);
            let word = self.frames[to.frame].words.get(slot);
            self.write(to.frame, slot, word & !(0xff << shift) | byte << shift);
        }
        Ok(())
    }

    pub(in crate::model) fn grant_transfer(
        &mut self,
        dom: usize,
        frame: u64,
        receiver: usize,
        reference: u64,
    ) -> Result<Answer, No> {
        if reference >= self.grant_entries(receiver) {
            return Err(no::GRANT_TRANSFER);
        }
        if self.domains[receiver].dying {
            return Err(no::DYING);
        }
        if self.owned_by(receiver) >= self.domains[receiver].limit {
            return Err(no::FULL);
        }
        let index = self.owned(dom, frame).ok_or(no::NOT_OWNED)?;
        if self.frames[index].special {
            return Err(no::SPECIAL);
        }
        if !self.frames[index].allocated || self.counts[index].general != 1 {
            return Err(no::IN_USE);
        }
        let entry = self
            .grant_entry(receiver, reference)
            .filter(|entry| entry.flags == ACCEPT && entry.peer == dom as u64)
            .ok_or(no::GRANT_TRANSFER)?;
        let given = &mut self.frames[index];
        given.owner = Owner::Domain(receiver);
        given.role = Role::Idle;
        given.m2p = entry.frame;
        self.given |= 1 << index;
        self.tell_of_transfer(receiver, reference, index as u64);
        Ok(Answer::Done)
    }

    /// The receiver finds the frame in its entry, and that it was begun and is done.
    fn tell_of_transfer(&mut self, receiver: usize, reference: u64, frame: u64) {
        let Some((table, slot)) = self.grant_place(receiver, reference) else {
            return;
        };
        let word = self.frames[table].words.get(slot) | 4 | 8;
        if self.domains[receiver].grants.version == 1 {
            self.write(table, slot, word & 0xffff_ffff | frame << 32);
        } else {
            self.write(table, slot, word);
            self.write(table, slot + 1, frame);
        }
    }
}
