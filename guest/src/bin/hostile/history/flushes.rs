//! Flushes: addresses that must not reach the hardware (XSA-279), and tables that the next request must go through (XSA-286).

use xenocryst_guest::abi::DomId;
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::{mmuext, uvmf};
use xenocryst_guest::domain::{Domain, VIRT_BASE};
use xenocryst_guest::{access, mmu};

use super::{FORBIDDEN, SPARE, ask, map_spare, spare, update};
use crate::tell::tell;

const SECTION: &str = "flushes";
/// A table entry: present, user, accessed, dirty.
const READ_ONLY: u64 = 0x65;
/// The same, writable.
const WRITABLE: u64 = 0x67;
/// Two MiB of this kernel's addresses where nothing is.
const EMPTY: u64 = VIRT_BASE + (96 << 20);

/// Everything of this file.
pub fn all(domain: &Domain) {
    xsa_279_addresses();
    xsa_286_lists(domain);
}

/// Flushes of addresses that are not the guest's (I38).
fn xsa_279_addresses() {
    let vcpus = 1_u64;
    let who = &raw const vcpus as u64;
    for (address, place) in FORBIDDEN {
        for (command, name) in [
            (mmuext::INVLPG_LOCAL, "local"),
            (mmuext::INVLPG_MULTI, "multi"),
            (mmuext::INVLPG_ALL, "all"),
        ] {
            // SAFETY: a flush changes nothing.
            let answer = unsafe { mmu::extended(command, address, who) };
            tell(SECTION, format_args!("invlpg {name} {place}"), answer);
        }
        // SAFETY: as above.
        let answer = unsafe { mmu::extended(mmuext::TLB_FLUSH_MULTI, 0, address) };
        if place != "m2p" {
            tell(SECTION, format_args!("vcpus at {place}"), answer);
        }
        for flags in [
            uvmf::INVLPG,
            uvmf::INVLPG | uvmf::ALL,
            uvmf::TLB_FLUSH | uvmf::ALL,
        ] {
            ask(
                SECTION,
                format_args!("mapping at {place}, flags {flags:x}"),
                number::UPDATE_VA_MAPPING,
                [address, 0, flags, 0, 0],
            );
        }
    }
}

/// A list whose first request puts another page in the list's place (I35): from which of the two the second comes.
fn xsa_286_lists(domain: &Domain) {
    let Some((slot, empty)) = mmu::entry(domain, EMPTY, 2) else {
        tell(SECTION, format_args!("a table for the list"), "none");
        return;
    };
    if empty.is_present() {
        tell(SECTION, format_args!("a table for the list"), "taken");
        return;
    }
    let [old, new, first, second] = [0, 1, 2, 3].map(|n| spare(domain, n).raw());
    SPARE.set(0, 0, first << 12 | WRITABLE);
    SPARE.set(1, 0, second << 12 | WRITABLE);
    for (table, name) in [(0, "old"), (1, "new")] {
        tell(
            SECTION,
            format_args!("{name} table read-only"),
            map_spare(domain, table, false),
        );
    }
    // What the second request writes tells where it was read.
    let target = new << 12;
    for (page, entry) in [(2, 5), (3, 6)] {
        SPARE.set(page, 0, slot.raw());
        SPARE.set(page, 1, new << 12 | WRITABLE);
        SPARE.set(page, 2, target + 8 * entry);
        SPARE.set(page, 3, first << 12 | READ_ONLY);
    }
    let own = u64::from(DomId::SELF.0);
    let link = || {
        let answer = update(slot.raw(), old << 12 | WRITABLE);
        // The translation is known from now on.
        (answer, access::read_u64(EMPTY).is_ok())
    };
    tell(
        SECTION,
        format_args!("old table linked"),
        format_args!("{:?}", link()),
    );
    ask(
        SECTION,
        format_args!("xsa_286 one batch"),
        number::MMU_UPDATE,
        [EMPTY, 2, 0, own, 0],
    );
    tell_origin(domain, "xsa_286 second request of the batch came from");
    tell(
        SECTION,
        format_args!("old table again"),
        format_args!("{:?}", link()),
    );
    let entry = |list: u64| [number::MMU_UPDATE, 0, list, 1, 0, own, 0, 0];
    let calls = [entry(EMPTY), entry(EMPTY + 16)];
    ask(
        SECTION,
        format_args!("xsa_286 two calls"),
        number::MULTICALL,
        [calls.as_ptr() as u64, 2, 0, 0, 0],
    );
    tell_origin(domain, "xsa_286 second call's request came from");
    tell(
        SECTION,
        format_args!("unlinked"),
        update(slot.raw(), empty.raw()),
    );
    // SAFETY: nothing is mapped there any more.
    unsafe { mmu::extended(mmuext::TLB_FLUSH_ALL, 0, 0) };
    for table in [0, 1] {
        tell(
            SECTION,
            format_args!("table {table} writable again"),
            map_spare(domain, table, true),
        );
    }
}

/// Tells which entry of the new table was written, and clears both.
fn tell_origin(domain: &Domain, what: &str) {
    let written = [5, 6].map(|entry| access::read_u64(SPARE.address(1) + 8 * entry) != Ok(0));
    let origin = match written {
        [true, false] => "the old page",
        [false, true] => "the new page",
        [false, false] => "nowhere",
        [true, true] => "both pages",
    };
    tell(SECTION, format_args!("{what}"), origin);
    for entry in [5, 6] {
        update((spare(domain, 1).raw() << 12) | (8 * entry), 0);
    }
}
