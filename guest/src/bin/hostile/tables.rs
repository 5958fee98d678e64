//! Making tables of this kernel's pages, and putting them into the address space that it runs in.

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::MmuUpdate;
use xenocryst_guest::abi::{DomId, Mfn, PAGE_SIZE, Pte};
use xenocryst_guest::domain::{Domain, pfn_of};
use xenocryst_guest::{hypercall, mmu};

/// Flags of an entry that names a table: present, writable, user, accessed, dirty.
pub const TABLE: u64 = 0x67;
/// Flags of an entry that maps a page, writable.
pub const WRITABLE: u64 = 0x67;
/// Flags of one that maps it read-only.
const READ_ONLY: u64 = 0x65;

/// Makes the page at `address`, where the loader mapped it, read-only, as a table must be.
pub fn protect(domain: &Domain, address: u64) -> bool {
    let frame = domain.mfn(pfn_of(address)).maddr().raw();
    // SAFETY: tables are reached by address only, and not written any more.
    unsafe { mmu::set_entry(address, Pte::from_raw(frame | READ_ONLY)) == 0 }
}

/// Writes an entry of a table.
pub fn write(table: Mfn, slot: usize, value: u64) -> bool {
    let update = MmuUpdate {
        ptr: table.raw() * PAGE_SIZE + 8 * slot as u64,
        val: value,
    };
    let arguments = [&raw const update as u64, 1, 0, u64::from(DomId::SELF.0), 0];
    // SAFETY: callers write entries that nothing of this kernel's own is behind.
    unsafe { hypercall::call(number::MMU_UPDATE, arguments) == 0 }
}
