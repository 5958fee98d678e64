//! The machine that traces run on: small, so that things meet.

use std::ops::Range;

/// Frames that the frame table covers. At most 128: sets of frames are bit masks.
pub const FRAMES: usize = 128;
/// The first frames are the hypervisor's.
pub const HYPERVISOR_FRAMES: u64 = 8;
/// A hole in RAM: frames that are devices.
pub const HOLE: Range<u64> = 96..104;
/// Not-present entries may name addresses from here on.
pub const L1TF_SAFE: u64 = 1 << 39;
/// The CPU's physical address width.
pub const PHYSICAL_BITS: u32 = 40;
/// Largest order for the control domain.
pub const MAX_ORDER_CONTROL: u8 = 5;
/// Largest order for the others.
pub const MAX_ORDER_GUEST: u8 = 3;
/// Domains: 0 is the control domain.
pub const DOMAINS: usize = 3;
/// Stands for `DOMID_IO` where a request names the owner of frames.
pub const IO: usize = DOMAINS;
/// vCPUs of a domain.
pub const VCPUS: usize = 2;
/// Window slots of a vCPU.
pub const WINDOWS: usize = 4;
/// CPUs.
pub const CPUS: usize = 3;
/// Frames that a grant table may have.
pub const GRANT_FRAMES: u64 = 2;
/// Frames of records of mappings that a domain may have, of 256 each.
pub const TRACK_FRAMES: u64 = 1;
/// Frames that a domain may own at first.
pub const FIRST_LIMIT: u64 = 40;
/// The L4 slots of the hypervisor.
pub const HYPERVISOR_SLOTS: Range<u16> = 256..272;
/// The one among them that differs from domain to domain.
pub const PER_DOMAIN_SLOT: u16 = 260;
/// What the L4 slots of the hypervisor hold: present entries that name its own frames.
pub const HYPERVISOR_ENTRIES: [u64; 16] = {
    let mut entries = [0; 16];
    let mut i = 0;
    while i < 16 {
        entries[i] = (1 + i as u64 % 4) << 12 | 0x63;
        i += 1;
    }
    entries
};

/// What slot 260 holds for a domain.
#[must_use]
pub const fn per_domain_entry(domain: usize) -> u64 {
    (5 + domain as u64 % 3) << 12 | 0x63
}

/// The newest version of grant tables for a domain.
#[must_use]
pub const fn newest_grants(domain: usize) -> u64 {
    if domain == DOMAINS - 1 { 1 } else { 2 }
}

/// I/O frames listed for a domain at first: ranges, both ends included. The control domain may map all but these, others
/// nothing but these.
#[must_use]
pub const fn io_listed(domain: usize) -> &'static [(u64, u64)] {
    match domain {
        0 => &[(99, 99)],
        1 => &[(97, 101), (0x4000, 0x4003)],
        _ => &[],
    }
}

/// I/O frames that a domain may map read-only at most.
#[must_use]
pub const fn io_read_only(domain: usize) -> &'static [(u64, u64)] {
    match domain {
        0 | 1 => &[(101, 101)],
        _ => &[],
    }
}
