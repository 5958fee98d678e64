//! `GNTTABOP_unmap_grant_ref` and `GNTTABOP_unmap_and_replace`.
//!
//! In two steps, with a TLB flush between them for a whole batch: [`Engine::unmap_grant`] removes entries and adds what
//! they held to an [`UnmapBatch`]; [`Engine::flush_unmapped`] flushes and makes a [`FlushedBatch`] of it, whose elements
//! go to [`Engine::release_unmapped`] one by one. A batch that is dropped leaks its references, which is safe.
//!
//! Keeps true: I33, I39 (no reference goes before the flush), I52 (driven by what was recorded; all checks come first),
//! I53, I55.

use super::active::Use;
use super::maptrack::Record;
use super::{Granter, Mapper};
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::machine::MachineMemory;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use xenocryst_abi::DomId;
use xenocryst_abi::grant_table::map_flag as m;

/// A request to unmap.
#[derive(Clone, Copy, Debug)]
pub struct GrantUnmap {
    /// The mapping.
    pub handle: u32,
    /// Where the CPU's part is mapped; 0: that part stays.
    pub host_addr: u64,
    /// The bus address of the devices' part; 0: that part stays.
    pub bus_address: u64,
    /// A virtual address whose entry moves to `host_addr` (`GNTTABOP_unmap_and_replace`).
    pub new_addr: Option<u64>,
}

/// Elements that one flush serves.
pub const BATCH: usize = 32;

/// What was unmapped from a grant, whose references are still held.
#[derive(Debug)]
struct Unmapped {
    record: Record,
    host: bool,
    device: bool,
}

/// Unmapped, but not flushed.
#[must_use = "what was unmapped must be flushed and released"]
#[derive(Debug, Default)]
pub struct UnmapBatch {
    items: [Option<Unmapped>; BATCH],
}

impl UnmapBatch {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it must be flushed before the next element.
    pub fn is_full(&self) -> bool {
        self.items.iter().all(Option::is_some)
    }

    /// Whether there is nothing to flush.
    pub fn is_empty(&self) -> bool {
        self.items.iter().all(Option::is_none)
    }
}

/// Unmapped and flushed: an iterator over what is to be released.
#[must_use = "what was unmapped must be released"]
#[derive(Debug)]
pub struct FlushedBatch {
    items: [Option<Unmapped>; BATCH],
    next: usize,
}

impl Iterator for FlushedBatch {
    type Item = Flushed;

    fn next(&mut self) -> Option<Flushed> {
        while let Some(slot) = self.items.get_mut(self.next) {
            self.next += 1;
            if let Some(item) = slot.take() {
                return Some(Flushed(item));
            }
        }
        None
    }
}

/// One element of a [`FlushedBatch`].
#[must_use = "what was unmapped must be released"]
#[derive(Debug)]
pub struct Flushed(Unmapped);

impl Flushed {
    /// Whose grant it was: the domain that [`Engine::release_unmapped`] must be given. It cannot be gone, since its table
    /// cannot be destroyed before.
    pub fn granter(&self) -> DomId {
        self.0.record.granter
    }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Removes a mapping, or a part of one. `granter` is the one that [`Engine::granter_of`] named. The batch has room.
    pub fn unmap_grant(
        &self,
        mapper: &Mapper<'_>,
        granter: &Granter<'_>,
        request: &GrantUnmap,
        batch: &mut UnmapBatch,
    ) -> Result<(), Refusal> {
        let refuse = |rule: Rule| rule.refuse().value(u64::from(request.handle));
        let Some(slot) = batch.items.iter_mut().find(|slot| slot.is_none()) else {
            return Err(refuse(Rule::GrantHandle));
        };
        // Held so that pins and handles change together.
        let _state = self.lock_grants(&granter.table.state);
        let mut records = self.lock_grants(&mapper.track.state);
        let record = records
            .get(&self.machine, request.handle)
            .filter(|record| record.granter == granter.domain.id())
            .ok_or_else(|| refuse(Rule::GrantHandle))?;
        let host = request.host_addr != 0 && record.has(m::HOST_MAP);
        let device = request.bus_address != 0 && record.has(m::DEVICE_MAP);
        if device && request.bus_address != record.frame.maddr().raw() {
            return Err(refuse(Rule::GrantBusAddress));
        }
        if host {
            let flags = u32::from(record.flags);
            self.remove_grant(
                mapper,
                request.host_addr,
                flags,
                record.frame,
                request.new_addr,
            )
            .map_err(refuse)?;
        }
        if !host && !device {
            return Ok(());
        }
        let mut left = record;
        if host {
            left = left.without(m::HOST_MAP);
        }
        if device {
            left = left.without(m::DEVICE_MAP);
        }
        records.set(&self.machine, request.handle, &left);
        *slot = Some(Unmapped {
            record,
            host,
            device,
        });
        Ok(())
    }

    /// Flushes what CPUs may still know of a batch.
    pub fn flush_unmapped(&self, mapper: &DomainMemory, batch: UnmapBatch) -> FlushedBatch {
        let cpus = mapper.dirty_cpus();
        if cpus != 0 && !batch.is_empty() && !self.commits(Fault::FlushOnUnmap) {
            self.machine.flush_tlb(cpus, self.machine.tlb_clock());
        }
        FlushedBatch {
            items: batch.items,
            next: 0,
        }
    }

    /// Gives back what a mapping held.
    pub fn release_unmapped(&self, granter: &Granter<'_>, flushed: Flushed) {
        let Unmapped {
            record,
            host,
            device,
        } = flushed.0;
        assert!(
            granter.domain.id() == record.granter,
            "accounting error: a mapping was released to another domain than the granter"
        );
        let write = record.is_writable();
        let mut state = self.lock_grants(&granter.table.state);
        for (_, part) in [(host, Use::host(write)), (device, Use::device(write))]
            .into_iter()
            .filter(|(done, _)| *done)
        {
            if !self.commits(Fault::GrantUnpin) {
                self.unpin_grant(&mut state, record.reference, &[part]);
            }
            if !self.commits(Fault::GrantRelease) {
                self.let_go_of_frame(record.frame, write);
            }
        }
    }
}
