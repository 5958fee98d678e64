//! stub
use crate::{DomainMemory, Engine, MachineMemory, Refusal};
use xenocryst_abi::{Mfn, Vaddr};

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

impl<M: MachineMemory> Engine<'_, M> {
    /// Whether a write fault of `domain`, running on `root`, at `vaddr` may be a store to one of its L1 tables:
    /// cheap test to be made before the instruction is decoded.
    pub fn maps_l1_table(&self, _domain: &DomainMemory, _root: Mfn, _vaddr: Vaddr) -> bool {
        todo!()
    }

    /// Carries out a store at `vaddr` (the address of the store itself) to a page that `faulting` (CR2) lies in.
    pub fn emulate_pte_store(
        &self,
        _domain: &DomainMemory,
        _root: Mfn,
        _faulting: Vaddr,
        _vaddr: Vaddr,
        _store: PteStore,
    ) -> PteStoreOutcome {
        todo!()
    }
}
