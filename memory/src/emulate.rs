//! Writable page tables: carrying out a guest's store to a page that is mapped read-only because it is an L1 table.
//!
//! Keeps true: invariant I32. Only naturally aligned stores of at most 8 bytes inside the page that faulted; the
//! frame is a validated L1 table of the domain, under its page-table lock throughout; what was decoded is what is
//! checked and written. Everything else goes back to the guest as its own fault.

use crate::domain::{Actors, DomainMemory};
use crate::engine::Engine;
use crate::frame::{FrameType, Level};
use crate::machine::MachineMemory;
use crate::pte;
use crate::ptype::Session;
use crate::refusal::{Refusal, Rule};
use xenocryst_abi::{Maddr, Mfn, PAGE_SHIFT, Vaddr};

#[cfg(test)]
mod tests;

/// A store by a guest to a page-table page, as decoded from the faulting instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PteStore {
    /// A plain store of the low `width` bytes (1, 2, 4, 8) of `value`.
    Plain {
        /// Bytes written.
        width: u8,
        /// What is written.
        value: u64,
    },
    /// A compare-exchange of `width` bytes.
    CompareExchange {
        /// Bytes compared and written.
        width: u8,
        /// What must be there.
        expected: u64,
        /// What is written then.
        value: u64,
    },
}

/// What became of a [`PteStore`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PteStoreOutcome {
    /// Done: step over the instruction.
    Written,
    /// The compare failed; these are the bytes found (low `width` bytes). Nothing written; step over the instruction.
    CompareFailed {
        /// What is there.
        found: u64,
    },
    /// The address maps no L1 table of the domain read-only: a page fault for the guest itself.
    NotATable,
    /// The store makes no legal entry: a page fault for the guest, and a line for the log.
    Refused(Refusal),
}

/// An L1 table that a faulting address maps read-only: see [`Engine::l1_table_at`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PtePage {
    table: Mfn,
    /// The linear page number of the fault.
    page: u64,
}

/// A part of a word: where a narrow store goes.
#[derive(Clone, Copy)]
struct Lane {
    shift: u32,
    mask: u64,
}

impl Lane {
    /// The lane of `width` bytes at `vaddr`, if aligned and of a legal width.
    fn new(vaddr: Vaddr, width: u8) -> Option<Self> {
        if !matches!(width, 1 | 2 | 4 | 8) || !vaddr.raw().is_multiple_of(u64::from(width)) {
            return None;
        }
        let shift = (vaddr.raw() & 7) as u32 * 8;
        let mask = u64::MAX >> (64 - 8 * u32::from(width));
        Some(Self {
            shift,
            mask: mask << shift,
        })
    }

    fn insert(self, word: u64, value: u64) -> u64 {
        word & !self.mask | value << self.shift & self.mask
    }

    fn extract(self, word: u64) -> u64 {
        (word & self.mask) >> self.shift
    }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Whether a write fault of `domain`, running on `root`, at `vaddr` may be a store to one of its L1 tables:
    /// cheap test to be made before the instruction is decoded.
    pub fn maps_l1_table(&self, domain: &DomainMemory, root: Mfn, vaddr: Vaddr) -> bool {
        self.l1_table_at(domain, root, vaddr).is_some()
    }

    /// The L1 table of `domain` that `faulting` (CR2 of a write fault, running on `root`) maps read-only, if it does:
    /// for [`Engine::store_to_l1_table`], once the instruction is decoded.
    #[inline]
    pub fn l1_table_at(
        &self,
        domain: &DomainMemory,
        root: Mfn,
        faulting: Vaddr,
    ) -> Option<PtePage> {
        let _session = self.session(domain);
        let entry = self
            .machine
            .read_u64(self.find_l1_entry(domain, root, faulting)?);
        let table = pte::target(entry);
        let found =
            entry & (pte::PRESENT | pte::RW) == pte::PRESENT && self.is_own_l1(domain, table);
        found.then_some(PtePage {
            table,
            page: faulting.raw() >> PAGE_SHIFT,
        })
    }

    #[inline(always)]
    fn is_own_l1(&self, domain: &DomainMemory, table: Mfn) -> bool {
        self.frame(table).is_some_and(|frame| {
            frame.type_word().is_live(FrameType::Table(Level::L1))
                && frame.owner_word().belongs_to(domain.tag())
        })
    }

    /// Carries out a store at `vaddr` (the address of the store itself) to a page that `faulting` (CR2) lies in:
    /// [`Engine::l1_table_at`] and [`Engine::store_to_l1_table`] in one.
    pub fn emulate_pte_store(
        &self,
        domain: &DomainMemory,
        root: Mfn,
        faulting: Vaddr,
        vaddr: Vaddr,
        store: PteStore,
    ) -> PteStoreOutcome {
        match self.l1_table_at(domain, root, faulting) {
            Some(page) => self.store_to_l1_table(domain, page, vaddr, store),
            None => PteStoreOutcome::NotATable,
        }
    }

    /// Carries out a store at `vaddr` (the address of the store itself) to an L1 table found before.
    ///
    /// The table is looked at again; if it is none any more, or no longer the domain's, the outcome is `NotATable`.
    /// That the mapping may have changed meanwhile does not matter: the store is then one that came before the change.
    pub fn store_to_l1_table(
        &self,
        domain: &DomainMemory,
        page: PtePage,
        vaddr: Vaddr,
        store: PteStore,
    ) -> PteStoreOutcome {
        let (PteStore::Plain { width, .. } | PteStore::CompareExchange { width, .. }) = store;
        let lane = match Lane::new(vaddr, width) {
            Some(lane) if vaddr.raw() >> PAGE_SHIFT == page.page => lane,
            _ => {
                return PteStoreOutcome::Refused(
                    Rule::EmulateMisaligned.refuse().value(vaddr.raw()),
                );
            }
        };
        let session = self.session(domain);
        if !self.is_own_l1(domain, page.table) {
            return PteStoreOutcome::NotATable;
        }
        let at = Maddr::new(page.table.maddr().raw() | (vaddr.raw() & 0xff8));
        match self.store_entry(domain, at, lane, store) {
            Ok(outcome) => outcome,
            Err(failed) => self.retry_store(session, at, lane, store, failed),
        }
    }

    /// A refusal may be due to tables that are still to be unwound: then that is finished first.
    #[cold]
    fn retry_store(
        &self,
        mut session: Session<'_>,
        at: Maddr,
        lane: Lane,
        store: PteStore,
        failed: (Rule, u64),
    ) -> PteStoreOutcome {
        let domain = session.domain;
        let mut result = Err(failed);
        if self.unwind_doomed_wholly(&mut session) {
            // It may have been a table for no other reason than what has just been unwound.
            if !self.is_own_l1(domain, at.mfn()) {
                return PteStoreOutcome::NotATable;
            }
            result = self.store_entry(domain, at, lane, store);
        }
        result.unwrap_or_else(|(rule, wanted)| {
            PteStoreOutcome::Refused(self.explain_l1(rule, &Actors::own(domain), at, wanted))
        })
    }

    #[inline]
    fn store_entry(
        &self,
        domain: &DomainMemory,
        at: Maddr,
        lane: Lane,
        store: PteStore,
    ) -> Result<PteStoreOutcome, (Rule, u64)> {
        let mut old = self.machine.read_u64(at);
        loop {
            let value = match store {
                PteStore::Plain { value, .. } => value,
                PteStore::CompareExchange {
                    expected, value, ..
                } => {
                    let found = lane.extract(old);
                    if found != lane.extract(lane.insert(0, expected)) {
                        return Ok(PteStoreOutcome::CompareFailed { found });
                    }
                    value
                }
            };
            let wanted = lane.insert(old, value);
            let change = self
                .plan_l1(&Actors::own(domain), old, wanted)
                .map_err(|rule| (rule, wanted))?;
            match self.machine.compare_exchange_u64(at, old, change.entry) {
                Ok(_) => {
                    self.release_l1(old, change.released);
                    return Ok(PteStoreOutcome::Written);
                }
                // Only Accessed and Dirty can change under the lock: at most two more rounds.
                Err(found) => {
                    self.release_l1(change.entry, change.taken);
                    old = found;
                }
            }
        }
    }
}
