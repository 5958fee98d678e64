//! Long operations that were interrupted, and what others did meanwhile.

use crate::frame::Level::*;
use crate::pte::{PRESENT, USER};
use crate::refusal::Refusal;
use crate::testing::*;
use crate::{Actors, Budget, Level, Progress};
use std::vec::Vec;
use xenocryst_abi::Mfn;

/// What another vCPU does while an operation on `s` is interrupted.
type Intrusion = fn(&Bench, &Space, &Space);

/// The intruder is answered one way or the other; what matters is what is left.
fn ignore<T>(_: Result<T, Refusal>) {}

const INTRUSIONS: [Intrusion; 9] = [
    |b, s, _| ignore(b.engine.pin_table(&b.d, s.l3, L3, &mut Budget::new(2))),
    |b, s, _| ignore(b.pin(s.l3, L2)),
    |b, s, _| ignore(b.pin(s.l2, L2).and_then(|()| b.unpin_with(s.l2, 1))),
    |b, s, other| ignore(b.update_with(at(other.l4, 9), entry(s.l3, T), 1)),
    |b, s, other| ignore(b.update_with(at(other.l3, 9), entry(s.l2, T), 1)),
    |b, s, other| ignore(b.update(at(other.l4, 300), entry(s.l4, PRESENT | USER))),
    |b, s, other| ignore(b.map(other, 0x9000, entry(s.l2, T))),
    |b, s, other| ignore(b.map(other, 0x9000, entry(s.l1, T))),
    |b, s, _| ignore(b.update(at(s.l4, 3), 0)),
];

fn everything_of(b: &Bench, s: &Space, other: &Space) {
    b.finish(1);
    for table in [s.l4, s.l3, s.l2, s.l1, other.l4] {
        if b.info(table).pinned {
            b.unpin_with(table, 1).unwrap();
        }
    }
    b.finish(1);
    b.check();
}

fn relinquished(b: &Bench) {
    let mut cursor = Mfn::new(0);
    while b.engine.relinquish(&b.d, &mut cursor, &mut Budget::new(7)) == Progress::Preempted {}
    assert_eq!(b.engine.owned_frames(b.d.id()), 0);
    b.check();
}

#[test]
fn xsa_299_intruders_at_any_point_of_a_pin_cannot_spoil_the_counts() {
    for intrusion in INTRUSIONS {
        for stop in (0..6).chain([30, 120, 190]) {
            let b = bench();
            let other = b.space();
            let s = b.raw_space();
            let mut slices = 0;
            while let Ok(Progress::Preempted) =
                b.engine.pin_table(&b.d, s.l4, L4, &mut Budget::new(1))
            {
                if slices == stop {
                    intrusion(&b, &s, &other);
                    b.check();
                }
                slices += 1;
            }
            b.check();
            everything_of(&b, &s, &other);
            for mfn in [s.l4, s.l3, s.l2, s.l1, s.data] {
                let info = b.info(mfn);
                assert_eq!(
                    (info.type_count, info.partial),
                    (0, None),
                    "{mfn} at {stop}"
                );
            }
            relinquished(&b);
        }
    }
}

#[test]
fn xsa_299_intruders_at_any_point_of_an_unpin_cannot_spoil_the_counts() {
    for intrusion in INTRUSIONS {
        for stop in (0..6).chain([30, 120]) {
            let b = bench();
            let (other, s) = (b.space(), b.space());
            let _ = b
                .engine
                .unpin_table(&b.d, s.l4, &mut Budget::new(1))
                .unwrap();
            let mut slices = 0;
            while b.engine.finish_unwinding(&b.d, &mut Budget::new(1)) == Progress::Preempted {
                if slices == stop {
                    intrusion(&b, &s, &other);
                    b.check();
                }
                slices += 1;
            }
            everything_of(&b, &s, &other);
            relinquished(&b);
        }
    }
}

#[test]
fn xsa_310_death_at_any_point_of_a_long_operation_frees_everything() {
    for stop in (0..20).chain([60, 130, 260]) {
        for operation in 0..3 {
            let b = bench();
            let free = b.engine.free_frame_count();
            let s = b.space();
            let t = b.raw_space();
            b.poke(t.l4, 7, entry(s.l4, PRESENT | USER));
            let root = match b.engine.get_root(&b.d, s.l4, &mut Budget::unlimited()) {
                Ok(Progress::Done(root)) => root,
                other => panic!("{other:?}"),
            };
            for _ in 0..stop {
                let budget = &mut Budget::new(1);
                let _ = match operation {
                    0 => b.engine.pin_table(&b.d, t.l4, L4, budget),
                    1 => b
                        .engine
                        .mmu_update(&Actors::own(&b.d), at(s.l4, 0), entry(t.l3, T), budget)
                        .map(|_| Progress::Done(())),
                    _ => b.engine.unpin_table(&b.d, s.l4, budget),
                };
            }
            b.d.set_dying();
            b.engine.put_root(&b.d, root, &mut Budget::new(1));
            relinquished(&b);
            assert_eq!(b.engine.free_frame_count(), free);
        }
    }
}

#[test]
fn xsa_58_a_poisoned_entry_at_any_place_costs_nothing() {
    for (level, slot) in [(L4, 1), (L4, 511), (L3, 1), (L3, 300), (L2, 1), (L2, 511)] {
        for units in [1, 2, 9, 65, u32::MAX] {
            let b = bench();
            let s = b.raw_space();
            let before = super::snapshot(&b);
            let table = match level {
                L4 => s.l4,
                L3 => s.l3,
                _ => s.l2,
            };
            b.poke(table, slot, entry(Mfn::new(3), T));
            assert!(b.pin_with(s.l4, L4, units).is_err());
            b.finish(units);
            // The types that were left behind say which flush is owed, no more.
            for (after, before) in super::snapshot(&b).iter().zip(&before) {
                assert_eq!(
                    (after.general_count, after.type_count, after.owner),
                    (before.general_count, before.type_count, before.owner)
                );
                assert_eq!((after.partial, after.pinned), (None, false));
            }
            b.check();
        }
    }
}

#[test]
fn xsa_290_a_tree_that_multiplies_itself_is_left_in_slices_too() {
    let b = bench();
    let s = b.raw_space();
    for slot in 0..512 {
        b.poke(s.l3, slot, entry(s.l2, T));
        b.poke(s.l2, slot, entry(s.l1, T));
        if slot < 256 {
            b.poke(s.l4, slot, entry(s.l3, T));
        }
    }
    b.pin_with(s.l4, L4, 40).unwrap();
    b.check();
    let slices = |b: &Bench| {
        let mut slices = 0;
        while b.engine.finish_unwinding(&b.d, &mut Budget::new(40)) == Progress::Preempted {
            slices += 1;
        }
        slices
    };
    let _ = b
        .engine
        .unpin_table(&b.d, s.l4, &mut Budget::new(40))
        .unwrap();
    assert!(slices(&b) > 20);
    b.check();
    assert_eq!(b.info(s.data).general_count, 1);
}

#[test]
fn xsa_309_linear_counts_are_not_forgotten_on_the_way() {
    for stop in [3, 40, 64, 90, 150] {
        let b = bench();
        let (t, head) = (b.space(), b.space());
        let s = b.raw_space();
        b.poke(s.l4, 2, entry(t.l4, PRESENT | USER));
        b.poke(s.l4, 400, entry(t.l4, PRESENT | USER));
        for _ in 0..stop {
            let _ = b.engine.pin_table(&b.d, s.l4, L4, &mut Budget::new(1));
        }
        let _ = b.pin_with(s.l4, Level::L4, 1);
        assert_eq!((b.info(s.l4).linear, b.info(t.l4).linear), (2, -2));
        assert!(
            b.update(at(head.l4, 300), entry(s.l4, PRESENT | USER))
                .is_err(),
            "a second link in the chain"
        );
        b.check();
    }
}

/// One vCPU writes entries of a table while another gives the table up and takes it again.
#[test]
fn xsa_242_the_last_use_of_a_table_and_a_write_to_it_at_once() {
    let b = bench();
    let table = b.page();
    let pages: Vec<Mfn> = (0..4).map(|_| b.page()).collect();
    let (engine, d, pages) = (&b.engine, &b.d, &pages);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3_000 {
                let _ = engine.pin_table(d, table, L1, &mut Budget::unlimited());
                let _ = engine.unpin_table(d, table, &mut Budget::unlimited());
            }
        });
        for cpu in 0..2 {
            scope.spawn(move || {
                for turn in 0..8_000u64 {
                    let val = entry(pages[(turn % 4) as usize], T);
                    let val = if turn % 3 == 0 { 0 } else { val };
                    let _ = engine.mmu_update(
                        &Actors::own(d),
                        at(table, cpu * 64 + turn % 64),
                        val,
                        &mut Budget::unlimited(),
                    );
                }
            });
        }
    });
    b.check();
    if b.info(table).pinned {
        b.unpin(table).unwrap();
    }
    assert_eq!(
        (b.info(table).type_count, b.info(table).general_count),
        (0, 1)
    );
    b.engine.decrease_extent(&b.d, table, 0).unwrap();
    assert!(b.info(table).is_free);
    b.check();
}
