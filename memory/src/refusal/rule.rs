//! The closed list of rules. Each has a stable code, one sentence, what the guest is told, and for documentation why it
//! exists and what to do instead. `docs/refusals.md` is generated from it (`cargo xtask docs`).

use xenocryst_abi::hypercall::errno;

/// Error numbers of the ABI (`public/errno.h`), as the guest sees them: negated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Errno {
    /// Operation not permitted.
    Perm = errno::EPERM.0,
    /// No memory.
    NoMem = errno::ENOMEM.0,
    /// Permission denied.
    Access = errno::EACCES.0,
    /// Busy.
    Busy = errno::EBUSY.0,
    /// Invalid argument.
    Inval = errno::EINVAL.0,
    /// Result not representable.
    Range = errno::ERANGE.0,
    /// Not implemented.
    NoSys = errno::ENOSYS.0,
    /// Not supported.
    OpNotSupp = errno::EOPNOTSUPP.0,
}

impl Errno {
    /// The negative number that a hypercall returns.
    pub const fn as_return(self) -> i64 {
        -(self as i32 as i64)
    }
}

impl From<Errno> for errno::Errno {
    fn from(errno: Errno) -> Self {
        Self(errno as i32)
    }
}

/// What a refusal means for the domain that asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consequence {
    /// It is told the error number.
    Errno,
    /// It cannot go on: continuing would let the hardware walk something unsafe.
    CrashDomain,
}

macro_rules! rules {
    ($($name:ident = $code:literal, $errno:ident, $doc:literal, why $why:literal, instead $instead:literal;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Rule {
            $(#[doc = $doc] $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),*];

            /// The stable code, for logs and documentation.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The rule in one sentence.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }

            /// Why the rule exists: for documentation. `XSA-n` are Xen's security advisories, `In` the numbered
            /// invariants of `docs/invariants.md`.
            pub const fn why(self) -> &'static str {
                match self { $(Self::$name => $why,)* }
            }

            /// What a guest should do instead: for documentation.
            pub const fn instead(self) -> &'static str {
                match self { $(Self::$name => $instead,)* }
            }

            /// What Xen's ABI tells the guest.
            pub const fn errno(self) -> Errno {
                match self { $(Self::$name => Errno::$errno,)* }
            }
        }
    };
}

rules! {
    // Frames and owners
    FrameNotOwned = "FR-001", Inval, "The frame must belong to the domain named in the request.",
        why "A frame number from a guest proves nothing. Using one past the frame table, or of a frame that was free or another's, was XSA-32; checking it after taking a reference was XSA-113 (I1, I2).",
        instead "Name only frames that the domain was given: from its P2M, or from the reply to a reservation request. For another domain's frame, name that domain in the request.";
    FrameCountSaturated = "FR-002", Inval, "A frame can hold no more references than its counter can count.",
        why "A counter that wraps to 0 frees a frame that is still mapped. XSA-224 and XSA-249 were wrong counts and wrong widths (I1, I42).",
        instead "Remove mappings of the frame that are no longer used.";
    FrameTypeConflict = "FR-003", Inval, "A frame has one type at a time; it changes only when nothing uses it as the old one.",
        why "All isolation of PV guests rests on this: whoever writes to a live page table maps anything. Races around the change were XSA-299, XSA-401 and XSA-408 (I9, I10).",
        instead "Remove writable mappings, pins and entries that use the frame in its present role, then ask again.";
    TypeCountSaturated = "FR-004", Inval, "A type can hold no more uses than its counter can count.",
        why "At count 0 the type may change; a wrapped count would let it change while in use (I9, I42).",
        instead "Use more than one table, or remove entries that name this one.";
    SpecialFrame = "FR-005", Inval, "A frame that the hypervisor shares with the domain can be no table and cannot be given away.",
        why "The hypervisor goes on writing to such frames, and frees them by its own rules: XSA-276, XSA-288, XSA-313, XSA-507 (I4).",
        instead "Give back ordinary memory only; shared frames go with the feature they belong to.";
    FrameInUse = "FR-006", Inval, "A frame can be given away only when nothing but its allocation holds it.",
        why "A mapping or type that outlives the change of owner reaches into the next owner's memory: XSA-214, XSA-217, XSA-287 (I5, I12).",
        instead "Unmap the frame everywhere, unpin it if it is a table, then exchange it.";
    NotAllocated = "FR-007", Inval, "The frame's allocation was already given back.",
        why "Dropping an allocation twice would take away a reference that someone else holds (I5, I45).",
        instead "Give each frame back once; it is freed when its last mapping goes.";
    // Entries
    IllegalFlags = "PT-001", Inval, "The entry sets bits that are not legal at its level.",
        why "A page-size bit in an L2 entry made a writable 2 MiB window over the guest's own tables (XSA-148); memory-type bits cause machine checks (XSA-154). What is not known to be safe is refused (I24, I28).",
        instead "Use Present, RW, User, Accessed, Dirty, NX and the available bits; Global in L1 entries; memory-type bits in L1 entries only, by a domain with I/O. Superpages do not exist for PV guests.";
    TargetNotOwned = "PT-002", Inval, "An entry above L1 may name only frames of the domain that owns the table.",
        why "A table of another domain could be changed by that domain under this one's feet; linear chains across domains were part of XSA-240 (I2).",
        instead "Build page tables from the domain's own frames; foreign frames can be mapped by L1 entries.";
    TargetTypeConflict = "PT-003", Inval, "An entry above L1 must name a frame that is, or can become, a table of the level below.",
        why "One frame read by the hardware as tables of two levels, or as table and writable data, is a way to write page tables: XSA-299, XSA-401 (I9, I21).",
        instead "Map the new table read-only everywhere first, and give each table frame one level.";
    LinearWritable = "PT-004", Inval, "A same-level (linear) entry must be read-only.",
        why "A writable map of page tables through themselves is full control of the machine: XSA-182, XSA-185 (I21, I27).",
        instead "Clear RW in entries by which a table names itself or its like; change tables by mmu_update.";
    LinearTarget = "PT-005", Inval, "A linear entry must name a validated table of its own level and owner.",
        why "A table that is half validated, or another domain's, may hold anything: XSA-240, XSA-299 (I21).",
        instead "Pin the table that is to be named first, then make the linear entry.";
    LinearDepth = "PT-006", Inval, "A table may hold linear entries or be the target of them, not both.",
        why "Chains of tables of one level made the teardown recurse until the hypervisor's stack overflowed: XSA-240, XSA-280, XSA-309 (I22, I84).",
        instead "Name tables of the same level from one table only, or let each table name itself.";
    HypervisorSlot = "PT-007", Inval, "L4 slots 256 to 271 belong to the hypervisor.",
        why "These slots map the hypervisor and all of memory; treating one of them as a guest's was XSA-64 and XSA-243 (I20).",
        instead "Leave the addresses from 0xffff800000000000 up to 0xffff880000000000 alone.";
    ForeignUpperEntry = "PT-008", Inval, "Entries above L1 can be changed only with the table's owner as owner of the frames named.",
        why "Only L1 entries may name foreign frames (I2).",
        instead "Name one domain as owner of both tables and frames.";
    L1tf = "PT-009", Inval, "A not-present entry must hold address 0 or one above all cacheable memory, and no page-size bit above L1.",
        why "Processors speculate through not-present entries and leak what the named address has in the L1 cache: XSA-273 (I31). Xen would put the domain on shadow tables; here it is crashed before the entry can be walked.",
        instead "Use a kernel that inverts the address of not-present entries (Linux 4.19 and later do), or write 0.";
    AddressTooWide = "PT-010", Perm, "The entry names an address that the CPU cannot have.",
        why "Reserved bits in a walked entry fault at the wrong moment, and truncated addresses name other frames: XSA-173, XSA-311, XSA-516 (I26).",
        instead "Keep machine addresses below the physical address width that CPUID tells.";
    L1TargetOwner = "PT-011", Busy, "An L1 entry may name frames of the page owner given in the request only.",
        why "This is the isolation of memory itself: XSA-217, XSA-248 (I1, I2, I3).",
        instead "Map the domain's own frames; for foreign ones name their owner, which takes privilege over it, or use grants.";
    L1TargetNotWritable = "PT-012", Busy, "A writable mapping needs a frame that is not in use as a table or descriptor page.",
        why "A guest that writes its live tables or descriptors by itself writes unchecked entries: XSA-148, XSA-182, XSA-299, XSA-401 (I9, I10).",
        instead "Map page tables and descriptor pages read-only, or unpin and unhook them first.";
    SpecialCaching = "PT-013", Access, "Frames shared by the hypervisor can be mapped write-back only.",
        why "Two memory types for one frame make the hypervisor and the guest see different contents: XSA-154, XSA-402 (I4, I30).",
        instead "Clear PWT, PCD and PAT in the entry.";
    IoNotPermitted = "PT-014", Perm, "The domain has no permission for that I/O frame.",
        why "Frames that are no RAM are devices, which act on the whole machine: XSA-154 (I2, I29).",
        instead "Map only the memory of devices that were assigned to the domain.";
    IoInvalidFrame = "PT-015", Inval, "The entry names the invalid frame number.",
        why "All ones is what a P2M says of a frame that there is not; mapping it is a bug in the guest, and its address bits are no address (I26, I72).",
        instead "Check the result of a P2M look-up before making an entry of it.";
    DyingDomain = "PT-016", Inval, "A dying domain gets no new mappings.",
        why "What is made after the teardown has passed is never given back: XSA-310, XSA-410 (I48).",
        instead "Nothing: the domain is being destroyed.";
    // Requests
    TableNotWritable = "MU-001", Inval, "The word to be updated must lie in a validated table or in a frame that is free to be written.",
        why "A frame is written as plain memory only while it holds the writable type; a half-validated table has entries nobody has checked yet: XSA-299, XSA-310 (I9, I15).",
        instead "Finish pinning the table before updating it; write plain memory through a mapping.";
    UnknownCommand = "MU-002", NoSys, "The low bits of the address name no update command.",
        why "Commands 4 to 7 do not exist in this version of the ABI.",
        instead "Use commands 0 to 3, and align the address of the entry to 8.";
    MachphysForeignTables = "MU-003", Perm, "A machine-to-physical update cannot name foreign page tables.",
        why "The command on behalf of another kind of domain leaked references: XSA-113 (I45, I69).",
        instead "Name the caller as owner of the tables in the foreign-domain argument.";
    Misaligned = "MU-004", Inval, "The address must be aligned to the size of the entry.",
        why "An unaligned address splices two entries into one that nobody checked: XSA-227 (I25, I88).",
        instead "Align the address to 8.";
    AddressOutOfRange = "VA-001", Inval, "The linear address must be canonical and outside the hypervisor's range.",
        why "Walks and flushes of such addresses fault in the hypervisor or reach its own tables: XSA-279 (I25, I38).",
        instead "Use addresses of the guest's own part of the address space.";
    NoL1Table = "VA-002", Inval, "No L1 table of the domain covers the linear address.",
        why "An entry can be changed only in a validated L1 table: XSA-176, XSA-227 (I25).",
        instead "Hook up the tables for that address first.";
    EmulateMisaligned = "EM-001", Inval, "A store to a page table must be naturally aligned, at most 8 bytes, and inside the page that faulted.",
        why "Wider or split stores change entries that were not checked: XSA-123, XSA-195, XSA-219, XSA-477 (I32).",
        instead "Write one whole entry at a time, or use mmu_update.";
    // Pinning and roots
    AlreadyPinned = "PN-001", Inval, "A table can be pinned once.",
        why "A pin stands for exactly one pair of references, which one unpin gives back: XSA-58, XSA-299 (I18).",
        instead "Keep track of which tables are pinned.";
    NotPinned = "PN-002", Inval, "Only a pinned table can be unpinned.",
        why "An unpin without a pin would give back a reference that someone else holds: XSA-58 (I18).",
        instead "Keep track of which tables are pinned.";
    RootType = "RT-001", Inval, "A base pointer must name a frame that is, or can become, an L4 table of the domain.",
        why "The hardware walks whatever the base pointer names (I9, I44, I92).",
        instead "Validate or pin the tables as L4 first; see the log line for what the frame is.";
    // Descriptors
    BadDescriptor = "SD-001", Inval, "The descriptor is of a kind that a guest may not have.",
        why "System segments and gates lead into ring 0; a page audited for one kind of guest must be audited again for another: XSA-214, XSA-298 (I88).",
        instead "Use code and data segments; call gates are kept but always fault.";
    DescriptorFrame = "SD-002", Inval, "The descriptor's frame must be a descriptor page or free to be written.",
        why "Descriptor pages are read by the hardware and must not be writable or tables at the same time: XSA-214 (I9, I88, I89).",
        instead "Map the pages of GDT and LDT read-only everywhere before loading them.";
    // Reservation
    OrderTooLarge = "RS-001", Perm, "The extent is larger than this domain may ask for.",
        why "Huge orders overflow shifts and hold the machine up for long: XSA-31, XSA-158 (I66).",
        instead "Ask for several smaller extents.";
    ReservationFull = "RS-002", NoMem, "The domain may own no more frames.",
        why "The sum must stay below the maximum without wrapping: XSA-385 (I7).",
        instead "Give memory back first, or have the control domain raise the maximum.";
    OutOfMemory = "RS-003", NoMem, "No free block of that size lies below the address limit.",
        why "A failed allocation is an answer, never a stop of the host (I67, I100).",
        instead "Ask for smaller extents or without an address limit, or try later.";
    ClaimSize = "RS-004", Inval, "A living domain can claim once, more frames than it owns and no more than it may own.",
        why "A claim keeps memory from everybody else, so it must be what the domain can really come to own (I7, I66).",
        instead "Set the maximum first, claim before populating, and give an old claim back by claiming 0.";
    // Grants
    GrantReference = "GR-001", Inval, "A grant reference must be below the number of entries of the table, in its present version.",
        why "References past the table read and wrote the hypervisor's memory: XSA-18; a version change moves the bound: XSA-501 (I59, I87).",
        instead "Use references that the granting domain told, and have it set up enough frames.";
    GrantNotPermitted = "GR-002", Inval, "The grant must permit this access to the domain that asks for it.",
        why "The entry is the granting domain's consent: kind, peer and whether it may be written (I47, I51).",
        instead "Have the granting domain fill the entry before telling its reference, and ask for no more than it permits.";
    GrantChanged = "GR-003", Busy, "A grant in use must still say what it said when it was first used.",
        why "A frame taken from the old contents and rights from the new ones belong to nobody: XSA-226, XSA-500 (I47, I57).",
        instead "Change an entry only while neither of its in-use marks is set.";
    GrantPinOverflow = "GR-004", Busy, "A grant can be mapped and copied from at most 128 times at once in each way.",
        why "Counters are checked against their real width (I42, I56).",
        instead "Unmap what is no longer used, or grant the frame by a second reference.";
    GrantPartOfPage = "GR-005", Inval, "A grant of part of a page can be copied from and to, and not mapped.",
        why "A mapping shows the whole page (I51). It is so in the ABI.",
        instead "Copy, or have the whole page granted.";
    GrantTransitive = "GR-006", OpNotSupp, "Grants that stand for another domain's grant are not supported.",
        why "They were behind XSA-50, XSA-226 and XSA-411 (I58), and no known guest uses them.",
        instead "Have the frame's owner grant it directly.";
    GrantFrame = "GR-007", Inval, "A grant must name RAM of the domain that grants it.",
        why "Who grants a frame must own it (I1, I51, I62).",
        instead "Put the machine frame number of an own frame into the entry.";
    GrantNotWritable = "GR-008", Busy, "A frame in use as a table or descriptor page cannot be granted for writing.",
        why "A writable mapping of a live table is control of the machine, whoever holds it: XSA-224 (I9, I51).",
        instead "Grant such frames read-only.";
    GrantMapKind = "GR-009", Inval, "A mapping must be for the CPU, for devices, or for both.",
        why "A mapping of no kind would hold nothing and could not be undone (I51). It is so in the ABI.",
        instead "Set GNTMAP_host_map or GNTMAP_device_map.";
    GrantHandles = "GR-010", NoMem, "The domain can have no more mappings of grants.",
        why "Each mapping needs a tracking entry, and their number is limited (I53).",
        instead "Unmap what is no longer used, or raise the limit when the domain is made.";
    GrantHandle = "GR-011", Inval, "The handle must name a mapping of the domain that asks.",
        why "A handle is freed once, by whoever removes its last part: XSA-218 (I53).",
        instead "Unmap each mapping once.";
    GrantBusAddress = "GR-012", Inval, "A bus address given for unmapping must be the one that mapping returned.",
        why "The device part is removed only by its full address: XSA-224 (I52).",
        instead "Pass on dev_bus_addr as it came, or 0.";
    GrantAddress = "GR-013", Inval, "The address of a mapping must be that of an entry, aligned to 8, in a validated L1 table of the domain.",
        why "An entry at an odd address splices two entries into one that nobody checked: XSA-227 (I25, I54).",
        instead "Name an entry of an own L1 table, or a virtual address that one covers.";
    GrantEntryMismatch = "GR-014", Inval, "The entry to be removed must map the granted frame, with the access that the mapping recorded.",
        why "Otherwise references would be given back that the entry never held: XSA-234 (I52, I54).",
        instead "Leave entries made by mapping a grant alone until they are unmapped by it.";
    GrantReplaceEntry = "GR-015", Inval, "Only a mapping made by virtual address can be replaced by another.",
        why "It is so in the ABI (I54).",
        instead "Unmap, then make the other mapping.";
    GrantDying = "GR-016", Inval, "Neither a dying domain nor the grants of one can be used for anything new.",
        why "What is made after the teardown has passed is never given back; pins of a dying domain prove nothing: XSA-236 (I48, I56).",
        instead "Close the connection: the other end is gone.";
    GrantCopyRange = "GR-017", Inval, "A copy cannot cross a page.",
        why "Offsets and lengths are checked before anything is touched (I86, I87).",
        instead "Split the copy at page boundaries.";
    GrantCopyPart = "GR-018", Inval, "A copy must stay inside the part of the page that is granted.",
        why "The rest of the page was not granted (I57).",
        instead "Copy only what the grant covers.";
    GrantCopyByFrame = "GR-019", Perm, "A copy can name frames of the caller only; those of others by grants.",
        why "Otherwise any domain could read any other: CVE-2026-102703, CVE-2026-102704 (I57).",
        instead "Use DOMID_SELF with a frame number, and a grant for every other domain.";
    GrantInUse = "GR-020", Busy, "Grants can be swapped only while nobody uses them.",
        why "Users would find another frame behind the reference they hold (I55, I59).",
        instead "Try again later.";
    GrantTableInUse = "GR-021", Busy, "The version can change only while no grant but the reserved ones is used and no status frame is mapped.",
        why "Uses of the old layout would go on in the new: XSA-255, XSA-501, XSA-517 (I60).",
        instead "Choose the version before granting anything, and unmap status frames before leaving version 2.";
    GrantVersion = "GR-022", Inval, "Grant tables have version 1 or 2.",
        why "There are no other layouts in the ABI; version 0 was XSA-134 (I59).",
        instead "Ask for 1 or 2.";
    GrantVersionLimit = "GR-023", NoSys, "The domain may have grant tables of version 1 only.",
        why "The domain was made so; the ABI answers as a Xen without version 2.",
        instead "Use version 1.";
    GrantVersionContents = "GR-024", Range, "A reserved grant that version 1 cannot express keeps the table at version 2.",
        why "Cut off, its frame number would name another frame (I26, I60).",
        instead "Clear the reserved entries first.";
    GrantTableSize = "GR-025", Inval, "The table can have no more frames than the domain's limit.",
        why "The number comes from the guest (I61, I86).",
        instead "Ask for GNTTABOP_query_size first.";
    GrantTransfer = "GR-026", Inval, "A transfer needs a grant that accepts one from the domain that gives.",
        why "Nobody gets memory that he did not ask for: totals and addresses are his (I6, I7).",
        instead "Have the receiver make an entry with GTF_accept_transfer for each frame.";
}

impl Rule {
    /// What must happen to the domain.
    pub const fn consequence(self) -> Consequence {
        match self {
            Self::L1tf => Consequence::CrashDomain,
            _ => Consequence::Errno,
        }
    }
}

impl core::fmt::Display for Rule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.code())
    }
}
