//! stub
use crate::{DomainMemory, Engine, MachineMemory};
use xenocryst_abi::{Maddr, Mfn, Vaddr};

impl<M: MachineMemory> Engine<'_, M> {
    /// The L1 entry that maps `vaddr` in the address space under `root`, read through the domain's own tables:
    /// its machine address and value (which may be not present). `None` if no L1 table covers the address.
    pub fn read_l1_entry(
        &self,
        _domain: &DomainMemory,
        _root: Mfn,
        _vaddr: Vaddr,
    ) -> Option<(Maddr, u64)> {
        todo!()
    }

    /// The machine address that guest-kernel address `vaddr` translates to under `root`, if mapped.
    pub fn translate(&self, _domain: &DomainMemory, _root: Mfn, _vaddr: Vaddr) -> Option<Maddr> {
        todo!()
    }
}
