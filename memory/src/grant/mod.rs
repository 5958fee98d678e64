//! Grant tables: the pages in which a domain says who else may use its memory, and what others do with that.
//!
//! A [`GrantTable`] is the granting side: entries that the guest writes, and for each an *active* entry that the guest
//! cannot reach, with counts of uses (pins). A [`Maptrack`] is the mapping side: one record for each mapping, whose index
//! is the handle that the guest holds. Both keep their records in machine frames taken from the engine's allocator when
//! they grow; nothing is allocated otherwise.
//!
//! # What is kept true
//!
//! * Every operation on a grant holds the lock of the granter's table from the first look at the entry until references,
//!   pins and marks agree. An operation that lets it go in between (copying) leaves a pin, and references of its own.
//! * A word of the guest's entry is fetched once, and what was fetched is what is checked and used (I47).
//! * A mapping for the CPU holds in its L1 entry what any L1 entry holds: a general reference, and a writable type
//!   reference if it has RW. A mapping for devices holds the same beside. The pins vouch for none of it (I51, I56).
//! * Removal is in two steps: the entry goes, then, after a TLB flush, its references, pins and marks (I33, I39, I55).
//!   [`UnmapBatch`] and [`FlushedBatch`] make that order the only one there is.
//! * Locks: granter's table, then mapper's track, then page tables.
//!
//! Neighbours: the hypercall layer above decodes requests and finds domains; `mmuext` lends the references.

mod active;
pub mod audit;
mod copy;
mod entry;
mod host;
#[cfg(any(test, feature = "sim"))]
pub mod inspect;
mod list;
mod map;
mod maptrack;
mod release;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod transfer;
mod unmap;
mod version;

pub use copy::{CopyEnd, GrantCopy};
pub use map::{GrantMap, GrantMapping};
pub use maptrack::{MAX_TRACK_FRAMES, Maptrack};
pub use table::{GrantTable, MAX_TABLE_FRAMES};
pub use unmap::{BATCH, Flushed, FlushedBatch, GrantUnmap, UnmapBatch};

use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::machine::MachineMemory;
use spin::{Mutex, MutexGuard};
use xenocryst_abi::Mfn;

/// The domain that grants.
#[derive(Clone, Copy)]
pub struct Granter<'a> {
    /// Its memory.
    pub domain: &'a DomainMemory,
    /// Its table.
    pub table: &'a GrantTable,
}

/// The domain that maps: the caller.
#[derive(Clone, Copy)]
pub struct Mapper<'a> {
    /// Its memory.
    pub domain: &'a DomainMemory,
    /// Its mappings.
    pub track: &'a Maptrack,
    /// The L4 table that its virtual addresses are looked up in; held by the caller.
    pub root: Mfn,
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes a lock of this module. Whoever holds it may be waiting for a flush by this CPU.
    fn lock_grants<'a, T>(&self, lock: &'a Mutex<T>) -> MutexGuard<'a, T> {
        loop {
            if let Some(guard) = lock.try_lock() {
                return guard;
            }
            self.machine.relax();
        }
    }
}
