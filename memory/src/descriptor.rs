//! stub
use crate::{DescriptorRef, DomainMemory, Engine, MachineMemory, Refusal};
use xenocryst_abi::{Maddr, Mfn};

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes a frame of `domain` as a descriptor page (for a GDT or LDT window), validating its 512 descriptors.
    pub fn get_descriptor_page(
        &self,
        _domain: &DomainMemory,
        _frame: Mfn,
    ) -> Result<DescriptorRef, Refusal> {
        todo!()
    }

    /// Gives it back. The window must no longer map it on any CPU.
    pub fn put_descriptor_page(&self, _domain: &DomainMemory, _held: DescriptorRef) {
        todo!()
    }

    /// `HYPERVISOR_update_descriptor`: writes one descriptor at a machine address in a frame of `domain`.
    pub fn update_descriptor(
        &self,
        _domain: &DomainMemory,
        _at: Maddr,
        _descriptor: u64,
    ) -> Result<(), Refusal> {
        todo!()
    }
}

/// The descriptor as a guest may have it (privileges raised to ring 3, call gates made to fault), or `None` if it may not.
pub fn check_descriptor(_descriptor: u64) -> Option<u64> {
    todo!()
}
