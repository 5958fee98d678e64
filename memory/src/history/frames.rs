//! What was done about ownership, counts, and frames that change hands.

use super::snapshot;
use crate::audit::Held;
use crate::frame::Level::*;
use crate::pte::{PCD, PRESENT, USER};
use crate::refusal::Rule;
use crate::sim::domain;
use crate::testing::*;
use crate::{AddressLimit, Budget, FrameType, Progress};
use core::sync::atomic::Ordering;
use std::vec::Vec;
use xenocryst_abi::{Mfn, Pfn};

const SECRET: u64 = 0x5ec2_e7ed;

/// A present TSS descriptor, which no guest may have.
const TSS: u64 = 0x0000_8900_0000_0067;

fn exchange_page(b: &Bench, mfn: Mfn) -> Option<Mfn> {
    let mut x = b
        .engine
        .begin_exchange(&b.d, 1, 0, AddressLimit::NONE)
        .ok()?;
    let taken = b.engine.exchange_in(&b.d, &mut x, mfn, 0);
    let new = taken
        .ok()
        .and_then(|()| b.engine.exchange_out(&b.d, &mut x, Pfn::new(1)));
    b.engine.finish_exchange(&b.d, x);
    new
}

#[test]
fn xsa_31_and_158_orders_are_capped_before_anything_is_counted() {
    for (id, first) in [(0, 19), (1, 10)] {
        let b = bench_of(id);
        let page = b.page();
        let before = snapshot(&b);
        for order in first..=255 {
            let limit = AddressLimit::NONE;
            refused(
                b.engine.populate_extent(&b.d, order, limit, None),
                Rule::OrderTooLarge,
            );
            refused(
                b.engine.decrease_extent(&b.d, page, order),
                Rule::OrderTooLarge,
            );
            refused(
                b.engine.begin_exchange(&b.d, 1, order, limit),
                Rule::OrderTooLarge,
            );
            let mut x = b.engine.begin_exchange(&b.d, 1, 0, limit).unwrap();
            refused(
                b.engine.exchange_in(&b.d, &mut x, page, order),
                Rule::OrderTooLarge,
            );
            b.engine.abandon_exchange(&b.d, x);
        }
        assert_eq!(b.engine.owned_frames(b.d.id()), 1);
        assert_eq!(b.info(page), before[page.raw() as usize]);
        b.check();
    }
}

#[test]
fn xsa_100_and_511_no_owner_reads_what_the_last_one_wrote() {
    let b = bench();
    let other = domain(2);
    other.set_max_pages(2000);
    let fill = |mfn: Mfn| (0..512).for_each(|slot| b.poke(mfn, slot, SECRET));
    let pages: Vec<Mfn> = (0..32).map(|_| b.page()).collect();
    pages.iter().copied().for_each(fill);
    for &mfn in &pages[..8] {
        b.engine.decrease_extent(&b.d, mfn, 0).unwrap();
    }
    for &mfn in &pages[8..16] {
        let new = exchange_page(&b, mfn).unwrap();
        assert_eq!(b.peek(new, 5), 0);
    }
    let kept = b.engine.allocate_frames(0, AddressLimit::NONE).unwrap();
    fill(kept);
    b.engine.free_frames(kept, 0);
    let mut cursor = Mfn::new(0);
    let died = b
        .engine
        .relinquish(&b.d, &mut cursor, &mut Budget::unlimited());
    assert_eq!(died, Progress::Done(()));
    while let Ok(mfn) = b
        .engine
        .populate_extent(&other, 0, AddressLimit::NONE, None)
    {
        assert!((0..512).all(|slot| b.peek(mfn, slot) == 0), "{mfn}");
    }
    assert_eq!(b.engine.free_frame_count(), 0, "every frame was looked at");
}

#[test]
fn xsa_159_death_at_any_step_of_an_exchange_loses_no_frame() {
    for steps in 0..12 {
        let b = bench();
        let free = b.engine.free_frame_count();
        let pages: Vec<Mfn> = (0..4).map(|_| b.page()).collect();
        let mut step = 0;
        let mut tick = || {
            if step == steps {
                b.d.set_dying();
            }
            step += 1;
        };
        tick();
        let mut x = b
            .engine
            .begin_exchange(&b.d, 4, 0, AddressLimit::NONE)
            .unwrap();
        for &mfn in &pages {
            tick();
            b.engine.exchange_in(&b.d, &mut x, mfn, 0).unwrap();
        }
        if steps % 2 == 0 {
            for i in 0..2 {
                tick();
                b.engine.exchange_out(&b.d, &mut x, Pfn::new(i)).unwrap();
            }
            tick();
            b.engine.finish_exchange(&b.d, x);
        } else {
            tick();
            b.engine.abandon_exchange(&b.d, x);
        }
        b.check();
        let mut cursor = Mfn::new(0);
        while b.engine.relinquish(&b.d, &mut cursor, &mut Budget::new(3)) == Progress::Preempted {}
        assert_eq!(b.engine.owned_frames(b.d.id()), 0);
        assert_eq!(b.engine.free_frame_count(), free);
        b.check();
    }
}

#[test]
fn xsa_214_a_descriptor_page_is_audited_again_after_any_change() {
    let b = bench();
    let page = b.page();
    let validate = || {
        let held = b.engine.get_descriptor_page(&b.d, page).unwrap();
        b.engine.put_descriptor_page(&b.d, held);
    };
    // Contents changed while it was no descriptor page.
    validate();
    b.poke(page, 3, TSS);
    refused(
        b.engine.get_descriptor_page(&b.d, page),
        Rule::BadDescriptor,
    );
    // Taken away and given back.
    b.poke(page, 3, 0);
    validate();
    let mut x = b
        .engine
        .begin_exchange(&b.d, 1, 0, AddressLimit::NONE)
        .unwrap();
    b.engine.exchange_in(&b.d, &mut x, page, 0).unwrap();
    assert_eq!(b.info(page).owner, None);
    b.engine.abandon_exchange(&b.d, x);
    b.poke(page, 3, TSS);
    refused(
        b.engine.get_descriptor_page(&b.d, page),
        Rule::BadDescriptor,
    );
    // Freed: nothing of its type is left.
    b.poke(page, 3, 0);
    validate();
    b.engine.decrease_extent(&b.d, page, 0).unwrap();
    b.d.set_max_pages(2000);
    while b.info(page).is_free {
        b.page();
    }
    assert_eq!(
        (b.info(page).frame_type, b.info(page).type_count),
        (FrameType::None, 0)
    );
    b.check();
}

#[test]
fn xsa_217_a_frame_that_another_domain_maps_cannot_be_taken_away() {
    let b = bench_of(0);
    let guest = domain(2);
    let s = b.space();
    let theirs = b.page_of(&guest);
    let actors = b.actors_on(&guest);
    let _ = b
        .engine
        .mmu_update(
            &actors,
            at(s.l1, 1),
            entry(theirs, T),
            &mut Budget::unlimited(),
        )
        .unwrap();
    let before = snapshot(&b);
    let mut x = b
        .engine
        .begin_exchange(&guest, 1, 0, AddressLimit::NONE)
        .unwrap();
    refused(
        b.engine.exchange_in(&guest, &mut x, theirs, 0),
        Rule::FrameInUse,
    );
    b.engine.abandon_exchange(&guest, x);
    refused(
        b.engine
            .pin_table(&guest, theirs, L1, &mut Budget::unlimited()),
        Rule::TargetTypeConflict,
    );
    assert_eq!(b.info(theirs), before[theirs.raw() as usize]);
    // Given back, it stays with its owner until the mapping goes.
    b.engine.decrease_extent(&guest, theirs, 0).unwrap();
    assert!(!b.info(theirs).is_free);
    b.check_with(&[&guest], &[]);
    b.update(at(s.l1, 1), 0).unwrap();
    assert!(b.info(theirs).is_free);
    b.check_with(&[&guest], &[]);
}

#[test]
fn xsa_248_what_the_hypervisor_holds_cannot_be_named() {
    for id in [0, 1] {
        let b = bench_of(id);
        let s = b.space();
        let kept = b.engine.allocate_frames(2, AddressLimit::NONE).unwrap();
        let before = snapshot(&b);
        for mfn in (0..16).chain(kept.raw()..kept.raw() + 4).map(Mfn::new) {
            refused(
                b.update(at(s.l1, 9), entry(mfn, PRESENT | USER)),
                Rule::L1TargetOwner,
            );
            refused(b.update(at(s.l2, 9), entry(mfn, T)), Rule::TargetNotOwned);
            refused(b.pin(mfn, L1), Rule::TargetNotOwned);
            refused(b.engine.get_page(&b.d, mfn), Rule::FrameNotOwned);
            refused(b.engine.decrease_extent(&b.d, mfn, 0), Rule::FrameNotOwned);
            assert_eq!(exchange_page(&b, mfn), None);
        }
        assert_eq!(snapshot(&b), before);
        b.check();
    }
}

#[test]
fn xsa_251_no_value_in_the_m2p_means_anything() {
    let b = bench();
    let markers = [
        0,
        1,
        u64::MAX,
        u64::MAX - 1,
        1 << 63,
        0x5555_5555_5555_5555,
        (1 << 52) - 1,
    ];
    for marker in markers {
        let s = b.space();
        for mfn in [s.l4, s.l1, s.data] {
            b.update(mfn.maddr().raw() | 1, marker).unwrap();
        }
        b.check();
        b.map(&s, 0x1000, entry(s.data, T)).unwrap();
        b.map(&s, 0x1000, 0).unwrap();
        b.unpin(s.l4).unwrap();
        assert!(exchange_page(&b, s.l1).is_some());
        b.engine.decrease_extent(&b.d, s.data, 0).unwrap();
        b.check();
    }
}

#[test]
fn xsa_252_memory_can_be_given_back_under_a_pinned_tree() {
    let b = bench();
    let s = b.space();
    b.pin(s.l2, L2).unwrap();
    let tree = [s.l4, s.l3, s.l2, s.l1, s.data];
    let types = tree.map(|mfn| b.info(mfn).frame_type);
    for mfn in tree {
        b.engine.decrease_extent(&b.d, mfn, 0).unwrap();
        b.check();
    }
    assert_eq!(tree.map(|mfn| b.info(mfn).frame_type), types);
    assert!(b.info(s.l4).pinned && b.info(s.l2).pinned);
    b.unpin_with(s.l4, 1).unwrap();
    assert!(b.info(s.l3).is_free && !b.info(s.l1).is_free);
    b.unpin_with(s.l2, 1).unwrap();
    assert!(tree.iter().all(|&mfn| b.info(mfn).is_free));
    b.check();
}

#[test]
fn xsa_284_every_way_of_giving_gives_the_whole_of_a_frame() {
    let b = bench();
    let from_exchange = exchange_page(&b, b.page()).unwrap();
    let built = b
        .engine
        .allocate_domain_block(&b.d, 0, AddressLimit::NONE)
        .unwrap();
    b.engine.assign_frames(&b.d, Mfn::new(4), 1).unwrap();
    for mfn in [b.page(), from_exchange, built, Mfn::new(4)] {
        let info = b.info(mfn);
        assert_eq!(info.owner, Some(b.d.id()));
        assert!(info.allocated && !info.special && !info.pinned);
        assert_eq!((info.general_count, info.type_count), (1, 0));
        assert_eq!(info.frame_type, FrameType::None);
        b.pin(mfn, L1).unwrap();
        b.unpin(mfn).unwrap();
    }
    b.check();
}

/// Look-ups race with a frame being taken away and put back: each succeeds or fails whole.
#[test]
fn xsa_287_taking_away_races_with_looking_up() {
    let b = bench();
    let page = b.page();
    let (engine, d) = (&b.engine, &b.d);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    if let Ok(held) = engine.get_page(d, page) {
                        let info = engine.frame_info(page);
                        assert!(info.owner == Some(d.id()) && info.general_count >= 2);
                        engine.put_page(held);
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..5_000 {
                let mut x = engine.begin_exchange(d, 0, 0, AddressLimit::NONE).unwrap();
                if engine.exchange_in(d, &mut x, page, 0).is_ok() {
                    assert_eq!(engine.frame_info(page).owner, None);
                }
                engine.abandon_exchange(d, x);
            }
        });
    });
    assert_eq!(b.info(page).general_count, 1);
    b.check();
}

#[test]
fn xsa_385_the_sum_of_frames_does_not_wrap() {
    let b = bench();
    b.d.set_max_pages(u32::MAX);
    let owned = &b.engine.owned[1];
    for (now, order) in [(u32::MAX, 0), (u32::MAX - 1, 1), (u32::MAX - 511, 9)] {
        owned.store(now, Ordering::Relaxed);
        let populate = b
            .engine
            .populate_extent(&b.d, order, AddressLimit::NONE, None);
        refused(populate, Rule::ReservationFull);
        assert_eq!(owned.load(Ordering::Relaxed), now);
    }
    owned.store(0, Ordering::Relaxed);
    refused(
        b.engine.assign_frames(&b.d, Mfn::new(4), u64::MAX),
        Rule::FrameNotOwned,
    );
    b.check();
}

#[test]
fn xsa_384_a_frame_in_use_by_the_hypervisor_outlives_its_owners_letting_go() {
    let b = bench();
    let page = b.page();
    let held = b.engine.get_page(&b.d, page).unwrap();
    b.engine.decrease_extent(&b.d, page, 0).unwrap();
    assert!(!b.info(page).is_free);
    assert_eq!(b.info(page).owner, Some(b.d.id()));
    b.check_with(&[], &[Held::General(page)]);
    b.engine.put_page(held);
    assert!(b.info(page).is_free);
    b.check();
}

#[test]
fn xsa_276_and_507_shared_frames_stay_what_they_are() {
    for writable in [true, false] {
        let b = bench_of(0);
        let s = b.space();
        let frame = b.engine.allocate_frames(0, AddressLimit::NONE).unwrap();
        assert!(b.engine.share_with(&b.d, frame, writable));
        b.update(at(s.l1, 1), entry(frame, PRESENT | USER)).unwrap();
        let before = snapshot(&b);
        for level in [L1, L2, L3, L4] {
            refused(b.pin(frame, level), Rule::TargetTypeConflict);
        }
        refused(
            b.engine.get_descriptor_page(&b.d, frame),
            Rule::DescriptorFrame,
        );
        refused(b.engine.decrease_extent(&b.d, frame, 0), Rule::SpecialFrame);
        assert_eq!(exchange_page(&b, frame), None);
        let uncached = entry(frame, PRESENT | USER | PCD);
        refused(b.update(at(s.l1, 1), uncached), Rule::SpecialCaching);
        assert!(!b.engine.unshare(&b.d, frame), "it is mapped");
        assert_eq!(snapshot(&b), before);
        b.check();
    }
}
