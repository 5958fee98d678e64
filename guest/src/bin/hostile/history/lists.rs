//! Lists of frames: where they are, how far they are done, what their flags ask for (XSA-14, 29, 159, 212, 231).

use core::fmt;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::memory_op::{
    AddToPhysmap, CMD_SHIFT, MemoryExchange, MemoryReservation, PodTarget, RemoveFromPhysmap, flag,
    op, space,
};
use xenocryst_guest::abi::{DomId, Gfn, Mfn, Pfn, Vaddr};
use xenocryst_guest::domain::{Domain, pfn_of};

use super::{FORBIDDEN, LIST, SPARE, ask, call_with, map_spare, spare, unmap_spare};
use crate::tell::tell;

const SECTION: &str = "lists";
/// A frame that no machine has.
const NO_FRAME: u64 = 0xff_ffff_ffff;

/// Everything of this file.
pub fn all(domain: &Domain) {
    xsa_29_and_212_places(domain);
    xsa_159_progress(domain);
    xsa_231_nodes(domain);
    translated_only(domain);
}

/// Part of a request: `count` extents of one page.
fn reservation(list: u64, count: u64, flags: u32) -> MemoryReservation {
    MemoryReservation {
        extent_start: Vaddr::new(list),
        nr_extents: count,
        extent_order: 0,
        mem_flags: flags,
        domid: DomId::SELF,
        pad: [0; 3],
    }
}

/// Exchanges `count` pages; the answer, and how many it says are done.
fn exchange(input: u64, output: u64, count: u64, done: u64) -> (i64, u64) {
    let mut request = MemoryExchange {
        input: reservation(input, count, 0),
        output: reservation(output, count, 0),
        nr_exchanged: done,
    };
    let answer = call_with(number::MEMORY_OP, u64::from(op::EXCHANGE), &mut request);
    (answer, request.nr_exchanged)
}

/// Puts the frames of pages 0 to 2 of [`SPARE`] in the first half of the list, and their numbers in the second.
fn fill_list(domain: &Domain) {
    for n in 0..3 {
        LIST.set(0, n, spare(domain, n).raw());
        LIST.set(0, 256 + n, pfn_of(SPARE.address(n)).raw());
    }
}

/// Tells whether each of pages 0 to 2 is still this domain's, and maps it again.
fn tell_pages(domain: &Domain, what: fmt::Arguments<'_>) {
    let mapped = [0, 1, 2].map(|n| map_spare(domain, n, true));
    tell(
        SECTION,
        format_args!("{what}, pages mapped again"),
        format_args!("{mapped:?}"),
    );
}

/// Lists in whole or in part where they cannot be (I65): nothing is exchanged.
fn xsa_29_and_212_places(domain: &Domain) {
    let sound = LIST.address(0);
    let half = sound + 8 * 256;
    for (address, place) in FORBIDDEN {
        for (input, output, name) in [(address, half, "input"), (sound, address, "output")] {
            fill_list(domain);
            unmap_spare(0);
            let answer = exchange(input, output, 1, 0);
            tell(
                SECTION,
                format_args!("xsa_29 {name} at {place}"),
                format_args!("{answer:?}"),
            );
            tell_pages(domain, format_args!("xsa_29 {name} at {place}"));
        }
    }
    // Far into a list that begins before the start of memory, so that what is left of it is the hypervisor's.
    let done = (1_u64 << 60) - 16;
    for (address, place) in FORBIDDEN {
        let begin = address.wrapping_sub(8 * done);
        for (input, output, name) in [(begin, half, "input"), (sound, begin, "output")] {
            let answer = exchange(input, output, done + 1, done);
            tell(
                SECTION,
                format_args!("xsa_212 {name} at {place}"),
                format_args!("{}", answer.0),
            );
        }
    }
    for (count, done) in [(1, 2), (0, 1), (3, u64::MAX), (1 << 63, 1)] {
        let answer = exchange(sound, half, count, done);
        tell(
            SECTION,
            format_args!("xsa_212 {done:x} of {count:x} done"),
            format_args!("{answer:?}"),
        );
    }
    tell_pages(domain, format_args!("xsa_212"));
}

/// The third of three pages cannot be had (I68): two are told exchanged, and two are.
fn xsa_159_progress(domain: &Domain) {
    fill_list(domain);
    LIST.set(0, 2, NO_FRAME);
    let old = [0, 1, 2].map(|n| spare(domain, n));
    (0..3).for_each(|n| {
        unmap_spare(n);
    });
    let answer = exchange(LIST.address(0), LIST.address(0) + 8 * 256, 3, 0);
    tell(
        SECTION,
        format_args!("xsa_159 exchange of two and a half"),
        format_args!("{answer:?}"),
    );
    for (n, before) in old.into_iter().enumerate() {
        let word = LIST.address(0) + 8 * (256 + n as u64);
        let listed = xenocryst_guest::access::read_u64(word).unwrap_or(0);
        let pfn = pfn_of(SPARE.address(n));
        let fresh = listed != pfn.raw();
        if fresh {
            domain.set_mfn(pfn, Mfn::new(listed));
        }
        tell(
            SECTION,
            format_args!("xsa_159 page {n}"),
            format_args!(
                "new {fresh}, same frame {}, M2P right {}",
                spare(domain, n) == before,
                Domain::m2p(spare(domain, n)) == Some(pfn),
            ),
        );
    }
    tell_pages(domain, format_args!("xsa_159"));
}

/// Pages on nodes that there are not, and on demand (I67): asked for with every number, by each of the two ways to get one.
fn xsa_231_nodes(domain: &Domain) {
    let pfn = pfn_of(SPARE.address(0));
    unmap_spare(0);
    for (kind, kind_name) in [
        (op::POPULATE_PHYSMAP, "populate"),
        (op::INCREASE_RESERVATION, "increase"),
    ] {
        for (bits, name) in [
            (0, "hint"),
            (flag::EXACT_NODE_REQUEST, "exact"),
            (flag::VNODE, "virtual"),
            (flag::VNODE | flag::EXACT_NODE_REQUEST, "exact virtual"),
            (flag::POPULATE_ON_DEMAND, "on demand"),
        ] {
            // How many numbers were served, and the first and the last of them.
            let (mut served, mut first, mut last) = (0, None, None);
            for node in 0..256_u32 {
                if !release(domain, pfn) {
                    break;
                }
                if take(domain, pfn, kind, node << 8 | bits) {
                    served += 1;
                    first = first.or(Some(node));
                    last = Some(node);
                } else {
                    take(domain, pfn, op::POPULATE_PHYSMAP, 0);
                }
            }
            tell(
                SECTION,
                format_args!("xsa_231 {kind_name} {name}"),
                format_args!("{served} served, first {first:?}, last {last:?}"),
            );
        }
    }
    tell(
        SECTION,
        format_args!("xsa_231 page mapped again"),
        map_spare(domain, 0, true),
    );
}

/// Gives the frame of `pfn` back.
fn release(domain: &Domain, pfn: Pfn) -> bool {
    let frame = domain.mfn(pfn).raw();
    let mut request = reservation(&raw const frame as u64, 1, 0);
    call_with(
        number::MEMORY_OP,
        u64::from(op::DECREASE_RESERVATION),
        &mut request,
    ) == 1
}

/// Gets a frame for `pfn`; whether there was one.
pub fn take(domain: &Domain, pfn: Pfn, kind: u32, flags: u32) -> bool {
    let mut frame = pfn.raw();
    let mut request = reservation(&raw mut frame as u64, 1, flags);
    let done = call_with(number::MEMORY_OP, u64::from(kind), &mut request) == 1;
    if done {
        domain.set_mfn(pfn, Mfn::new(frame));
        // What was increased has no number yet.
        update_m2p(frame, pfn);
    }
    done
}

/// Tells the M2P that `frame` is `pfn`.
pub fn update_m2p(frame: u64, pfn: Pfn) -> i64 {
    super::update(
        frame << 12 | xenocryst_guest::abi::mmu::command::MACHPHYS_UPDATE,
        pfn.raw(),
    )
}

/// What only domains with translated memory may have done to them (I69): refused, and every page stays where it was.
fn translated_only(domain: &Domain) {
    let [from, to] = [0, 1].map(|n| Gfn::new(pfn_of(SPARE.address(n)).raw()));
    let before = [0, 1].map(|n| spare(domain, n));
    for (kind, name) in [
        (space::SHARED_INFO, "shared info"),
        (space::GRANT_TABLE, "grant table"),
        (space::GMFN, "own page"),
        (space::GMFN_RANGE, "own pages"),
        (space::GMFN_FOREIGN, "another's page"),
        (space::DEV_MMIO, "device"),
    ] {
        let mut request = AddToPhysmap {
            domid: DomId::SELF,
            size: 1,
            space: kind,
            idx: from.raw(),
            gpfn: to,
        };
        let answer = call_with(
            number::MEMORY_OP,
            u64::from(op::ADD_TO_PHYSMAP),
            &mut request,
        );
        tell(SECTION, format_args!("add to physmap, {name}"), answer);
    }
    let mut request = RemoveFromPhysmap {
        domid: DomId::SELF,
        pad: [0; 3],
        gpfn: from,
    };
    let answer = call_with(
        number::MEMORY_OP,
        u64::from(op::REMOVE_FROM_PHYSMAP),
        &mut request,
    );
    tell(SECTION, format_args!("remove from physmap"), answer);
    for (who, name) in [
        (DomId::SELF, "itself"),
        (DomId(0), "dom0"),
        (DomId(99), "nobody"),
    ] {
        let mut target = PodTarget {
            target_pages: 1,
            tot_pages: 0,
            pod_cache_pages: 0,
            pod_entries: 0,
            domid: who,
            pad: [0; 3],
        };
        for (operation, verb) in [(op::SET_POD_TARGET, "set"), (op::GET_POD_TARGET, "get")] {
            let answer = call_with(number::MEMORY_OP, u64::from(operation), &mut target);
            tell(
                SECTION,
                format_args!("{verb} on-demand target of {name}"),
                answer,
            );
        }
    }
    let after = [0, 1].map(|n| spare(domain, n));
    let m2p = [0, 1].map(|n| Domain::m2p(after[n]) == Some(pfn_of(SPARE.address(n))));
    tell(
        SECTION,
        format_args!("after operations for translated domains"),
        format_args!("same frames {}, M2P right {m2p:?}", before == after),
    );
    // An index to go on from belongs to operations on lists only.
    for operation in [
        op::ADD_TO_PHYSMAP,
        op::REMOVE_FROM_PHYSMAP,
        op::SET_POD_TARGET,
    ] {
        ask(
            SECTION,
            format_args!("memory_op {operation} from 5"),
            number::MEMORY_OP,
            [
                u64::from(operation) | 5 << CMD_SHIFT,
                LIST.address(0),
                0,
                0,
                0,
            ],
        );
    }
}
