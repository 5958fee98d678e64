//! What is fixed when the engine is made: the hypervisor's part of every address space, and address limits.

use xenocryst_abi::{Maddr, layout};

/// The L4 slots that belong to the hypervisor: guests may neither read useful things from nor write these entries.
pub const HYPERVISOR_SLOTS: core::ops::Range<usize> =
    layout::HYPERVISOR_L4_FIRST..layout::HYPERVISOR_L4_LAST + 1;

/// The L4 slot inside [`HYPERVISOR_SLOTS`], the first, through which guests see the M2P.
pub(crate) const M2P_SLOT: usize = HYPERVISOR_SLOTS.start;

/// The L4 slot inside [`HYPERVISOR_SLOTS`] whose entry comes from the domain (`DomainMemory::per_domain_l4e`).
pub const PER_DOMAIN_SLOT: usize = 260;

/// Fixed facts about the machine and the hypervisor's address space.
#[derive(Clone, Debug)]
pub struct Config {
    /// The entries for L4 slots 256 to 271, as every guest's L4 must hold them. That of slot 260 is ignored; that of
    /// slot 256, the M2P's, is in those roots that show it.
    pub hypervisor_l4: [u64; 16],
    /// Not-present entries may name no address below this except 0 (L1TF); a multiple of 4096.
    pub l1tf_safe: Maddr,
    /// The CPU's physical address width in bits (36 to 52): entries naming a frame beyond it are refused.
    pub physical_bits: u32,
    /// Largest order a control domain may ask for in one extent (Xen: 18).
    pub max_order_control: u8,
    /// Largest order an ordinary domain may ask for in one extent (Xen: 9).
    pub max_order_guest: u8,
}

/// An upper limit on machine addresses, as `XENMEMF_address_bits` gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddressLimit {
    bits: u8,
}

impl AddressLimit {
    /// No limit.
    pub const NONE: Self = Self { bits: 0 };

    /// Frames must lie wholly below 2^`bits` bytes. 0, and 64 and above, mean no limit.
    pub const fn bits(bits: u8) -> Self {
        Self {
            bits: if bits >= 64 { 0 } else { bits },
        }
    }

    /// The first frame number that is too high.
    pub const fn end_mfn(self) -> u64 {
        match self.bits {
            0 => u64::MAX,
            b if b <= 12 => 0,
            b => 1 << (b - 12),
        }
    }
}
