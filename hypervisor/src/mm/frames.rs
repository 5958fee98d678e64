//! Frames for the hypervisor itself: from the firmware's free ranges at first, from the engine's allocator once that has
//! taken over what is left.
//!
//! Keeps true: a frame is handed out once. What [`hand_over`] returned is no longer given out here.
//! Neighbours: `tables`, `heap`, `per_domain` (users), `machine` (the engine).

use core::ptr::NonNull;

use xenocryst_abi::{Maddr, Mfn, PAGE_SIZE};
use xenocryst_boot::regions::{Regions, Side};

use super::layout::{self, direct_map};
use crate::sync::{Mutex, Rank};

/// While the identity mapping is all there is, memory above this cannot be reached.
const IDENTITY_LIMIT: u64 = 1 << 32;

static FREE: Mutex<Option<Regions>> = Mutex::new(Rank::EarlyFrames, None);

/// Sets what is free.
pub(super) fn init(free: Regions) {
    *FREE.lock() = Some(free);
}

/// Takes `bytes` bytes at a multiple of `align` out of the firmware's ranges, below `limit` if that matters. `None` when
/// there is no such run, or when the ranges were handed over.
pub(super) fn take_early(bytes: u64, align: u64, limit: u64, side: Side) -> Option<Maddr> {
    FREE.lock()
        .as_mut()?
        .take(bytes, align, limit, side)
        .map(Maddr::new)
}

/// Ends the early phase: all that is still free goes to the caller.
pub(super) fn hand_over() -> Option<Regions> {
    FREE.lock().take()
}

/// One frame for the hypervisor's own use. Its content is arbitrary.
pub fn alloc_page() -> Option<Mfn> {
    if FREE.lock().is_some() {
        return take_early(PAGE_SIZE, PAGE_SIZE, IDENTITY_LIMIT, Side::High).map(Maddr::mfn);
    }
    super::machine::alloc_hypervisor_frames(0)
}

/// Gives back a frame got from [`alloc_page`] after start-up. No CPU can use a mapping of it any more.
pub fn free_page(frame: Mfn) {
    super::machine::engine().free_frames(frame, 0);
}

/// `value` in frames of its own, which [`drop_value`] gives back; `None` where there is no memory for it. For what is large and
/// comes and goes: the heap keeps what it once took.
pub fn place_value<T>(value: T) -> Option<NonNull<T>> {
    assert!(align_of::<T>() as u64 <= PAGE_SIZE);
    let run = alloc_run(order_of::<T>())?;
    let place = NonNull::new(direct_map(run.maddr()).cast::<T>())?;
    // SAFETY: a run of frames as large as a `T`, just allocated and mapped in the direct map; nobody else has it.
    unsafe { place.write(value) };
    Some(place)
}

/// Drops a value made by [`place_value`] and gives its frames back.
///
/// # Safety
/// Nobody uses the value any more.
pub unsafe fn drop_value<T>(place: NonNull<T>) {
    // SAFETY: the caller's contract.
    unsafe { place.drop_in_place() };
    if let Some(at) = layout::maddr_of(place.as_ptr() as u64) {
        super::machine::engine().free_frames(at.mfn(), order_of::<T>() as u8);
    }
}

/// The order of the smallest run of frames that holds a `T`.
const fn order_of<T>() -> u32 {
    let pages = size_of::<T>().div_ceil(PAGE_SIZE as usize);
    pages.next_power_of_two().ilog2()
}

/// `2^order` contiguous frames for the hypervisor's own use, aligned to their size. Their content is arbitrary.
pub fn alloc_run(order: u32) -> Option<Mfn> {
    let bytes = PAGE_SIZE << order;
    if FREE.lock().is_some() {
        return take_early(bytes, bytes, u64::MAX, Side::High).map(Maddr::mfn);
    }
    super::machine::alloc_hypervisor_frames(order)
}
