//! The free list: a buddy allocator inside the frame table.
//!
//! Free blocks are of 2^order frames, aligned to their size. The head of a block says its order, whether a guest may
//! still have it in a TLB, and since when; its second word holds the links of the list. Lists are kept by order and
//! by *zone*: zone `z` holds the blocks whose last frame number has its highest bit at `z`, so that an address limit,
//! which is a power of two, cuts between zones.
//!
//! Keeps true: a frame leaves the list with no TLB entry of its former owner left anywhere (invariants I8, I33, I39:
//! flush first, then scrub, then hand out). Blocks are taken from the highest zone that serves, which spares the
//! memory below 4 GiB. Every operation is bounded by the number of orders.

use crate::config::AddressLimit;
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::frame::{Frame, OwnerWord, TypeWord};
use crate::m2p::INVALID_M2P_ENTRY;
use crate::machine::MachineMemory;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use core::sync::atomic::Ordering;
use spin::MutexGuard;
use xenocryst_abi::Mfn;

mod audit;
#[cfg(test)]
mod tests;

/// The largest order a block can have: 1 GiB.
pub const MAX_ORDER: u8 = 18;
const ORDERS: usize = MAX_ORDER as usize + 1;
const ZONES: usize = 32;
/// Every CPU, as a mask.
const ALL_CPUS: u64 = u64::MAX;

/// The heads of the lists. A head or link is a frame number plus 1; 0 ends the list.
pub(crate) struct FreeFrames {
    heads: [[u32; ORDERS]; ZONES],
    /// For each zone, the orders whose list isn't empty.
    orders: [u32; ZONES],
    frames: u64,
    /// Frames among them that domains being built have claimed: nobody else gets them.
    claimed: u64,
}

/// A block just taken off the list.
struct Taken {
    first: u32,
    /// The TLB clock since which some CPU may know the block, if any may.
    stale_since: Option<u32>,
}

impl FreeFrames {
    pub(crate) const fn new() -> Self {
        Self {
            heads: [[0; ORDERS]; ZONES],
            orders: [0; ZONES],
            frames: 0,
            claimed: 0,
        }
    }

    /// Counts 2^`order` frames as about to be taken for `claimant`, whose claim they lessen. False if others claimed them.
    fn draw(&mut self, order: u8, claimant: Option<&DomainMemory>) -> bool {
        let own = claimant.map_or(0, |domain| domain.claimed.load(Ordering::Relaxed));
        let wanted = 1 << order;
        if self.frames < self.claimed - u64::from(own) + u64::from(wanted) {
            return false;
        }
        if let Some(domain) = claimant {
            self.set_claim(domain, own.saturating_sub(wanted));
        }
        true
    }

    /// Every change of a claim is made here, under the list's lock.
    fn set_claim(&mut self, domain: &DomainMemory, frames: u32) {
        let old = domain.claimed.swap(frames, Ordering::Relaxed);
        self.claimed = self.claimed - u64::from(old) + u64::from(frames);
    }

    fn push(&mut self, table: &[Frame], first: u32, order: u8, stale_since: Option<u32>) {
        let zone = zone_of(first, order);
        let head = &mut self.heads[zone][order as usize];
        let next = *head;
        if let Some(frame) = frame_of(table, next) {
            let links = frame.link_word().load(Ordering::Relaxed);
            frame
                .link_word()
                .store(with_previous(links, first + 1), Ordering::Relaxed);
        }
        *head = first + 1;
        self.orders[zone] |= 1 << order;
        self.frames += 1 << order;
        let frame = &table[first as usize];
        frame.link_word().store(u64::from(next), Ordering::Relaxed);
        frame.set_owner_word(OwnerWord::free_head(order, stale_since));
    }

    /// Takes the block headed by `first` off its list.
    fn remove(&mut self, table: &[Frame], first: u32, order: u8) -> Option<u32> {
        let zone = zone_of(first, order);
        let frame = &table[first as usize];
        let links = frame.link_word().load(Ordering::Relaxed);
        let (previous, next) = ((links >> 32) as u32, links as u32);
        match frame_of(table, previous) {
            Some(before) => {
                let links = before.link_word().load(Ordering::Relaxed);
                before
                    .link_word()
                    .store(links & !0xffff_ffff | u64::from(next), Ordering::Relaxed);
            }
            None => {
                self.heads[zone][order as usize] = next;
                if next == 0 {
                    self.orders[zone] &= !(1 << order);
                }
            }
        }
        if let Some(after) = frame_of(table, next) {
            let links = after.link_word().load(Ordering::Relaxed);
            after
                .link_word()
                .store(with_previous(links, previous), Ordering::Relaxed);
        }
        self.frames -= 1 << order;
        let stale_since = frame.owner_word().stale_since();
        frame.set_owner_word(OwnerWord::FREE_BODY);
        stale_since
    }

    /// Frees a block, joining it with its buddies.
    fn free(&mut self, table: &[Frame], first: u32, order: u8, stale_since: Option<u32>) {
        let (mut first, mut order, mut stale_since) = (first, order, stale_since);
        while order < MAX_ORDER {
            let buddy = first ^ 1 << order;
            if table
                .get(buddy as usize)
                .and_then(|frame| frame.owner_word().free_order())
                != Some(order)
            {
                break;
            }
            // The later of the two times is wanted; the block being freed is the later one, if it is stale at all.
            let buddy_stale_since = self.remove(table, buddy, order);
            stale_since = stale_since.or(buddy_stale_since);
            first = first.min(buddy);
            order += 1;
        }
        self.push(table, first, order, stale_since);
    }

    fn allocate(&mut self, table: &[Frame], order: u8, limit: AddressLimit) -> Option<Taken> {
        if order > MAX_ORDER {
            return None;
        }
        let zones = (limit.end_mfn().max(1).ilog2() as usize).min(ZONES);
        let fitting = !0u32 << order;
        let zone = (0..zones)
            .rev()
            .find(|&zone| self.orders[zone] & fitting != 0)?;
        let found = (self.orders[zone] & fitting).trailing_zeros() as u8;
        let first = self.heads[zone][found as usize] - 1;
        let stale_since = self.remove(table, first, found);
        let mut first = first;
        // Lower halves go back to the list: high frames are used first.
        for half in (order..found).rev() {
            self.push(table, first, half, stale_since);
            first += 1 << half;
        }
        Some(Taken { first, stale_since })
    }
}

fn zone_of(first: u32, order: u8) -> usize {
    let last = first | ((1 << order) - 1);
    last.max(1).ilog2() as usize
}

fn frame_of(table: &[Frame], link: u32) -> Option<&Frame> {
    table.get(link.checked_sub(1)? as usize)
}

fn with_previous(links: u64, previous: u32) -> u64 {
    links & 0xffff_ffff | u64::from(previous) << 32
}

/// Cuts `first .. first+count` into the largest aligned blocks.
fn blocks(first: u64, count: u64) -> impl Iterator<Item = (u64, u8)> {
    let end = first.saturating_add(count);
    let mut at = first;
    core::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let order = (end - at)
            .ilog2()
            .min(at.trailing_zeros())
            .min(u32::from(MAX_ORDER)) as u8;
        let block = (at, order);
        at += 1 << order;
        Some(block)
    })
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes the lock of the free list.
    fn free_list(&self) -> MutexGuard<'_, FreeFrames> {
        loop {
            if let Some(free) = self.free.try_lock() {
                return free;
            }
            self.machine.relax();
        }
    }

    /// Hands RAM frames `first .. first+count` to the free list. Boot only; each frame once. Frame 0 is never handed
    /// out, and frames beyond the frame table are ignored.
    pub fn donate(&self, first: Mfn, count: u64) {
        let (start, end) = self.clipped(first, count);
        let start = start.max(1);
        for at in start..end {
            self.frames[at as usize].set_owner_word(OwnerWord::FREE_BODY);
            self.write_m2p(Mfn::new(at), INVALID_M2P_ENTRY);
        }
        self.ram_frames
            .fetch_add(end.saturating_sub(start), Ordering::Relaxed);
        let mut free = self.free_list();
        for (at, order) in blocks(start, end.saturating_sub(start)) {
            free.free(self.frames, at as u32, order, None);
        }
    }

    /// Notes RAM frames that the hypervisor keeps for itself (its image, tables, boot data). Boot only; each frame
    /// once. They may be given back with [`Engine::free_frames`], one by one or in blocks.
    pub fn claim(&self, first: Mfn, count: u64) {
        let (start, end) = self.clipped(first, count);
        for at in start..end {
            self.frames[at as usize].set_owner_word(OwnerWord::HELD);
            self.write_m2p(Mfn::new(at), INVALID_M2P_ENTRY);
        }
        self.ram_frames
            .fetch_add(end.saturating_sub(start), Ordering::Relaxed);
    }

    fn clipped(&self, first: Mfn, count: u64) -> (u64, u64) {
        let end = first
            .raw()
            .saturating_add(count)
            .min(self.frames.len() as u64);
        (first.raw().min(end), end)
    }

    /// Takes a block of 2^`order` frames, aligned to its size, wholly below `limit`, for the hypervisor. Not zeroed.
    pub fn allocate_frames(&self, order: u8, limit: AddressLimit) -> Option<Mfn> {
        self.take_block(order, limit, OwnerWord::HELD, None)
    }

    /// `XENMEM_claim_pages`: sets as many free frames aside for `domain` as it lacks to own `frames` in all; 0 gives back
    /// what is left of its claim. Frames that it is then given lessen the claim.
    ///
    /// A domain claims once, more than it owns and no more than it may own ([`Rule::ClaimSize`]), and only what is free
    /// and not claimed ([`Rule::OutOfMemory`]).
    pub fn claim_frames(&self, domain: &DomainMemory, frames: u64) -> Result<(), Refusal> {
        let refuse = |rule: Rule| rule.refuse().wanted_owner(domain.id()).value(frames);
        let mut free = self.free_list();
        if frames == 0 {
            free.set_claim(domain, 0);
            return Ok(());
        }
        let owned = self.owned_frames(domain.id());
        let wanted = u32::try_from(frames)
            .ok()
            .filter(|&frames| frames <= domain.max_pages())
            .and_then(|frames| frames.checked_sub(owned))
            .filter(|&more| more != 0);
        let Some(wanted) = wanted.filter(|_| domain.claimed_frames() == 0 && !domain.is_dying())
        else {
            return Err(refuse(Rule::ClaimSize));
        };
        if u64::from(wanted) > free.frames - free.claimed.min(free.frames) {
            return Err(refuse(Rule::OutOfMemory));
        }
        free.set_claim(domain, wanted);
        Ok(())
    }

    /// Free frames that domains have claimed, all together.
    pub fn claimed_frame_count(&self) -> u64 {
        self.free_list().claimed
    }

    /// Gives back a block got from [`Engine::allocate_frames`] (or part of one, or claimed frames). The hypervisor has
    /// no mapping of it left that a CPU could still use.
    pub fn free_frames(&self, first: Mfn, order: u8) {
        let frames =
            (0..1u64 << order.min(MAX_ORDER)).map(|i| Mfn::new(first.raw().saturating_add(i)));
        for mfn in frames.clone() {
            let word = self.frame(mfn).map(Frame::owner_word);
            assert!(
                word == Some(OwnerWord::HELD),
                "accounting error: frame {mfn} was freed that the hypervisor does not hold"
            );
        }
        for mfn in frames {
            self.frames[mfn.raw() as usize].set_owner_word(OwnerWord::FREE_BODY);
        }
        let now = self.machine.tlb_clock();
        let mut free = self.free_list();
        for (at, order) in blocks(first.raw(), 1 << order) {
            free.free(self.frames, at as u32, order, Some(now));
        }
    }

    /// Frames on the free list.
    pub fn free_frame_count(&self) -> u64 {
        self.free_list().frames
    }

    /// Takes a block off the list, flushes what CPUs may still know of it, and gives every frame `word`. What others than
    /// `claimant` have claimed stays.
    pub(crate) fn take_block(
        &self,
        order: u8,
        limit: AddressLimit,
        word: OwnerWord,
        claimant: Option<&DomainMemory>,
    ) -> Option<Mfn> {
        let taken = {
            let mut free = self.free_list();
            let before = claimant.map_or(0, DomainMemory::claimed_frames);
            if order > MAX_ORDER || !free.draw(order, claimant) {
                return None;
            }
            let taken = free.allocate(self.frames, order, limit);
            if let (None, Some(domain)) = (&taken, claimant) {
                free.set_claim(domain, before);
            }
            taken?
        };
        if let Some(since) = taken.stale_since
            && !self.commits(Fault::FlushOnReuse)
        {
            self.machine.flush_tlb(ALL_CPUS, since);
        }
        for frame in &self.frames[taken.first as usize..][..1 << order] {
            frame.set_type_word(TypeWord::NONE);
            frame.set_owner_word(word);
        }
        Some(Mfn::new(u64::from(taken.first)))
    }

    /// Frees a frame whose last reference has just gone; `last` is its state before that.
    #[cold]
    pub(crate) fn free_owned_frame(&self, mfn: Mfn, frame: &Frame, last: OwnerWord) {
        assert!(
            frame.type_word().is_idle() && !last.is_allocated(),
            "accounting error: frame {mfn} has no reference left, but is still used as {}",
            frame.type_word().frame_type()
        );
        if let Some(owned) = self.owned.get(last.owner().0 as usize) {
            owned.fetch_sub(1, Ordering::Relaxed);
        }
        self.free_unowned_frame(mfn, frame);
    }

    /// Frees a frame that nobody owns any more.
    pub(crate) fn free_unowned_frame(&self, mfn: Mfn, frame: &Frame) {
        self.write_m2p(mfn, INVALID_M2P_ENTRY);
        frame.set_owner_word(OwnerWord::FREE_BODY);
        let now = self.machine.tlb_clock();
        self.free_list()
            .free(self.frames, mfn.raw() as u32, 0, Some(now));
    }
}
