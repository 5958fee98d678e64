//! The audit of grants: do pins, marks and handles follow from the mappings that there are?
//!
//! * The pins of an entry are the parts of the mappings that name it; the user and the frame are theirs.
//! * Without pins there are no marks; with pins there is the mark for reading, with writers that for writing (where
//!   the guest leaves them alone).
//! * Handles are in use or free, and free once.
//! * The frames of a table are shared with its domain; those that hold records are the hypervisor's.
//!
//! No element is between unmapping and release, and no copy is under way. Time is linear in the entries and handles
//! that there are; the pins expected stand in memory that the caller lends. Neighbours: as for [`crate::audit`].

use super::active::{Pins, Use};
use super::map::parts;
use super::maptrack::Record;
use super::table::TableState;
use super::{GrantTable, Maptrack};
use crate::audit::{Audit, Finding, Held};
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::machine::MachineMemory;
use xenocryst_abi::DomId;
use xenocryst_abi::grant_table::{entry_flag as f, map_flag as m};

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

/// Four counts of pins, packed; all zero at first.
#[derive(Clone, Copy, Default)]
pub struct PinTally([u8; 4]);

impl<M: MachineMemory> Engine<'_, M> {
    /// How many [`PinTally`]s the audit of these grants needs.
    pub fn grant_tallies(&self, parties: &[Party<'_>]) -> usize {
        parties
            .iter()
            .map(|party| self.lock_grants(&party.table.state).entries() as usize)
            .sum()
    }
}

impl<M: MachineMemory> Audit<'_, '_, '_, '_, M> {
    /// Recounts the grants of all domains, and counts the references that mappings for devices hold. `tallies` has
    /// room for what [`Engine::grant_tallies`] says. `marks`: whether to look at the guest's words too, which a guest
    /// may have spoilt.
    pub fn count_grants(&mut self, parties: &[Party<'_>], tallies: &mut [PinTally], marks: bool) {
        tallies.fill(PinTally::default());
        for party in parties {
            self.count_mappings(parties, party, tallies);
            self.check_handles(party);
        }
        let mut rest = &tallies[..];
        for party in parties {
            let entries = self.engine.lock_grants(&party.table.state).entries() as usize;
            let Some((own, others)) = rest.split_at_checked(entries) else {
                return self.no_room(party.domain.id());
            };
            rest = others;
            self.check_table(party, own, marks);
        }
    }

    fn no_room(&mut self, domain: DomId) {
        self.found(&Finding::GrantTotal {
            domain,
            what: "there is no room to count them",
        });
    }

    /// Adds what `party` maps to the pins expected.
    fn count_mappings(
        &mut self,
        parties: &[Party<'_>],
        party: &Party<'_>,
        tallies: &mut [PinTally],
    ) {
        let engine = self.engine;
        let user = party.domain.id();
        let mut last = None;
        let limit = engine.lock_grants(&party.track.state).limit();
        for handle in 0..limit {
            let record = engine
                .lock_grants(&party.track.state)
                .get(&engine.machine, handle);
            let Some(record) = record else { continue };
            if record.has(m::DEVICE_MAP) {
                self.hold(if record.is_writable() {
                    Held::Typed(record.frame)
                } else {
                    Held::General(record.frame)
                });
            }
            // Where the granter's tallies begin: found again only when the granter changes.
            let found = match last {
                Some((granter, found)) if granter == record.granter => found,
                _ => engine.find_granter(parties, record.granter),
            };
            last = Some((record.granter, found));
            let what = match found {
                None => Some("names a granter that is not there"),
                Some((index, base)) => engine.count_mapping(
                    &parties[index],
                    tallies.get_mut(base + record.reference as usize),
                    user,
                    &record,
                ),
            };
            if let Some(what) = what {
                self.found(&Finding::Handle {
                    domain: user,
                    handle,
                    what,
                });
            }
        }
    }

    /// Free handles and used ones make all.
    fn check_handles(&mut self, party: &Party<'_>) {
        let machine = &self.engine.machine;
        let records = self.engine.lock_grants(&party.track.state);
        let used = (0..records.limit())
            .filter(|&handle| records.get(machine, handle).is_some())
            .count() as u32;
        let wanted = records.limit() - used;
        let free = records.count_free(machine, wanted);
        drop(records);
        if free != Some(wanted) {
            self.found(&Finding::GrantTotal {
                domain: party.domain.id(),
                what: "the list of free handles is not that of the unused ones",
            });
        }
    }

    fn check_table(&mut self, party: &Party<'_>, expected: &[PinTally], marks: bool) {
        let engine = self.engine;
        let domain = party.domain.id();
        let state = engine.lock_grants(&party.table.state);
        let mut pinned = 0;
        for (reference, expected) in (0..state.entries()).zip(expected) {
            pinned += u32::from(expected.0 != [0; 4]);
            if let Some(what) = engine.compare_grant(&state, reference, expected, marks) {
                self.found(&Finding::Grant {
                    domain,
                    reference,
                    what,
                });
            }
        }
        if pinned != state.pinned {
            self.found(&Finding::GrantTotal {
                domain,
                what: "the number of pinned entries is wrong",
            });
        }
        for frame in state.shared.iter().chain(state.status.iter()) {
            let info = engine.frame_info(frame);
            if !info.special || info.owner != Some(domain) {
                self.found(&Finding::State {
                    frame,
                    what: "is of a grant table, but not shared with its domain",
                });
            }
        }
    }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Where a granter is among the parties, and where its tallies begin.
    fn find_granter(&self, parties: &[Party<'_>], granter: DomId) -> Option<(usize, usize)> {
        let index = parties
            .iter()
            .position(|party| party.domain.id() == granter)?;
        Some((index, self.grant_tallies(&parties[..index])))
    }

    /// Adds one mapping to the pins of the grant that it names. Says what is wrong with it.
    fn count_mapping(
        &self,
        granter: &Party<'_>,
        tally: Option<&mut PinTally>,
        user: DomId,
        record: &Record,
    ) -> Option<&'static str> {
        let state = self.lock_grants(&granter.table.state);
        let Some(tally) = tally.filter(|_| record.reference < state.entries()) else {
            return Some("names a grant that there is not");
        };
        let active = state.active(&self.machine, record.reference);
        if active.user != user || active.frame != record.frame {
            return Some("has another user or frame than the grant");
        }
        for part in parts(u32::from(record.flags)) {
            let count = &mut tally.0[part as usize];
            *count = count.saturating_add(1);
        }
        None
    }

    fn compare_grant(
        &self,
        state: &TableState,
        reference: u32,
        expected: &PinTally,
        marks: bool,
    ) -> Option<&'static str> {
        let pins = state.active(&self.machine, reference).pins;
        if pins != Pins::of(expected.0) {
            return Some("has other pins than mappings");
        }
        let writes = pins.count(Use::HostWrite) + pins.count(Use::DeviceWrite) != 0;
        let wanted = match (pins.is_none(), writes) {
            (true, _) => 0,
            (false, false) => f::READING,
            (false, true) => f::READING | f::WRITING,
        };
        let entry = state.fetch(&self.machine, reference).filter(|_| marks)?;
        let word = if state.version == 1 {
            entry.flags
        } else {
            state.status(&self.machine, reference)
        };
        // In an entry that accepts a transfer the same bits mean something else.
        (entry.flags & f::TYPE_MASK != f::ACCEPT_TRANSFER
            && word & (f::READING | f::WRITING) != wanted)
            .then_some("has other marks than pins")
    }
}

/// Recounts the grants of all domains; an error names the first discrepancy. Returns the references that mappings for
/// devices hold, for [`crate::audit::recount`]. `marks`: whether to look at the guest's words too.
#[cfg(any(test, feature = "sim"))]
pub fn recount_grants<M: MachineMemory>(
    engine: &Engine<'_, M>,
    parties: &[Party<'_>],
    marks: bool,
) -> Result<std::vec::Vec<Held>, std::string::String> {
    use crate::audit::{Tallies, Tally};
    use std::string::ToString;
    let mut first = None;
    let mut tallies = std::vec![Tally::default(); engine.frames.len()];
    let mut pins = std::vec![PinTally::default(); engine.grant_tallies(parties)];
    let mut chunks = [&mut tallies[..]];
    let mut report = |finding: &Finding| {
        first.get_or_insert_with(|| finding.to_string());
    };
    let mut audit = Audit::new(engine, Tallies::new(&mut chunks), &mut report);
    audit.count_grants(parties, &mut pins, marks);
    if let Some(said) = first {
        return Err(said);
    }
    Ok(device_references(engine, parties))
}

/// The references that mappings for devices hold.
#[cfg(any(test, feature = "sim"))]
fn device_references<M: MachineMemory>(
    engine: &Engine<'_, M>,
    parties: &[Party<'_>],
) -> std::vec::Vec<Held> {
    let mut held = std::vec::Vec::new();
    for party in parties {
        let records = engine.lock_grants(&party.track.state);
        for record in (0..records.limit()).filter_map(|i| records.get(&engine.machine, i)) {
            if record.has(m::DEVICE_MAP) {
                held.push(if record.is_writable() {
                    Held::Typed(record.frame)
                } else {
                    Held::General(record.frame)
                });
            }
        }
    }
    held
}
