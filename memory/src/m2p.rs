//! stub
use crate::{DomainMemory, Engine, MachineMemory, Refusal};
use xenocryst_abi::{Mfn, Pfn};

/// The M2P entry of a frame that has no PFN.
pub const INVALID_M2P_ENTRY: u64 = u64::MAX;

impl<M: MachineMemory> Engine<'_, M> {
    /// The PFN that the M2P gives for a frame: guest data, a hint only.
    pub fn m2p(&self, _frame: Mfn) -> Option<Pfn> {
        todo!()
    }

    /// `MMU_MACHPHYS_UPDATE` on a frame of `pages`.
    pub fn set_m2p(&self, _pages: &DomainMemory, _frame: Mfn, _pfn: Pfn) -> Result<(), Refusal> {
        todo!()
    }
}
