//! The hypervisor's range as a guest sees it.

use xenocryst_guest::abi::layout;
use xenocryst_guest::abi::trap::page_fault;
use xenocryst_guest::access;
use xenocryst_guest::trap::Fault;

use super::{Ended, Script};

impl Script<'_, '_> {
    /// Reads and writes in the hypervisor's range and at addresses that are none.
    pub(super) fn read_only_windows(&mut self) {
        for (address, name) in [
            (layout::MACH2PHYS_VIRT_START, "m2p begin"),
            (layout::MACH2PHYS_VIRT_END - 8, "m2p end"),
            (layout::MACH2PHYS_VIRT_START + (1 << 30), "m2p hole"),
            (0xffff_8100_0000_0000, "slot 258"),
            (0xffff_8180_0000_0000, "slot 259"),
            (0xffff_8200_0000_0000, "slot 260"),
            (0xffff_82d0_8020_0000, "image"),
            (0xffff_8300_0000_0000, "direct map"),
            (0xffff_87ff_ffff_f000, "range end"),
            (0xffff_8800_0000_0000, "above"),
            (0x0000_8000_0000_0000, "non-canonical"),
            (0xffff_7fff_ffff_fff8, "non-canonical end"),
            (0x10_0000, "nothing"),
        ] {
            let read = own_business(address, access::read_u64(address).map(drop));
            self.tell(format_args!("read {name}"), Ended(read));
            // SAFETY: nothing of ours is there.
            let written = own_business(address, unsafe { access::write_u64(address, 0) });
            self.tell(format_args!("write {name}"), Ended(written));
        }
    }
}

/// What the hypervisor has mapped behind the M2P is its own business: so is the bit that says that something is there.
fn own_business(address: u64, ended: Result<(), Fault>) -> Result<(), Fault> {
    let behind = layout::MACH2PHYS_VIRT_END..layout::HYPERVISOR_VIRT_END;
    ended.map_err(|mut fault| {
        if behind.contains(&address) {
            fault.error &= !u64::from(page_fault::PRESENT);
        }
        fault
    })
}
