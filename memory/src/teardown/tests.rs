//! Death of a domain.

use crate::audit::Held;
use crate::frame::Level::*;
use crate::pte::{PRESENT, USER};
use crate::testing::*;
use crate::{AddressLimit, Budget, Progress, sim};
use xenocryst_abi::Mfn;

fn relinquish(b: &Bench, units: u32, held: &[Held]) {
    let mut cursor = Mfn::new(0);
    let mut rounds = 0;
    while b
        .engine
        .relinquish(&b.d, &mut cursor, &mut Budget::new(units))
        == Progress::Preempted
    {
        if rounds % 61 < 4 {
            b.check_with(&[], held);
        }
        rounds += 1;
        assert!(rounds < 100_000, "every slice makes progress");
    }
}

#[test]
fn everything_comes_back_whatever_the_budget() {
    for units in [1, 3, 700, u32::MAX] {
        let b = bench();
        let free = b.engine.free_frame_count();
        let (s, t) = (b.space(), b.space());
        b.pin(s.l2, L2).unwrap();
        b.update(at(s.l4, 300), entry(s.l4, PRESENT | USER))
            .unwrap();
        b.update(at(s.l4, 301), entry(t.l4, PRESENT | USER))
            .unwrap();
        b.map(&s, 0x9000, entry(t.l1, PRESENT)).unwrap();
        // A pin that was given up half-way, and a frame given back while mapped.
        let r = b.raw_space();
        let _ = b
            .engine
            .pin_table(&b.d, r.l4, L4, &mut Budget::new(4))
            .unwrap();
        b.engine.decrease_extent(&b.d, s.data, 0).unwrap();
        relinquish(&b, units, &[]);
        assert_eq!(b.engine.owned_frames(b.d.id()), 0);
        assert_eq!(b.engine.free_frame_count(), free);
        b.check();
    }
}

#[test]
fn a_frame_that_another_domain_maps_goes_when_that_lets_go() {
    let b = bench();
    let page = b.page();
    let held = b.engine.get_writable_page(&b.d, page).unwrap();
    relinquish(&b, 10, &[Held::Typed(page)]);
    assert_eq!(b.engine.owned_frames(b.d.id()), 1);
    assert!(!b.info(page).is_free);
    b.engine.put_writable_page(held);
    assert_eq!(b.engine.owned_frames(b.d.id()), 0);
    assert!(b.info(page).is_free);
    b.check();
}

#[test]
fn shared_frames_are_left_to_the_hypervisor() {
    let b = bench();
    let frame = b.engine.allocate_frames(0, AddressLimit::NONE).unwrap();
    assert!(b.engine.share_with(&b.d, frame, true));
    let s = b.space();
    b.map(&s, 0x1000, entry(frame, T)).unwrap();
    relinquish(&b, 1, &[]);
    assert!(b.info(frame).special);
    assert!(b.engine.unshare(&b.d, frame));
    b.check();
}

#[test]
fn a_frame_that_as_many_hold_as_can_be_counted_goes_with_the_last_of_them() {
    let b = bench();
    let (page, table) = (b.page(), b.page());
    b.pin(table, L4).unwrap();
    let held = b.engine.get_page(&b.d, page).unwrap();
    let also = b.engine.get_page(&b.d, table).unwrap();
    let many = i64::from(u32::MAX) - 4;
    sim::weigh(&b.engine, page, many, 0);
    sim::weigh(&b.engine, table, many, 0);
    let held = [held, b.engine.get_page(&b.d, page).unwrap()];
    let mut cursor = Mfn::new(0);
    let done = b
        .engine
        .relinquish(&b.d, &mut cursor, &mut Budget::unlimited());
    assert_eq!(done, Progress::Done(()));
    assert!(!b.info(page).allocated && !b.info(table).allocated);
    assert!(!b.info(table).pinned);
    sim::weigh(&b.engine, page, -many, 0);
    sim::weigh(&b.engine, table, -many, 0);
    held.into_iter().for_each(|held| b.engine.put_page(held));
    b.engine.put_page(also);
    assert_eq!(b.engine.owned_frames(b.d.id()), 0);
    b.check();
}
