//! stub
use crate::{AddressLimit, Engine, MachineMemory};
use xenocryst_abi::Mfn;

/// The free list.
pub(crate) struct FreeFrames {}
impl FreeFrames {
    pub(crate) const fn new() -> Self {
        Self {}
    }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Hands RAM frames `first .. first+count` to the free list. Boot only; each frame once.
    pub fn donate(&self, _first: Mfn, _count: u64) {
        todo!()
    }

    /// Notes RAM frames that the hypervisor keeps for itself (its image, tables, boot data). Boot only; each frame once.
    /// They may be given back with [`Engine::free_frames`].
    pub fn claim(&self, _first: Mfn, _count: u64) {
        todo!()
    }

    /// Takes a block of 2^`order` frames, aligned to its size, wholly below `limit`, for the hypervisor. Not zeroed.
    pub fn allocate_frames(&self, _order: u8, _limit: AddressLimit) -> Option<Mfn> {
        todo!()
    }

    /// Gives back a block got from [`Engine::allocate_frames`] (or part of one, or claimed frames).
    pub fn free_frames(&self, _first: Mfn, _order: u8) {
        todo!()
    }

    /// Frames on the free list.
    pub fn free_frame_count(&self) -> u64 {
        todo!()
    }
}
