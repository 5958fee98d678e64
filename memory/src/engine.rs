//! The engine itself: a machine, the frame table, the M2P, and the free list.

use crate::allocator::FreeFrames;
use crate::config::Config;
use crate::frame::{Frame, FrameInfo};
use crate::machine::MachineMemory;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use spin::Mutex;
use xenocryst_abi::{DomId, Mfn};

/// Memory handed in by the hypervisor, all of it zero at first.
pub struct Storage<'m> {
    /// One per machine frame, from frame 0 to the end of RAM.
    pub frames: &'m [Frame],
    /// The machine-to-physical table: one word per machine frame.
    pub m2p: &'m [AtomicU64],
    /// Frames owned, by domain number; a domain whose number is not below its length can own nothing.
    pub owned: &'m [AtomicU32],
}

/// The memory engine.
pub struct Engine<'m, M: MachineMemory> {
    pub(crate) machine: M,
    pub(crate) frames: &'m [Frame],
    pub(crate) m2p: &'m [AtomicU64],
    pub(crate) owned: &'m [AtomicU32],
    pub(crate) config: Config,
    pub(crate) free: Mutex<FreeFrames>,
    pub(crate) ram_frames: AtomicU64,
    #[cfg(feature = "seeded-faults")]
    pub(crate) fault: core::sync::atomic::AtomicU8,
}

impl<'m, M: MachineMemory> Engine<'m, M> {
    /// An engine that knows no RAM yet. Frame numbers stop at the shorter of `frames` and `m2p`.
    pub fn new(machine: M, storage: Storage<'m>, config: Config) -> Self {
        let n = storage
            .frames
            .len()
            .min(storage.m2p.len())
            .min(u32::MAX as usize);
        Self {
            machine,
            frames: &storage.frames[..n],
            m2p: &storage.m2p[..n],
            owned: storage.owned,
            config,
            free: Mutex::new(FreeFrames::new()),
            ram_frames: AtomicU64::new(0),
            #[cfg(feature = "seeded-faults")]
            fault: core::sync::atomic::AtomicU8::new(u8::MAX),
        }
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The fixed facts.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The highest frame number the frame table covers (`XENMEM_maximum_ram_page`).
    pub fn maximum_ram_page(&self) -> Mfn {
        Mfn::new((self.frames.len() as u64).saturating_sub(1))
    }

    /// RAM frames known to the engine, used or free.
    pub fn ram_frames(&self) -> u64 {
        self.ram_frames.load(Ordering::Relaxed)
    }

    /// Frames that domain `id` owns (`XENMEM_current_reservation`).
    pub fn owned_frames(&self, id: DomId) -> u32 {
        self.owned
            .get(id.0 as usize)
            .map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// A snapshot of a frame's state.
    pub fn frame_info(&self, mfn: Mfn) -> FrameInfo {
        self.frame(mfn).map_or(FrameInfo::default(), Frame::info)
    }

    /// The state of frame `mfn`, if the table covers it.
    #[inline]
    pub(crate) fn frame(&self, mfn: Mfn) -> Option<&'m Frame> {
        self.frames.get(usize::try_from(mfn.raw()).ok()?)
    }
}
