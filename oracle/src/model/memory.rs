//! Reservations: giving frames to domains and taking them away (I4 to I8, I48).
//!
//! Which free frames a domain gets is the allocator's choice: it is taken from the engine's answer, and only checked.

use super::state::{Domain, Model, NO_M2P, Owner, Role};
use crate::answer::Answer;
use crate::layout::{FRAMES, MAX_ORDER_CONTROL, MAX_ORDER_GUEST};
use crate::no::{self, No};
use crate::request::NO_PFN;

/// What an exchange is about; see `Request::Exchange`.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    pub(super) dom: usize,
    pub(super) first: u64,
    pub(super) inputs: u64,
    pub(super) in_order: u64,
    pub(super) blocks: u64,
    pub(super) order: u64,
    pub(super) bits: u64,
    pub(super) pfn: u64,
    pub(super) end: u64,
}

impl Model {
    fn check_order(&self, dom: usize, order: u64) -> Result<(), No> {
        let most = if dom == 0 {
            MAX_ORDER_CONTROL
        } else {
            MAX_ORDER_GUEST
        };
        if order > u64::from(most) {
            Err(no::ORDER)
        } else {
            Ok(())
        }
    }

    /// The first frames of the aligned free blocks of an order below an address limit.
    fn free_blocks(&self, order: u64, bits: u64) -> Vec<u64> {
        let end = match bits {
            0 | 64.. => FRAMES as u64,
            bits if bits <= 12 => 0,
            bits => (1 << (bits - 12).min(32)).min(FRAMES as u64),
        };
        let size = 1u64 << order;
        let is_free = |first: &u64| {
            first + size <= end
                && (*first..first + size)
                    .all(|frame| self.frames[frame as usize].owner == Owner::Free)
        };
        (0..end).step_by(size as usize).filter(is_free).collect()
    }

    /// Gives a block to a domain, cleared.
    pub(super) fn give(&mut self, dom: usize, first: u64, order: u64, pfn: Option<u64>) {
        for i in 0..1u64 << order {
            let index = (first + i) as usize;
            let frame = &mut self.frames[index];
            frame.owner = Owner::Domain(dom);
            frame.allocated = true;
            frame.role = Role::Idle;
            frame.words.clear();
            frame.hidden = false;
            frame.m2p = pfn.map_or(NO_M2P, |pfn| pfn.wrapping_add(i));
            self.written |= 1 << index;
            self.given |= 1 << index;
        }
    }

    pub(super) fn populate(
        &mut self,
        dom: usize,
        order: u64,
        bits: u64,
        pfn: u64,
        engine: &Answer,
    ) -> Result<Answer, No> {
        self.check_order(dom, order)?;
        if self.domains[dom].dying {
            return Err(no::DYING);
        }
        if self.owned_by(dom) + (1 << order) > self.domains[dom].limit {
            return Err(no::FULL);
        }
        let blocks = self.free_blocks(order, bits);
        match *engine {
            Answer::Frame(first) if blocks.contains(&first) => {
                self.give(dom, first, order, (pfn != NO_PFN).then_some(pfn));
                Ok(Answer::Frame(first))
            }
            // Any of them would have been right; the engine gave none.
            _ => blocks
                .first()
                .map(|&first| Answer::Frame(first))
                .ok_or(no::OUT_OF_MEMORY),
        }
    }

    pub(super) fn decrease(&mut self, dom: usize, first: u64, order: u64) -> Result<(), No> {
        self.check_order(dom, order)?;
        for i in 0..1u64 << order {
            let frame = self
                .owned(dom, first.wrapping_add(i))
                .ok_or(no::NOT_OWNED)?;
            if self.is_full(frame) {
                return Err(no::COUNT_FULL);
            }
            if self.frames[frame].special {
                return Err(no::SPECIAL);
            }
            if !self.frames[frame].allocated {
                return Err(no::NOT_ALLOCATED);
            }
            self.frames[frame].allocated = false;
        }
        Ok(())
    }

    pub(super) fn exchange(&mut self, x: &Exchange, engine: &Answer) -> Result<Answer, No> {
        self.check_order(x.dom, x.order)?;
        let free = self.free_blocks(x.order, x.bits);
        if (free.len() as u64) < x.blocks {
            return Err(no::OUT_OF_MEMORY);
        }
        let taken = self.frames_given(x);
        if x.end == 2 {
            self.domains[x.dom].dying = true;
        }
        let taken = match taken {
            Ok(taken) if x.end == 0 => taken,
            other => {
                // Nothing is exchanged. What was taken before the refusal goes back, unless the domain is dying.
                if self.domains[x.dom].dying {
                    self.taken_before_refusal(x)
                        .into_iter()
                        .for_each(|frame| self.frames[frame].free());
                }
                return other.map(|_| Answer::Frames(Vec::new()));
            }
        };
        if x.blocks << x.order > taken.len() as u64 {
            return Ok(Answer::Frames(Vec::new()));
        }
        let Answer::Frames(given) = engine else {
            return Ok(Answer::Frames(free));
        };
        let distinct = given
            .iter()
            .enumerate()
            .all(|(i, first)| !given[..i].contains(first));
        if given.len() as u64 != x.blocks
            || !distinct
            || !given.iter().all(|first| free.contains(first))
        {
            return Ok(Answer::Frames(free));
        }
        if x.blocks > 0 {
            taken
                .into_iter()
                .for_each(|frame| self.frames[frame].free());
        }
        for (i, &first) in given.iter().enumerate() {
            self.give(
                x.dom,
                first,
                x.order,
                Some(x.pfn.wrapping_add((i as u64) << x.order)),
            );
        }
        Ok(Answer::Frames(given.clone()))
    }

    /// The frames that a domain gives away, if it may.
    fn frames_given(&self, x: &Exchange) -> Result<Vec<usize>, No> {
        let mut taken = Vec::new();
        for extent in 0..x.inputs {
            self.check_order(x.dom, x.in_order)?;
            for i in 0..1u64 << x.in_order {
                taken.push(self.give_away(x, extent, i)?);
            }
        }
        Ok(taken)
    }

    fn taken_before_refusal(&self, x: &Exchange) -> Vec<usize> {
        let extents = (0..x.inputs).take_while(|_| self.check_order(x.dom, x.in_order).is_ok());
        let places =
            extents.flat_map(|extent| (0..1u64 << x.in_order.min(16)).map(move |i| (extent, i)));
        places
            .map_while(|(extent, i)| self.give_away(x, extent, i).ok())
            .collect()
    }

    fn give_away(&self, x: &Exchange, extent: u64, i: u64) -> Result<usize, No> {
        let frame = x
            .first
            .wrapping_add(extent << x.in_order.min(16))
            .wrapping_add(i);
        let index = self.owned(x.dom, frame).ok_or(no::NOT_OWNED)?;
        if self.frames[index].special {
            return Err(no::SPECIAL);
        }
        if self.counts[index].general != 1 || !self.frames[index].allocated {
            return Err(no::IN_USE);
        }
        Ok(index)
    }

    pub(super) fn share(
        &mut self,
        dom: usize,
        writable: bool,
        engine: &Answer,
    ) -> Result<Answer, No> {
        let free = self.free_blocks(0, 0);
        match *engine {
            Answer::Frame(first) if free.contains(&first) => {
                self.give(dom, first, 0, None);
                let frame = &mut self.frames[first as usize];
                frame.special = true;
                frame.role = if writable {
                    Role::Writable
                } else {
                    Role::ReadOnlyShared
                };
                Ok(Answer::Frame(first))
            }
            _ => free
                .first()
                .map(|&first| Answer::Frame(first))
                .ok_or(no::OUT_OF_MEMORY),
        }
    }

    pub(super) fn unshare(&mut self, dom: usize, frame: u64) -> bool {
        let shared = self
            .owned(dom, frame)
            .filter(|&index| self.frames[index].special);
        match shared.filter(|&index| self.counts[index].general == 1) {
            Some(index) => {
                self.frames[index].free();
                true
            }
            None => false,
        }
    }

    /// One slice of a teardown, which ended before frame `reached`: frames before it are the domain's no more. The
    /// frame there may have lost its pin already.
    pub(super) fn tear_down(&mut self, dom: usize, reached: u64, unpinned: bool) {
        self.domains[dom].dying = true;
        for index in 0..(reached as usize).min(self.frames.len()) {
            if self.frames[index].owner == Owner::Domain(dom) {
                if matches!(self.frames[index].role, Role::Partial(..)) {
                    self.unwind(index);
                }
                self.frames[index].pinned = false;
                self.frames[index].allocated &= self.frames[index].special;
            }
        }
        if let Some(index) = self.owned(dom, reached)
            && unpinned
        {
            self.frames[index].pinned = false;
        }
        self.domains[dom].torn_down = reached;
    }

    /// A domain by the same number is made, if nothing is left of the old one.
    pub(super) fn birth(&mut self, dom: usize) -> bool {
        let gone =
            self.domains[dom].dying && !self.frames.iter().any(|f| f.owner == Owner::Domain(dom));
        if gone {
            self.domains[dom] = Domain::new(dom);
        }
        gone
    }
}
