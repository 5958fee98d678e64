//! The x86-64 page-table entry, the same at all four levels (`public/xen.h`, `mmu_update`; Intel SDM vol. 3, 4.5).
//!
//! No judgement here: which flags are allowed where is the engine's business.

use crate::address::{Maddr, Mfn, PAGE_SHIFT, PAGE_SIZE};

/// Entries in a page table.
pub const TABLE_ENTRIES: usize = 512;
/// Levels of page table; the root is level 4.
pub const LEVELS: u8 = 4;
/// The bits of an entry that hold the frame's address: 51:12.
pub const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;
/// Bytes mapped by an L2 entry with [`PteFlags::PSE`]: 2 MiB.
pub const SUPERPAGE_SIZE: u64 = PAGE_SIZE * TABLE_ENTRIES as u64;

bitflags::bitflags! {
    /// Everything in an entry but the frame: bits 11:0 and 63:52.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct PteFlags: u64 {
        /// The entry is present.
        const PRESENT = 1 << 0;
        /// Writes are allowed.
        const RW = 1 << 1;
        /// User mode (and so any PV guest) may use it.
        const USER = 1 << 2;
        /// Write-through; PAT index bit 0.
        const PWT = 1 << 3;
        /// Cache disable; PAT index bit 1.
        const PCD = 1 << 4;
        /// Was used; set by the CPU.
        const ACCESSED = 1 << 5;
        /// Was written through; set by the CPU (L1 and superpages).
        const DIRTY = 1 << 6;
        /// L2, L3: maps a superpage instead of naming a table.
        const PSE = 1 << 7;
        /// L1: PAT index bit 2. The same bit as [`PteFlags::PSE`].
        const PAT = 1 << 7;
        /// Kept in the TLB across a change of CR3 (L1 and superpages).
        const GLOBAL = 1 << 8;
        /// Software bit 0.
        const AVAIL0 = 1 << 9;
        /// Software bit 1.
        const AVAIL1 = 1 << 10;
        /// Software bit 2.
        const AVAIL2 = 1 << 11;
        /// All software bits of the low word, 11:9.
        const AVAIL = 7 << 9;
        /// Bit 52, the hypervisor's mark: the guest's kernel, and not its user, asked for this mapping.
        const GUEST_KERNEL = 1 << 52;
        /// Software bits 58:52.
        const AVAIL_HIGH = 0x7f << 52;
        /// Protection key, 62:59; software bits where the CPU has none.
        const PKEY = 0xf << 59;
        /// Not executable.
        const NX = 1 << 63;
        const _ = !ADDRESS_MASK;
    }
}

/// A page-table entry, of any level.
#[repr(transparent)]
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub struct Pte(u64);

impl Pte {
    /// The entry that maps nothing.
    pub const EMPTY: Self = Self(0);

    /// Wraps the 64 bits as they lie in the table. Total.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// An entry that names `mfn` with `flags`. Bits of `mfn` above 39 (address bits above 51) are dropped.
    pub const fn new(mfn: Mfn, flags: PteFlags) -> Self {
        Self(((mfn.raw() << PAGE_SHIFT) & ADDRESS_MASK) | flags.bits())
    }

    /// The 64 bits.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The frame named: address bits 51:12. For a superpage bit 12 is its PAT bit.
    pub const fn mfn(self) -> Mfn {
        Mfn::new((self.0 & ADDRESS_MASK) >> PAGE_SHIFT)
    }

    /// The address of the frame named.
    pub const fn maddr(self) -> Maddr {
        Maddr::new(self.0 & ADDRESS_MASK)
    }

    /// Everything but the frame.
    pub const fn flags(self) -> PteFlags {
        PteFlags::from_bits_retain(self.0 & !ADDRESS_MASK)
    }

    /// Whether bit 0 is set.
    pub const fn is_present(self) -> bool {
        self.0 & PteFlags::PRESENT.bits() != 0
    }

    /// The same frame with other flags.
    pub const fn with_flags(self, flags: PteFlags) -> Self {
        Self((self.0 & ADDRESS_MASK) | flags.bits())
    }
}

impl core::fmt::Debug for Pte {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pte({:#018x})", self.0)
    }
}

impl core::fmt::Display for Pte {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
