//! Tables: growth, versions, swapped entries, and their end (I41, I48, I59, I60).
//!
//! Which free frames a table gets is the engine's choice: it is taken from `Model::told`, and only checked.

use super::entries::{MARKS, PERMIT};
use super::{Grants, Lists};
use crate::answer::Answer;
use crate::layout::{GRANT_FRAMES, newest_grants};
use crate::model::state::{Model, Owner, Role};
use crate::no::{self, No};

/// Entries that outlive a change of version.
const RESERVED: u64 = 8;

/// One of the lists of frames.
type Which = fn(&mut Lists) -> &mut Vec<usize>;

fn shared(lists: &mut Lists) -> &mut Vec<usize> {
    &mut lists.shared
}

fn status(lists: &mut Lists) -> &mut Vec<usize> {
    &mut lists.status
}

impl Model {
    fn free_count(&self) -> usize {
        let free = |frame: &&super::super::state::Frame| frame.owner == Owner::Free;
        self.frames.iter().filter(free).count()
    }

    /// The frame that a list gets next: the engine's, if that is free, or any.
    fn next_frame(&mut self, dom: usize, which: Which) -> Option<usize> {
        let have = which(&mut self.domains[dom].grants.lists).len();
        let told = which(&mut self.told[dom]).get(have).copied();
        let is_free = |&index: &usize| self.frames[index].owner == Owner::Free;
        told.filter(is_free)
            .or_else(|| (0..self.frames.len()).find(is_free))
    }

    /// Lets a list of the hypervisor's frames have at least `wanted`. `false` without memory; what there was is taken.
    pub(super) fn have_records(&mut self, dom: usize, which: Which, wanted: usize) -> bool {
        while which(&mut self.domains[dom].grants.lists).len() < wanted {
            let Some(index) = self.next_frame(dom, which) else {
                return false;
            };
            let frame = &mut self.frames[index];
            frame.owner = Owner::Hypervisor;
            frame.hidden = true;
            which(&mut self.domains[dom].grants.lists).push(index);
        }
        true
    }

    /// Lets a list of frames shared with the guest have at least `wanted`; there is memory.
    fn have_shared(&mut self, dom: usize, which: Which, wanted: usize) {
        while which(&mut self.domains[dom].grants.lists).len() < wanted
            && let Some(index) = self.next_frame(dom, which)
        {
            self.give(dom, index as u64, 0, None);
            self.frames[index].special = true;
            self.frames[index].role = Role::Writable;
            which(&mut self.domains[dom].grants.lists).push(index);
        }
    }

    pub(in crate::model) fn grant_setup(&mut self, dom: usize, frames: u64) -> Result<Answer, No> {
        if frames > GRANT_FRAMES {
            return Err(no::GRANT_SIZE);
        }
        if self.domains[dom].dying {
            return Err(no::GRANT_DYING);
        }
        let frames = frames as usize;
        if !self.have_records(dom, |lists| &mut lists.active, frames * 2) {
            return Err(no::OUT_OF_MEMORY);
        }
        let grants = &self.domains[dom].grants;
        let more = frames.saturating_sub(grants.lists.shared.len());
        let mut marks = 0;
        if grants.version == 2 {
            marks = frames.div_ceil(8).saturating_sub(grants.lists.status.len());
        }
        if self.free_count() < more + marks {
            return Err(no::OUT_OF_MEMORY);
        }
        self.have_shared(dom, shared, frames);
        if marks != 0 {
            self.have_shared(dom, status, frames.div_ceil(8));
        }
        Ok(Answer::Done)
    }

    pub(in crate::model) fn grant_version(
        &mut self,
        dom: usize,
        version: u64,
    ) -> Result<Answer, No> {
        if version != 1 && version != 2 {
            return Err(no::GRANT_VERSION);
        }
        if version > newest_grants(dom) {
            return Err(no::GRANT_VERSION_LIMIT);
        }
        if self.domains[dom].dying {
            return Err(no::GRANT_DYING);
        }
        let grants = &self.domains[dom].grants;
        if grants.version == version {
            return Ok(Answer::Done);
        }
        if grants.uses.keys().any(|&reference| reference >= RESERVED) {
            return Err(no::GRANT_TABLE_IN_USE);
        }
        let kept = self.reserved_entries(dom)?;
        let statuses = self.domains[dom].grants.lists.shared.len().div_ceil(8);
        if version == 2 {
            if self.free_count() < statuses {
                return Err(no::OUT_OF_MEMORY);
            }
            self.have_shared(dom, status, statuses);
        } else if !self.take_back_all(dom, status, true) {
            return Err(no::GRANT_TABLE_IN_USE);
        }
        for frame in self.domains[dom].grants.lists.shared.clone() {
            self.frames[frame].words.clear();
            self.written |= 1 << frame;
        }
        self.domains[dom].grants.version = version;
        for (reference, (header, frame)) in (0..).zip(kept) {
            self.restore_entry(dom, reference, header, frame);
        }
        Ok(Answer::Done)
    }

    /// The entries that outlive a change of version, with their marks: header and frame.
    fn reserved_entries(&self, dom: usize) -> Result<Vec<(u64, u64)>, No> {
        let mut kept = Vec::new();
        for reference in 0..RESERVED.min(self.grant_entries(dom)) {
            let Some(entry) = self.grant_entry(dom, reference) else {
                break;
            };
            let mut flags = entry.flags;
            if self.domains[dom].grants.version == 2 {
                match flags & 3 {
                    0 | 2 => {
                        kept.push((0, 0));
                        continue;
                    }
                    PERMIT if entry.frame >> 32 == 0 => {}
                    _ => return Err(no::GRANT_CONTENTS),
                }
                flags |= self.marks(dom, reference) & MARKS;
            }
            kept.push((flags | entry.peer << 16, entry.frame));
        }
        Ok(kept)
    }

    fn restore_entry(&mut self, dom: usize, reference: u64, header: u64, frame: u64) {
        let Some((table, slot)) = self.grant_place(dom, reference) else {
            return;
        };
        if self.domains[dom].grants.version == 1 {
            self.write(table, slot, header | frame << 32);
        } else {
            self.write(table, slot, header & !MARKS);
            self.write(table, slot + 1, frame);
            self.set_marks(dom, reference, header & MARKS);
        }
    }

    pub(in crate::model) fn grant_swap(
        &mut self,
        dom: usize,
        a: u64,
        b: u64,
    ) -> Result<Answer, No> {
        let entries = self.grant_entries(dom);
        if a >= entries || b >= entries {
            return Err(no::GRANT_REFERENCE);
        }
        if a == b {
            return Ok(Answer::Done);
        }
        let grants = &self.domains[dom].grants;
        if grants.uses.contains_key(&a) || grants.uses.contains_key(&b) {
            return Err(no::GRANT_IN_USE);
        }
        let words = if grants.version == 1 { 1 } else { 2 };
        let (marks_a, marks_b) = (self.marks(dom, a), self.marks(dom, b));
        if let (Some(a), Some(b)) = (self.grant_place(dom, a), self.grant_place(dom, b)) {
            for word in 0..words {
                let first = self.frames[a.0].words.get(a.1 + word);
                let second = self.frames[b.0].words.get(b.1 + word);
                self.write(a.0, a.1 + word, second);
                self.write(b.0, b.1 + word, first);
            }
        }
        if words == 2 {
            self.set_marks(dom, a, marks_b);
            self.set_marks(dom, b, marks_a);
        }
        Ok(Answer::Done)
    }

    /// Takes the frames of a list back from the guest, the last first, up to one that is mapped; or, if `all`, none then.
    fn take_back_all(&mut self, dom: usize, which: Which, all: bool) -> bool {
        let held = |model: &Self, frame: usize| model.counts[frame].general != 1;
        let frames = which(&mut self.domains[dom].grants.lists).clone();
        if all && frames.iter().any(|&frame| held(self, frame)) {
            return false;
        }
        for &frame in frames.iter().rev() {
            if held(self, frame) {
                return false;
            }
            self.frames[frame].free();
            which(&mut self.domains[dom].grants.lists).pop();
        }
        true
    }

    pub(in crate::model) fn grant_destroy(&mut self, dom: usize) -> bool {
        let gone = self.domains[dom].grants.uses.is_empty()
            && self.take_back_all(dom, status, false)
            && self.take_back_all(dom, shared, false);
        if !gone {
            return false;
        }
        self.free_records(dom, |lists| &mut lists.active);
        let unused = self.domains[dom].grants.maps.is_empty();
        if unused {
            self.free_records(dom, |lists| &mut lists.track);
        }
        unused
    }

    fn free_records(&mut self, dom: usize, which: Which) {
        for frame in std::mem::take(which(&mut self.domains[dom].grants.lists)) {
            self.frames[frame].free();
        }
    }
}

impl Grants {
    /// Whether nothing is left of it.
    pub(in crate::model) fn is_gone(&self) -> bool {
        self.lists == Lists::default() && self.maps.is_empty() && self.unmapped.is_empty()
    }
}
