//! The heap for the hypervisor's own structures: an allocator over frames of the direct map, which grows by whole runs.
//!
//! Keeps true: nothing on a guest's fast path allocates; when memory is exhausted an allocation fails, it does not stop the
//! host: code that a guest can reach uses the `try_` forms.
//! Neighbours: `frames` (where it grows from). The allocator is the `talc` crate.

use alloc::boxed::Box;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use talc::{OomHandler, Span, Talc};
use xenocryst_abi::PAGE_SIZE;

use super::frames;
use super::layout::direct_map;

use crate::sync::{Mutex, Rank};

/// Smallest growth: 256 frames.
const GROWTH_ORDER: u32 = 8;
/// Largest single growth: 64 MiB.
const MAX_GROWTH_ORDER: u32 = 14;

/// Set once the direct map is there.
static READY: AtomicBool = AtomicBool::new(false);

/// From now on the heap may grow.
pub(super) fn init() {
    READY.store(true, Ordering::Release);
}

/// `value` on the heap; `None` where there is no memory for it.
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    let layout = Layout::new::<T>();
    assert!(layout.size() != 0);
    // SAFETY: the layout has a size.
    let place = unsafe { alloc::alloc::alloc(layout) }.cast::<T>();
    if place.is_null() {
        return None;
    }
    // SAFETY: just allocated with the layout of a `T`, as a box is, and filled before it is used.
    unsafe {
        place.write(value);
        Some(Box::from_raw(place))
    }
}

struct Grow;

impl OomHandler for Grow {
    fn handle_oom(talc: &mut Talc<Self>, layout: Layout) -> Result<(), ()> {
        if !READY.load(Ordering::Acquire) {
            return Err(());
        }
        // The allocator keeps a few words of its own in each run.
        let wanted = layout
            .size()
            .checked_add(layout.align())
            .and_then(|sum| sum.checked_add(4096))
            .ok_or(())?;
        let pages = (wanted as u64).div_ceil(PAGE_SIZE);
        let order = pages
            .checked_next_power_of_two()
            .ok_or(())?
            .ilog2()
            .max(GROWTH_ORDER);
        if order > MAX_GROWTH_ORDER {
            return Err(());
        }
        let first = frames::alloc_run(order).ok_or(())?;
        let span = Span::from_base_size(direct_map(first.maddr()), (PAGE_SIZE << order) as usize);
        // SAFETY: the run was just allocated, is mapped writable in the direct map, and is never given back.
        unsafe { talc.claim(span) }.map(|_| ())
    }
}

struct Heap(Mutex<Talc<Grow>>);

#[global_allocator]
static HEAP: Heap = Heap(Mutex::new(Rank::Heap, Talc::new(Grow)));

// SAFETY: every call goes to the allocator under its lock; it hands out disjoint blocks of memory it owns.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises a layout with a size.
        unsafe { self.0.lock().malloc(layout) }.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller promises that the block came from `alloc` with this layout.
            unsafe { self.0.lock().free(block, layout) };
        }
    }
}
