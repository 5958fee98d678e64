//! Pages that are reached by address only, because hypercalls, page tables or other domains change what is in them.
//!
//! What it keeps true: no reference to their contents exists.

use core::cell::UnsafeCell;

use xenocryst_abi::PAGE_SIZE;

/// `N` pages of the kernel's own image.
#[repr(C, align(4096))]
pub struct Pages<const N: usize>(UnsafeCell<[[u64; 512]; N]>);

// SAFETY: there is one vCPU and no interrupt, and everything goes through raw addresses.
unsafe impl<const N: usize> Sync for Pages<N> {}

impl<const N: usize> Pages<N> {
    /// Of zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self(UnsafeCell::new([[0; 512]; N]))
    }

    /// Where page `n` is.
    #[must_use]
    pub fn address(&self, n: usize) -> u64 {
        self.0.get() as u64 + PAGE_SIZE * n as u64
    }
}

impl<const N: usize> Default for Pages<N> {
    fn default() -> Self {
        Self::new()
    }
}
