//! Page-table entries: the bits, what is legal at which level, and what the hypervisor adds.
//!
//! Keeps true: masks are deny-by-default (invariant I28); only differences inside [`FAST_PATH`] need no new
//! reference (I27). Bit 7 is PAT in an L1 entry and PS above; neither is legal where the other would be meant.

use crate::frame::Level;
use xenocryst_abi::{Maddr, Mfn, PteFlags};

#[cfg(test)]
mod tests;

/// The entry maps something.
pub const PRESENT: u64 = PteFlags::PRESENT.bits();
/// Writable.
pub const RW: u64 = PteFlags::RW.bits();
/// Accessible in ring 3.
pub const USER: u64 = PteFlags::USER.bits();
/// Write-through (index bit 0 into the PAT).
pub const PWT: u64 = PteFlags::PWT.bits();
/// Cache disabled (index bit 1 into the PAT).
pub const PCD: u64 = PteFlags::PCD.bits();
/// Set by the CPU when it uses the entry.
pub const ACCESSED: u64 = PteFlags::ACCESSED.bits();
/// Set by the CPU when it writes through the entry.
pub const DIRTY: u64 = PteFlags::DIRTY.bits();
/// Index bit 2 into the PAT, in an L1 entry.
pub const PAT: u64 = PteFlags::PAT.bits();
/// Large page, in an L2 or L3 entry.
pub const PAGE_SIZE_BIT: u64 = PteFlags::PSE.bits();
/// Survives a CR3 load, in an L1 entry.
pub const GLOBAL: u64 = PteFlags::GLOBAL.bits();
/// For software: bits 9 to 11.
pub const AVAILABLE: u64 = PteFlags::AVAIL.bits();
/// For software: bits 52 to 62.
pub const AVAILABLE_HIGH: u64 = PteFlags::AVAIL_HIGH.bits() | PteFlags::PKEY.bits();
/// No instruction fetch.
pub const NX: u64 = PteFlags::NX.bits();
/// Marks a page of the guest kernel (the hypervisor sets it): bit 52.
pub const GUEST_KERNEL: u64 = PteFlags::GUEST_KERNEL.bits();
/// The address bits: 12 to 51.
pub const ADDRESS: u64 = xenocryst_abi::pte::ADDRESS_MASK;
/// The bits that choose a memory type, in an L1 entry.
pub const CACHE_BITS: u64 = PWT | PCD | PAT;

/// Differences that need no new validation.
pub const FAST_PATH: u64 = NX | AVAILABLE | AVAILABLE_HIGH | GLOBAL | DIRTY | ACCESSED | USER;

const LEGAL: u64 =
    PRESENT | RW | USER | ACCESSED | DIRTY | AVAILABLE | AVAILABLE_HIGH | NX | ADDRESS;

/// The frame that an entry names.
#[inline]
pub const fn target(entry: u64) -> Mfn {
    Maddr::new(entry & ADDRESS).mfn()
}

/// The bits of a present L1 entry that are not legal. `cache_control`: the domain may choose memory types.
#[inline]
pub const fn illegal_l1(entry: u64, cache_control: bool) -> u64 {
    entry & !(LEGAL | GLOBAL | if cache_control { CACHE_BITS } else { 0 })
}

/// The bits of a present L2, L3 or L4 entry that are not legal.
#[inline]
pub const fn illegal_upper(entry: u64) -> u64 {
    entry & !LEGAL
}

/// A present L1 entry as the hypervisor writes it: the guest kernel runs in ring 3, so its pages are user pages with
/// a mark, and never global; pages of guest user space are global, since a switch between the guest's kernel and
/// user root keeps them.
#[inline]
pub const fn adjusted_l1(entry: u64) -> u64 {
    if entry & USER == 0 {
        (entry | USER | GUEST_KERNEL) & !GLOBAL
    } else if entry & GUEST_KERNEL == 0 {
        entry | GLOBAL
    } else {
        entry & !GLOBAL
    }
}

/// A present entry above L1 as the hypervisor writes it.
#[inline]
pub const fn adjusted_upper(entry: u64, level: Level) -> u64 {
    match level {
        Level::L4 => entry | USER | ACCESSED,
        _ => entry | USER,
    }
}

/// Whether a not-present entry is safe to leave to a CPU with the L1 terminal fault: its address is 0 or not below
/// `safe`, and it has no page-size bit above L1 (invariant I31).
#[inline]
pub const fn is_l1tf_safe(entry: u64, level: Level, safe: Maddr) -> bool {
    let address = entry & ADDRESS;
    (address == 0 || address >= safe.raw())
        && (matches!(level, Level::L1) || entry & PAGE_SIZE_BIT == 0)
}

/// The memory-type bits that must be flipped in an entry that maps an I/O frame: write-back becomes uncached,
/// write-through and write-protect become uncached too; uncached and write-combining stay (I29).
#[inline]
pub const fn io_cache_flip(entry: u64) -> u64 {
    let bits = entry & CACHE_BITS;
    if bits == 0 {
        PWT | PCD
    } else if bits == PWT {
        PCD
    } else if bits == PWT | PAT {
        PCD | PAT
    } else {
        0
    }
}
