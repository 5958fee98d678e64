//! Updates that find an interrupted unwinding to be finished first: what the frame is afterwards is looked at again.

use crate::frame::Level;
use crate::refusal::Rule;
use crate::sim::domain;
use crate::testing::*;
use crate::{Actors, Budget};
use xenocryst_abi::{Maddr, Mfn};

#[test]
fn a_frame_that_goes_with_an_unwinding_left_over_cannot_be_updated() {
    let b = bench();
    let l2 = b.page();
    b.pin(l2, Level::L2).unwrap();
    b.engine.decrease_extent(&b.d, l2, 0).unwrap();
    let _ = b.engine.unpin_table(&b.d, l2, &mut Budget::new(1)).unwrap();
    assert_eq!(b.info(l2).owner, Some(b.d.id()), "still being unwound");
    refused(b.update(at(l2, 0), 0), Rule::FrameNotOwned);
    assert!(b.info(l2).is_free);
    b.check();
}

/// An L3 table whose unwinding was interrupted. It holds an L2 table, in its last slot, that the domain has given up: so
/// this goes with it, before the first slot is looked at.
fn half_unwound() -> (Bench, Mfn, Mfn) {
    let b = bench();
    let (l3, l2) = (b.page(), b.page());
    b.poke(l3, 511, entry(l2, T));
    b.pin(l3, Level::L3).unwrap();
    b.engine.decrease_extent(&b.d, l2, 0).unwrap();
    let _ = b.engine.unpin_table(&b.d, l3, &mut Budget::new(1)).unwrap();
    assert_eq!(b.info(l2).owner, Some(b.d.id()), "still being unwound");
    (b, l3, l2)
}

/// The frame that was to be updated may be another domain's table by the time its unwinding is over.
#[test]
fn an_update_does_not_follow_a_frame_to_its_next_owner() {
    let (b, l3, l2) = half_unwound();
    let other = domain(2);
    other.set_max_pages(2000);
    let own = b.page();
    let barrier = b.engine.machine().stop_at_read(Maddr::new(at(l3, 0)));
    let result = std::thread::scope(|scope| {
        let update = scope.spawn(|| {
            let actors = Actors::own(&b.d);
            let (ptr, value, budget) = (at(l2, 0), entry(own, T), &mut Budget::unlimited());
            b.engine.mmu_update(&actors, ptr, value, budget)
        });
        barrier.wait();
        assert!(
            b.info(l2).is_free,
            "the update has finished the unwinding of it"
        );
        while b.page_of(&other) != l2 {}
        let pinned = b
            .engine
            .pin_table(&other, l2, Level::L1, &mut Budget::unlimited());
        assert!(pinned.is_ok());
        barrier.wait();
        update.join().expect("it does not panic")
    });
    refused(result, Rule::FrameNotOwned);
    assert_eq!(b.peek(l2, 0), 0, "another domain's table is untouched");
    assert_eq!(b.info(own).general_count, 1);
    b.check_with(&[&other], &[]);
}
