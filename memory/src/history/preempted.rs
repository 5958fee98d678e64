//! Every long operation, stopped at every point where it can be: carried on, asked for again by another, or abandoned
//! because its domain dies. Always the same end, and no reference lost.

use crate::frame::Level::*;
use crate::pte::{PRESENT, USER};
use crate::sim::{bare_engine, domain};
use crate::testing::*;
use crate::{Actors, Budget, FrameInfo, FrameType, Level, Progress, RootRef};
use core::cell::Cell;
use std::vec::Vec;
use xenocryst_abi::Mfn;

const FRAMES: u64 = 64;

/// Two trees of tables: `s` is pinned, `t` nobody has validated. Each has entries at both ends of its tables, and `t`
/// has a linear entry.
struct Scene {
    b: Bench,
    s: Space,
    t: Space,
    root: Cell<Option<RootRef>>,
}

fn scene() -> Scene {
    let engine = bare_engine(FRAMES as usize);
    engine.donate(Mfn::new(0), FRAMES);
    let b = Bench {
        engine,
        d: domain(1),
        turn: Cell::new(0),
    };
    let s = b.space();
    let t = b.raw_space();
    for (table, target) in [(t.l4, t.l3), (t.l3, t.l2), (t.l2, t.l1)] {
        b.poke(table, 511, entry(target, T));
    }
    b.poke(t.l4, 300, entry(s.l4, PRESENT | USER));
    b.update(at(s.l3, 511), entry(s.l2, T)).unwrap();
    Scene {
        b,
        s,
        t,
        root: Cell::new(None),
    }
}

/// What is done before, and one slice of the operation.
struct Long {
    name: &'static str,
    prepare: fn(&Scene),
    slice: fn(&Scene, &mut Budget) -> Progress<()>,
}

fn pin(x: &Scene, table: Mfn, level: Level, budget: &mut Budget) -> Progress<()> {
    x.b.engine.pin_table(&x.b.d, table, level, budget).unwrap()
}

/// Unpins, then unwinds: the pin is gone with the first slice.
fn unpin(x: &Scene, table: Mfn, budget: &mut Budget) -> Progress<()> {
    if !x.b.info(table).pinned {
        return x.b.engine.finish_unwinding(&x.b.d, budget);
    }
    match x.b.engine.unpin_table(&x.b.d, table, budget).unwrap() {
        Progress::Done(()) => x.b.engine.finish_unwinding(&x.b.d, budget),
        Progress::Preempted => Progress::Preempted,
    }
}

/// Writes an entry, then unwinds what it named before.
fn update(x: &Scene, table: Mfn, slot: u64, value: u64, budget: &mut Budget) -> Progress<()> {
    let own = Actors::own(&x.b.d);
    match x
        .b
        .engine
        .mmu_update(&own, at(table, slot), value, budget)
        .unwrap()
    {
        Progress::Done(_) => x.b.engine.finish_unwinding(&x.b.d, budget),
        Progress::Preempted => Progress::Preempted,
    }
}

fn wholly(mut slice: impl FnMut(&mut Budget) -> Progress<()>) {
    while slice(&mut Budget::unlimited()) == Progress::Preempted {}
}

const OPERATIONS: [Long; 15] = [
    Long {
        name: "pin L1",
        prepare: |_| {},
        slice: |x, budget| pin(x, x.t.l1, L1, budget),
    },
    Long {
        name: "pin L2",
        prepare: |_| {},
        slice: |x, budget| pin(x, x.t.l2, L2, budget),
    },
    Long {
        name: "pin L3",
        prepare: |_| {},
        slice: |x, budget| pin(x, x.t.l3, L3, budget),
    },
    Long {
        name: "pin L4",
        prepare: |_| {},
        slice: |x, budget| pin(x, x.t.l4, L4, budget),
    },
    Long {
        name: "unpin L1",
        prepare: |x| wholly(|budget| pin(x, x.t.l1, L1, budget)),
        slice: |x, budget| unpin(x, x.t.l1, budget),
    },
    Long {
        name: "unpin L2",
        prepare: |x| wholly(|budget| pin(x, x.t.l2, L2, budget)),
        slice: |x, budget| unpin(x, x.t.l2, budget),
    },
    Long {
        name: "unpin L3",
        prepare: |x| wholly(|budget| pin(x, x.t.l3, L3, budget)),
        slice: |x, budget| unpin(x, x.t.l3, budget),
    },
    Long {
        name: "unpin L4",
        prepare: |x| wholly(|budget| pin(x, x.t.l4, L4, budget)),
        slice: |x, budget| unpin(x, x.t.l4, budget),
    },
    Long {
        name: "new base pointer",
        prepare: |_| {},
        slice: |x, budget| {
            if let Some(root) = x.root.take() {
                x.root.set(Some(root));
                return Progress::Done(());
            }
            match x.b.engine.get_root(&x.b.d, x.t.l4, budget).unwrap() {
                Progress::Done(root) => {
                    x.root.set(Some(root));
                    Progress::Done(())
                }
                Progress::Preempted => Progress::Preempted,
            }
        },
    },
    Long {
        name: "old base pointer",
        prepare: |x| {
            let got =
                x.b.engine
                    .get_root(&x.b.d, x.t.l4, &mut Budget::unlimited());
            let Ok(Progress::Done(root)) = got else {
                panic!("{got:?}")
            };
            x.root.set(Some(root));
        },
        slice: |x, budget| {
            if let Some(root) = x.root.take() {
                x.b.engine.put_root(&x.b.d, root, budget);
            }
            x.b.engine.finish_unwinding(&x.b.d, budget)
        },
    },
    Long {
        name: "link at L4",
        prepare: |_| {},
        slice: |x, budget| update(x, x.s.l4, 7, entry(x.t.l3, T), budget),
    },
    Long {
        name: "link at L3",
        prepare: |_| {},
        slice: |x, budget| update(x, x.s.l3, 7, entry(x.t.l2, T), budget),
    },
    Long {
        name: "link at L2 in place of another",
        prepare: |_| {},
        slice: |x, budget| update(x, x.s.l2, 0, entry(x.t.l1, T), budget),
    },
    Long {
        name: "unlink at L4",
        prepare: |_| {},
        slice: |x, budget| update(x, x.s.l4, 0, 0, budget),
    },
    Long {
        name: "exchange one tree for another at L3",
        prepare: |_| {},
        slice: |x, budget| update(x, x.s.l3, 0, entry(x.t.l2, T), budget),
    },
];

/// The state that must be the same however an operation came to its end. The moment of a last use is not part of it, nor
/// is the type that an unused frame had last.
fn state(x: &Scene) -> Vec<FrameInfo> {
    let settled = |mut info: FrameInfo| {
        if info.type_count == 0 {
            info.frame_type = FrameType::None;
        }
        info
    };
    (0..FRAMES)
        .map(|n| settled(x.b.info(Mfn::new(n))))
        .collect()
}

fn check(x: &Scene) {
    let root = x.root.take();
    let held: Vec<_> = root
        .iter()
        .map(|root| crate::audit::Held::Typed(root.mfn()))
        .collect();
    x.root.set(root);
    x.b.check_with(&[], &held);
}

/// Everything goes with the domain.
fn die(x: &Scene) {
    x.b.d.set_dying();
    if let Some(root) = x.root.take() {
        x.b.engine.put_root(&x.b.d, root, &mut Budget::new(1));
    }
    let mut cursor = Mfn::new(0);
    while x
        .b
        .engine
        .relinquish(&x.b.d, &mut cursor, &mut Budget::new(1))
        == Progress::Preempted
    {}
    check(x);
    assert_eq!(x.b.engine.owned_frames(x.b.d.id()), 0);
    assert_eq!(x.b.engine.free_frame_count(), FRAMES - 1);
}

/// Runs the operation to its end in the smallest slices, with `between` after `stop` of them. Returns how many there were.
fn run(x: &Scene, long: &Long, stop: usize, between: impl FnOnce(&Scene)) -> usize {
    let mut between = Some(between);
    for done in 0.. {
        if done == stop
            && let Some(between) = between.take()
        {
            between(x);
        }
        if (long.slice)(x, &mut Budget::new(1)) == Progress::Done(()) {
            return done + 1;
        }
    }
    unreachable!()
}

fn prepared(long: &Long) -> Scene {
    let x = scene();
    (long.prepare)(&x);
    x
}

/// The end that every way must come to, and the number of slices on the way of the smallest ones.
fn reference(long: &Long) -> (Vec<FrameInfo>, usize) {
    let at_once = prepared(long);
    wholly(|budget| (long.slice)(&at_once, budget));
    check(&at_once);
    let x = prepared(long);
    let slices = run(&x, long, usize::MAX, |_| {});
    check(&x);
    assert_eq!(state(&x), state(&at_once), "{}", long.name);
    assert!(
        // L1 tables are validated and given up at a stretch.
        slices > 1 || long.name.contains("L1") || long.name.contains("L2 in"),
        "{} was never interrupted",
        long.name
    );
    (state(&x), slices)
}

#[test]
fn every_long_operation_ends_alike_whoever_comes_in_between_wherever_it_is_stopped() {
    for long in &OPERATIONS {
        let (wanted, slices) = reference(long);
        for stop in 0..slices {
            let x = prepared(long);
            run(&x, long, stop, |x| {
                check(x);
                // Another vCPU finishes what it finds unfinished, and does something of its own.
                while x.b.engine.finish_unwinding(&x.b.d, &mut Budget::new(1))
                    == Progress::Preempted
                {}
                let page = x.b.page();
                while pin(x, page, L2, &mut Budget::new(1)) == Progress::Preempted {}
                while unpin(x, page, &mut Budget::new(1)) == Progress::Preempted {}
                x.b.engine.decrease_extent(&x.b.d, page, 0).unwrap();
                check(x);
            });
            check(&x);
            assert_eq!(state(&x), wanted, "{} stopped after {stop}", long.name);
        }
    }
}

#[test]
fn every_long_operation_can_be_abandoned_by_death_wherever_it_is_stopped() {
    for long in &OPERATIONS {
        let (_, slices) = reference(long);
        for stop in 0..=slices {
            let x = prepared(long);
            for _ in 0..stop {
                if (long.slice)(&x, &mut Budget::new(1)) == Progress::Done(()) {
                    break;
                }
            }
            check(&x);
            die(&x);
        }
    }
}

/// Teardown is long itself: stopped at each point, it is still to be carried on, and others may hold frames meanwhile.
#[test]
fn a_teardown_stopped_anywhere_goes_on_and_waits_for_those_who_hold_frames() {
    for hold in [false, true] {
        let x = scene();
        let held = hold.then(|| x.b.engine.get_page(&x.b.d, x.s.data).unwrap());
        let audit: Vec<_> = held
            .iter()
            .map(|held| crate::audit::Held::General(held.mfn()))
            .collect();
        let mut cursor = Mfn::new(0);
        while x
            .b
            .engine
            .relinquish(&x.b.d, &mut cursor, &mut Budget::new(1))
            == Progress::Preempted
        {
            x.b.check_with(&[], &audit);
        }
        assert_eq!(x.b.engine.owned_frames(x.b.d.id()), u32::from(hold));
        held.into_iter().for_each(|held| x.b.engine.put_page(held));
        die(&x);
    }
}
