//! Copying and transferring.

use super::*;
use std::vec::Vec;
use xenocryst_abi::Pfn;
use xenocryst_abi::grant_table::status;

fn bytes(p: &Pair, frame: Mfn) -> Vec<u8> {
    (0..512)
        .flat_map(|i| p.read(frame, i).to_le_bytes())
        .collect()
}

fn fill(p: &Pair, frame: Mfn, seed: u64) {
    for i in 0..512u64 {
        p.b.poke(frame, i, (i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

fn copy<'a>(
    p: &'a Pair,
    from: CopyEnd<'a>,
    to: CopyEnd<'a>,
    offsets: (u16, u16),
    length: u16,
) -> Result<(), Refusal> {
    let request = GrantCopy {
        from,
        from_offset: offsets.0,
        to,
        to_offset: offsets.1,
        length,
    };
    p.b.engine.copy_grant(&p.b.d, &request)
}

#[test]
fn bytes_arrive_and_their_neighbours_stay() {
    let p = pair();
    let (theirs, own) = (p.granted(9, f::READONLY), p.b.page());
    for (from, to, length) in [
        (0, 0, 4096),
        (1, 8, 17),
        (5, 3, 1),
        (4095, 0, 1),
        (13, 7, 3001),
        (3, 3, 0),
    ] {
        fill(&p, theirs, 1);
        fill(&p, own, 1000);
        let (source, mut wanted) = (bytes(&p, theirs), bytes(&p, own));
        wanted[to as usize..][..length as usize]
            .copy_from_slice(&source[from as usize..][..length as usize]);
        let grant = CopyEnd::Grant(p.granter(), 9);
        copy(&p, grant, CopyEnd::Own(own), (from, to), length).unwrap();
        assert!(bytes(&p, own) == wanted, "{from} {to} {length}");
        p.check();
    }
}

#[test]
fn copying_into_a_grant_needs_one_that_may_be_written() {
    for version in [1, 2] {
        let p = pair_of(version);
        let (theirs, own) = (p.granted(9, 0), p.b.page());
        fill(&p, own, 3);
        let grant = CopyEnd::Grant(p.granter(), 9);
        copy(&p, CopyEnd::Own(own), grant, (0, 0), 4096).unwrap();
        assert!(bytes(&p, theirs) == bytes(&p, own));
        copy(&p, grant, grant, (0, 100), 100).unwrap();
        p.grant(9, f::READONLY, theirs);
        told(
            copy(&p, CopyEnd::Own(own), grant, (0, 0), 8),
            Rule::GrantNotPermitted,
            status::GENERAL_ERROR,
        );
        p.check();
    }
}

#[test]
fn a_copy_stays_inside_the_page_and_the_part_granted() {
    let p = pair_of(2);
    let (theirs, own) = (p.granted(9, 0), p.b.page());
    let grant = CopyEnd::Grant(p.granter(), 9);
    for (offsets, length) in [
        ((4096, 0), 1),
        ((0, 4090), 7),
        ((0xffff, 0), 0xffff),
        ((1, 0), 4096),
    ] {
        told(
            copy(&p, grant, CopyEnd::Own(own), offsets, length),
            Rule::GrantCopyRange,
            status::BAD_COPY_ARG,
        );
    }
    // Bytes 100 to 149 only.
    p.grant(9, f::SUB_PAGE, theirs);
    let shared = p.b.engine.grant_frame(&p.table, 0).unwrap();
    p.b.poke(shared, 18, p.b.peek(shared, 18) | 100 << 32 | 50 << 48);
    copy(&p, grant, CopyEnd::Own(own), (100, 0), 50).unwrap();
    for (offset, length) in [(99, 2), (100, 51), (0, 4096)] {
        told(
            copy(&p, grant, CopyEnd::Own(own), (offset, 0), length),
            Rule::GrantCopyPart,
            status::GENERAL_ERROR,
        );
    }
    p.check();
}

#[test]
fn only_own_frames_can_be_named_by_number() {
    assert!(CopyEnd::check_addressing(true, DomId(2)).is_ok());
    assert!(CopyEnd::check_addressing(false, DomId::SELF).is_ok());
    told(
        CopyEnd::check_addressing(false, DomId(2)),
        Rule::GrantCopyByFrame,
        status::PERMISSION_DENIED,
    );
    let p = pair();
    let (theirs, own) = (p.b.page_of(&p.g), p.b.page());
    for (from, to) in [(theirs, own), (own, theirs)] {
        told(
            copy(&p, CopyEnd::Own(from), CopyEnd::Own(to), (0, 0), 8),
            Rule::GrantFrame,
            status::BAD_PAGE,
        );
    }
    told(
        copy(&p, CopyEnd::Own(own), CopyEnd::Own(p.s.l1), (0, 0), 8),
        Rule::GrantNotWritable,
        status::GENERAL_ERROR,
    );
    p.check();
}

#[test]
fn transitive_grants_are_refused() {
    let p = pair_of(2);
    let own = p.b.page();
    p.grant_to(9, f::TRANSITIVE, p.b.d.id(), own);
    told(
        copy(
            &p,
            CopyEnd::Grant(p.granter(), 9),
            CopyEnd::Own(own),
            (0, 0),
            8,
        ),
        Rule::GrantTransitive,
        status::GENERAL_ERROR,
    );
    p.check();
}

/// XSA-230.
#[test]
fn a_copy_does_not_clear_the_marks_of_a_device_mapping() {
    for version in [1, 2] {
        let p = pair_of(version);
        p.granted(9, 0);
        let own = p.b.page();
        let device = p.map(9, m::DEVICE_MAP, 0).unwrap();
        let grant = CopyEnd::Grant(p.granter(), 9);
        copy(&p, grant, CopyEnd::Own(own), (0, 0), 8).unwrap();
        copy(&p, CopyEnd::Own(own), grant, (0, 0), 8).unwrap();
        assert_eq!(p.marks(9), f::READING | f::WRITING);
        p.unmap(device.handle, 0, device.bus_address).unwrap();
        assert_eq!(p.marks(9), 0);
        p.check();
    }
}

fn accept(p: &Pair, reference: u32, pfn: u64) {
    p.grant_to(reference, f::ACCEPT_TRANSFER, p.b.d.id(), Mfn::new(pfn));
}

#[test]
fn a_transfer_moves_the_frame_with_its_contents() {
    for version in [1, 2] {
        let p = pair_of(version);
        let frame = p.b.page();
        fill(&p, frame, 5);
        // It was a table and is forgotten as such (XSA-214).
        p.b.update(at(p.s.l1, 9), entry(frame, T)).unwrap();
        p.b.update(at(p.s.l1, 9), 0).unwrap();
        accept(&p, 9, 0x77);
        let owned = p.b.engine.owned_frames(p.b.d.id());
        p.b.engine.machine().take_flushes();
        p.b.engine
            .transfer_grant(&p.b.d, frame, &p.granter(), 9)
            .unwrap();
        let info = p.b.info(frame);
        assert_eq!(info.owner, Some(p.g.id()));
        assert_eq!(info.frame_type, crate::FrameType::None);
        assert_eq!(p.b.engine.owned_frames(p.b.d.id()), owned - 1);
        assert_eq!(p.b.engine.owned_frames(p.g.id()), 1);
        assert_eq!(p.b.engine.m2p(frame), Some(Pfn::new(0x77)));
        assert!(
            p.b.engine
                .machine()
                .take_flushes()
                .iter()
                .any(|f| f.cpus == u64::MAX)
        );
        let state = p.table.state.lock();
        let told = state.fetch(p.b.engine.machine(), 9).unwrap();
        assert_eq!(told.frame, frame);
        assert_eq!(
            told.flags,
            f::ACCEPT_TRANSFER | f::TRANSFER_COMMITTED | f::TRANSFER_COMPLETED
        );
        drop(state);
        assert_eq!(p.read(frame, 0), 5u64.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        p.check();
    }
}

#[test]
fn a_refused_transfer_leaves_the_frame_where_it_was() {
    let p = pair();
    let frame = p.b.page();
    let give = |mfn, reference| {
        p.b.engine
            .transfer_grant(&p.b.d, mfn, &p.granter(), reference)
    };
    p.granted(8, 0);
    for reference in [8, 20, 512, u32::MAX] {
        told(
            give(frame, reference),
            Rule::GrantTransfer,
            status::GENERAL_ERROR,
        );
    }
    accept(&p, 9, 1);
    let shared = p.b.engine.grant_frame(&p.own_table, 0).unwrap();
    for mfn in [
        p.s.data,
        p.s.l1,
        shared,
        p.b.page_of(&p.g),
        Mfn::new(2),
        Mfn::new(1 << 40),
    ] {
        assert_eq!(give(mfn, 9).unwrap_err().grant_status(), status::BAD_PAGE);
    }
    p.g.set_max_pages(1);
    told(give(frame, 9), Rule::ReservationFull, status::GENERAL_ERROR);
    p.g.set_max_pages(256);
    p.g.set_dying();
    told(give(frame, 9), Rule::DyingDomain, status::GENERAL_ERROR);
    assert_eq!(p.b.info(frame).owner, Some(p.b.d.id()));
    p.check();
}

/// A CPU that could walk it may still do so: whoever writes to it next must be preceded by a flush (I34).
#[test]
fn a_frame_that_comes_back_from_a_refused_transfer_is_still_known_to_have_been_a_table() {
    use crate::{FrameType, Level};
    let p = pair();
    for level in [Level::L1, Level::L2, Level::L4] {
        let frame = p.b.page();
        p.b.pin(frame, level).unwrap();
        p.b.unpin(frame).unwrap();
        let refused = p.b.engine.transfer_grant(&p.b.d, frame, &p.granter(), 9);
        told(refused, Rule::GrantTransfer, status::GENERAL_ERROR);
        assert_eq!(p.b.info(frame).frame_type, FrameType::Table(level));
        p.b.engine.machine().take_flushes();
        p.b.update(at(p.s.l1, 9), entry(frame, T)).unwrap();
        assert!(!p.b.engine.machine().take_flushes().is_empty());
        p.b.update(at(p.s.l1, 9), 0).unwrap();
    }
    p.check();
}
