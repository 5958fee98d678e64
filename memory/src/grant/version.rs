//! `GNTTABOP_set_version` and `GNTTABOP_swap_grant_ref`.
//!
//! Keeps true: I60 (no pins beyond the reserved entries; operations under way hold the lock or a pin; status frames go
//! only when nobody maps one, all or none), I59. The reserved entries survive.

use super::Granter;
use super::entry::Entry;
use super::table::{GrantTable, TableState, status_frames_for};
use crate::engine::Engine;
use crate::machine::MachineMemory;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use xenocryst_abi::grant_table::{RESERVED_ENTRIES, entry_flag as f};

const KEPT: usize = RESERVED_ENTRIES as usize;
const MARKS: u16 = f::READING | f::WRITING;

impl<M: MachineMemory> Engine<'_, M> {
    /// The layout of the table (`GNTTABOP_get_version`).
    pub fn grant_version(&self, table: &GrantTable) -> u32 {
        self.lock_grants(&table.state).version
    }

    /// Changes the layout of the table.
    pub fn set_grant_version(&self, granter: &Granter<'_>, version: u32) -> Result<(), Refusal> {
        let refuse = |rule: Rule| rule.refuse().value(u64::from(version));
        if version != 1 && version != 2 {
            return Err(refuse(Rule::GrantVersion));
        }
        if version > granter.table.max_version {
            return Err(refuse(Rule::GrantVersionLimit));
        }
        if granter.domain.is_dying() {
            return Err(refuse(Rule::GrantDying));
        }
        let state = &mut *self.lock_grants(&granter.table.state);
        if state.version == version {
            return Ok(());
        }
        let in_use = |reference: u32| !state.active(&self.machine, reference).pins.is_none();
        let reserved = (0..RESERVED_ENTRIES.min(state.entries())).filter(|&i| in_use(i));
        if state.pinned as usize > reserved.count() && !self.commits(Fault::GrantVersionPinned) {
            return Err(refuse(Rule::GrantTableInUse));
        }
        let kept = self.reserved_entries(state, version).map_err(refuse)?;
        if version == 2 {
            let frames = status_frames_for(state.shared.len());
            if !self.add_status_frames(granter.domain, state, frames) {
                return Err(refuse(Rule::OutOfMemory));
            }
        } else if !self.drop_status_frames(granter, state) {
            return Err(refuse(Rule::GrantTableInUse));
        }
        for frame in state.shared.iter() {
            self.machine.zero_frame(frame);
        }
        state.version = version;
        self.restore_entries(state, &kept);
        Ok(())
    }

    /// The reserved entries as version 1 words, with their marks.
    fn reserved_entries(&self, state: &TableState, wanted: u32) -> Result<[u64; KEPT], Rule> {
        let mut kept = [0; KEPT];
        for (reference, slot) in (0..).zip(&mut kept) {
            let Some(entry) = state.fetch(&self.machine, reference) else {
                continue;
            };
            let mut flags = entry.flags;
            if wanted == 1 {
                match flags & f::TYPE_MASK {
                    f::PERMIT_ACCESS if entry.frame.raw() >> 32 == 0 => {}
                    f::PERMIT_ACCESS | f::TRANSITIVE => return Err(Rule::GrantVersionContents),
                    _ => continue,
                }
                flags |= state.status(&self.machine, reference) & MARKS;
            }
            *slot = u64::from(flags) | u64::from(entry.peer.0) << 16 | entry.frame.raw() << 32;
        }
        Ok(kept)
    }

    fn restore_entries(&self, state: &TableState, kept: &[u64; KEPT]) {
        for (reference, &word) in (0..).zip(kept) {
            if state.version == 1 {
                if let Some(at) = state.shared.word(reference) {
                    self.machine.write_u64(at, word);
                }
                continue;
            }
            let entry = Entry::v1(word);
            let header = u64::from(entry.flags & !MARKS) | u64::from(entry.peer.0) << 16;
            state
                .shared
                .write_pair(&self.machine, reference, [header, entry.frame.raw()]);
            state.change_status(&self.machine, reference, 1, |_| entry.flags & MARKS);
        }
    }

    /// Takes every status frame back, or none.
    fn drop_status_frames(&self, granter: &Granter<'_>, state: &mut TableState) -> bool {
        let taken = state
            .status
            .iter()
            .take_while(|&frame| self.unshare(granter.domain, frame))
            .count();
        if taken < state.status.len() as usize {
            for frame in state.status.iter().take(taken) {
                let shared = self.share_with(granter.domain, frame, true);
                assert!(shared, "accounting error: a status frame was lost");
            }
            return false;
        }
        while let Some(frame) = state.status.pop() {
            self.free_frames(frame, 0);
        }
        true
    }

    /// Swaps two entries that nobody uses.
    pub fn swap_grants(&self, table: &GrantTable, a: u32, b: u32) -> Result<(), Refusal> {
        let state = &*self.lock_grants(&table.state);
        for reference in [a, b] {
            if reference >= state.entries() {
                return Err(Rule::GrantReference.refuse().value(u64::from(reference)));
            }
        }
        if a == b {
            return Ok(());
        }
        for reference in [a, b] {
            if !state.active(&self.machine, reference).pins.is_none() {
                return Err(Rule::GrantInUse.refuse().value(u64::from(reference)));
            }
        }
        if state.version == 1 {
            if let (Some(at_a), Some(at_b)) = (state.shared.word(a), state.shared.word(b)) {
                let word = self.machine.read_u64(at_a);
                self.machine.write_u64(at_a, self.machine.read_u64(at_b));
                self.machine.write_u64(at_b, word);
            }
            return Ok(());
        }
        let pair = state.shared.read_pair(&self.machine, a);
        let other = state.shared.read_pair(&self.machine, b);
        state.shared.write_pair(&self.machine, a, other);
        state.shared.write_pair(&self.machine, b, pair);
        let status = state.status(&self.machine, a);
        let other = state.status(&self.machine, b);
        state.change_status(&self.machine, a, 64, |_| other);
        state.change_status(&self.machine, b, 64, |_| status);
        Ok(())
    }
}
