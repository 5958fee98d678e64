//! Entries: which bits there are, which are legal where, and what the hypervisor makes of an entry.

/// Bit 0.
pub const PRESENT: u64 = 1;
/// Bit 1.
pub const RW: u64 = 1 << 1;
/// Bit 2.
pub const USER: u64 = 1 << 2;
/// Bit 3.
pub const WRITE_THROUGH: u64 = 1 << 3;
/// Bit 4.
pub const UNCACHED: u64 = 1 << 4;
/// Bit 5.
pub const ACCESSED: u64 = 1 << 5;
/// Bit 6.
pub const DIRTY: u64 = 1 << 6;
/// Bit 7: the third bit of the memory type in L1, a superpage above.
pub const BIT7: u64 = 1 << 7;
/// Bit 8.
pub const GLOBAL: u64 = 1 << 8;
/// Bits 9 to 11.
pub const SOFTWARE_LOW: u64 = 7 << 9;
/// Bits 52 to 62.
pub const SOFTWARE_HIGH: u64 = 0x7ff << 52;
/// Bit 52 marks pages of the guest's kernel.
pub const GUEST_KERNEL: u64 = 1 << 52;
/// Bit 63.
pub const NO_EXECUTE: u64 = 1 << 63;
/// Bits 12 to 51.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// The memory type of an L1 entry.
pub const MEMORY_TYPE: u64 = WRITE_THROUGH | UNCACHED | BIT7;
/// What may change without asking again (I27).
pub const HARMLESS: u64 =
    NO_EXECUTE | SOFTWARE_LOW | SOFTWARE_HIGH | GLOBAL | DIRTY | ACCESSED | USER;

/// The frame that an entry names.
#[must_use]
pub const fn target(entry: u64) -> u64 {
    (entry & ADDRESS) >> 12
}

/// What must not be set in a present entry above L1: anything about caching, superpages, Global.
pub const ILLEGAL_UPPER: u64 = MEMORY_TYPE | GLOBAL;

/// What must not be set in a present L1 entry, unless the domain has I/O: a memory type.
pub const ILLEGAL_L1: u64 = MEMORY_TYPE;

/// A present L1 entry as it is written: ring 3 in any case; the kernel's pages are marked and not global, those of
/// user mode are global.
#[must_use]
pub fn adjust_l1(entry: u64) -> u64 {
    let user = entry & USER != 0;
    let marked = entry & GUEST_KERNEL != 0;
    match (user, marked) {
        (false, _) => (entry | USER | GUEST_KERNEL) & !GLOBAL,
        (true, true) => entry & !GLOBAL,
        (true, false) => entry | GLOBAL,
    }
}

/// A present entry above L1 as it is written.
#[must_use]
pub fn adjust_upper(entry: u64, level: u8) -> u64 {
    entry | USER | if level == 4 { ACCESSED } else { 0 }
}

/// The memory type bits of an I/O mapping: what would be cached becomes uncached (I29).
#[must_use]
pub fn uncached(entry: u64) -> u64 {
    let uncached_or_combining = |bits: u64| {
        // The PAT as Xen sets it up: WB WT UC- UC WC WP UC UC.
        match bits {
            0 => WRITE_THROUGH | UNCACHED,
            WRITE_THROUGH => WRITE_THROUGH | UNCACHED,
            bits if bits == WRITE_THROUGH | BIT7 => WRITE_THROUGH | UNCACHED,
            other => other,
        }
    };
    entry & !MEMORY_TYPE | uncached_or_combining(entry & MEMORY_TYPE)
}
