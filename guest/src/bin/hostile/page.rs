//! Pages of this kernel's own that are tables, stacks and code of others: reached by address only.

use core::cell::UnsafeCell;

use xenocryst_guest::abi::PAGE_SIZE;

/// Some pages.
#[repr(C, align(4096))]
pub struct Pages<const N: usize>(UnsafeCell<[[u64; 512]; N]>);

// SAFETY: there is one vCPU and no interrupt, and everything goes through raw addresses.
unsafe impl<const N: usize> Sync for Pages<N> {}

impl<const N: usize> Pages<N> {
    /// Of zeros.
    pub const fn new() -> Self {
        Self(UnsafeCell::new([[0; 512]; N]))
    }

    /// Where page `n` is; one behind the last is the end.
    pub fn address(&self, n: usize) -> u64 {
        self.0.get() as u64 + PAGE_SIZE * n as u64
    }

    /// Writes a word of page `n`.
    pub fn set(&self, n: usize, slot: usize, value: u64) {
        assert!(n < N && slot < 512, "beyond the pages");
        let place = (self.address(n) + 8 * slot as u64) as *mut u64;
        // SAFETY: within the pages.
        unsafe { place.write_volatile(value) };
    }

    /// Writes the first bytes of page `n`.
    pub fn fill(&self, n: usize, bytes: &[u8]) {
        assert!(n < N && bytes.len() <= 4096, "beyond the pages");
        for (offset, byte) in (0_u64..).zip(bytes) {
            // SAFETY: within the pages.
            unsafe { ((self.address(n) + offset) as *mut u8).write_volatile(*byte) };
        }
    }
}
