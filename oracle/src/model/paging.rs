//! Requests about page tables: updates, pins, roots.

use super::bits::{ACCESSED, DIRTY};
use super::l1::{Who, is_guests};
use super::state::{Model, Role};
use crate::answer::Answer;
use crate::layout::IO;
use crate::no::{self, No};

impl Model {
    pub(super) fn update(&mut self, who: Who, at: u64, value: u64) -> Result<Answer, No> {
        let keep = match at & 7 {
            0 | 3 => 0,
            2 => ACCESSED | DIRTY,
            1 => return self.machphys(who, at >> 12, value),
            _ => return Err(no::UNKNOWN_COMMAND),
        };
        let table = self.owned(who.tables, at >> 12).ok_or(no::NOT_OWNED)?;
        let slot = (at >> 3 & 511) as u16;
        if self.frames[table].role == Role::Table(1) {
            if self.change_l1(who, table, slot, value, keep).is_ok() {
                return Ok(Answer::Flush(false));
            }
            self.collect();
        }
        self.settle(who.tables);
        // The frame may have been the domain's for no other reason than what was still to be unwound.
        self.owned(who.tables, at >> 12).ok_or(no::NOT_OWNED)?;
        let role = self.frames[table].role;
        match role {
            Role::Table(1) => self
                .change_l1(who, table, slot, value, keep)
                .map(|()| Answer::Flush(false)),
            Role::Table(_) => self
                .change_upper(who, table, slot, value, keep)
                .map(Answer::Flush),
            _ if self.is_full(table) => Err(no::COUNT_FULL),
            _ if self.use_as_writable(table) => {
                self.write(table, slot, value);
                Ok(Answer::Flush(false))
            }
            _ => Err(no::NOT_A_TABLE),
        }
    }

    pub(super) fn machphys(&mut self, who: Who, frame: u64, pfn: u64) -> Result<Answer, No> {
        if who.tables != who.caller {
            return Err(no::FOREIGN_TABLES);
        }
        let index = self
            .owned(who.pages, frame)
            .filter(|_| who.pages != IO)
            .ok_or(no::NOT_OWNED)?;
        if self.is_full(index) {
            return Err(no::COUNT_FULL);
        }
        self.frames[index].m2p = pfn;
        Ok(Answer::Flush(false))
    }

    pub(super) fn va(
        &mut self,
        who: Who,
        vcpu: usize,
        address: u64,
        value: u64,
    ) -> Result<Answer, No> {
        let root = self.domains[who.tables].roots[vcpu][0].ok_or(no::NO_L1)?;
        let Some((table, slot)) = self.find_l1(who.tables, root, address) else {
            return Err(if is_guests(address) {
                no::NO_L1
            } else {
                no::BAD_ADDRESS
            });
        };
        self.ask_twice(who.tables, |model| {
            model.change_l1(who, table, slot, value, 0)
        })?;
        Ok(Answer::Done)
    }

    pub(super) fn pin(&mut self, dom: usize, frame: u64, level: u8) -> Result<Answer, No> {
        self.settle(dom);
        if self.domains[dom].dying {
            return Err(no::DYING);
        }
        if self
            .owned(dom, frame)
            .is_some_and(|index| self.frames[index].pinned)
        {
            return Err(no::PINNED);
        }
        if let Err(no) = self.use_as_table(dom, frame, level) {
            self.give_up(dom, frame, level);
            return Err(no);
        }
        self.frames[frame as usize].pinned = true;
        Ok(Answer::Done)
    }

    pub(super) fn unpin(&mut self, dom: usize, frame: u64) -> Result<Answer, No> {
        self.settle(dom);
        let index = self.owned(dom, frame).ok_or(no::NOT_OWNED)?;
        if !self.frames[index].pinned {
            return Err(no::NOT_PINNED);
        }
        self.frames[index].pinned = false;
        Ok(Answer::Done)
    }

    pub(super) fn root(
        &mut self,
        dom: usize,
        vcpu: usize,
        user: usize,
        frame: u64,
    ) -> Result<Answer, No> {
        self.settle(dom);
        if self.domains[dom].dying {
            return Err(no::DYING);
        }
        let could_be = self.owned(dom, frame).is_some_and(|index| {
            let role = match self.frames[index].role {
                Role::Table(4) => !self.is_type_full(index),
                Role::Idle | Role::Partial(4, _) => true,
                _ => false,
            };
            role && !self.is_full(index)
        });
        if let Err(no) = self.use_as_table(dom, frame, 4) {
            self.give_up(dom, frame, 4);
            return Err(if could_be { no } else { no::ROOT_TYPE });
        }
        self.domains[dom].roots[vcpu][user] = Some(frame as usize);
        Ok(Answer::Done)
    }
}
