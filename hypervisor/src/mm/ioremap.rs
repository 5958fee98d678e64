//! Mappings of physical memory that is not RAM: device registers and firmware tables.
//!
//! Keeps true: an address is given out once and stays mapped for ever; there are few, all made on behalf of the
//! hypervisor itself, and never for a guest.

use xenocryst_abi::{Maddr, PAGE_SIZE};

use super::layout::{IOREMAP, IOREMAP_END};
use super::tables;

use crate::sync::{Mutex, Rank};

static NEXT: Mutex<u64> = Mutex::new(Rank::Addresses, IOREMAP);

/// How the memory is accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// As ordinary memory, read-only: firmware tables.
    Firmware,
    /// Uncached, read and write: device registers.
    Device,
}

/// Maps `bytes` bytes at `at`, neither of which need be a multiple of a page, and returns the address of the first byte.
/// `None` when the range wraps, or page tables or addresses run out.
pub fn ioremap(at: Maddr, bytes: u64, caching: Caching) -> Option<*mut u8> {
    let first = at.raw() & !(PAGE_SIZE - 1);
    let end = at
        .raw()
        .checked_add(bytes)?
        .checked_next_multiple_of(PAGE_SIZE)?;
    if end > 1 << 52 {
        return None;
    }
    let size = end - first;
    let mut next = NEXT.lock();
    let to = *next;
    // A page between mappings stays empty, so that running off the end of one faults.
    let after = to.checked_add(size)?.checked_add(PAGE_SIZE)?;
    if after > IOREMAP_END {
        return None;
    }
    let flags = match caching {
        Caching::Firmware => tables::READ_ONLY,
        Caching::Device => tables::DEVICE,
    };
    tables::map(to, Maddr::new(first), size, flags, 1).ok()?;
    *next = after;
    Some((to + at.offset()) as *mut u8)
}
