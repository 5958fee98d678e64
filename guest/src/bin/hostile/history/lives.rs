//! Domains that are made and destroyed, in every state of being made (XSA-149, 151, 163, 253): nothing of them is left. And one
//! that is held responsible for what is in its tables, whoever asks for them to be used (XSA-273).

use xenocryst_guest::abi::domctl::{GetDomainInfo, MaxMem, MaxVcpus, info_flag, op as domctl};
use xenocryst_guest::abi::event_channel::{self, AllocUnbound};
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::memory_op::{MemoryReservation, op};
use xenocryst_guest::abi::mmu::{MmuextOp, mmuext};
use xenocryst_guest::abi::sysctl::{self, Sysctl};
use xenocryst_guest::abi::{DomId, Vaddr};
use xenocryst_guest::access;
use xenocryst_guest::domain::Domain;

use super::other::{self, OTHER, control, data};
use super::{SPARE, call, call_with, map_spare};
use crate::tell::tell;

const SECTION: &str = "lives";
/// Lives after which nothing more must be in use than after one.
const LIVES: u32 = 100;
/// Index of the free pages among the words of the host's description.
const FREE_PAGES: usize = 6;

/// Lives and deaths (I48).
pub fn all() {
    let first = [0, 1, 2, 3].map(life);
    tell(
        SECTION,
        format_args!("xsa_149 first lives"),
        format_args!("{first:?}"),
    );
    let before = free_pages();
    let went_on = (0..LIVES).all(|n| first.get(n as usize % 4) == Some(&life(n % 4)));
    // Xen gives some of a dead domain's frames back only when its CPUs have nothing else to do for a moment.
    let nothing_left = (0..other::LOOKS).any(|_| free_pages() >= before);
    tell(
        SECTION,
        format_args!("xsa_149 {LIVES} lives"),
        format_args!("like the first {went_on}, nothing left {nothing_left}"),
    );
}

/// Makes the domain as far as `steps`, and destroys it: the answers, and whether it is gone.
fn life(steps: u32) -> ([i64; 5], bool) {
    let mut answers = [other::make(4), 0, 0, 0, 0];
    if steps > 0 {
        answers[1] = control(domctl::MAX_VCPUS, data(MaxVcpus { max: 1 }));
    }
    if steps > 1 {
        answers[2] = i64::from(populate() != 0);
        let mut request = AllocUnbound {
            dom: OTHER,
            remote_dom: DomId::SELF,
            port: 0,
        };
        answers[3] = call_with(
            number::EVENT_CHANNEL_OP,
            u64::from(event_channel::op::ALLOC_UNBOUND),
            &mut request,
        );
    }
    if steps > 2 {
        // A grant table that it never saw.
        answers[4] = super::frames::acquire(OTHER, 1, 0, 0, 2);
    }
    control(domctl::DESTROYDOMAIN, [0; 16]);
    (answers, other::is_gone())
}

/// Gives the domain a page; its frame, 0 for none.
fn populate() -> u64 {
    control(domctl::MAX_MEM, data(MaxMem { max_memkb: 64 }));
    let mut frame = 0_u64;
    let mut request = MemoryReservation {
        extent_start: Vaddr::new(&raw mut frame as u64),
        nr_extents: 1,
        extent_order: 0,
        mem_flags: 0,
        domid: OTHER,
        pad: [0; 3],
    };
    let done = call_with(
        number::MEMORY_OP,
        u64::from(op::POPULATE_PHYSMAP),
        &mut request,
    );
    if done == 1 { frame } else { 0 }
}

/// The machine's free pages.
fn free_pages() -> u64 {
    let mut request = Sysctl {
        cmd: sysctl::op::PHYSINFO,
        interface_version: sysctl::INTERFACE_VERSION,
        data: [0; 16],
    };
    call(number::SYSCTL, [&raw mut request as u64, 0, 0, 0, 0]);
    request.data.get(FREE_PAGES).copied().unwrap_or(0)
}

/// Pins a table of the domain with an entry in it that a CPU must never walk: who is crashed. (Xen does so on CPUs that are
/// affected only, and has another way out where it was built with it, so this is no part of the comparison.)
pub fn at_fault(domain: &Domain) {
    other::make(4);
    control(domctl::MAX_VCPUS, data(MaxVcpus { max: 1 }));
    let frame = populate();
    let arguments = [
        SPARE.address(0),
        frame << 12 | 0x67,
        2,
        u64::from(OTHER.0),
        0,
    ];
    let mapped = call(number::UPDATE_VA_MAPPING_OTHERDOMAIN, arguments);
    tell(SECTION, format_args!("its table mapped"), mapped);
    // SAFETY: the page is reached by address only.
    let written = unsafe { access::write_u64(SPARE.address(0) + 24, 0x1000) };
    tell(
        SECTION,
        format_args!("an entry that is not present, but an address"),
        written.is_ok(),
    );
    map_spare(domain, 0, true);
    let operation = MmuextOp {
        cmd: mmuext::PIN_L1_TABLE,
        pad: 0,
        arg1: frame,
        arg2: 0,
    };
    let arguments = [&raw const operation as u64, 1, 0, u64::from(OTHER.0), 0];
    let pinned = call(number::MMUEXT_OP, arguments);
    tell(
        SECTION,
        format_args!("xsa_273 pinned by the control domain"),
        pinned == 0,
    );
    let flags = (info()[0] >> 32) as u32;
    tell(
        SECTION,
        format_args!("xsa_273 the table's owner"),
        format_args!(
            "shut down {}, reason {}",
            flags & info_flag::SHUTDOWN != 0,
            (flags >> info_flag::SHUTDOWN_SHIFT) & info_flag::SHUTDOWN_MASK,
        ),
    );
    control(domctl::DESTROYDOMAIN, [0; 16]);
    tell(SECTION, format_args!("xsa_273 gone"), other::is_gone());
}

/// What the tools are told of the domain, in words.
fn info() -> [u64; 16] {
    const { assert!(size_of::<GetDomainInfo>() <= 128) };
    let mut request = other::request(domctl::GETDOMAININFO, [0; 16]);
    call(number::DOMCTL, [&raw mut request as u64, 0, 0, 0, 0]);
    request.data
}
