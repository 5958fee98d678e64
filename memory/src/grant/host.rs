//! The L1 entry of a mapping for the CPU: making it, and removing or replacing it.
//!
//! Keeps true: I54. An entry is made only at an aligned address inside a validated L1 table of the mapper, and removed
//! only if it still maps the frame with the access recorded. The references that an entry holds are not taken or given
//! back here, but for those of an ordinary entry that is overwritten. Nothing is waited for, and no table unwound, between
//! the look at a table and the write to it: a table that an interrupted unwinding holds still serves, and its entries go
//! with it.

use super::Mapper;
use crate::engine::Engine;
use crate::frame::{FrameType, Level};
use crate::l1::Held;
use crate::machine::MachineMemory;
use crate::mmu_update::UpdateKind;
use crate::pte;
use crate::refusal::Rule;
use crate::seeded::Fault;
use xenocryst_abi::grant_table::map_flag as m;
use xenocryst_abi::{Maddr, Mfn, Vaddr};

/// The entry for a mapping with `flags`.
fn entry_for(frame: Mfn, flags: u32) -> u64 {
    let mut entry =
        frame.maddr().raw() | pte::PRESENT | pte::ACCESSED | pte::DIRTY | pte::NX | access(flags);
    if flags & m::APPLICATION_MAP != 0 {
        entry |= pte::USER;
    }
    entry |= u64::from(flags >> 16) << pte::AVAILABLE.trailing_zeros() & pte::AVAILABLE;
    pte::adjusted_l1(entry)
}

fn access(flags: u32) -> u64 {
    if flags & m::READONLY == 0 { pte::RW } else { 0 }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// The machine address of the entry that a host address names. The mapper's page-table lock is held.
    fn grant_slot(&self, mapper: &Mapper<'_>, host_addr: u64, flags: u32) -> Result<Maddr, Rule> {
        if flags & m::CONTAINS_PTE == 0 {
            return self
                .find_l1_entry(mapper.domain, mapper.root, Vaddr::new(host_addr))
                .ok_or(Rule::GrantAddress);
        }
        let at = Maddr::new(host_addr);
        let is_own_l1 = self.frame(at.mfn()).is_some_and(|frame| {
            frame.owner_word().belongs_to(mapper.domain.tag())
                && frame.type_word().is_live(FrameType::Table(Level::L1))
        });
        if host_addr.is_multiple_of(8) && is_own_l1 {
            Ok(at)
        } else {
            Err(Rule::GrantAddress)
        }
    }

    /// Writes the entry for `frame`, whose references the caller has taken.
    pub(super) fn install_grant(
        &self,
        mapper: &Mapper<'_>,
        host_addr: u64,
        flags: u32,
        frame: Mfn,
    ) -> Result<(), Rule> {
        let _session = self.session(mapper.domain);
        let at = self.grant_slot(mapper, host_addr, flags)?;
        let old = self.machine.read_u64(at);
        let old = self.write_entry(at, old, entry_for(frame, flags), UpdateKind::Normal);
        self.release_l1(old, Held::Whole);
        Ok(())
    }

    /// Removes the entry of a mapping, or replaces it by that of `new_addr`, which is then empty. The references that
    /// the entry held are left to the caller.
    pub(super) fn remove_grant(
        &self,
        mapper: &Mapper<'_>,
        host_addr: u64,
        flags: u32,
        frame: Mfn,
        new_addr: Option<u64>,
    ) -> Result<(), Rule> {
        if new_addr.is_some() && flags & m::CONTAINS_PTE != 0 {
            return Err(Rule::GrantReplaceEntry);
        }
        let _session = self.session(mapper.domain);
        let at = self.grant_slot(mapper, host_addr, flags)?;
        let live = self.machine.read_u64(at);
        let maps_it = pte::target(live) == frame
            && live & (pte::PRESENT | pte::RW) == pte::PRESENT | access(flags);
        if !maps_it && !self.commits(Fault::GrantEntry) {
            return Err(Rule::GrantEntryMismatch);
        }
        let mut new = 0;
        if let Some(new_addr) = new_addr {
            let from = self.grant_slot(mapper, new_addr, flags)?;
            if from == at {
                return Err(Rule::GrantEntryMismatch);
            }
            new = self.machine.read_u64(from);
            self.machine.write_u64(from, 0);
        }
        self.machine.write_u64(at, new);
        Ok(())
    }
}
