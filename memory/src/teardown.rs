//! stub
use crate::{Budget, DomainMemory, Engine, MachineMemory, Progress};
use xenocryst_abi::Mfn;

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes every frame of a dying domain away: unpins, unwinds, drops allocations. Its vCPUs are dead and have given
    /// back roots and descriptor pages. `cursor` starts at frame 0 and is kept by the caller between calls.
    /// Frames still held by others are freed when those let go; `owned_frames` is 0 when all are.
    pub fn relinquish(
        &self,
        _domain: &DomainMemory,
        _cursor: &mut Mfn,
        _budget: &mut Budget,
    ) -> Progress<()> {
        todo!()
    }
}
