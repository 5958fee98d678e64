//! The files that the boot loader put in memory, until they are no longer needed.
//!
//! Keeps true: a file's frames are the hypervisor's while the file exists; what [`BootFile::discard`] frees lies wholly inside the
//! file, so that nothing the loader put into the rest of its first or last page is lost.

use xenocryst_abi::{Maddr, Mfn, PAGE_SIZE};
use xenocryst_boot::info::Module;

use crate::mm::machine::engine;
use crate::mm::{direct_map, is_ram};

/// A file in memory, or none, which is like an empty one.
#[derive(Default)]
pub struct BootFile {
    start: u64,
    end: u64,
}

impl BootFile {
    /// The file of `module`. `None` when it lies outside RAM.
    ///
    /// # Safety
    /// The module's memory is that which the boot loader told of, kept from every allocator, and there is no other file of it.
    pub unsafe fn of(module: &Module<'_>) -> Option<Self> {
        let Module { start, end, .. } = *module;
        is_ram(Maddr::new(start), Maddr::new(end)).then_some(Self { start, end })
    }

    /// Its contents.
    pub fn bytes(&self) -> &[u8] {
        if self.start == self.end {
            return &[];
        }
        // SAFETY: RAM in the direct map which nobody writes to while this exists, as `of` was promised.
        unsafe {
            core::slice::from_raw_parts(
                direct_map(Maddr::new(self.start)),
                (self.end - self.start) as usize,
            )
        }
    }

    /// Whole pages in it: what [`BootFile::discard`] gives back.
    pub fn whole_pages(&self) -> u64 {
        self.pages().end.saturating_sub(self.pages().start)
    }

    /// Gives its memory back.
    pub fn discard(self) {
        for page in self.pages() {
            engine().free_frames(Mfn::new(page), 0);
        }
    }

    fn pages(&self) -> core::ops::Range<u64> {
        self.start.div_ceil(PAGE_SIZE)..self.end / PAGE_SIZE
    }
}
