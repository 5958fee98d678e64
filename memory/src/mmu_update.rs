//! stub
use crate::{Actors, Budget, Engine, Flush, MachineMemory, Progress, Refusal};
use xenocryst_abi::{Maddr, Mfn, Vaddr};

/// The commands of `mmu_update` that change page tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpdateKind {
    /// Write the entry as given.
    Normal,
    /// Keep Accessed and Dirty bits that the CPU has set in the old entry.
    PreserveAccessedDirty,
}

/// One decoded element of a `mmu_update` batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MmuUpdate {
    /// Change the entry at a machine address.
    Entry(UpdateKind, Maddr, u64),
    /// Set the M2P entry of a frame.
    Machphys(Mfn, u64),
}

impl MmuUpdate {
    /// Decodes `struct mmu_update { ptr, val }` (`public/xen.h`).
    pub fn decode(_ptr: u64, _val: u64) -> Result<Self, Refusal> {
        todo!()
    }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// One element of `HYPERVISOR_mmu_update`, given as its two raw words. Preempted: call again with the same element.
    pub fn mmu_update(
        &self,
        _actors: &Actors<'_>,
        _ptr: u64,
        _val: u64,
        _budget: &mut Budget,
    ) -> Result<Progress<Flush>, Refusal> {
        todo!()
    }

    /// `HYPERVISOR_update_va_mapping(_otherdomain)` of the caller's own tables under `root` (the L4 its kernel runs on).
    /// The flush that the guest asked for is the caller's business, and only after success.
    pub fn update_va_mapping(
        &self,
        _actors: &Actors<'_>,
        _root: Mfn,
        _vaddr: Vaddr,
        _val: u64,
    ) -> Result<(), Refusal> {
        todo!()
    }
}
