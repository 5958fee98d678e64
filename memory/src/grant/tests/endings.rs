//! Domains that die with grants in use.

use super::*;
use crate::{Budget, Progress};
use xenocryst_abi::grant_table::status;

fn relinquish(p: &Pair, domain: &DomainMemory) {
    let mut cursor = Mfn::new(0);
    while p
        .b
        .engine
        .relinquish(domain, &mut cursor, &mut Budget::new(3))
        == Progress::Preempted
    {}
}

/// Takes the dying mapper's mappings away.
fn release_all(p: &Pair) {
    let mut from = 0;
    while let Some((handle, granter)) = p.b.engine.next_grant_mapping(&p.track, from..u32::MAX) {
        assert_eq!(granter, p.g.id());
        p.b.engine
            .release_grant_mapping(&p.mapper(), &p.granter(), handle);
        from = handle + 1;
    }
}

#[test]
fn the_mapper_dies_first() {
    for version in [1, 2] {
        let p = pair_of(version);
        let frame = p.granted(9, 0);
        p.map_at(9, RW_MAP | m::DEVICE_MAP, 4).unwrap();
        p.map_at(9, RO_MAP, 5).unwrap();
        p.b.d.set_dying();
        told(p.map_at(9, RO_MAP, 6), Rule::GrantDying, status::BAD_DOMAIN);
        assert!(!p.b.engine.destroy_maptrack(&p.track));
        release_all(&p);
        assert_eq!(p.marks(9), 0);
        p.check();
        relinquish(&p, &p.b.d);
        assert_eq!(p.b.engine.owned_frames(p.b.d.id()), 0);
        assert_eq!(p.b.info(frame).general_count, 1);
        assert!(p.b.engine.destroy_maptrack(&p.track));
        assert!(p.b.engine.destroy_grant_table(&p.own_granter()));
        p.check();
    }
}

/// XSA-236: what a dying domain granted stays mapped, but serves nothing new.
#[test]
fn the_granter_dies_first() {
    let p = pair();
    let frame = p.granted(9, 0);
    let mapping = p.map_at(9, RW_MAP, 4).unwrap();
    relinquish(&p, &p.g);
    assert_eq!(p.b.engine.owned_frames(p.g.id()), 1);
    assert_eq!(p.b.info(frame).owner, Some(p.g.id()));
    told(p.map_at(9, RO_MAP, 5), Rule::GrantDying, status::BAD_DOMAIN);
    let own = p.b.page();
    let request = GrantCopy {
        from: CopyEnd::Grant(p.granter(), 9),
        from_offset: 0,
        to: CopyEnd::Own(own),
        to_offset: 0,
        length: 8,
    };
    told(
        p.b.engine.copy_grant(&p.b.d, &request),
        Rule::GrantDying,
        status::BAD_DOMAIN,
    );
    assert!(!p.b.engine.destroy_grant_table(&p.granter()));
    p.check();
    p.unmap(mapping.handle, at(p.s.l1, 4), 0).unwrap();
    assert!(p.b.info(frame).is_free);
    assert_eq!(p.b.engine.owned_frames(p.g.id()), 0);
    assert!(p.b.engine.destroy_grant_table(&p.granter()));
    assert_eq!(p.b.engine.grant_frame_count(&p.table), 0);
    p.check();
}

#[test]
fn both_die_and_every_frame_is_free_again() {
    let free = |p: &Pair| p.b.engine.free_frame_count();
    let empty = free(&Pair {
        s: Space {
            l4: Mfn::new(0),
            l3: Mfn::new(0),
            l2: Mfn::new(0),
            l1: Mfn::new(0),
            data: Mfn::new(0),
        },
        b: bench(),
        own_table: GrantTable::new(4, 2),
        track: Maptrack::new(2),
        g: domain(2),
        table: GrantTable::new(4, 2),
        g_track: Maptrack::new(2),
    });
    let p = pair_of(2);
    p.granted(9, 0);
    p.map_at(9, RW_MAP | m::DEVICE_MAP, 4).unwrap();
    // The mapper's own entry is gone: the pin can only be taken away at its end.
    p.b.update(at(p.s.l1, 4), 0).unwrap();
    relinquish(&p, &p.g);
    p.b.d.set_dying();
    release_all(&p);
    relinquish(&p, &p.b.d);
    assert!(p.b.engine.destroy_maptrack(&p.track));
    assert!(p.b.engine.destroy_grant_table(&p.granter()));
    assert!(p.b.engine.destroy_grant_table(&p.own_granter()));
    p.check();
    assert_eq!(free(&p), empty);
}

#[test]
fn a_table_waits_for_those_who_map_its_frames() {
    let p = pair();
    let frame = p.b.engine.grant_frame(&p.own_table, 0).unwrap();
    p.b.update(at(p.s.l1, 4), entry(frame, T)).unwrap();
    assert!(!p.b.engine.destroy_grant_table(&p.own_granter()));
    p.b.update(at(p.s.l1, 4), 0).unwrap();
    assert!(p.b.engine.destroy_grant_table(&p.own_granter()));
    p.check();
}

/// Memory is counted exactly: a few mappings that come and go take none.
#[test]
fn the_first_mappings_of_a_prepared_track_take_no_memory() {
    let p = pair();
    assert!(p.b.engine.prepare_maptrack(&p.track));
    let before = p.b.engine.free_frame_count();
    assert!(p.b.engine.prepare_maptrack(&p.track));
    let handles: std::vec::Vec<_> = (0..256)
        .map(|_| p.b.engine.take_handle(&p.track).unwrap())
        .collect();
    assert_eq!(handles.len(), 256);
    assert_eq!(p.b.engine.free_frame_count(), before);
    p.b.engine.take_handle(&p.track).unwrap();
    assert_eq!(p.b.engine.free_frame_count(), before - 1);
}

/// Between the look at whether it dies and the frame's arrival, the receiver may die and have all its memory taken.
#[test]
fn a_frame_that_arrives_after_the_receivers_memory_was_taken_is_taken_too() {
    let p = pair();
    let frame = p.b.page();
    p.grant_to(9, f::ACCEPT_TRANSFER, p.b.d.id(), Mfn::new(0x77));
    let free = p.b.engine.free_frame_count();
    let word = at(p.b.engine.grant_frame(&p.table, 0).unwrap(), 9);
    let barrier = p.b.engine.machine().stop_at_read(Maddr::new(word));
    let (engine, giver, granter) = (&p.b.engine, &p.b.d, p.granter());
    let result = std::thread::scope(|scope| {
        let transfer = scope.spawn(|| engine.transfer_grant(giver, frame, &granter, 9));
        barrier.wait();
        p.g.set_dying();
        let budget = &mut Budget::unlimited();
        let taken = p.b.engine.relinquish(&p.g, &mut Mfn::new(0), budget);
        assert_eq!(taken, Progress::Done(()));
        barrier.wait();
        transfer.join().expect("it does not panic")
    });
    assert_eq!(result, Ok(()));
    assert_eq!(p.b.engine.owned_frames(p.g.id()), 0);
    assert!(p.b.info(frame).is_free);
    assert_eq!(p.b.engine.free_frame_count(), free + 1);
    p.check();
}
