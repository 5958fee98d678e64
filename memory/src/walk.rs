//! Walking a domain's own tables, by machine address, from a root.
//!
//! Keeps true: invariant I25. Every table walked is validated, and the page-table lock keeps it so meanwhile; the
//! linear address is canonical and outside the hypervisor's range before the first step.

use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::frame::{FrameType, Level};
use crate::machine::MachineMemory;
use crate::pte;
use crate::ptype::entry_address;
use xenocryst_abi::{Maddr, Mfn, Vaddr, layout};

#[cfg(test)]
mod tests;

/// First byte of the hypervisor's linear range.
const HYPERVISOR_START: u64 = layout::HYPERVISOR_VIRT_START;
/// First byte after it.
const HYPERVISOR_END: u64 = layout::HYPERVISOR_VIRT_END;

/// Whether an address is canonical and outside the hypervisor's range: one that a guest's own tables translate.
#[inline]
pub(crate) fn is_guest_address(vaddr: Vaddr) -> bool {
    vaddr.is_canonical() && !(HYPERVISOR_START..HYPERVISOR_END).contains(&vaddr.raw())
}

impl<M: MachineMemory> Engine<'_, M> {
    /// The address of the L1 entry for `vaddr`, if an L1 table of `domain` covers it. The lock is held.
    ///
    /// `root` is an L4 table that the caller holds. Linear entries make the walk end at a table of another level
    /// than L1; there is then no L1 entry.
    #[inline]
    pub(crate) fn find_l1_entry(
        &self,
        domain: &DomainMemory,
        root: Mfn,
        vaddr: Vaddr,
    ) -> Option<Maddr> {
        if !is_guest_address(vaddr) {
            return None;
        }
        let root_frame = self.frame(root)?;
        if !root_frame.type_word().is_live(FrameType::Table(Level::L4)) {
            return None;
        }
        let mut table = root;
        for level in [4, 3, 2] {
            let entry = self
                .machine
                .read_u64(entry_address(table, vaddr.index(level)));
            if entry & (pte::PRESENT | pte::PAGE_SIZE_BIT) != pte::PRESENT {
                return None;
            }
            table = pte::target(entry);
        }
        let frame = self.frame(table)?;
        let is_own_l1 = frame.type_word().is_live(FrameType::Table(Level::L1))
            && frame.owner_word().belongs_to(domain.tag());
        is_own_l1.then(|| entry_address(table, vaddr.index(1)))
    }

    /// The L1 entry that maps `vaddr` in the address space under `root`, read through the domain's own tables:
    /// its machine address and value (which may be not present). `None` if no L1 table covers the address.
    pub fn read_l1_entry(
        &self,
        domain: &DomainMemory,
        root: Mfn,
        vaddr: Vaddr,
    ) -> Option<(Maddr, u64)> {
        let _session = self.session(domain);
        let at = self.find_l1_entry(domain, root, vaddr)?;
        Some((at, self.machine.read_u64(at)))
    }

    /// The machine address that guest-kernel address `vaddr` translates to under `root`, if mapped.
    pub fn translate(&self, domain: &DomainMemory, root: Mfn, vaddr: Vaddr) -> Option<Maddr> {
        let (_, entry) = self.read_l1_entry(domain, root, vaddr)?;
        let offset = vaddr.raw() & 0xfff;
        (entry & pte::PRESENT != 0).then(|| Maddr::new((entry & pte::ADDRESS) | offset))
    }
}
