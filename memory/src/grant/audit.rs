//! Recounting grants: do pins, marks and handles follow from the mappings that there are?
//!
//! * The pins of an entry are the parts of the mappings that name it; the user and the frame are theirs.
//! * Without pins there are no marks; with pins there is the mark for reading, with writers that for writing (where
//!   the guest leaves them alone).
//! * Handles are in use or free, and free once.
//! * The frames of a table are shared with its domain; those that hold records are the hypervisor's.
//!
//! No element is between unmapping and release, and no copy is under way. For tests, as [`crate::audit`].

use super::active::{Pins, Use};
use super::map::parts;
use super::table::TableState;
use super::{GrantTable, Maptrack};
use crate::audit::Held;
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::machine::MachineMemory;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::vec::Vec;
use xenocryst_abi::grant_table::{entry_flag as f, map_flag as m};
use xenocryst_abi::{DomId, Mfn};

/// A domain with both its sides.
#[derive(Clone, Copy)]
pub struct Party<'a> {
    /// Its memory.
    pub domain: &'a DomainMemory,
    /// What it grants.
    pub table: &'a GrantTable,
    /// What it maps.
    pub track: &'a Maptrack,
}

struct Expected {
    pins: Pins,
    user: DomId,
    frame: Mfn,
}

type Uses = BTreeMap<(u16, u32), Expected>;

/// Recounts the grants of all domains. Returns the references that mappings for devices hold, for
/// [`crate::audit::recount`]. `marks`: whether to look at the guest's words too.
pub fn recount_grants<M: MachineMemory>(
    engine: &Engine<'_, M>,
    parties: &[Party<'_>],
    marks: bool,
) -> Result<Vec<Held>, String> {
    let mut held = Vec::new();
    let mut uses = Uses::new();
    for party in parties {
        count_mappings(engine, party, &mut uses, &mut held)?;
    }
    for party in parties {
        let state = party.table.state.lock();
        let mut pinned = 0;
        for reference in 0..state.entries() {
            let expected = uses.remove(&(party.domain.id().0, reference));
            pinned += u32::from(expected.is_some());
            compare(engine, party, &state, reference, expected, marks)?;
        }
        if pinned != state.pinned {
            return Err(format!("{} pinned, not {pinned}", state.pinned));
        }
        for frame in state.shared.iter().chain(state.status.iter()) {
            let info = engine.frame_info(frame);
            if !info.special || info.owner != Some(party.domain.id()) {
                return Err(format!("grant frame {frame} is not shared: {info:?}"));
            }
        }
    }
    match uses.into_keys().next() {
        Some(key) => Err(format!("a mapping names grant {key:?}, which there is not")),
        None => Ok(held),
    }
}

fn count_mappings<M: MachineMemory>(
    engine: &Engine<'_, M>,
    party: &Party<'_>,
    uses: &mut Uses,
    held: &mut Vec<Held>,
) -> Result<(), String> {
    let records = party.track.state.lock();
    let free = records.free_handles(engine.machine());
    let distinct: BTreeSet<u32> = free.iter().copied().collect();
    let mut used = 0;
    for handle in 0..records.limit() {
        let Some(record) = records.get(engine.machine(), handle) else {
            continue;
        };
        used += 1;
        if distinct.contains(&handle) {
            return Err(format!("handle {handle} is used and free"));
        }
        let expected = uses
            .entry((record.granter.0, record.reference))
            .or_insert(Expected {
                pins: Pins::default(),
                user: party.domain.id(),
                frame: record.frame,
            });
        if expected.user != party.domain.id() || expected.frame != record.frame {
            return Err(format!("mappings of one grant disagree: {record:?}"));
        }
        for part in parts(u32::from(record.flags)) {
            expected.pins = expected.pins.with(part).ok_or("too many pins")?;
        }
        if record.has(m::DEVICE_MAP) {
            held.push(if record.is_writable() {
                Held::Typed(record.frame)
            } else {
                Held::General(record.frame)
            });
        }
    }
    if distinct.len() != free.len() || used + free.len() != records.limit() as usize {
        return Err(format!("{used} handles used, {} free", free.len()));
    }
    Ok(())
}

fn compare<M: MachineMemory>(
    engine: &Engine<'_, M>,
    party: &Party<'_>,
    state: &TableState,
    reference: u32,
    expected: Option<Expected>,
    marks: bool,
) -> Result<(), String> {
    let active = state.active(engine.machine(), reference);
    let name = || format!("grant {reference} of {}", party.domain.id());
    let Some(expected) = expected else {
        return if active.pins.is_none() {
            check_marks(engine, state, reference, marks, 0).map_err(|e| name() + &e)
        } else {
            Err(name() + " is pinned by nobody")
        };
    };
    if active.pins != expected.pins
        || active.user != expected.user
        || active.frame != expected.frame
    {
        return Err(format!("{}: {active:?} is not {:?}", name(), expected.pins));
    }
    let writes = active.pins.count(Use::HostWrite) + active.pins.count(Use::DeviceWrite) != 0;
    let wanted = f::READING | if writes { f::WRITING } else { 0 };
    check_marks(engine, state, reference, marks, wanted).map_err(|e| name() + &e)
}

fn check_marks<M: MachineMemory>(
    engine: &Engine<'_, M>,
    state: &TableState,
    reference: u32,
    look: bool,
    wanted: u16,
) -> Result<(), String> {
    let Some(entry) = state.fetch(engine.machine(), reference).filter(|_| look) else {
        return Ok(());
    };
    let word = if state.version == 1 {
        entry.flags
    } else {
        state.status(engine.machine(), reference)
    };
    // In an entry that accepts a transfer the same bits mean something else.
    if entry.flags & f::TYPE_MASK != f::ACCEPT_TRANSFER
        && word & (f::READING | f::WRITING) != wanted
    {
        return Err(format!(" has marks {word:#x}, wanted {wanted:#x}"));
    }
    Ok(())
}
