//! Which of a domain's root tables show the M2P to the guest.
//!
//! A table that only user mode runs on does not: programs would learn which machine frames their kernel has. A domain's new
//! roots either lack the M2P, and get it when its kernel first runs on them; or, where the domain asks for strictness
//! (`VMASST_TYPE_m2p_strict`), have it from the start, and lose it when its user mode is to run on them.
//!
//! Keeps true: only the one slot changes, and only in a table that is validated and held.
//! Neighbours: `ptype::promote` (what a new root has), the hypervisor's `hypercall::mmuext_op` (who runs on what).

use core::sync::atomic::Ordering;

use crate::config::M2P_SLOT;
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::machine::MachineMemory;
use crate::pte::{ACCESSED, DIRTY};
use crate::ptype::entry_address;
use crate::refs::RootRef;

#[cfg(test)]
mod tests;

impl DomainMemory {
    /// Whether roots of this domain that are validated from now on show the M2P from the start (the default).
    pub fn set_m2p_in_new_roots(&self, shown: bool) {
        self.m2p_in_new_roots.store(shown, Ordering::Relaxed);
    }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// The M2P can be read in the address space of `root` from now on.
    pub fn show_m2p(&self, root: &RootRef) {
        /// Bits that the processor sets.
        const USED: u64 = ACCESSED | DIRTY;
        let wanted = self.config.hypervisor_l4[0];
        let at = entry_address(root.mfn(), M2P_SLOT);
        if (self.machine.read_u64(at) ^ wanted) & !USED != 0 {
            self.machine.write_u64(at, wanted);
        }
    }

    /// The M2P can no longer be read in the address space of `root`, by CPUs that load it from now on: the caller sees to it
    /// that none that has it loaded goes on in user mode.
    pub fn hide_m2p(&self, root: &RootRef) {
        let at = entry_address(root.mfn(), M2P_SLOT);
        if self.machine.read_u64(at) != 0 {
            self.machine.write_u64(at, 0);
        }
    }
}
