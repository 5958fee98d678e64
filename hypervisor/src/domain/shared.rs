//! The pages a domain shares with the hypervisor, as places to read and write and never as references: the guest writes
//! them at any time.
//!
//! Keeps true: every access is one atomic or volatile access of the field's own width; no value read here is trusted.
//! Layouts: `public/xen.h` (`struct shared_info`, `struct vcpu_info`).

use core::cell::Cell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use xenocryst_abi::{Mfn, PAGE_SIZE, Vaddr, shared_info};

/// Bytes of one `struct vcpu_info` on x86-64.
pub const VCPU_INFO_SIZE: u64 = size_of::<shared_info::VcpuInfo>() as u64;
/// `struct vcpu_info`s that stand in the shared page itself (`XEN_LEGACY_MAX_VCPUS`).
pub const LEGACY_VCPUS: u32 = shared_info::LEGACY_MAX_VCPUS as u32;
/// Offset of `evtchn_pending` in `struct shared_info`.
const EVTCHN_PENDING: usize = offset_of!(shared_info::SharedInfo, evtchn_pending);
/// Offset of `evtchn_mask`.
const EVTCHN_MASK: usize = offset_of!(shared_info::SharedInfo, evtchn_mask);
/// Offset of `wc_version`, followed by the seconds and nanoseconds of the wall clock.
const WALL_CLOCK: usize = offset_of!(shared_info::SharedInfo, wc_version);
/// Offset of `wc_sec_hi` (x86-64 keeps it after the nanoseconds).
const WALL_CLOCK_SEC_HI: usize = offset_of!(shared_info::SharedInfo, wc_sec_hi);
/// Offset of `arch` (`struct arch_shared_info`).
pub const ARCH: usize = offset_of!(shared_info::SharedInfo, arch);

/// A domain's shared information page, through the direct map.
pub struct SharedInfo {
    mfn: Mfn,
    base: Vaddr,
}

impl SharedInfo {
    /// The page in frame `mfn`, which must stay allocated, zeroed and mapped at `base` for the domain's life.
    pub fn new(mfn: Mfn, base: Vaddr) -> Self {
        Self { mfn, base }
    }

    /// The frame.
    pub fn mfn(&self) -> Mfn {
        self.mfn
    }

    /// The address of byte `offset` of the page in the direct map.
    fn at(&self, offset: usize) -> usize {
        assert!((offset as u64) < PAGE_SIZE);
        self.base.raw() as usize + offset
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: inside a page that lives as long as the domain; 8-aligned by the callers; accessed atomically only.
        unsafe { &*(self.at(offset) as *const AtomicU64) }
    }

    /// A 32-bit field at `offset`, which must be a multiple of 4.
    pub fn half(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4));
        // SAFETY: inside a page that lives as long as the domain; aligned; accessed atomically only.
        unsafe { &*(self.at(offset) as *const AtomicU32) }
    }

    /// Word `index` (below 64) of the two-level pending bits.
    pub fn evtchn_pending(&self, index: usize) -> &AtomicU64 {
        assert!(index < 64);
        self.word(EVTCHN_PENDING + index * 8)
    }

    /// Word `index` (below 64) of the two-level mask bits.
    pub fn evtchn_mask(&self, index: usize) -> &AtomicU64 {
        assert!(index < 64);
        self.word(EVTCHN_MASK + index * 8)
    }

    /// The wall clock fields: version, seconds (low), nanoseconds, seconds (high).
    pub fn wall_clock(&self) -> [&AtomicU32; 4] {
        [
            self.half(WALL_CLOCK),
            self.half(WALL_CLOCK + 4),
            self.half(WALL_CLOCK + 8),
            self.half(WALL_CLOCK_SEC_HI),
        ]
    }

    /// The address of vCPU `id`'s legacy `vcpu_info`; `None` from [`LEGACY_VCPUS`] up.
    pub fn vcpu_info(&self, id: u32) -> Option<Vaddr> {
        (id < LEGACY_VCPUS)
            .then(|| Vaddr::new(self.at(id as usize * VCPU_INFO_SIZE as usize) as u64))
    }
}

/// Where one vCPU's `struct vcpu_info` is: in the shared page, or where the guest moved it.
#[repr(transparent)]
pub struct VcpuInfo(Cell<u64>);

impl VcpuInfo {
    /// A `vcpu_info` at `at`: 64 bytes inside one page of the direct map that stays referenced.
    pub fn new(at: Vaddr) -> Self {
        Self(Cell::new(at.raw()))
    }

    /// Moves it. The same conditions hold for `at`. Other CPUs may still write the old place for a moment, which must
    /// therefore stay allocated.
    pub fn relocate(&self, at: Vaddr) {
        self.0.set(at.raw());
    }

    /// Its address in the direct map.
    #[inline(always)]
    pub fn address(&self) -> Vaddr {
        Vaddr::new(self.0.get())
    }

    #[inline(always)]
    fn at(&self, offset: usize) -> usize {
        self.0.get() as usize + offset
    }

    /// `evtchn_upcall_pending`: 1 while events wait.
    #[inline(always)]
    pub fn upcall_pending(&self) -> &AtomicU8 {
        // SAFETY: inside a referenced page of the direct map, atomic access only.
        unsafe { &*(self.at(0) as *const AtomicU8) }
    }

    /// `evtchn_upcall_mask`: non-zero while the guest's kernel wants no events.
    #[inline(always)]
    pub fn upcall_mask(&self) -> &AtomicU8 {
        // SAFETY: as above.
        unsafe { &*(self.at(1) as *const AtomicU8) }
    }

    /// `evtchn_pending_sel`: which words of the two-level pending bits to look at.
    #[inline(always)]
    pub fn pending_sel(&self) -> &AtomicU64 {
        // SAFETY: as above; offset 8 of a 64-byte aligned structure.
        unsafe { &*(self.at(8) as *const AtomicU64) }
    }

    /// `arch.cr2`: the faulting address of the guest's last page fault.
    #[inline(always)]
    pub fn cr2(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { &*(self.at(16) as *const AtomicU64) }
    }

    /// 64-bit word `index` (below 8) of the whole structure, for moving it.
    pub fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < 8);
        // SAFETY: as above; the guest places the structure at a multiple of 8.
        unsafe { &*(self.at(index * 8) as *const AtomicU64) }
    }

    /// 32-bit half `index` (below 8) of the 32-byte `struct vcpu_time_info`.
    #[inline(always)]
    pub fn time_half(&self, index: usize) -> &AtomicU32 {
        assert!(index < 8);
        // SAFETY: as above; the structure stands at offset 32.
        unsafe { &*(self.at(32 + index * 4) as *const AtomicU32) }
    }
}
