//! A page of a guest that the hypervisor writes to for a long time.
//!
//! Keeps true: while a [`GuestPage`] exists the frame is the domain's and held for writing, so that it can be no page
//! table; it is only ever accessed through atomics, as the guest writes it at the same time.

use core::sync::atomic::AtomicU32;

use xenocryst_abi::hypercall::errno::{EINVAL, Errno};
use xenocryst_abi::{Mfn, PAGE_SIZE, Vaddr};
use xenocryst_memory::WritableRef;

use crate::domain::Domain;
use crate::mm::layout;
use crate::mm::machine::engine;

/// A held page. It must be given back with [`GuestPage::release`]; dropping it leaks the reference.
pub struct GuestPage {
    held: WritableRef,
    base: u64,
}

impl GuestPage {
    /// Holds `frame` of `domain`.
    ///
    /// # Errors
    /// `EINVAL` if it is not the domain's or cannot be writable.
    pub fn hold(domain: &Domain, frame: Mfn) -> Result<Self, Errno> {
        let held = engine()
            .get_writable_page(&domain.memory, frame)
            .map_err(|_| EINVAL)?;
        let base = layout::direct_map(held.mfn().maddr()) as u64;
        Ok(Self { held, base })
    }

    /// The frame.
    pub fn mfn(&self) -> Mfn {
        self.held.mfn()
    }

    /// Its address in the direct map.
    pub fn address(&self) -> Vaddr {
        Vaddr::new(self.base)
    }

    /// The 32-bit word at `offset`, a multiple of 4 below the page size.
    #[inline]
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset < PAGE_SIZE as usize && offset.is_multiple_of(4));
        // SAFETY: inside a frame that stays allocated and mapped in the direct map while `self.held` is; aligned; the
        // guest's own accesses happen on the same words, which is why only atomic access is given out.
        unsafe { &*((self.base as usize + offset) as *const AtomicU32) }
    }

    /// Gives the frame back.
    pub fn release(self) {
        engine().put_writable_page(self.held);
    }
}
