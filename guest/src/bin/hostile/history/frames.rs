//! Frames behind other owners: those of the system's (XSA-232), those of another domain, acquired (XSA-276, 334) or
//! pinned with what must not be in a table (XSA-273), and those given to who does not take them.

use core::fmt;

use xenocryst_guest::abi::domctl::op as domctl;
use xenocryst_guest::abi::grant_table::{self, CacheFlush, Transfer, cache_flag};
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::memory_op::{AcquireResource, MachphysMfnList, op, resource};
use xenocryst_guest::abi::{DomId, Vaddr};
use xenocryst_guest::access;
use xenocryst_guest::domain::{Domain, pfn_of};
use xenocryst_guest::mmu;

use super::lists::{take, update_m2p};
use super::other::{self, OTHER, control};
use super::{LIST, SPARE, call, call_with, spare};
use crate::tell::tell;

const SECTION: &str = "frames";
/// Everything of this file.
pub fn all(domain: &Domain) {
    xsa_232_caches(domain);
    xsa_334_resources();
    xsa_276_acquired(domain);
    refused_gifts(domain);
}

/// Caches of frames that no domain with grants owns (I62), and of this domain's.
fn xsa_232_caches(domain: &Domain) {
    let mut pieces = [0_u64; 1];
    let mut request = MachphysMfnList {
        max_extents: 1,
        pad0: 0,
        extent_start: Vaddr::new(pieces.as_mut_ptr() as u64),
        nr_extents: 0,
        pad1: 0,
    };
    call_with(
        number::MEMORY_OP,
        u64::from(op::MACHPHYS_MFN_LIST),
        &mut request,
    );
    let places = [
        (0, "first frame"),
        (0xb8, "display"),
        (pieces[0], "m2p"),
        (0xf_ee00, "interrupt controller"),
        (0xff_ffff_ffff, "beyond memory"),
        (spare(domain, 0).raw(), "own frame"),
    ];
    for (frame, name) in places {
        for (what, verb) in [(cache_flag::CLEAN, "clean"), (cache_flag::INVAL, "forget")] {
            let request = CacheFlush {
                dev_bus_addr: frame << 12,
                offset: 0,
                length: 64,
                op: what,
            };
            let arguments = [
                u64::from(grant_table::op::CACHE_FLUSH),
                &raw const request as u64,
                1,
                0,
                0,
            ];
            let answer = call(number::GRANT_TABLE_OP, arguments);
            tell(SECTION, format_args!("xsa_232 {verb} {name}"), answer);
        }
    }
}

/// Asks for frames of a resource.
pub fn acquire(who: DomId, kind: u16, id: u32, first: u64, count: u32) -> i64 {
    let mut request = AcquireResource {
        domid: who,
        kind,
        id,
        nr_frames: count,
        pad: 0,
        frame: first,
        frame_list: Vaddr::new(LIST.address(0)),
    };
    call_with(
        number::MEMORY_OP,
        u64::from(op::ACQUIRE_RESOURCE),
        &mut request,
    )
}

/// Resources that this domain cannot acquire (I73).
fn xsa_334_resources() {
    for (who, name) in [
        (DomId::SELF, "itself"),
        (DomId(0), "dom0"),
        (DomId(99), "nobody"),
    ] {
        tell_acquired(format_args!("of {name}"), acquire(who, 1, 0, 0, 1));
    }
}

fn tell_acquired(what: fmt::Arguments<'_>, answer: i64) {
    tell(SECTION, format_args!("xsa_334 acquire {what}"), answer);
}

/// A frame acquired of another domain stays while it is mapped, also when that domain is destroyed (I73).
fn xsa_276_acquired(domain: &Domain) {
    tell(SECTION, format_args!("another domain"), other::make(4));
    for (kind, id, first, count, name) in [
        (resource::GRANT_TABLE, 0, 0, 0, "no frame"),
        (resource::GRANT_TABLE, 2, 0, 1, "no such table"),
        (resource::IOREQ_SERVER, 0, 0, 1, "a server"),
        (resource::VMTRACE_BUF, 0, 0, 1, "a trace"),
        (9, 0, 0, 1, "something else"),
        (resource::GRANT_TABLE, 0, u64::MAX, 2, "a sum that wraps"),
        (resource::GRANT_TABLE, 0, 1 << 32, 1, "more than 32 bits"),
        (resource::GRANT_TABLE, 0, 0xffff_ffff, 1, "the last number"),
        (resource::GRANT_TABLE, 0, 4, 1, "one too many"),
        (resource::GRANT_TABLE, 0, 3, 2, "two where one is"),
        (resource::GRANT_TABLE, 1, 0, 1, "status words"),
        (resource::GRANT_TABLE, 0, 0, 1, "the table"),
    ] {
        tell_acquired(
            format_args!("{name}"),
            acquire(OTHER, kind, id, first, count),
        );
    }
    let frame = access::read_u64(LIST.address(0)).unwrap_or(0);
    let map = |owner: DomId| {
        let address = SPARE.address(0);
        let arguments = [address, frame << 12 | 0x67, 2, u64::from(owner.0), 0];
        call(number::UPDATE_VA_MAPPING_OTHERDOMAIN, arguments)
    };
    tell(
        SECTION,
        format_args!("xsa_276 mapped as one's own"),
        map(DomId::SELF),
    );
    tell(SECTION, format_args!("xsa_276 mapped"), map(OTHER));
    // SAFETY: the page is reached by address only.
    let written = unsafe { access::write_u64(SPARE.address(0) + 4088, 0x1234) };
    tell(SECTION, format_args!("xsa_276 written"), written.is_ok());
    // SAFETY: a frame of another domain's.
    let pinned = unsafe { mmu::extended(0, frame, 0) };
    tell(SECTION, format_args!("xsa_276 pinned as a table"), pinned);
    tell(
        SECTION,
        format_args!("xsa_276 destroyed"),
        control(domctl::DESTROYDOMAIN, [0; 16]),
    );
    let read = access::read_u64(SPARE.address(0) + 4088);
    tell(
        SECTION,
        format_args!("xsa_276 read then"),
        format_args!("{read:x?}"),
    );
    tell_acquired(format_args!("of the dead"), acquire(OTHER, 1, 0, 0, 1));
    tell(
        SECTION,
        format_args!("xsa_276 own page again"),
        super::map_spare(domain, 0, true),
    );
    tell(SECTION, format_args!("xsa_276 gone"), other::is_gone());
}

/// Frames that are transferred to who does not take them: the answer, and that to naming them in the M2P afterwards, which only
/// their owner may.
fn refused_gifts(domain: &Domain) {
    const UNUSED: u32 = 8;
    let pfn = pfn_of(SPARE.address(0));
    super::unmap_spare(0);
    for (who, reference, name) in [
        (DomId(99), UNUSED, "nobody"),
        (DomId::SELF, UNUSED, "itself"),
        (DomId(0), UNUSED, "who accepts none"),
        (DomId(0), u32::MAX, "an entry that is none"),
    ] {
        let mut request = Transfer {
            mfn: spare(domain, 0),
            domid: who,
            pad0: 0,
            gref: reference,
            status: 99,
            pad1: [0; 3],
        };
        let operation = u64::from(grant_table::op::TRANSFER);
        let arguments = [operation, &raw mut request as u64, 1, 0, 0];
        let answer = call(number::GRANT_TABLE_OP, arguments);
        let named = update_m2p(request.mfn.raw(), pfn);
        let what = format_args!("transfer to {name}");
        tell(
            SECTION,
            what,
            format_args!("{answer} status {} named {named}", request.status),
        );
        if named != 0 {
            take(domain, pfn, op::POPULATE_PHYSMAP, 0);
        }
    }
    let mapped = super::map_spare(domain, 0, true);
    tell(SECTION, format_args!("transfer page mapped again"), mapped);
}
