//! Giving frames to domains and taking them away: `memory_op`, and domain building.
//!
//! Keeps true: invariants I4 to I8. Giving is always whole: owner, allocated bit with its one reference, no type,
//! totals. A domain never owns more than its maximum. Taking needs a frame that nothing but its allocation holds.

use crate::config::AddressLimit;
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::frame::{FrameType, OwnerWord, TypeWord};
use crate::m2p::INVALID_M2P_ENTRY;
use crate::machine::MachineMemory;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use core::sync::atomic::Ordering;
use xenocryst_abi::{Mfn, Pfn};

#[cfg(test)]
mod tests;

impl<M: MachineMemory> Engine<'_, M> {
    /// Counts `frames` more for `domain`, if it may have them.
    pub(crate) fn reserve(&self, domain: &DomainMemory, frames: u32) -> Result<(), Refusal> {
        if domain.is_dying() {
            return Err(Rule::DyingDomain.refuse());
        }
        let max = match self.commits(Fault::MaxPages) {
            true => u32::MAX,
            false => domain.max_pages(),
        };
        let counted = self.owned.get(domain.id().0 as usize).map(|owned| {
            owned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                now.checked_add(frames).filter(|&sum| sum <= max)
            })
        });
        match counted {
            Some(Ok(_)) => Ok(()),
            _ => Err(Rule::ReservationFull
                .refuse()
                .wanted_owner(domain.id())
                .value(u64::from(frames))),
        }
    }

    pub(crate) fn unreserve(&self, domain: &DomainMemory, frames: u32) {
        if let Some(owned) = self.owned.get(domain.id().0 as usize) {
            owned.fetch_sub(frames, Ordering::Relaxed);
        }
    }

    /// Whether `caller` may ask for extents of this order, whoever gets or gives them.
    fn check_order(&self, caller: &DomainMemory, order: u8) -> Result<(), Refusal> {
        let most = if caller.is_control() {
            self.config.max_order_control
        } else {
            self.config.max_order_guest
        };
        if order > most.min(crate::allocator::MAX_ORDER) {
            return Err(Rule::OrderTooLarge.refuse().value(u64::from(order)));
        }
        Ok(())
    }

    /// One extent of `XENMEM_populate_physmap` (with `pfn`: the M2P is set) or `XENMEM_increase_reservation` (without).
    /// The frames are zeroed.
    pub fn populate_extent(
        &self,
        domain: &DomainMemory,
        order: u8,
        limit: AddressLimit,
        pfn: Option<Pfn>,
    ) -> Result<Mfn, Refusal> {
        self.populate_extent_for(domain, domain, order, limit, pfn)
    }

    /// As [`Engine::populate_extent`], asked for by `caller`.
    pub fn populate_extent_for(
        &self,
        caller: &DomainMemory,
        domain: &DomainMemory,
        order: u8,
        limit: AddressLimit,
        pfn: Option<Pfn>,
    ) -> Result<Mfn, Refusal> {
        self.check_order(caller, order)?;
        self.reserve(domain, 1 << order)?;
        let Some(first) = self.take_block(order, limit, OwnerWord::UNOWNED, Some(domain)) else {
            self.unreserve(domain, 1 << order);
            return Err(Rule::OutOfMemory.refuse().value(u64::from(order)));
        };
        self.hand_over(domain, first, order, pfn);
        Ok(first)
    }

    /// Zeroes an unowned block and gives it to `domain`, which has been counted already.
    fn hand_over(&self, domain: &DomainMemory, first: Mfn, order: u8, pfn: Option<Pfn>) {
        for i in 0..1u64 << order {
            let mfn = first.wrapping_add(i);
            if !self.commits(Fault::Scrub) {
                self.machine.zero_frame(mfn);
            }
            self.write_m2p(
                mfn,
                pfn.map_or(INVALID_M2P_ENTRY, |pfn| pfn.wrapping_add(i).raw()),
            );
            if let Some(frame) = self.frame(mfn) {
                frame.set_type_word(TypeWord::NONE);
                frame.set_owner_word(OwnerWord::given_to(domain.id(), false));
            }
        }
        self.take_back_from_the_dying(domain, (0..1u64 << order).map(|i| first.wrapping_add(i)));
    }

    /// One extent of `XENMEM_decrease_reservation`. Frames still mapped or pinned stay until the last reference goes.
    pub fn decrease_extent(
        &self,
        domain: &DomainMemory,
        first: Mfn,
        order: u8,
    ) -> Result<(), Refusal> {
        self.decrease_extent_for(domain, domain, first, order)
    }

    /// As [`Engine::decrease_extent`], asked for by `caller`.
    pub fn decrease_extent_for(
        &self,
        caller: &DomainMemory,
        domain: &DomainMemory,
        first: Mfn,
        order: u8,
    ) -> Result<(), Refusal> {
        self.check_order(caller, order)?;
        for i in 0..1u64 << order {
            let mfn = first.wrapping_add(i);
            let Some(frame) = self.frame(mfn).filter(|frame| frame.get(domain.tag())) else {
                return Err(self.refuse_owner(Rule::FrameNotOwned, mfn, domain));
            };
            let result = self.drop_allocation(mfn);
            self.put_general(mfn, frame);
            result?;
        }
        Ok(())
    }

    /// Drops the allocation of a frame that the caller holds.
    pub(crate) fn drop_allocation(&self, mfn: Mfn) -> Result<(), Refusal> {
        let Some(frame) = self.frame(mfn) else {
            return Err(self.refuse_frame(Rule::NotAllocated, mfn));
        };
        let mut word = frame.owner_word();
        loop {
            if word.is_special() {
                return Err(self.refuse_frame(Rule::SpecialFrame, mfn));
            }
            let Some(less) = word.deallocated() else {
                return Err(self.refuse_frame(Rule::NotAllocated, mfn));
            };
            match frame.exchange_owner(word, less) {
                Ok(()) if less.count() == 0 => {
                    self.free_owned_frame(mfn, frame, less);
                    return Ok(());
                }
                Ok(()) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Takes a frame away from `domain`, if nothing but its allocation holds it. It is then unowned.
    pub(crate) fn steal(&self, domain: &DomainMemory, mfn: Mfn) -> Result<(), Refusal> {
        let Some(frame) = self
            .frame(mfn)
            .filter(|frame| frame.owner_word().belongs_to(domain.tag()))
        else {
            return Err(self.refuse_owner(Rule::FrameNotOwned, mfn, domain));
        };
        let alone = match self.commits(Fault::StealHeld) {
            true => frame.owner_word(),
            false => OwnerWord::given_to(domain.id(), false),
        };
        if frame.exchange_owner(alone, OwnerWord::UNOWNED).is_err() {
            let rule = if frame.owner_word().is_special() {
                Rule::SpecialFrame
            } else {
                Rule::FrameInUse
            };
            return Err(self.refuse_frame(rule, mfn));
        }
        Ok(())
    }

    /// Domain building: gives `domain` a block of 2^`order` frames without zeroing (the builder fills them). No M2P
    /// entry is set.
    pub fn allocate_domain_block(
        &self,
        domain: &DomainMemory,
        order: u8,
        limit: AddressLimit,
    ) -> Result<Mfn, Refusal> {
        if order > crate::allocator::MAX_ORDER {
            return Err(Rule::OrderTooLarge.refuse().value(u64::from(order)));
        }
        self.reserve(domain, 1 << order)?;
        let word = OwnerWord::given_to(domain.id(), false);
        self.take_block(order, limit, word, Some(domain))
            .ok_or_else(|| {
                self.unreserve(domain, 1 << order);
                Rule::OutOfMemory.refuse().value(u64::from(order))
            })
    }

    /// Domain building: gives frames that the hypervisor holds (claimed or allocated, e.g. an initrd) to `domain`. All
    /// or nothing.
    pub fn assign_frames(
        &self,
        domain: &DomainMemory,
        first: Mfn,
        count: u64,
    ) -> Result<(), Refusal> {
        let held = OwnerWord::HELD;
        let frames = || (0..count).map(|i| first.wrapping_add(i));
        if let Some(other) = frames().find(|&mfn| {
            self.frame(mfn)
                .is_none_or(|frame| frame.owner_word() != held)
        }) {
            return Err(self.refuse_frame(Rule::FrameNotOwned, other));
        }
        self.reserve(domain, u32::try_from(count).unwrap_or(u32::MAX))?;
        for frame in frames().filter_map(|mfn| self.frame(mfn)) {
            frame.set_type_word(TypeWord::NONE);
            frame.set_owner_word(OwnerWord::given_to(domain.id(), false));
        }
        Ok(())
    }

    /// Makes a frame of the hypervisor (allocated or claimed) one that it shares with `domain` (shared info, grant
    /// frames): the domain may map it, writable or only readable, and can do nothing else with it. It isn't counted
    /// as the domain's memory. `false` if the hypervisor doesn't hold the frame. The caller has zeroed it.
    #[must_use]
    pub fn share_with(&self, domain: &DomainMemory, frame: Mfn, writable: bool) -> bool {
        let held = OwnerWord::HELD;
        let Some(state) = self.frame(frame).filter(|state| state.owner_word() == held) else {
            return false;
        };
        // A type use that never ends: the frame can become nothing else, nor writable if it isn't now.
        state.set_type_word(TypeWord::live_once(if writable {
            FrameType::Writable
        } else {
            FrameType::None
        }));
        state
            .exchange_owner(held, OwnerWord::given_to(domain.id(), true))
            .is_ok()
    }

    /// Takes a shared frame back, if nothing but the sharing holds it: it is the hypervisor's again. `false` if it is
    /// still mapped. Free it with [`Engine::free_frames`].
    #[must_use]
    pub fn unshare(&self, domain: &DomainMemory, frame: Mfn) -> bool {
        let Some(state) = self.frame(frame) else {
            return false;
        };
        let taken = state
            .exchange_owner(OwnerWord::given_to(domain.id(), true), OwnerWord::HELD)
            .is_ok();
        if taken {
            state.set_type_word(TypeWord::NONE);
            // The domain may have given it a number.
            self.write_m2p(frame, INVALID_M2P_ENTRY);
            self.machine.flush_tlb(u64::MAX, self.machine.tlb_clock());
        }
        taken
    }
}

/// An exchange under way: frames taken from the domain, and blocks to be given for them.
///
/// Frames on either side are chained through their second state words; links are frame numbers plus 1.
#[must_use]
#[derive(Debug)]
pub struct Exchange {
    taken: u32,
    taken_count: u32,
    blocks: u32,
    /// Blocks set aside at first.
    block_count: u32,
    order: u8,
    given: bool,
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Starts one chunk of `XENMEM_exchange`: sets `blocks` blocks of 2^`order` frames aside for the domain.
    pub fn begin_exchange(
        &self,
        domain: &DomainMemory,
        blocks: u32,
        order: u8,
        limit: AddressLimit,
    ) -> Result<Exchange, Refusal> {
        self.check_order(domain, order)?;
        let mut exchange = Exchange {
            taken: 0,
            taken_count: 0,
            blocks: 0,
            block_count: 0,
            order,
            given: false,
        };
        for _ in 0..blocks {
            let Some(first) = self.take_block(order, limit, OwnerWord::UNOWNED, None) else {
                self.abandon_exchange(domain, exchange);
                return Err(Rule::OutOfMemory.refuse().value(u64::from(order)));
            };
            self.set_link(first, exchange.blocks);
            exchange.blocks = first.raw() as u32 + 1;
            exchange.block_count += 1;
        }
        Ok(exchange)
    }

    fn set_link(&self, mfn: Mfn, next: u32) {
        if let Some(frame) = self.frame(mfn) {
            frame.link_word().store(u64::from(next), Ordering::Relaxed);
        }
    }

    /// Takes the first frame off a chain.
    fn pop_link(&self, chain: &mut u32) -> Option<Mfn> {
        let mfn = Mfn::new(u64::from(chain.checked_sub(1)?));
        *chain = self.frame(mfn)?.link_word().load(Ordering::Relaxed) as u32;
        Some(mfn)
    }

    /// Takes one extent from the domain. On refusal the exchange must be given to [`Engine::abandon_exchange`].
    pub fn exchange_in(
        &self,
        domain: &DomainMemory,
        exchange: &mut Exchange,
        first: Mfn,
        order: u8,
    ) -> Result<(), Refusal> {
        self.check_order(domain, order)?;
        for i in 0..1u64 << order {
            let mfn = first.wrapping_add(i);
            self.steal(domain, mfn)?;
            self.set_link(mfn, exchange.taken);
            exchange.taken = mfn.raw() as u32 + 1;
            exchange.taken_count += 1;
        }
        Ok(())
    }

    /// Gives the domain the next block, known to it as `pfn` and on. `None` when all were given, or if fewer frames
    /// were taken than are to be given.
    pub fn exchange_out(
        &self,
        domain: &DomainMemory,
        exchange: &mut Exchange,
        pfn: Pfn,
    ) -> Option<Mfn> {
        let wanted = u64::from(exchange.block_count) << exchange.order;
        if !exchange.given && wanted > u64::from(exchange.taken_count) {
            return None;
        }
        let first = self.pop_link(&mut exchange.blocks)?;
        exchange.given = true;
        self.hand_over(domain, first, exchange.order, Some(pfn));
        exchange.taken_count = exchange.taken_count.saturating_sub(1 << exchange.order);
        Some(first)
    }

    /// Ends an exchange after the last [`Engine::exchange_out`]: frees what was taken (and blocks never given).
    pub fn finish_exchange(&self, domain: &DomainMemory, mut exchange: Exchange) {
        if !exchange.given {
            return self.abandon_exchange(domain, exchange);
        }
        self.unreserve(domain, exchange.taken_count);
        while let Some(mfn) = self.pop_link(&mut exchange.taken) {
            if let Some(frame) = self.frame(mfn) {
                self.free_unowned_frame(mfn, frame);
            }
        }
        self.free_blocks(&mut exchange);
    }

    /// Ends an exchange before the first [`Engine::exchange_out`]: gives everything back.
    pub fn abandon_exchange(&self, domain: &DomainMemory, mut exchange: Exchange) {
        if exchange.given {
            return self.finish_exchange(domain, exchange);
        }
        // What the frames were used as is forgotten: their links stand where it was written. CPUs may still know them,
        // writable or as tables, and nothing would say so at their next use. So this is the time to flush.
        if exchange.taken != 0 && !domain.is_dying() && !self.commits(Fault::FlushOnAbandon) {
            let now = self.machine.tlb_clock();
            self.machine.flush_tlb(domain.knowing_cpus(), now);
        }
        while let Some(mfn) = self.pop_link(&mut exchange.taken) {
            if let Some(frame) = self.frame(mfn) {
                if domain.is_dying() {
                    self.unreserve(domain, 1);
                    self.free_unowned_frame(mfn, frame);
                    continue;
                }
                frame.set_type_word(TypeWord::NONE);
                frame.set_owner_word(OwnerWord::given_to(domain.id(), false));
                self.take_back_from_the_dying(domain, core::iter::once(mfn));
            }
        }
        self.free_blocks(&mut exchange);
    }

    fn free_blocks(&self, exchange: &mut Exchange) {
        while let Some(first) = self.pop_link(&mut exchange.blocks) {
            for i in 0..1u64 << exchange.order {
                let mfn = first.wrapping_add(i);
                if let Some(frame) = self.frame(mfn) {
                    self.free_unowned_frame(mfn, frame);
                }
            }
        }
    }
}
