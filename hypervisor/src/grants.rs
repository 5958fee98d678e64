//! Grant tables: the pages in which a domain says who else may use its memory. So far they can be had and read; nobody
//! maps through them yet.
//!
//! Keeps true: a table's pages are the hypervisor's, shared with the domain for its whole life; their number only grows.
//! Neighbours: `hypercall::grant_table_op`.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use xenocryst_abi::Mfn;
use xenocryst_abi::hypercall::errno::{EINVAL, ENOMEM, ENOSYS, Errno};
use xenocryst_memory::MachineMemory;

use crate::domain::Domain;
use crate::mm::{engine, frames};
use crate::sync::Mutex;

/// Pages a table can have, as on a Xen without `gnttab=`.
pub const MAX_FRAMES: u32 = 64;

/// The grant table of one domain.
pub struct GrantTable {
    frames: Mutex<Vec<Mfn>>,
    /// The format of the entries.
    version: AtomicU32,
}

impl Default for GrantTable {
    fn default() -> Self {
        Self::new()
    }
}

impl GrantTable {
    /// No pages yet, version 1.
    pub const fn new() -> Self {
        Self {
            frames: Mutex::new(Vec::new()),
            version: AtomicU32::new(1),
        }
    }

    /// How many pages it has. One is always promised: it is made when it is asked for.
    pub fn frame_count(&self) -> u32 {
        (self.frames.lock().len() as u32).max(1)
    }

    /// The format of its entries.
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    /// Chooses the format of the entries; the answer is the one in force.
    ///
    /// # Errors
    /// `EINVAL` for a format there is not, `ENOSYS` for one that is not offered.
    pub fn set_version(&self, version: u32) -> Result<u32, Errno> {
        match version {
            1 => Ok(1),
            2 => Err(ENOSYS),
            _ => Err(EINVAL),
        }
    }

    /// Gives `domain` at least `count` pages and hands each of the first `count` to `each`.
    ///
    /// # Errors
    /// `EINVAL` beyond [`MAX_FRAMES`], `ENOMEM` without memory; that of `each`.
    pub fn with_frames(
        &self,
        domain: &Domain,
        count: u32,
        mut each: impl FnMut(usize, Mfn) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if count > MAX_FRAMES {
            return Err(EINVAL);
        }
        let count = count as usize;
        {
            let mut frames = self.frames.lock();
            let more = count.saturating_sub(frames.len());
            frames.try_reserve(more).map_err(|_| ENOMEM)?;
            while frames.len() < count {
                frames.push(shared_page(domain)?);
            }
        }
        for index in 0..count {
            let frame = self.frames.lock().get(index).copied().ok_or(EINVAL)?;
            each(index, frame)?;
        }
        Ok(())
    }
}

/// A new zeroed page shared with `domain`.
fn shared_page(domain: &Domain) -> Result<Mfn, Errno> {
    let frame = frames::alloc_page().ok_or(ENOMEM)?;
    engine().machine().zero_frame(frame);
    if engine().share_with(&domain.memory, frame, true) {
        Ok(frame)
    } else {
        engine().free_frames(frame, 0);
        Err(ENOMEM)
    }
}
