//! Grants between two domains with page tables of their own kind: shared pieces.

mod copying;
mod endings;
mod fetching;
mod leftovers;
mod mapping;
mod random;
mod recounting;
mod tables;
mod unmapping;

use super::audit::{Party, recount_grants};
use super::*;
use crate::machine::MachineMemory;
use crate::refusal::{Refusal, Rule};
use crate::sim::domain;
use crate::testing::*;
use xenocryst_abi::grant_table::{entry_flag as f, map_flag as m};
use xenocryst_abi::{DomId, Maddr, Mfn};

pub const RW_MAP: u32 = m::HOST_MAP;
pub const RO_MAP: u32 = m::HOST_MAP | m::READONLY;
pub const PTE: u32 = m::CONTAINS_PTE;

/// Domain 1 (of the bench) maps, domain 2 grants.
pub struct Pair {
    pub b: Bench,
    pub s: Space,
    pub own_table: GrantTable,
    pub track: Maptrack,
    pub g: DomainMemory,
    pub table: GrantTable,
    pub g_track: Maptrack,
}

/// Both with tables of `version` that have one frame (version 2: and one status frame).
pub fn pair_of(version: u32) -> Pair {
    let b = bench();
    let s = b.space();
    let p = Pair {
        b,
        s,
        own_table: GrantTable::new(4, 2),
        track: Maptrack::new(2),
        g: domain(2),
        table: GrantTable::new(4, 2),
        g_track: Maptrack::new(2),
    };
    for granter in [p.granter(), p.own_granter()] {
        p.b.engine.grow_grant_table(&granter, 1).unwrap();
        p.b.engine.set_grant_version(&granter, version).unwrap();
    }
    p
}

pub fn pair() -> Pair {
    pair_of(1)
}

impl Pair {
    pub fn granter(&self) -> Granter<'_> {
        Granter {
            domain: &self.g,
            table: &self.table,
        }
    }

    pub fn own_granter(&self) -> Granter<'_> {
        Granter {
            domain: &self.b.d,
            table: &self.own_table,
        }
    }

    pub fn mapper(&self) -> Mapper<'_> {
        Mapper {
            domain: &self.b.d,
            track: &self.track,
            root: self.s.l4,
        }
    }

    /// A frame of the granter, granted to the mapper as `reference`.
    pub fn granted(&self, reference: u32, flags: u16) -> Mfn {
        let frame = self.b.page_of(&self.g);
        self.grant(reference, flags, frame);
        frame
    }

    /// Writes an entry as the granting guest would.
    pub fn grant(&self, reference: u32, flags: u16, frame: Mfn) {
        self.grant_to(reference, f::PERMIT_ACCESS | flags, self.b.d.id(), frame);
    }

    pub fn grant_to(&self, reference: u32, flags: u16, peer: DomId, frame: Mfn) {
        let shared = self.b.engine.grant_frame(&self.table, 0).unwrap();
        let header = u64::from(flags) | u64::from(peer.0) << 16;
        let slot = u64::from(reference);
        if self.b.engine.grant_version(&self.table) == 1 {
            self.b.poke(shared, slot, header | frame.raw() << 32);
        } else {
            self.b.poke(shared, slot * 2, header);
            self.b.poke(shared, slot * 2 + 1, frame.raw());
        }
    }

    /// The marks of an entry.
    pub fn marks(&self, reference: u32) -> u16 {
        let state = self.table.state.lock();
        let word = if state.version == 1 {
            state
                .fetch(self.b.engine.machine(), reference)
                .unwrap()
                .flags
        } else {
            state.status(self.b.engine.machine(), reference)
        };
        word & (f::READING | f::WRITING)
    }

    pub fn map(&self, reference: u32, flags: u32, host_addr: u64) -> Result<GrantMapping, Refusal> {
        let request = GrantMap {
            host_addr,
            flags,
            reference,
        };
        self.b
            .engine
            .map_grant(&self.mapper(), &self.granter(), &request)
    }

    /// Maps into slot `slot` of the mapper's L1 table.
    pub fn map_at(&self, reference: u32, flags: u32, slot: u64) -> Result<GrantMapping, Refusal> {
        self.map(reference, flags | PTE, at(self.s.l1, slot))
    }

    /// Unmaps, flushes and releases.
    pub fn unmap(&self, handle: u32, host_addr: u64, bus_address: u64) -> Result<(), Refusal> {
        self.unmap_with(handle, host_addr, bus_address, None)
    }

    pub fn unmap_with(
        &self,
        handle: u32,
        host_addr: u64,
        bus_address: u64,
        new_addr: Option<u64>,
    ) -> Result<(), Refusal> {
        let mut batch = UnmapBatch::new();
        let request = GrantUnmap {
            handle,
            host_addr,
            bus_address,
            new_addr,
        };
        let e = &self.b.engine;
        let result = e.unmap_grant(&self.mapper(), &self.granter(), &request, &mut batch);
        for flushed in e.flush_unmapped(&self.b.d, batch) {
            assert_eq!(flushed.granter(), self.g.id());
            e.release_unmapped(&self.granter(), flushed);
        }
        result
    }

    pub fn pin_granters(&self, mfn: Mfn) -> Result<(), Refusal> {
        self.b
            .engine
            .pin_table(
                &self.g,
                mfn,
                crate::Level::L1,
                &mut crate::Budget::unlimited(),
            )
            .map(|_| ())
    }

    /// Recounts everything.
    pub fn check(&self) {
        self.check_with(true);
    }

    pub fn check_with(&self, marks: bool) {
        let parties = [
            Party {
                domain: &self.b.d,
                table: &self.own_table,
                track: &self.track,
            },
            Party {
                domain: &self.g,
                table: &self.table,
                track: &self.g_track,
            },
        ];
        let held = recount_grants(&self.b.engine, &parties, marks)
            .unwrap_or_else(|error| panic!("audit of grants: {error}"));
        self.b.check_with(&[&self.g], &held);
    }

    pub fn read(&self, frame: Mfn, word: u64) -> u64 {
        self.b
            .engine
            .machine()
            .read_u64(Maddr::new(at(frame, word)))
    }
}

/// Asserts a refusal and what the guest is told.
#[track_caller]
pub fn told<T: core::fmt::Debug>(result: Result<T, Refusal>, rule: Rule, status: i16) {
    assert_eq!(refused(result, rule).grant_status(), status);
}
