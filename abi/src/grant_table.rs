//! `grant_table_op` and the table of grants itself (`public/grant_table.h`).
//!
//! The table is written by the guest and read by the hypervisor at the same time: an entry's flags word is copied
//! once and changed by compare-and-exchange only.

use crate::address::{Mfn, Vaddr};
use crate::domid::DomId;
use crate::macros::wire;

/// Entries at the start of a table that the tools fill.
pub const RESERVED_ENTRIES: u32 = 8;
/// The reserved entry of the console.
pub const RESERVED_CONSOLE: u32 = 0;
/// The reserved entry of xenstore.
pub const RESERVED_XENSTORE: u32 = 1;

/// Sub-calls. Each takes an array of its structure.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// [`super::MapGrantRef`].
        MAP_GRANT_REF = 0, "GNTTABOP_map_grant_ref";
        /// [`super::UnmapGrantRef`].
        UNMAP_GRANT_REF = 1, "GNTTABOP_unmap_grant_ref";
        /// [`super::SetupTable`].
        SETUP_TABLE = 2, "GNTTABOP_setup_table";
        /// [`super::DumpTable`].
        DUMP_TABLE = 3, "GNTTABOP_dump_table";
        /// [`super::Transfer`].
        TRANSFER = 4, "GNTTABOP_transfer";
        /// [`super::Copy`].
        COPY = 5, "GNTTABOP_copy";
        /// [`super::QuerySize`].
        QUERY_SIZE = 6, "GNTTABOP_query_size";
        /// [`super::UnmapAndReplace`].
        UNMAP_AND_REPLACE = 7, "GNTTABOP_unmap_and_replace";
        /// [`super::SetVersion`].
        SET_VERSION = 8, "GNTTABOP_set_version";
        /// [`super::GetStatusFrames`].
        GET_STATUS_FRAMES = 9, "GNTTABOP_get_status_frames";
        /// [`super::GetVersion`].
        GET_VERSION = 10, "GNTTABOP_get_version";
        /// [`super::SwapGrantRef`].
        SWAP_GRANT_REF = 11, "GNTTABOP_swap_grant_ref";
        /// [`super::CacheFlush`].
        CACHE_FLUSH = 12, "GNTTABOP_cache_flush";
    }
}

/// Flags of an entry. Bits 1:0 are its kind.
pub mod entry_flag {
    use crate::macros::numbers;
    numbers! { u16;
        /// Kind: unused.
        INVALID = 0, "GTF_invalid";
        /// Kind: the peer may map or copy the frame.
        PERMIT_ACCESS = 1, "GTF_permit_access";
        /// Kind: the peer may give a frame.
        ACCEPT_TRANSFER = 2, "GTF_accept_transfer";
        /// Kind: stands for another domain's grant.
        TRANSITIVE = 3, "GTF_transitive";
        /// The kind's bits.
        TYPE_MASK = 3, "GTF_type_mask";
        /// Access: reading only.
        READONLY = 1 << 2, "GTF_readonly";
        /// Access: in use for reading (set by the hypervisor).
        READING = 1 << 3, "GTF_reading";
        /// Access: in use for writing (set by the hypervisor).
        WRITING = 1 << 4, "GTF_writing";
        /// Access: cache attribute.
        PWT = 1 << 5, "GTF_PWT";
        /// Access: cache attribute.
        PCD = 1 << 6, "GTF_PCD";
        /// Access: cache attribute.
        PAT = 1 << 7, "GTF_PAT";
        /// Access: only part of the page, for copying (v2).
        SUB_PAGE = 1 << 8, "GTF_sub_page";
        /// Transfer: begun (set by the hypervisor).
        TRANSFER_COMMITTED = 1 << 2, "GTF_transfer_committed";
        /// Transfer: done, the entry's frame is the new one (set by the hypervisor).
        TRANSFER_COMPLETED = 1 << 3, "GTF_transfer_completed";
    }
}

/// Flags of a mapping.
pub mod map_flag {
    use crate::macros::numbers;
    numbers! { u32;
        /// For devices.
        DEVICE_MAP = 1 << 0, "GNTMAP_device_map";
        /// For the CPU.
        HOST_MAP = 1 << 1, "GNTMAP_host_map";
        /// Reading only.
        READONLY = 1 << 2, "GNTMAP_readonly";
        /// For user mode (without it, the kernel's only).
        APPLICATION_MAP = 1 << 3, "GNTMAP_application_map";
        /// The address is the machine address of the entry, and not a virtual address.
        CONTAINS_PTE = 1 << 4, "GNTMAP_contains_pte";
        /// Bits 31:16 go to the entry's available bits.
        GUEST_AVAIL_MASK = 0xffff_0000, "GNTMAP_guest_avail_mask";
    }
}

/// Flags of a copy.
pub mod copy_flag {
    use crate::macros::numbers;
    numbers! { u16;
        /// The source is a grant, and not a frame.
        SOURCE_GREF = 1, "GNTCOPY_source_gref";
        /// The destination is a grant.
        DEST_GREF = 2, "GNTCOPY_dest_gref";
    }
}

/// Operations of a cache flush.
pub mod cache_flag {
    use crate::macros::numbers;
    numbers! { u32;
        /// Write back.
        CLEAN = 1 << 0, "GNTTAB_CACHE_CLEAN";
        /// Invalidate.
        INVAL = 1 << 1, "GNTTAB_CACHE_INVAL";
        /// The address is a grant.
        SOURCE_GREF = 1 << 31, "GNTTAB_CACHE_SOURCE_GREF";
    }
}

/// How one element of a batch ended.
pub mod status {
    use crate::macros::numbers;
    numbers! { i16;
        /// Done.
        OKAY = 0, "GNTST_okay";
        /// Something else is wrong.
        GENERAL_ERROR = -1, "GNTST_general_error";
        /// No such domain.
        BAD_DOMAIN = -2, "GNTST_bad_domain";
        /// No such grant, or not for the caller.
        BAD_GNTREF = -3, "GNTST_bad_gntref";
        /// No such mapping.
        BAD_HANDLE = -4, "GNTST_bad_handle";
        /// The address cannot take the mapping.
        BAD_VIRT_ADDR = -5, "GNTST_bad_virt_addr";
        /// Bad device address.
        BAD_DEV_ADDR = -6, "GNTST_bad_dev_addr";
        /// No room in the IOMMU.
        NO_DEVICE_SPACE = -7, "GNTST_no_device_space";
        /// Not allowed.
        PERMISSION_DENIED = -8, "GNTST_permission_denied";
        /// The page is not fit for this.
        BAD_PAGE = -9, "GNTST_bad_page";
        /// The copy crosses a page.
        BAD_COPY_ARG = -10, "GNTST_bad_copy_arg";
        /// The transferred page's address is too high.
        ADDRESS_TOO_BIG = -11, "GNTST_address_too_big";
        /// Try again.
        EAGAIN = -12, "GNTST_eagain";
        /// No room in the table.
        NO_SPACE = -13, "GNTST_no_space";
    }
}

wire! {
    /// One entry of a v1 table (`struct grant_entry_v1`).
    EntryV1 {
        /// [`entry_flag`] bits.
        flags: u16,
        /// The peer.
        domid: DomId,
        /// The frame.
        frame: u32,
    }
    /// What every v2 entry begins with (`struct grant_entry_header`).
    EntryHeader {
        /// [`entry_flag`] bits.
        flags: u16,
        /// The peer.
        domid: DomId,
    }
    /// One entry of a v2 table that grants a page (`union grant_entry_v2`, member `full_page`).
    EntryV2Full {
        /// Flags and peer.
        hdr: EntryHeader,
        /// Padding.
        pad0: u32,
        /// The frame.
        frame: u64,
    }
    /// One entry of a v2 table that grants part of a page (member `sub_page`).
    EntryV2Sub {
        /// Flags and peer.
        hdr: EntryHeader,
        /// Where the part begins.
        page_off: u16,
        /// Its bytes.
        length: u16,
        /// The frame.
        frame: u64,
    }
    /// One entry of a v2 table that stands for another's grant (member `transitive`).
    EntryV2Transitive {
        /// Flags and peer.
        hdr: EntryHeader,
        /// Whose grant.
        trans_domid: DomId,
        /// Padding.
        pad0: u16,
        /// Which.
        gref: u32,
        /// Padding to 16 bytes.
        pad1: u32,
    }
    /// `struct gnttab_map_grant_ref`.
    MapGrantRef {
        /// Where: virtual address, or machine address of an entry.
        host_addr: u64,
        /// [`map_flag`] bits.
        flags: u32,
        /// Which grant.
        gref: u32,
        /// Whose.
        dom: DomId,
        /// Out: [`status`].
        status: i16,
        /// Out: the mapping.
        handle: u32,
        /// Out: the bus address.
        dev_bus_addr: u64,
    }
    /// `struct gnttab_unmap_grant_ref`.
    UnmapGrantRef {
        /// Where it is mapped; 0 for nowhere.
        host_addr: u64,
        /// Its bus address; 0 for none.
        dev_bus_addr: u64,
        /// The mapping.
        handle: u32,
        /// Out: [`status`].
        status: i16,
        /// Padding.
        pad: u16,
    }
    /// `struct gnttab_setup_table`.
    SetupTable {
        /// Whose table.
        dom: DomId,
        /// Padding.
        pad0: u16,
        /// Frames it is to have.
        nr_frames: u32,
        /// Out: [`status`].
        status: i16,
        /// Padding.
        pad1: [u16; 3],
        /// Out: array of frame numbers.
        frame_list: Vaddr,
    }
    /// `struct gnttab_dump_table`.
    DumpTable {
        /// Whose table.
        dom: DomId,
        /// Out: [`status`].
        status: i16,
    }
    /// `struct gnttab_transfer`.
    Transfer {
        /// The frame given.
        mfn: Mfn,
        /// To whom.
        domid: DomId,
        /// Padding.
        pad0: u16,
        /// Which of its grants accepts it.
        gref: u32,
        /// Out: [`status`].
        status: i16,
        /// Padding.
        pad1: [u16; 3],
    }
    /// One end of a copy (`struct gnttab_copy_ptr`).
    CopyPtr {
        /// Grant (bits 31:0) or frame.
        ref_or_gmfn: u64,
        /// Whose.
        domid: DomId,
        /// Offset in the page.
        offset: u16,
        /// Padding.
        pad: u32,
    }
    /// `struct gnttab_copy`.
    Copy {
        /// From.
        source: CopyPtr,
        /// To.
        dest: CopyPtr,
        /// Bytes.
        len: u16,
        /// [`copy_flag`] bits.
        flags: u16,
        /// Out: [`status`].
        status: i16,
        /// Padding.
        pad: u16,
    }
    /// `struct gnttab_query_size`.
    QuerySize {
        /// Whose table.
        dom: DomId,
        /// Padding.
        pad0: u16,
        /// Out: frames it has.
        nr_frames: u32,
        /// Out: frames it may have.
        max_nr_frames: u32,
        /// Out: [`status`].
        status: i16,
        /// Padding.
        pad1: u16,
    }
    /// `struct gnttab_unmap_and_replace`.
    UnmapAndReplace {
        /// Where it is mapped.
        host_addr: u64,
        /// The address whose mapping goes there instead.
        new_addr: u64,
        /// The mapping.
        handle: u32,
        /// Out: [`status`].
        status: i16,
        /// Padding.
        pad: u16,
    }
    /// `struct gnttab_set_version`.
    SetVersion {
        /// In: version wanted. Out: version there is.
        version: u32,
    }
    /// `struct gnttab_get_status_frames`.
    GetStatusFrames {
        /// Frames.
        nr_frames: u32,
        /// Whose table.
        dom: DomId,
        /// Out: [`status`].
        status: i16,
        /// Out: array of frame numbers (u64).
        frame_list: Vaddr,
    }
    /// `struct gnttab_get_version`.
    GetVersion {
        /// Whose table.
        dom: DomId,
        /// Padding.
        pad: u16,
        /// Out: its version.
        version: u32,
    }
    /// `struct gnttab_swap_grant_ref`.
    SwapGrantRef {
        /// One entry.
        ref_a: u32,
        /// The other.
        ref_b: u32,
        /// Out: [`status`].
        status: i16,
        /// Padding.
        pad: u16,
    }
    /// `struct gnttab_cache_flush`.
    CacheFlush {
        /// Bus address or grant.
        dev_bus_addr: u64,
        /// Offset in the page.
        offset: u16,
        /// Bytes.
        length: u16,
        /// [`cache_flag`] bits.
        op: u32,
    }
}
