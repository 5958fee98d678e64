//! Page tables: batched updates, and walking the tables in use.
//!
//! What it keeps true: an update is made by hypercall; tables are read where the loader mapped them, read-only.

use xenocryst_abi::hypercall::number;
use xenocryst_abi::mmu::{MmuUpdate, MmuextOp, uvmf};
use xenocryst_abi::{DomId, Maddr, Mfn, PAGE_SIZE, Pte, PteFlags, Vaddr};

use crate::access;
use crate::domain::{Domain, address_of};
use crate::hypercall;

/// Updates that a batch holds before it is handed over.
const BATCH: usize = 128;

/// Updates collected to be made together.
pub struct Batch {
    updates: [MmuUpdate; BATCH],
    used: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// With nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            updates: [MmuUpdate { ptr: 0, val: 0 }; BATCH],
            used: 0,
        }
    }

    /// Adds: write `value` to the entry at `entry`.
    ///
    /// # Safety
    /// The change must leave the kernel's own memory mapped as it relies on it.
    ///
    /// # Errors
    /// A full batch is handed over first: that call's answer, if negative.
    pub unsafe fn push(&mut self, entry: Maddr, value: Pte) -> Result<(), i64> {
        if self.used == BATCH {
            self.flush()?;
        }
        if let Some(update) = self.updates.get_mut(self.used) {
            *update = MmuUpdate {
                ptr: entry.raw(),
                val: value.raw(),
            };
            self.used += 1;
        }
        Ok(())
    }

    /// Makes the updates collected.
    ///
    /// # Errors
    /// The hypercall's answer, if negative; how many were made before is not told.
    pub fn flush(&mut self) -> Result<(), i64> {
        let count = core::mem::take(&mut self.used) as u64;
        if count == 0 {
            return Ok(());
        }
        let arguments = [
            self.updates.as_ptr() as u64,
            count,
            0,
            u64::from(DomId::SELF.0),
            0,
        ];
        // SAFETY: whoever pushed the updates answers for them.
        match unsafe { hypercall::call(number::MMU_UPDATE, arguments) } {
            0.. => Ok(()),
            error => Err(error),
        }
    }
}

/// Makes one extended operation on the domain's own tables; the hypercall's answer.
///
/// # Safety
/// The kernel's own memory must stay mapped as it relies on it.
pub unsafe fn extended(command: u32, arg1: u64, arg2: u64) -> i64 {
    let operation = MmuextOp {
        cmd: command,
        pad: 0,
        arg1,
        arg2,
    };
    let arguments = [
        &raw const operation as u64,
        1,
        0,
        u64::from(DomId::SELF.0),
        0,
    ];
    // SAFETY: the caller's.
    unsafe { hypercall::call(number::MMUEXT_OP, arguments) }
}

/// Writes the L1 entry of `address` and flushes it from the TLB; the hypercall's answer.
///
/// # Safety
/// As for [`extended`].
pub unsafe fn set_entry(address: u64, value: Pte) -> i64 {
    // SAFETY: the caller's.
    unsafe {
        hypercall::call(
            number::UPDATE_VA_MAPPING,
            [address, value.raw(), uvmf::INVLPG | uvmf::ALL, 0, 0],
        )
    }
}

/// Maps `mfn` at `address`, whose L1 table there is; the hypercall's answer.
///
/// # Safety
/// As for [`extended`].
pub unsafe fn map_page(address: u64, mfn: Mfn, writable: bool) -> i64 {
    let mut flags = PteFlags::PRESENT | PteFlags::USER | PteFlags::ACCESSED | PteFlags::DIRTY;
    flags.set(PteFlags::RW, writable);
    // SAFETY: the caller's.
    unsafe { set_entry(address, Pte::new(mfn, flags)) }
}

/// The entry that translates `address` in the table of `level` under the first root: where it is, and what it holds.
/// Nothing if a table above is missing or not mapped by the loader.
#[must_use]
pub fn entry(domain: &Domain, address: u64, level: u8) -> Option<(Maddr, Pte)> {
    let mut table = domain.mfn(domain.root());
    for above in (level..=4).rev() {
        let offset = 8 * Vaddr::new(address).index(above) as u64;
        let page = address_of(Domain::m2p(table)?);
        let value = Pte::from_raw(access::read_u64(page + offset).ok()?);
        if above == level {
            return Some((Maddr::new(table.raw() * PAGE_SIZE + offset), value));
        }
        if !value.is_present() {
            return None;
        }
        table = value.mfn();
    }
    None
}
