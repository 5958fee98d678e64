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
use crate::refusal::{Refusal, Rule};
use xenocryst_abi::{Maddr, Mfn, Vaddr};

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
        let _session = self.session(domain);
        self.mapped_l1_table(domain, root, vaddr).is_some()
    }

    /// The L1 table of `domain` that `vaddr` maps read-only. The lock is held.
    fn mapped_l1_table(&self, domain: &DomainMemory, root: Mfn, vaddr: Vaddr) -> Option<Mfn> {
        let entry = self
            .machine
            .read_u64(self.find_l1_entry(domain, root, vaddr)?);
        if entry & (pte::PRESENT | pte::RW) != pte::PRESENT {
            return None;
        }
        let table = pte::target(entry);
        let frame = self.frame(table)?;
        let is_own_l1 = frame.owner_word().belongs_to(domain.tag())
            && frame.type_word().is_live(FrameType::Table(Level::L1));
        is_own_l1.then_some(table)
    }

    /// Carries out a store at `vaddr` (the address of the store itself) to a page that `faulting` (CR2) lies in.
    pub fn emulate_pte_store(
        &self,
        domain: &DomainMemory,
        root: Mfn,
        faulting: Vaddr,
        vaddr: Vaddr,
        store: PteStore,
    ) -> PteStoreOutcome {
        let (PteStore::Plain { width, .. } | PteStore::CompareExchange { width, .. }) = store;
        let lane = match Lane::new(vaddr, width) {
            Some(lane) if (vaddr.raw() ^ faulting.raw()) >> 12 == 0 => lane,
            _ => {
                return PteStoreOutcome::Refused(
                    Rule::EmulateMisaligned.refuse().value(vaddr.raw()),
                );
            }
        };
        let mut session = self.session(domain);
        let Some(table) = self.mapped_l1_table(domain, root, vaddr) else {
            return PteStoreOutcome::NotATable;
        };
        let at = Maddr::new(table.maddr().raw() | (vaddr.raw() & 0xff8));
        let mut result = self.store_entry(domain, at, lane, store);
        if result.is_err() && self.unwind_doomed_wholly(&mut session) {
            result = self.store_entry(domain, at, lane, store);
        }
        drop(session);
        result.unwrap_or_else(|(rule, wanted)| {
            PteStoreOutcome::Refused(self.explain_l1(rule, &Actors::own(domain), at, wanted))
        })
    }

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
            let new = self
                .get_stored_entry(domain, old, wanted)
                .map_err(|rule| (rule, wanted))?;
            match self.machine.compare_exchange_u64(at, old, new.entry) {
                Ok(_) => {
                    if new.is_counted && old & pte::PRESENT != 0 {
                        self.put_l1_entry(old);
                    }
                    return Ok(PteStoreOutcome::Written);
                }
                // Only Accessed and Dirty can change under the lock: at most two more rounds.
                Err(found) => {
                    if new.is_counted && new.entry & pte::PRESENT != 0 {
                        self.put_l1_entry(new.entry);
                    }
                    old = found;
                }
            }
        }
    }

    /// Checks the entry that a store would make, taking its references unless it differs harmlessly from `old`.
    fn get_stored_entry(
        &self,
        domain: &DomainMemory,
        old: u64,
        wanted: u64,
    ) -> Result<StoredEntry, Rule> {
        if wanted & pte::PRESENT == 0 {
            self.check_not_present(domain, wanted, Level::L1)?;
            return Ok(StoredEntry {
                entry: wanted,
                is_counted: true,
            });
        }
        let adjusted = pte::adjusted_l1(wanted);
        if (old ^ adjusted) & !pte::FAST_PATH == 0 {
            return Ok(StoredEntry {
                entry: adjusted,
                is_counted: false,
            });
        }
        let entry = self.get_l1_entry(&Actors::own(domain), wanted)?;
        Ok(StoredEntry {
            entry,
            is_counted: true,
        })
    }
}

/// An entry ready to be written.
struct StoredEntry {
    entry: u64,
    /// Whether it holds its own references, so that those of the old entry must go.
    is_counted: bool,
}
