//! Pins, roots, page operations.

use crate::audit::Held;
use crate::frame::Level::*;
use crate::refusal::{Errno, Rule};
use crate::sim::domain;
use crate::testing::*;
use crate::{Budget, Progress, RootRef};
use xenocryst_abi::Mfn;

#[test]
fn a_table_is_pinned_once_and_unpinned_once() {
    let b = bench();
    let s = b.space();
    let refusal = refused(b.pin(s.l4, L4), Rule::AlreadyPinned);
    assert_eq!(refusal.errno(), Errno::Inval);
    b.check();
    b.unpin(s.l4).unwrap();
    refused(b.unpin(s.l4), Rule::NotPinned);
    refused(b.unpin(Mfn::new(3)), Rule::FrameNotOwned);
    refused(b.unpin(Mfn::new(u64::MAX)), Rule::FrameNotOwned);
    b.check();
}

#[test]
fn every_level_can_be_pinned_by_itself() {
    let b = bench();
    let s = b.space();
    for (mfn, level) in [(s.l1, L1), (s.l2, L2), (s.l3, L3)] {
        b.pin(mfn, level).unwrap();
        assert_eq!(b.info(mfn).type_count, 2);
    }
    b.unpin(s.l4).unwrap();
    b.check();
    assert!(b.info(s.l3).validated);
    for mfn in [s.l1, s.l2, s.l3] {
        b.unpin(mfn).unwrap();
    }
    b.check();
}

#[test]
fn a_root_can_be_given_back_only_after_another_was_loaded() {
    let b = bench();
    let root_of = |l4: Mfn| match b.engine.get_root(&b.d, l4, &mut Budget::unlimited()) {
        Ok(Progress::Done(root)) => root,
        other => panic!("{other:?}"),
    };
    let spaces = [b.space(), b.space()];
    let [first, second] = spaces.each_ref().map(|s| s.l4);
    let mut running_on = None;
    let mut slot = None;
    for l4 in [first, second, first, first] {
        let before = running_on;
        let old = RootRef::replace(&mut slot, root_of(l4), |mfn| {
            // Until now the CPU ran on the old one, which is held: by its pin, and by the slot.
            if let Some(old) = before {
                assert!(b.info(old).type_count >= 2);
            }
            running_on = Some(mfn);
        });
        assert_eq!(running_on, Some(l4));
        assert_eq!(old.as_ref().map(RootRef::mfn), before);
        if let Some(old) = old {
            b.engine.put_root(&b.d, old, &mut Budget::unlimited());
        }
        b.check_with(&[], &[Held::Typed(l4)]);
    }
}

#[test]
fn only_own_frames_of_the_right_type_can_be_pinned() {
    let b = bench();
    let s = b.space();
    let other = domain(2);
    let theirs = b.page_of(&other);
    for mfn in [
        theirs,
        Mfn::new(3),
        Mfn::new(1023),
        Mfn::new(1024),
        Mfn::new(1 << 51),
        Mfn::new(u64::MAX),
    ] {
        refused(b.pin(mfn, L1), Rule::TargetNotOwned);
    }
    refused(b.pin(s.l1, L2), Rule::TargetTypeConflict);
    refused(b.pin(s.data, L1), Rule::TargetTypeConflict);
    b.check_with(&[&other], &[]);
}

#[test]
fn roots_are_held_until_they_are_given_back() {
    for units in [1, 600, u32::MAX] {
        let b = bench();
        let s = b.raw_space();
        let root = loop {
            match b
                .engine
                .get_root(&b.d, s.l4, &mut Budget::new(units))
                .unwrap()
            {
                Progress::Done(root) => break root,
                Progress::Preempted => b.check(),
            }
        };
        b.check_with(&[], &[Held::Typed(s.l4)]);
        let Ok(Progress::Done(second)) = b.engine.get_root(&b.d, s.l4, &mut Budget::new(1)) else {
            panic!("a validated root is taken at once")
        };
        b.engine.put_root(&b.d, second, &mut Budget::new(1));
        b.engine.put_root(&b.d, root, &mut Budget::new(units));
        b.check();
        b.finish(units);
        assert_eq!(
            (b.info(s.l4).type_count, b.info(s.data).general_count),
            (0, 1)
        );
        b.check();
    }
}

#[test]
fn two_roots_can_be_given_back_with_no_budget_at_all() {
    let b = bench();
    let (s, t) = (b.space(), b.space());
    let take = |mfn| match b.engine.get_root(&b.d, mfn, &mut Budget::unlimited()) {
        Ok(Progress::Done(root)) => root,
        other => panic!("{other:?}"),
    };
    let (first, second) = (take(s.l4), take(t.l4));
    b.unpin(s.l4).unwrap();
    b.unpin(t.l4).unwrap();
    b.engine.put_root(&b.d, first, &mut Budget::new(1));
    // One unit is not enough for a tree: the rest waits.
    assert_eq!(b.info(s.data).general_count, 2);
    b.engine.put_root(&b.d, second, &mut Budget::new(1));
    b.finish(1);
    b.check();
    assert_eq!(
        (b.info(s.data).general_count, b.info(t.data).general_count),
        (1, 1)
    );
}

#[test]
fn a_root_must_be_an_l4_table() {
    let b = bench();
    let s = b.space();
    for mfn in [s.l3, s.data, Mfn::new(0), Mfn::new(u64::MAX)] {
        refused(
            b.engine.get_root(&b.d, mfn, &mut Budget::unlimited()),
            Rule::RootType,
        );
    }
    b.check();
}

#[test]
fn a_dying_domain_gets_no_new_tables() {
    let b = bench();
    let s = b.raw_space();
    b.d.set_dying();
    refused(b.pin(s.l4, L4), Rule::DyingDomain);
    refused(
        b.engine.get_root(&b.d, s.l4, &mut Budget::unlimited()),
        Rule::DyingDomain,
    );
    b.check();
}

#[test]
fn clearing_and_copying_need_a_frame_that_is_free_to_be_written() {
    let b = bench();
    let s = b.space();
    let (from, to) = (b.page(), b.page());
    b.poke(from, 3, 42);
    b.engine.copy_page(&b.d, to, from).unwrap();
    assert_eq!(b.peek(to, 3), 42);
    b.engine.clear_page(&b.d, to).unwrap();
    assert_eq!(b.peek(to, 3), 0);
    refused(b.engine.clear_page(&b.d, s.l1), Rule::FrameTypeConflict);
    refused(
        b.engine.copy_page(&b.d, s.l1, from),
        Rule::FrameTypeConflict,
    );
    refused(
        b.engine.copy_page(&b.d, to, Mfn::new(3)),
        Rule::FrameNotOwned,
    );
    // A table may be read.
    b.engine.copy_page(&b.d, to, s.l1).unwrap();
    b.check();
}

#[test]
fn references_keep_a_frame_from_its_other_uses() {
    let b = bench();
    let page = b.page();
    let held = b.engine.get_writable_page(&b.d, page).unwrap();
    refused(b.pin(page, L1), Rule::TargetTypeConflict);
    b.check_with(&[], &[Held::Typed(page)]);
    b.engine.put_writable_page(held);
    let held = b.engine.get_page(&b.d, page).unwrap();
    b.pin(page, L1).unwrap();
    b.check_with(&[], &[Held::General(page)]);
    b.engine.put_page(held);
    b.check();
}
