//! Large buffers for a while: contiguous to the eye, of whatever frames are free, which go back when the buffer is dropped.
//! The kernel of a domain is unpacked into one.
//!
//! Keeps true: addresses are never used twice, so that a stale translation on another CPU can do no harm; a buffer's frames
//! are its own until it is dropped and its mapping flushed here.
//! Neighbours: `tables`, the engine's allocator.

use core::ops::{Deref, DerefMut};

use xenocryst_abi::{Mfn, PAGE_SIZE};
use xenocryst_memory::AddressLimit;

use super::layout::{SCRATCH, STACKS};
use super::{machine, tables};
use crate::arch::tlb;
use crate::sync::{Mutex, Rank};

/// Frames are taken in runs of 2 MiB while there are any, so that large pages can map them.
const LARGE_ORDER: u8 = 9;

static NEXT: Mutex<u64> = Mutex::new(Rank::Addresses, SCRATCH);

/// A buffer, zeroed at first.
pub struct Scratch {
    at: u64,
    len: usize,
    /// Bytes mapped so far.
    mapped: u64,
}

impl Scratch {
    /// A buffer of `len` bytes. `None` when there is not that much memory.
    pub fn new(len: usize) -> Option<Self> {
        let size = (len as u64).checked_next_multiple_of(PAGE_SIZE << LARGE_ORDER)?;
        let at = reserve(size)?;
        let mut scratch = Self { at, len, mapped: 0 };
        let end = (len as u64).next_multiple_of(PAGE_SIZE);
        while scratch.mapped < end {
            scratch.extend(end)?;
        }
        scratch.fill(0);
        Some(scratch)
    }

    /// Maps one more run of frames, of 2 MiB if that much is wanted and there.
    fn extend(&mut self, end: u64) -> Option<()> {
        let engine = machine::engine();
        let large = end - self.mapped >= PAGE_SIZE << LARGE_ORDER
            && self.mapped.is_multiple_of(PAGE_SIZE << LARGE_ORDER);
        let run = large
            .then(|| engine.allocate_frames(LARGE_ORDER, AddressLimit::NONE))
            .flatten();
        let (first, order) = match run {
            Some(first) => (first, LARGE_ORDER),
            None => (engine.allocate_frames(0, AddressLimit::NONE)?, 0),
        };
        let bytes = PAGE_SIZE << order;
        if tables::map(self.at + self.mapped, first.maddr(), bytes, tables::DATA, 2).is_err() {
            engine.free_frames(first, order);
            return None;
        }
        self.mapped += bytes;
        Some(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut runs = alloc::vec::Vec::new();
        let mut done = 0;
        while done < self.mapped {
            let Some((first, bytes)) = tables::unmap(self.at + done) else {
                break;
            };
            runs.push((first, (bytes / PAGE_SIZE).ilog2() as u8));
            done += bytes;
        }
        tlb::flush_local();
        for (first, order) in runs {
            machine::engine().free_frames(Mfn::new(first.raw() / PAGE_SIZE), order);
        }
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes are mapped at `at`, initialised by `new`, and the buffer's alone while it lives.
        unsafe { core::slice::from_raw_parts(self.at as *const u8, self.len) }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed uniquely.
        unsafe { core::slice::from_raw_parts_mut(self.at as *mut u8, self.len) }
    }
}

/// Takes `size` bytes of addresses.
fn reserve(size: u64) -> Option<u64> {
    let mut next = NEXT.lock();
    let at = *next;
    // A large page between buffers stays empty.
    let after = at
        .checked_add(size)?
        .checked_add(PAGE_SIZE << LARGE_ORDER)?;
    if after > STACKS {
        return None;
    }
    *next = after;
    Some(at)
}
