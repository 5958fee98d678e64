//! The hypervisor's part of the address space: L4 slots 256 to 271, the same in every guest but for slot 260.
//!
//! Keeps true: these are the only places that turn a slot into an address. The guest-visible one, the M2P, is the ABI's
//! (`public/arch-x86/xen-x86_64.h`, `__HYPERVISOR_VIRT_START` and `__MACH2PHYS_VIRT_START`).

use xenocryst_abi::{Maddr, layout};

/// First L4 slot of the hypervisor.
pub const FIRST_SLOT: usize = layout::HYPERVISOR_L4_FIRST;
/// L4 slots of the hypervisor.
pub const SLOTS: usize = 16;
/// The machine-to-physical table as guests see it: read-only.
pub const M2P_GUEST: u64 = layout::MACH2PHYS_VIRT_START;
/// The machine-to-physical table for the hypervisor: writable.
pub const M2P: u64 = 0xffff_8100_0000_0000;
/// The frame table.
pub const FRAME_TABLE: u64 = 0xffff_8180_0000_0000;
/// The one slot whose content differs between domains: windows onto the vCPUs' descriptor tables.
pub const PER_DOMAIN: u64 = 0xffff_8200_0000_0000;
/// L4 slot of [`PER_DOMAIN`].
pub const PER_DOMAIN_SLOT: usize = 260;
/// Large buffers that live for a while, made by `mm::scratch`; up to [`STACKS`].
pub const SCRATCH: u64 = 0xffff_8280_0000_0000;
/// The CPUs' stack blocks, mapped by `mm::stacks`.
pub const STACKS: u64 = 0xffff_82bf_0000_0000;
/// First address after [`STACKS`]'s area.
pub const STACKS_END: u64 = IOREMAP;
/// Mappings of devices and firmware tables, made by `mm::ioremap`.
pub const IOREMAP: u64 = 0xffff_82c0_0000_0000;
/// First address after [`IOREMAP`]'s area.
pub const IOREMAP_END: u64 = 0xffff_82d0_0000_0000;
/// Physical address 0 in the image's mapping.
pub const IMAGE_BASE: u64 = crate::boot::VIRTUAL_BASE;
/// All RAM, writable, at its physical address from here.
pub const DIRECT_MAP: u64 = 0xffff_8300_0000_0000;
/// First address after the direct map.
pub const DIRECT_MAP_END: u64 = layout::HYPERVISOR_VIRT_END;

/// Where RAM at `maddr` appears in the direct map.
#[inline(always)]
pub const fn direct_map(maddr: Maddr) -> *mut u8 {
    (DIRECT_MAP + maddr.raw()) as *mut u8
}

/// The physical address of something in the direct map or in the image; `None` for any other address.
#[inline]
pub const fn maddr_of(address: u64) -> Option<Maddr> {
    if address >= DIRECT_MAP && address < DIRECT_MAP_END {
        Some(Maddr::new(address - DIRECT_MAP))
    } else if address >= IMAGE_BASE && address < IMAGE_BASE + (1 << 30) {
        Some(Maddr::new(address - IMAGE_BASE))
    } else {
        None
    }
}
