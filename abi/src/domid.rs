//! Domain numbers (`public/xen.h`, `domid_t` and the `DOMID_*` constants).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A domain number. Values from [`DomId::FIRST_RESERVED`] up name no ordinary domain.
#[repr(transparent)]
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct DomId(pub u16);

impl DomId {
    /// The control domain.
    pub const DOM0: Self = Self(0);
    /// First number that cannot be an ordinary domain.
    pub const FIRST_RESERVED: Self = Self(0x7ff0);
    /// The calling domain itself.
    pub const SELF: Self = Self(0x7ff0);
    /// Owner of I/O frames; in `mmu_update` an alias for "whoever owns this I/O frame".
    pub const IO: Self = Self(0x7ff1);
    /// Owner of frames that the hypervisor shares with privileged guests.
    pub const XEN: Self = Self(0x7ff2);
    /// Owner of copy-on-write frames.
    pub const COW: Self = Self(0x7ff3);
    /// No domain.
    pub const INVALID: Self = Self(0x7ff4);
    /// The idle domain.
    pub const IDLE: Self = Self(0x7fff);
}

impl core::fmt::Display for DomId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "d{}", self.0)
    }
}
