//! The part of the address space that belongs to the hypervisor (`public/arch-x86/xen-x86_64.h`).

/// First address of the hypervisor's range.
pub const HYPERVISOR_VIRT_START: u64 = 0xffff_8000_0000_0000;
/// End of the hypervisor's range, exclusive.
pub const HYPERVISOR_VIRT_END: u64 = 0xffff_8800_0000_0000;
/// First address of the guests' read-only view of the M2P: one 8-byte PFN per MFN.
pub const MACH2PHYS_VIRT_START: u64 = 0xffff_8000_0000_0000;
/// End of the range kept for that view, exclusive.
pub const MACH2PHYS_VIRT_END: u64 = 0xffff_8040_0000_0000;
/// Frames the range kept for the view has room for.
pub const MACH2PHYS_NR_ENTRIES: u64 = (MACH2PHYS_VIRT_END - MACH2PHYS_VIRT_START) >> 3;
/// First L4 slot of the hypervisor's range.
pub const HYPERVISOR_L4_FIRST: usize = 256;
/// Last L4 slot of the hypervisor's range, inclusive.
pub const HYPERVISOR_L4_LAST: usize = 271;
