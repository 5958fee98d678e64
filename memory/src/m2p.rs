//! The machine-to-physical table: one word per machine frame, read by every guest.
//!
//! Keeps true: an entry is changed only for a frame of the domain named (I72: its contents are guest data, a hint
//! that nothing in the engine decides by).

use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::machine::MachineMemory;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use core::sync::atomic::Ordering;
use xenocryst_abi::{Mfn, Pfn};

#[cfg(test)]
mod tests;

/// The M2P entry of a frame that has no PFN.
pub const INVALID_M2P_ENTRY: u64 = u64::MAX;

impl<M: MachineMemory> Engine<'_, M> {
    /// The PFN that the M2P gives for a frame: guest data, a hint only.
    pub fn m2p(&self, frame: Mfn) -> Option<Pfn> {
        let entry = self
            .m2p
            .get(usize::try_from(frame.raw()).ok()?)?
            .load(Ordering::Relaxed);
        (entry != INVALID_M2P_ENTRY).then(|| Pfn::new(entry))
    }

    /// `MMU_MACHPHYS_UPDATE` on a frame of `pages`.
    pub fn set_m2p(&self, pages: &DomainMemory, frame: Mfn, pfn: Pfn) -> Result<(), Refusal> {
        let Some(state) = self
            .frame(frame)
            .filter(|f| f.get(self.demanded(Fault::M2pOwner, f, pages.tag())))
        else {
            return Err(self.refuse_owner(Rule::FrameNotOwned, frame, pages));
        };
        self.write_m2p(frame, pfn.raw());
        self.put_general(frame, state);
        Ok(())
    }

    pub(crate) fn write_m2p(&self, frame: Mfn, value: u64) {
        if let Some(entry) = self.m2p.get(frame.raw() as usize) {
            entry.store(value, Ordering::Relaxed);
        }
    }
}
