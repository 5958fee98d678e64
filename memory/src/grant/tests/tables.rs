//! Size, versions and swapping.

use super::*;
use xenocryst_abi::grant_table::{RESERVED_XENSTORE, status};

#[test]
fn every_rule_of_grants_tells_a_negative_status() {
    for rule in Rule::ALL {
        assert!(rule.grant_status() < 0, "{}", rule.code());
    }
}

#[test]
fn a_table_grows_to_its_limit_and_no_further() {
    let p = pair();
    let e = &p.b.engine;
    told(
        e.grow_grant_table(&p.granter(), 5),
        Rule::GrantTableSize,
        status::GENERAL_ERROR,
    );
    e.grow_grant_table(&p.granter(), 4).unwrap();
    e.grow_grant_table(&p.granter(), 2).unwrap();
    assert_eq!(
        (e.grant_frame_count(&p.table), p.table.max_frames()),
        (4, 4)
    );
    assert!(e.grant_frame(&p.table, 3).is_some() && e.grant_frame(&p.table, 4).is_none());
    p.check();
}

#[test]
fn growth_without_memory_shares_nothing() {
    let p = pair();
    let mut taken = std::vec::Vec::new();
    while let Some(frame) = p.b.engine.allocate_frames(0, crate::AddressLimit::NONE) {
        taken.push(frame);
    }
    for spare in 0..9 {
        assert!(p.b.engine.grow_grant_table(&p.granter(), 4).is_err());
        assert_eq!(p.b.engine.grant_frame_count(&p.table), 1);
        p.check();
        if spare < 8 {
            p.b.engine.free_frames(taken.pop().unwrap(), 0);
        }
    }
    p.b.engine.free_frames(taken.pop().unwrap(), 0);
    p.b.engine.grow_grant_table(&p.granter(), 4).unwrap();
    p.check();
}

/// XSA-18, XSA-134.
#[test]
fn references_are_bounded_by_the_table_in_its_present_version() {
    let p = pair();
    let e = &p.b.engine;
    for (a, b) in [(512, 0), (0, 512), (u32::MAX, 0), (3, u32::MAX)] {
        told(
            e.swap_grants(&p.table, a, b),
            Rule::GrantReference,
            status::BAD_GNTREF,
        );
    }
    e.swap_grants(&p.table, 511, 300).unwrap();
    e.set_grant_version(&p.granter(), 2).unwrap();
    for reference in [256, 511] {
        told(
            e.swap_grants(&p.table, reference, 0),
            Rule::GrantReference,
            status::BAD_GNTREF,
        );
        told(
            p.map_at(reference, RO_MAP, 4),
            Rule::GrantReference,
            status::BAD_GNTREF,
        );
    }
    let empty = GrantTable::new(4, 2);
    told(
        e.swap_grants(&empty, 0, 0),
        Rule::GrantReference,
        status::BAD_GNTREF,
    );
}

#[test]
fn grants_swap_unless_in_use() {
    for version in [1, 2] {
        let p = pair_of(version);
        let (a, b) = (p.granted(9, 0), p.granted(10, f::READONLY));
        p.b.engine.swap_grants(&p.table, 9, 10).unwrap();
        assert_eq!(
            p.map_at(10, RW_MAP, 4).unwrap().bus_address,
            a.maddr().raw()
        );
        assert_eq!(p.map_at(9, RO_MAP, 5).unwrap().bus_address, b.maddr().raw());
        told(
            p.b.engine.swap_grants(&p.table, 9, 20),
            Rule::GrantInUse,
            status::EAGAIN,
        );
        told(
            p.b.engine.swap_grants(&p.table, 20, 9),
            Rule::GrantInUse,
            status::EAGAIN,
        );
        p.check();
    }
}

#[test]
fn there_are_versions_1_and_2() {
    let p = pair();
    for version in [0, 3, u32::MAX] {
        refused(
            p.b.engine.set_grant_version(&p.granter(), version),
            Rule::GrantVersion,
        );
    }
    let old = GrantTable::new(4, 1);
    let granter = Granter {
        domain: &p.g,
        table: &old,
    };
    refused(
        p.b.engine.set_grant_version(&granter, 2),
        Rule::GrantVersionLimit,
    );
}

/// XSA-501, XSA-517: no use of the old version outlives it, but those of the reserved entries.
#[test]
fn the_version_changes_only_when_no_ordinary_grant_is_used() {
    let p = pair();
    let e = &p.b.engine;
    let reserved = p.granted(RESERVED_XENSTORE, 0);
    let kept = p.map_at(RESERVED_XENSTORE, RW_MAP, 4).unwrap();
    p.granted(9, 0);
    let used = p.map_at(9, RO_MAP, 5).unwrap();
    refused(e.set_grant_version(&p.granter(), 2), Rule::GrantTableInUse);
    p.unmap(used.handle, at(p.s.l1, 5), 0).unwrap();
    e.set_grant_version(&p.granter(), 2).unwrap();
    assert!(e.grant_status_frame(&p.table, 0).is_some());
    assert_eq!(p.marks(RESERVED_XENSTORE), f::READING | f::WRITING);
    p.check();
    e.set_grant_version(&p.granter(), 1).unwrap();
    p.check();
    e.set_grant_version(&p.granter(), 2).unwrap();
    p.unmap(kept.handle, at(p.s.l1, 4), 0).unwrap();
    assert_eq!(p.marks(RESERVED_XENSTORE), 0);
    p.check();
    assert_eq!(
        p.map_at(RESERVED_XENSTORE, RW_MAP, 4).unwrap().bus_address,
        reserved.maddr().raw()
    );
    p.check();
}

/// XSA-255.
#[test]
fn version_2_stays_while_a_status_frame_is_mapped() {
    let p = pair();
    let e = &p.b.engine;
    e.set_grant_version(&p.own_granter(), 2).unwrap();
    let frame = e.grant_status_frame(&p.own_table, 0).unwrap();
    p.b.update(at(p.s.l1, 4), entry(frame, T)).unwrap();
    refused(
        e.set_grant_version(&p.own_granter(), 1),
        Rule::GrantTableInUse,
    );
    assert_eq!(e.grant_version(&p.own_table), 2);
    p.check();
    p.b.update(at(p.s.l1, 4), 0).unwrap();
    e.set_grant_version(&p.own_granter(), 1).unwrap();
    assert!(e.grant_status_frame(&p.own_table, 0).is_none());
    p.check();
}

#[test]
fn what_version_1_cannot_express_keeps_version_2() {
    let p = pair_of(2);
    p.grant(3, 0, Mfn::new(1 << 32));
    refused(
        p.b.engine.set_grant_version(&p.granter(), 1),
        Rule::GrantVersionContents,
    );
    p.grant_to(3, f::TRANSITIVE, DomId(1), Mfn::new(0));
    refused(
        p.b.engine.set_grant_version(&p.granter(), 1),
        Rule::GrantVersionContents,
    );
    p.grant_to(3, f::INVALID, DomId(1), Mfn::new(0));
    p.b.engine.set_grant_version(&p.granter(), 1).unwrap();
    p.check();
}

#[test]
fn grant_frames_can_be_no_tables_and_not_given_back() {
    let p = pair();
    let frame = p.b.engine.grant_frame(&p.own_table, 0).unwrap();
    assert!(p.b.pin(frame, crate::Level::L1).is_err());
    assert!(p.b.engine.decrease_extent(&p.b.d, frame, 0).is_err());
    p.check();
}

/// Whoever looks while a table grows sees the frames of its size so far, all there and empty, or those of the new one (I50).
#[test]
fn a_table_that_grows_is_never_seen_larger_than_it_is() {
    for version in [1, 2] {
        for _ in 0..100 {
            let p = pair_of(version);
            let (engine, table, granter) = (&p.b.engine, &p.table, p.granter());
            let per_frame = if version == 1 { 512 } else { 256 };
            std::thread::scope(|scope| {
                let grower = scope.spawn(|| {
                    for frames in 2..=4 {
                        engine.grow_grant_table(&granter, frames).unwrap();
                    }
                });
                let mut seen = 0;
                while seen < 4 {
                    seen = engine.grant_frame_count(table);
                    for index in 0..seen {
                        let frame = engine.grant_frame(table, index).expect("counted");
                        assert_eq!(p.b.peek(frame, 511), 0);
                    }
                    // An entry that there is, but that grants nothing: all that is kept of it is there.
                    let last = seen * per_frame - 1;
                    refused(
                        engine.transfer_grant(&p.b.d, p.s.data, &granter, last),
                        Rule::FrameInUse,
                    );
                }
                grower.join().expect("it grows");
            });
            let last = 4 * per_frame;
            let beyond = engine.transfer_grant(&p.b.d, p.s.data, &granter, last);
            refused(beyond, Rule::GrantTransfer);
            p.check();
        }
    }
}

#[test]
fn a_version_2_table_grows_with_its_status_frames_and_takes_no_more_than_it_needs() {
    let p = pair();
    let table = GrantTable::new(16, 2);
    let granter = Granter {
        domain: &p.g,
        table: &table,
    };
    let e = &p.b.engine;
    let free = e.free_frame_count();
    e.grow_grant_table(&granter, 1).unwrap();
    assert_eq!(e.free_frame_count(), free - 3);
    e.set_grant_version(&granter, 2).unwrap();
    assert!(e.grant_status_frame(&table, 0).is_some());
    let mut free = e.free_frame_count();
    // Each frame has two of records beside it, and the ninth the second frame of statuses.
    for (frames, taken) in [(8, 7 * 3), (9, 3 + 1), (9, 0)] {
        e.grow_grant_table(&granter, frames).unwrap();
        assert!(e.grant_frame(&table, frames - 1).is_some());
        assert_eq!(e.grant_status_frame(&table, 1).is_some(), frames > 8);
        assert_eq!(e.grant_status_frame(&table, 2), None);
        assert_eq!(e.free_frame_count(), free - taken);
        free -= taken;
    }
}

#[test]
fn who_uses_which_frame_by_whose_grant_is_known() {
    let p = pair();
    let (frame, unused) = (p.granted(9, 0), p.granted(10, 0));
    let e = &p.b.engine;
    let uses = |user: &DomainMemory, frame| e.uses_grant_of(user, &p.granter(), frame);
    assert!(!uses(&p.b.d, frame) && e.grants_in_use(&p.table) == 0);
    assert_eq!(e.grant_handle_limit(&p.track), 0);
    let mapping = p.map_at(9, RO_MAP, 4).unwrap();
    assert!(uses(&p.b.d, frame));
    assert!(!uses(&p.b.d, unused) && !uses(&p.g, frame));
    let second = p.map_at(10, RO_MAP, 5).unwrap();
    assert!(uses(&p.b.d, unused) && e.grants_in_use(&p.table) == 2);
    assert_eq!(
        e.grant_handle_limit(&p.track),
        mapping.handle.max(second.handle) + 1
    );
    p.unmap(mapping.handle, at(p.s.l1, 4), 0).unwrap();
    assert!(!uses(&p.b.d, frame) && e.grants_in_use(&p.table) == 1);
    let used = inspect::in_use(e, &p.table, 64);
    assert_eq!((used.len(), used[0].reference), (1, 10));
    p.check();
}

/// Four entries share a word of statuses.
#[test]
fn each_entry_of_version_2_has_marks_of_its_own() {
    for reference in 8..12 {
        let p = pair_of(2);
        p.granted(reference, 0);
        let read = p.map_at(reference, RO_MAP, 4).unwrap();
        let write = p.map_at(reference, RW_MAP, 5).unwrap();
        assert_eq!(p.marks(reference), f::READING | f::WRITING);
        p.unmap(write.handle, at(p.s.l1, 5), 0).unwrap();
        assert_eq!(p.marks(reference), f::READING);
        p.unmap(read.handle, at(p.s.l1, 4), 0).unwrap();
        assert_eq!(p.marks(reference), 0);
        p.check();
    }
}

#[test]
fn an_unused_reserved_entry_has_no_marks_in_version_1_either() {
    let p = pair_of(2);
    let frame = p.granted(3, 0);
    p.b.engine.set_grant_version(&p.granter(), 1).unwrap();
    assert_eq!(p.marks(3), 0);
    p.map_at(3, RW_MAP, 4).unwrap();
    assert_eq!(p.b.info(frame).type_count, 1);
    p.check();
}
