//! The machine as the memory engine sees it: frames through the direct map, TLB flushes through IPIs; and the engine itself.
//!
//! Keeps true: there is one engine, made once by [`init`]; guest-reachable memory is accessed by value only, with one atomic
//! instruction an access.
//! Neighbours: `xenocryst-memory` (the trait), `arch::tlb` (clock and flushes).

use core::sync::atomic::{AtomicU64, Ordering};

use spin::{Once, RelaxStrategy};
use xenocryst_abi::{Maddr, Mfn, PAGE_SIZE};
use xenocryst_memory::{AddressLimit, Config, Engine, MachineMemory, PageRef, Storage};

use super::layout::direct_map;
use crate::arch::tlb;
use crate::sync::ServeOthers;

/// The machine's frames, reached through the direct map.
pub struct DirectMap;

/// The engine over this machine.
pub type MachineEngine = Engine<'static, DirectMap>;

static ENGINE: Once<MachineEngine> = Once::new();

/// The memory engine.
///
/// # Panics
/// Before [`super::init`] has finished, which is a bug of the hypervisor's own start-up.
#[inline(always)]
pub fn engine() -> &'static MachineEngine {
    match ENGINE.get() {
        Some(engine) => engine,
        None => panic!("the memory engine is used before it is made"),
    }
}

/// Makes the engine.
pub(super) fn init(storage: Storage<'static>, config: Config) -> &'static MachineEngine {
    ENGINE.call_once(|| Engine::new(DirectMap, storage, config))
}

/// `2^order` frames for the hypervisor, from the engine's free list.
pub(super) fn alloc_hypervisor_frames(order: u32) -> Option<Mfn> {
    ENGINE
        .get()?
        .allocate_frames(u8::try_from(order).ok()?, AddressLimit::NONE)
}

/// The word at `at` as an atomic.
#[inline(always)]
fn word(at: Maddr) -> &'static AtomicU64 {
    // SAFETY: the engine passes only aligned addresses inside RAM frames it was given, all of which the direct map covers
    // for ever; memory that others may change is accessed atomically only.
    unsafe { &*direct_map(at).cast::<AtomicU64>() }
}

/// Writes `length` bytes from `offset` of a held frame back to RAM from all caches.
pub fn write_back_caches(held: &PageRef, offset: u16, length: u16) {
    /// Bytes of a cache line, on every CPU that there is.
    const LINE: usize = 64;
    let end = (usize::from(offset) + usize::from(length)).min(PAGE_SIZE as usize);
    let frame = direct_map(held.mfn().maddr()) as usize;
    for at in (usize::from(offset) / LINE * LINE..end).step_by(LINE) {
        // SAFETY: inside a frame that is held, hence RAM, which the direct map covers; memory keeps its contents.
        unsafe {
            core::arch::asm!("clflush [{}]", in(reg) frame + at, options(nostack, preserves_flags))
        };
    }
    // SAFETY: orders accesses to memory, and changes none.
    unsafe { core::arch::asm!("mfence", options(nostack, preserves_flags)) };
}

impl MachineMemory for DirectMap {
    #[inline(always)]
    fn read_u64(&self, at: Maddr) -> u64 {
        word(at).load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn write_u64(&self, at: Maddr, value: u64) {
        word(at).store(value, Ordering::Release);
    }

    #[inline(always)]
    fn compare_exchange_u64(&self, at: Maddr, current: u64, new: u64) -> Result<u64, u64> {
        word(at).compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }

    #[inline]
    fn zero_frame(&self, frame: Mfn) {
        // SAFETY: a whole RAM frame in the direct map; string stores tolerate concurrent access by a guest.
        unsafe {
            core::arch::asm!(
                "rep stosq",
                inout("rdi") direct_map(frame.maddr()) => _,
                inout("rcx") PAGE_SIZE / 8 => _,
                in("rax") 0_u64,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline]
    fn copy_frame(&self, to: Mfn, from: Mfn) {
        // SAFETY: whole RAM frames in the direct map; string moves tolerate concurrent access by a guest.
        unsafe {
            core::arch::asm!(
                "rep movsq",
                inout("rdi") direct_map(to.maddr()) => _,
                inout("rsi") direct_map(from.maddr()) => _,
                inout("rcx") PAGE_SIZE / 8 => _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline]
    fn copy_bytes(&self, to: Maddr, from: Maddr, length: u16) {
        // SAFETY: neither end leaves its RAM frame, all of which the direct map covers; string moves tolerate concurrent
        // access by guests.
        unsafe {
            core::arch::asm!(
                "rep movsq",
                "mov ecx, {tail:e}",
                "rep movsb",
                tail = in(reg) u32::from(length) % 8,
                inout("rdi") direct_map(to) => _,
                inout("rsi") direct_map(from) => _,
                inout("rcx") u64::from(length) / 8 => _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    fn tlb_clock(&self) -> u32 {
        tlb::clock()
    }

    #[inline]
    fn flush_tlb(&self, cpus: u64, since: u32) {
        tlb::flush_stale(cpus, since);
    }

    #[inline]
    fn relax(&self) {
        ServeOthers::relax();
    }
}
