//! Requests about single pages: clearing, copying, stores to page tables, descriptors.

use super::bits::{PRESENT, RW, target};
use super::l1::Who;
use super::state::{Model, Role};
use crate::answer::Answer;
use crate::no::{self, No};

/// A store to a page-table page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Store {
    pub(super) dom: usize,
    pub(super) vcpu: usize,
    pub(super) fault: u64,
    pub(super) address: u64,
    pub(super) width: u64,
    /// For a compare-exchange.
    pub(super) expected: Option<u64>,
    pub(super) value: u64,
}

impl Model {
    /// A reference on a frame, perhaps for writing.
    pub(super) fn take_page(
        &mut self,
        dom: usize,
        frame: u64,
        writable: bool,
    ) -> Result<usize, No> {
        let index = self.owned(dom, frame).ok_or(no::NOT_OWNED)?;
        if self.is_full(index) {
            return Err(no::COUNT_FULL);
        }
        if writable {
            // Held meanwhile: what is unwound may have been the last to hold it.
            self.domains[dom].holds.push((index, false));
            let result = self.ask_twice(dom, |model| match model.use_as_writable(index) {
                true => Ok(()),
                false => Err(no::TYPE_CONFLICT),
            });
            self.domains[dom].holds.pop();
            result?;
        }
        Ok(index)
    }

    pub(super) fn clear(&mut self, dom: usize, frame: u64) -> Result<Answer, No> {
        let index = self.take_page(dom, frame, true)?;
        self.frames[index].words.clear();
        self.written |= 1 << index;
        Ok(Answer::Done)
    }

    pub(super) fn copy(&mut self, dom: usize, to: u64, from: u64) -> Result<Answer, No> {
        let source = self.take_page(dom, from, false)?;
        self.domains[dom].holds.push((source, false));
        let target = self.take_page(dom, to, true);
        self.domains[dom].holds.pop();
        let target = target?;
        self.frames[target].words = self.frames[source].words.clone();
        self.written |= 1 << target;
        Ok(Answer::Done)
    }

    pub(super) fn store(&mut self, store: &Store) -> Result<Answer, No> {
        let who = Who::own(store.dom);
        let Some(root) = self.domains[store.dom].roots[store.vcpu][0] else {
            return Ok(Answer::NotATable);
        };
        let Some((mapping, slot)) = self.find_l1(store.dom, root, store.fault) else {
            return Ok(Answer::NotATable);
        };
        let entry = self.frames[mapping].words.get(slot);
        let table = self.owned(store.dom, target(entry));
        let Some(table) = table.filter(|&table| {
            entry & (PRESENT | RW) == PRESENT && self.frames[table].role == Role::Table(1)
        }) else {
            return Ok(Answer::NotATable);
        };
        let Store { address, width, .. } = *store;
        if !matches!(width, 1 | 2 | 4 | 8)
            || address % width != 0
            || address >> 12 != store.fault >> 12
        {
            return Err(no::BAD_STORE);
        }
        let slot = (address >> 3 & 511) as u16;
        let shift = (address & 7) * 8;
        let mask = (u64::MAX >> (64 - 8 * width)) << shift;
        let old = self.frames[table].words.get(slot);
        if let Some(expected) = store.expected
            && (old ^ expected << shift) & mask != 0
        {
            return Ok(Answer::Found((old & mask) >> shift));
        }
        let value = old & !mask | store.value << shift & mask;
        // It may have been a table for no other reason than what was still to be unwound.
        self.ask_twice(store.dom, |model| match model.frames[table].role {
            Role::Table(1) => model
                .change_l1(who, table, slot, value, 0)
                .map(|()| Answer::Written),
            _ => Ok(Answer::NotATable),
        })
    }

    /// A descriptor page: 512 descriptors that a guest may have, each made harmless (I88).
    pub(super) fn use_as_descriptors(&mut self, dom: usize, frame: u64) -> Result<usize, No> {
        let index = self.owned(dom, frame).ok_or(no::NOT_OWNED)?;
        if self.is_full(index) {
            return Err(no::COUNT_FULL);
        }
        match self.frames[index].role {
            Role::Descriptors if self.is_type_full(index) => return Err(no::TYPE_FULL),
            Role::Descriptors => return Ok(index),
            Role::Idle => {}
            _ => return Err(no::DESCRIPTOR_FRAME),
        }
        for (slot, descriptor) in self.frames[index].words.clone().iter() {
            let harmless = harmless_descriptor(descriptor).ok_or(no::BAD_DESCRIPTOR)?;
            self.write(index, slot, harmless);
        }
        self.frames[index].role = Role::Descriptors;
        Ok(index)
    }

    pub(super) fn descriptor(&mut self, dom: usize, at: u64, value: u64) -> Result<Answer, No> {
        if !at.is_multiple_of(8) {
            return Err(no::MISALIGNED);
        }
        let value = harmless_descriptor(value).ok_or(no::BAD_DESCRIPTOR)?;
        let index = self.owned(dom, at >> 12).ok_or(no::NOT_OWNED)?;
        if self.frames[index].role != Role::Descriptors {
            self.take_page(dom, at >> 12, true)
                .map_err(|_| no::DESCRIPTOR_FRAME)?;
        }
        self.write(index, (at >> 3 & 511) as u16, value);
        Ok(Answer::Done)
    }
}

/// A descriptor as a guest may have it: absent, a code or data segment of ring 3, the upper half of a call gate, or a
/// call gate that always faults (privilege 0), whose selector says who may use it.
fn harmless_descriptor(descriptor: u64) -> Option<u64> {
    let present = descriptor >> 47 & 1 != 0;
    let segment = descriptor >> 44 & 1 != 0;
    let kind = descriptor >> 40 & 15;
    let ring_3 = 3 << 45;
    match (present, segment, kind) {
        (false, ..) | (true, false, 0) => Some(descriptor),
        (true, true, _) => Some(descriptor | ring_3),
        (true, false, 12) => {
            let selector = descriptor >> 16 & 0xffff;
            // 14 frames of 512 descriptors are the guest's; 0xe033 is the ABI's code segment for 64-bit kernels.
            let reachable = selector >> 3 < 14 * 512 || selector & 4 != 0 || selector == 0xe033;
            let reserved = descriptor >> 32 & 0xff;
            (reachable && reserved == 0).then_some(descriptor & !ring_3 | 3 << 16)
        }
        _ => None,
    }
}
