//! The closed list of rules. Each has a stable code, one sentence, and what the guest is told.

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
    ($($name:ident = $code:literal, $errno:ident, $doc:literal;)*) => {
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

            /// What Xen's ABI tells the guest.
            pub const fn errno(self) -> Errno {
                match self { $(Self::$name => Errno::$errno,)* }
            }
        }
    };
}

rules! {
    // Frames and owners
    FrameNotOwned = "FR-001", Inval, "The frame must belong to the domain named in the request.";
    FrameCountSaturated = "FR-002", Inval, "A frame can hold no more references than its counter can count.";
    FrameTypeConflict = "FR-003", Inval, "A frame has one type at a time; it changes only when nothing uses it as the old one.";
    TypeCountSaturated = "FR-004", Inval, "A type can hold no more uses than its counter can count.";
    SpecialFrame = "FR-005", Inval, "A frame that the hypervisor shares with the domain can be no table and cannot be given away.";
    FrameInUse = "FR-006", Inval, "A frame can be given away only when nothing but its allocation holds it.";
    NotAllocated = "FR-007", Inval, "The frame's allocation was already given back.";
    // Entries
    IllegalFlags = "PT-001", Inval, "The entry sets bits that are not legal at its level.";
    TargetNotOwned = "PT-002", Inval, "An entry above L1 may name only frames of the domain that owns the table.";
    TargetTypeConflict = "PT-003", Inval, "An entry above L1 must name a frame that is, or can become, a table of the level below.";
    LinearWritable = "PT-004", Inval, "A same-level (linear) entry must be read-only.";
    LinearTarget = "PT-005", Inval, "A linear entry must name a validated table of its own level and owner.";
    LinearDepth = "PT-006", Inval, "A table may hold linear entries or be the target of them, not both.";
    HypervisorSlot = "PT-007", Inval, "L4 slots 256 to 271 belong to the hypervisor.";
    ForeignUpperEntry = "PT-008", Inval, "Entries above L1 can be changed only with the table's owner as owner of the frames named.";
    L1tf = "PT-009", Inval, "A not-present entry must hold address 0 or one above all cacheable memory, and no page-size bit above L1.";
    AddressTooWide = "PT-010", Perm, "The entry names an address that the CPU cannot have.";
    L1TargetOwner = "PT-011", Busy, "An L1 entry may name frames of the page owner given in the request only.";
    L1TargetNotWritable = "PT-012", Busy, "A writable mapping needs a frame that is not in use as a table or descriptor page.";
    SpecialCaching = "PT-013", Access, "Frames shared by the hypervisor can be mapped write-back only.";
    IoNotPermitted = "PT-014", Perm, "The domain has no permission for that I/O frame.";
    IoInvalidFrame = "PT-015", Inval, "The entry names the invalid frame number.";
    DyingDomain = "PT-016", Inval, "A dying domain gets no new mappings.";
    // Requests
    TableNotWritable = "MU-001", Inval, "The word to be updated must lie in a validated table or in a frame that is free to be written.";
    UnknownCommand = "MU-002", NoSys, "The low bits of the address name no update command.";
    MachphysForeignTables = "MU-003", Perm, "A machine-to-physical update cannot name foreign page tables.";
    Misaligned = "MU-004", Inval, "The address must be aligned to the size of the entry.";
    AddressOutOfRange = "VA-001", Inval, "The linear address must be canonical and outside the hypervisor's range.";
    NoL1Table = "VA-002", Inval, "No L1 table of the domain covers the linear address.";
    EmulateMisaligned = "EM-001", Inval, "A store to a page table must be naturally aligned, at most 8 bytes, and inside the page that faulted.";
    // Pinning and roots
    AlreadyPinned = "PN-001", Inval, "A table can be pinned once.";
    NotPinned = "PN-002", Inval, "Only a pinned table can be unpinned.";
    RootType = "RT-001", Inval, "A base pointer must name a frame that is, or can become, an L4 table of the domain.";
    // Descriptors
    BadDescriptor = "SD-001", Inval, "The descriptor is of a kind that a guest may not have.";
    DescriptorFrame = "SD-002", Inval, "The descriptor's frame must be a descriptor page or free to be written.";
    // Reservation
    OrderTooLarge = "RS-001", Perm, "The extent is larger than this domain may ask for.";
    ReservationFull = "RS-002", NoMem, "The domain may own no more frames.";
    OutOfMemory = "RS-003", NoMem, "No free block of that size lies below the address limit.";
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
