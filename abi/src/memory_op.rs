//! `memory_op`: reservations, memory maps and what can be asked about memory (`public/memory.h`).

use crate::address::{Gfn, Pfn, Vaddr};
use crate::domid::DomId;
use crate::macros::wire;

/// In the command argument: sub-call in bits 5:0, start of a continuation above.
pub const CMD_SHIFT: u32 = 6;
/// The bits of the command argument that name the sub-call.
pub const CMD_MASK: u64 = (1 << CMD_SHIFT) - 1;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Get new extents ([`super::MemoryReservation`]).
        INCREASE_RESERVATION = 0, "XENMEM_increase_reservation";
        /// Give extents back ([`super::MemoryReservation`]).
        DECREASE_RESERVATION = 1, "XENMEM_decrease_reservation";
        /// Highest MFN of RAM.
        MAXIMUM_RAM_PAGE = 2, "XENMEM_maximum_ram_page";
        /// Pages a domain has ([`super::MemoryDomain`]).
        CURRENT_RESERVATION = 3, "XENMEM_current_reservation";
        /// Pages a domain may have ([`super::MemoryDomain`]).
        MAXIMUM_RESERVATION = 4, "XENMEM_maximum_reservation";
        /// Frames of the M2P ([`super::MachphysMfnList`]).
        MACHPHYS_MFN_LIST = 5, "XENMEM_machphys_mfn_list";
        /// Populate PFNs with new extents ([`super::MemoryReservation`]).
        POPULATE_PHYSMAP = 6, "XENMEM_populate_physmap";
        /// Put a page at a GPFN ([`super::AddToPhysmap`]).
        ADD_TO_PHYSMAP = 7, "XENMEM_add_to_physmap";
        /// The domain's memory map ([`super::MemoryMap`]).
        MEMORY_MAP = 9, "XENMEM_memory_map";
        /// The machine's memory map ([`super::MemoryMap`]).
        MACHINE_MEMORY_MAP = 10, "XENMEM_machine_memory_map";
        /// Exchange extents for others ([`super::MemoryExchange`]).
        EXCHANGE = 11, "XENMEM_exchange";
        /// Where the M2P is mapped ([`super::MachphysMapping`]).
        MACHPHYS_MAPPING = 12, "XENMEM_machphys_mapping";
        /// Set a domain's memory map ([`super::ForeignMemoryMap`]).
        SET_MEMORY_MAP = 13, "XENMEM_set_memory_map";
        /// Highest GFN in use ([`super::MemoryDomain`]).
        MAXIMUM_GPFN = 14, "XENMEM_maximum_gpfn";
        /// Remove a page from a GPFN ([`super::RemoveFromPhysmap`]).
        REMOVE_FROM_PHYSMAP = 15, "XENMEM_remove_from_physmap";
        /// Populate on demand: set the target ([`super::PodTarget`]).
        SET_POD_TARGET = 16, "XENMEM_set_pod_target";
        /// Populate on demand: get the target ([`super::PodTarget`]).
        GET_POD_TARGET = 17, "XENMEM_get_pod_target";
        /// Pages saved by sharing.
        GET_SHARING_FREED_PAGES = 18, "XENMEM_get_sharing_freed_pages";
        /// Pages that are shared.
        GET_SHARING_SHARED_PAGES = 19, "XENMEM_get_sharing_shared_pages";
        /// Paging to disk.
        PAGING_OP = 20, "XENMEM_paging_op";
        /// Access rights for introspection.
        ACCESS_OP = 21, "XENMEM_access_op";
        /// Page sharing.
        SHARING_OP = 22, "XENMEM_sharing_op";
        /// As `ADD_TO_PHYSMAP`, many ([`super::AddToPhysmapBatch`]).
        ADD_TO_PHYSMAP_BATCH = 23, "XENMEM_add_to_physmap_batch";
        /// Set pages aside for a domain being built ([`super::MemoryReservation`]).
        CLAIM_PAGES = 24, "XENMEM_claim_pages";
        /// Frames of the 32-bit M2P ([`super::MachphysMfnList`]).
        MACHPHYS_COMPAT_MFN_LIST = 25, "XENMEM_machphys_compat_mfn_list";
        /// Virtual NUMA ([`super::VnumaTopologyInfo`]).
        GET_VNUMAINFO = 26, "XENMEM_get_vnumainfo";
        /// Regions devices need ([`super::ReservedDeviceMemoryMap`]).
        RESERVED_DEVICE_MEMORY_MAP = 27, "XENMEM_reserved_device_memory_map";
        /// Frames behind a resource of a domain ([`super::AcquireResource`]).
        ACQUIRE_RESOURCE = 28, "XENMEM_acquire_resource";
    }
}

/// Bits of [`MemoryReservation::mem_flags`]. Bits 7:0 limit the address width; bits 15:8 are a NUMA node plus 1.
pub mod flag {
    use crate::macros::numbers;
    numbers! { u32;
        /// Populate on demand.
        POPULATE_ON_DEMAND = 1 << 16, "XENMEMF_populate_on_demand";
        /// Only from the node given.
        EXACT_NODE_REQUEST = 1 << 17, "XENMEMF_exact_node_request";
        /// The node given is a virtual one.
        VNODE = 1 << 18, "XENMEMF_vnode";
    }
}

/// What a page put into a physmap is.
pub mod space {
    use crate::macros::numbers;
    numbers! { u32;
        /// The shared info page.
        SHARED_INFO = 0, "XENMAPSPACE_shared_info";
        /// A page of the grant table.
        GRANT_TABLE = 1, "XENMAPSPACE_grant_table";
        /// The domain's own page.
        GMFN = 2, "XENMAPSPACE_gmfn";
        /// A range of them.
        GMFN_RANGE = 3, "XENMAPSPACE_gmfn_range";
        /// Another domain's page.
        GMFN_FOREIGN = 4, "XENMAPSPACE_gmfn_foreign";
        /// A device's registers.
        DEV_MMIO = 5, "XENMAPSPACE_dev_mmio";
        /// In an index: the grant table's status pages are meant.
        GRANT_TABLE_STATUS_INDEX = 0x8000_0000, "XENMAPIDX_grant_table_status";
    }
}

/// What [`AcquireResource`] acquires.
pub mod resource {
    use crate::macros::numbers;
    numbers! { u16;
        /// An I/O request server's pages.
        IOREQ_SERVER = 0, "XENMEM_resource_ioreq_server";
        /// Grant table pages.
        GRANT_TABLE = 1, "XENMEM_resource_grant_table";
        /// A trace buffer.
        VMTRACE_BUF = 2, "XENMEM_resource_vmtrace_buf";
    }

    /// With [`GRANT_TABLE`], the id: which pages.
    pub mod grant_table_id {
        use crate::macros::numbers;
        numbers! { u32;
            /// The entries.
            SHARED = 0, "XENMEM_resource_grant_table_id_shared";
            /// The v2 status words.
            STATUS = 1, "XENMEM_resource_grant_table_id_status";
        }
    }
}

/// Kinds of E820 entry (ACPI 6.4, 15.1).
pub mod e820_kind {
    /// Usable RAM.
    pub const RAM: u32 = 1;
    /// Reserved.
    pub const RESERVED: u32 = 2;
    /// ACPI tables, reclaimable.
    pub const ACPI: u32 = 3;
    /// ACPI non-volatile storage.
    pub const NVS: u32 = 4;
    /// Unusable: bad RAM.
    pub const UNUSABLE: u32 = 5;
}

wire! {
    /// A list of extents to get or give back (`struct xen_memory_reservation`).
    MemoryReservation {
        /// The list of extents: an array of frame numbers.
        extent_start: Vaddr,
        /// Extents.
        nr_extents: u64,
        /// Base-2 logarithm of the pages in an extent.
        extent_order: u32,
        /// [`flag`] bits.
        mem_flags: u32,
        /// Whose reservation.
        domid: DomId,
        /// Padding.
        pad: [u16; 3],
    }
    /// `XENMEM_exchange` (`struct xen_memory_exchange`).
    MemoryExchange {
        /// Extents given.
        input: MemoryReservation,
        /// Extents wanted; the list holds PFNs and is overwritten with the new frames.
        output: MemoryReservation,
        /// Input extents exchanged so far; 0 at first.
        nr_exchanged: u64,
    }
    /// A domain to ask about (`struct xen_memory_domain`).
    MemoryDomain {
        /// Which.
        domid: DomId,
    }
    /// `XENMEM_machphys_mfn_list` (`struct xen_machphys_mfn_list`): the first frames of the M2P's 2 MiB pieces.
    MachphysMfnList {
        /// Room in the list.
        max_extents: u32,
        /// Padding.
        pad0: u32,
        /// The list: an array of frame numbers, 0 for a gap.
        extent_start: Vaddr,
        /// Out: entries written.
        nr_extents: u32,
        /// Padding.
        pad1: u32,
    }
    /// `XENMEM_machphys_mapping` (`struct xen_machphys_mapping`).
    MachphysMapping {
        /// Where the M2P begins.
        v_start: u64,
        /// Where its range ends.
        v_end: u64,
        /// Highest MFN it can hold.
        max_mfn: u64,
    }
    /// `XENMEM_add_to_physmap` (`struct xen_add_to_physmap`).
    AddToPhysmap {
        /// Whose physmap.
        domid: DomId,
        /// Pages, for a range.
        size: u16,
        /// What ([`space`]).
        space: u32,
        /// Index in the space.
        idx: u64,
        /// Where.
        gpfn: Gfn,
    }
    /// `XENMEM_add_to_physmap_batch` (`struct xen_add_to_physmap_batch`).
    AddToPhysmapBatch {
        /// Whose physmap.
        domid: DomId,
        /// What ([`space`]).
        space: u16,
        /// Pages.
        size: u16,
        /// Whose pages they are, for a foreign space; else 0.
        foreign_domid: DomId,
        /// Array of indexes (u64).
        idxs: Vaddr,
        /// Array of GPFNs (u64).
        gpfns: Vaddr,
        /// Array of results (i32).
        errs: Vaddr,
    }
    /// `XENMEM_remove_from_physmap` (`struct xen_remove_from_physmap`).
    RemoveFromPhysmap {
        /// Whose physmap.
        domid: DomId,
        /// Padding.
        pad: [u16; 3],
        /// Where.
        gpfn: Gfn,
    }
    /// `XENMEM_memory_map` and `XENMEM_machine_memory_map` (`struct xen_memory_map`).
    MemoryMap {
        /// In: room in the buffer. Out: entries written.
        nr_entries: u32,
        /// Padding.
        pad: u32,
        /// Array of [`E820Entry`].
        buffer: Vaddr,
    }
    /// `XENMEM_set_memory_map` (`struct xen_foreign_memory_map`).
    ForeignMemoryMap {
        /// Whose map.
        domid: DomId,
        /// Padding.
        pad: [u16; 3],
        /// The map.
        map: MemoryMap,
    }
    /// `XENMEM_set_pod_target` (`struct xen_pod_target`).
    PodTarget {
        /// Target.
        target_pages: u64,
        /// Out: pages in all.
        tot_pages: u64,
        /// Out: pages in the cache.
        pod_cache_pages: u64,
        /// Out: entries to be populated.
        pod_entries: u64,
        /// Whose.
        domid: DomId,
        /// Padding.
        pad: [u16; 3],
    }
    /// One region a device needs (`struct xen_reserved_device_memory`).
    ReservedDeviceMemory {
        /// First frame.
        start_pfn: Pfn,
        /// Frames.
        nr_pages: u64,
    }
    /// `XENMEM_reserved_device_memory_map` (`struct xen_reserved_device_memory_map`).
    ReservedDeviceMemoryMap {
        /// 1 for all devices.
        flags: u32,
        /// In: room. Out: entries.
        nr_entries: u32,
        /// Array of [`ReservedDeviceMemory`].
        buffer: Vaddr,
        /// Device: PCI segment.
        seg: u16,
        /// Device: bus.
        bus: u8,
        /// Device: device and function.
        devfn: u8,
        /// Padding.
        pad: u32,
    }
    /// `XENMEM_acquire_resource` (`struct xen_mem_acquire_resource`).
    AcquireResource {
        /// Whose resource.
        domid: DomId,
        /// What ([`resource`]).
        kind: u16,
        /// Which part of it.
        id: u32,
        /// Frames; with an empty list, out: how many there are.
        nr_frames: u32,
        /// Zero.
        pad: u32,
        /// First frame of the resource.
        frame: u64,
        /// Array of frame numbers.
        frame_list: Vaddr,
    }
    /// One range of virtual NUMA memory (`struct xen_vmemrange`).
    VmemRange {
        /// First byte.
        start: u64,
        /// End, exclusive.
        end: u64,
        /// Zero.
        flags: u32,
        /// Node.
        nid: u32,
    }
    /// `XENMEM_get_vnumainfo` (`struct xen_vnuma_topology_info`).
    VnumaTopologyInfo {
        /// Whose.
        domid: DomId,
        /// Padding.
        pad0: u16,
        /// Nodes.
        nr_vnodes: u32,
        /// vCPUs.
        nr_vcpus: u32,
        /// Ranges.
        nr_vmemranges: u32,
        /// Array of distances (u32).
        vdistance: Vaddr,
        /// Array: node of each vCPU (u32).
        vcpu_to_vnode: Vaddr,
        /// Array of [`VmemRange`].
        vmemrange: Vaddr,
    }
}

/// One entry of an E820 memory map: 20 bytes, packed, in the BIOS's format.
#[repr(C, packed)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub struct E820Entry {
    /// First byte.
    pub addr: u64,
    /// Bytes.
    pub size: u64,
    /// [`e820_kind`].
    pub kind: u32,
}
