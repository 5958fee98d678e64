//! What tests, here and in other crates, can see of tables and tracks: plain values, to be compared with expectations.
//!
//! Neighbours: as [`crate::sim`], nothing of this is in the hypervisor's image.

use super::{GrantTable, Maptrack};
use crate::engine::Engine;
use crate::machine::MachineMemory;
use std::vec::Vec;
use xenocryst_abi::{DomId, Mfn};

/// The frames of a table and of a track, in their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GrantFrames {
    /// Shared with the guest: the entries.
    pub shared: Vec<Mfn>,
    /// Shared with the guest: the marks of version 2.
    pub status: Vec<Mfn>,
    /// The hypervisor's: active entries.
    pub active: Vec<Mfn>,
    /// The hypervisor's: records of mappings.
    pub track: Vec<Mfn>,
}

/// A grant in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantInUse {
    /// Which.
    pub reference: u32,
    /// By whom.
    pub user: DomId,
    /// The frame.
    pub frame: Mfn,
    /// Uses by the CPU for writing and reading, then by devices for writing and reading.
    pub pins: [u8; 4],
    /// First byte granted, and how many, if it is only part of the page.
    pub part: Option<(u16, u16)>,
}

/// A mapping of a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MappedGrant {
    /// The mapping's handle.
    pub handle: u32,
    /// `GNTMAP_*` of what is left of it.
    pub flags: u16,
    /// Who granted.
    pub granter: DomId,
    /// Which grant.
    pub reference: u32,
    /// The frame.
    pub frame: Mfn,
}

/// The frames of both.
pub fn frames<M: MachineMemory>(
    engine: &Engine<'_, M>,
    table: &GrantTable,
    track: &Maptrack,
) -> GrantFrames {
    let state = engine.lock_grants(&table.state);
    GrantFrames {
        shared: state.shared.iter().collect(),
        status: state.status.iter().collect(),
        active: state.active.iter().collect(),
        track: engine.lock_grants(&track.state).frames().collect(),
    }
}

/// The grants in use among the first `most`.
pub fn in_use<M: MachineMemory>(
    engine: &Engine<'_, M>,
    table: &GrantTable,
    most: u32,
) -> Vec<GrantInUse> {
    let state = engine.lock_grants(&table.state);
    (0..state.entries().min(most))
        .map(|reference| (reference, state.active(&engine.machine, reference)))
        .filter(|(_, active)| !active.pins.is_none())
        .map(|(reference, active)| GrantInUse {
            reference,
            user: active.user,
            frame: active.frame,
            pins: active.pins.counts(),
            part: active.is_part.then_some((active.start, active.length)),
        })
        .collect()
}

/// All mappings.
pub fn mappings<M: MachineMemory>(engine: &Engine<'_, M>, track: &Maptrack) -> Vec<MappedGrant> {
    let records = engine.lock_grants(&track.state);
    (0..records.limit())
        .filter_map(|handle| Some((handle, records.get(&engine.machine, handle)?)))
        .map(|(handle, record)| MappedGrant {
            handle,
            flags: record.flags,
            granter: record.granter,
            reference: record.reference,
            frame: record.frame,
        })
        .collect()
}
