//! Populate, decrease, exchange, sharing.

use crate::audit::Held;
use crate::frame::{Level::*, OwnerWord};
use crate::refusal::{Errno, Rule};
use crate::sim::domain;
use crate::testing::*;
use crate::{AddressLimit, Budget, DomainMemory, FrameType, IoAccess, MachineMemory, Progress};
use std::vec::Vec;
use xenocryst_abi::{DomId, Mfn, Pfn};

#[test]
fn populated_frames_are_zeroed_counted_and_entered_in_the_m2p() {
    let b = bench();
    let first = b
        .engine
        .populate_extent(&b.d, 3, AddressLimit::NONE, Some(Pfn::new(100)))
        .unwrap();
    assert_eq!(first.raw() % 8, 0);
    for i in 0..8 {
        assert_eq!(b.engine.m2p(first.wrapping_add(i)), Some(Pfn::new(100 + i)));
        assert_eq!(b.info(first.wrapping_add(i)).owner, Some(b.d.id()));
    }
    assert_eq!(b.engine.owned_frames(b.d.id()), 8);
    b.poke(first, 5, 1);
    b.engine.decrease_extent(&b.d, first, 3).unwrap();
    assert_eq!(b.engine.owned_frames(b.d.id()), 0);
    while let Ok(mfn) = b.engine.populate_extent(&b.d, 0, AddressLimit::NONE, None) {
        assert_eq!(b.peek(mfn, 5), 0);
    }
    b.check();
}

#[test]
fn a_domain_never_gets_more_than_its_maximum() {
    let b = bench();
    b.d.set_max_pages(10);
    b.engine
        .populate_extent(&b.d, 3, AddressLimit::NONE, None)
        .unwrap();
    let populate = |order| {
        b.engine
            .populate_extent(&b.d, order, AddressLimit::NONE, None)
    };
    assert_eq!(
        refused(populate(2), Rule::ReservationFull).errno(),
        Errno::NoMem
    );
    populate(1).unwrap();
    refused(populate(0), Rule::ReservationFull);
    refused(
        b.engine.allocate_domain_block(&b.d, 0, AddressLimit::NONE),
        Rule::ReservationFull,
    );
    b.check();
    let unknown = DomainMemory::new(DomId(1000), false, 0, IoAccess::none());
    unknown.set_max_pages(10);
    refused(
        b.engine
            .populate_extent(&unknown, 0, AddressLimit::NONE, None),
        Rule::ReservationFull,
    );
}

/// Frames claimed for a domain being built go to nobody else, and the claim shrinks as it is given them.
#[test]
fn claimed_frames_are_kept_for_who_claimed_them() {
    let b = bench();
    let other = domain(5);
    let all = b.engine.free_frame_count();
    for d in [&b.d, &other] {
        d.set_max_pages(all as u32);
    }
    let give = |d: &DomainMemory| b.engine.populate_extent(d, 0, AddressLimit::NONE, None);
    give(&b.d).unwrap();
    b.engine.claim_frames(&b.d, 41).unwrap();
    assert_eq!(
        (b.d.claimed_frames(), b.engine.claimed_frame_count()),
        (40, 40)
    );
    refused(b.engine.claim_frames(&b.d, 41), Rule::ClaimSize);
    let rest = all - 41;
    refused(b.engine.claim_frames(&other, rest + 1), Rule::OutOfMemory);
    for _ in 0..rest {
        give(&other).unwrap();
    }
    refused(give(&other), Rule::OutOfMemory);
    assert!(b.engine.allocate_frames(0, AddressLimit::NONE).is_none());
    for left in (0..40).rev() {
        give(&b.d).unwrap();
        assert_eq!(b.d.claimed_frames(), left);
    }
    assert_eq!(
        (b.engine.claimed_frame_count(), b.engine.free_frame_count()),
        (0, 0)
    );
    b.check_with(&[&other], &[]);
}

#[test]
fn impossible_claims_are_refused_and_claims_end_when_they_are_given_back_or_the_domain_dies() {
    let b = bench();
    let all = b.engine.free_frame_count();
    b.d.set_max_pages(20);
    b.engine
        .populate_extent(&b.d, 2, AddressLimit::NONE, None)
        .unwrap();
    for impossible in [1, 4, 21, u64::MAX] {
        refused(b.engine.claim_frames(&b.d, impossible), Rule::ClaimSize);
    }
    b.d.set_max_pages(u32::MAX);
    refused(b.engine.claim_frames(&b.d, all + 1), Rule::OutOfMemory);
    b.engine.claim_frames(&b.d, 20).unwrap();
    b.engine.claim_frames(&b.d, 0).unwrap();
    assert_eq!(b.engine.claimed_frame_count(), 0);
    // A block that there is not leaves the claim whole.
    b.engine.claim_frames(&b.d, 20).unwrap();
    let low = AddressLimit::bits(13);
    refused(
        b.engine.populate_extent(&b.d, 1, low, None),
        Rule::OutOfMemory,
    );
    assert_eq!(b.d.claimed_frames(), 16);
    let mut cursor = Mfn::new(0);
    while b
        .engine
        .relinquish(&b.d, &mut cursor, &mut Budget::unlimited())
        == Progress::Preempted
    {}
    assert_eq!(
        (b.engine.claimed_frame_count(), b.engine.free_frame_count()),
        (0, all)
    );
}

#[test]
fn too_large_or_impossible_extents_are_refused() {
    let b = bench();
    let populate = |order, limit| b.engine.populate_extent(&b.d, order, limit, None);
    assert_eq!(
        refused(populate(10, AddressLimit::NONE), Rule::OrderTooLarge).errno(),
        Errno::Perm
    );
    refused(populate(255, AddressLimit::NONE), Rule::OrderTooLarge);
    refused(populate(0, AddressLimit::bits(13)), Rule::OutOfMemory);
    b.d.set_max_pages(100_000);
    refused(populate(9, AddressLimit::NONE), Rule::OutOfMemory);
    b.d.set_dying();
    refused(populate(0, AddressLimit::NONE), Rule::DyingDomain);
    assert_eq!(b.engine.owned_frames(b.d.id()), 0);
    b.check();
}

#[test]
fn a_frame_given_back_while_mapped_goes_with_its_last_mapping() {
    let b = bench();
    let s = b.space();
    let free = b.engine.free_frame_count();
    b.engine.decrease_extent(&b.d, s.data, 0).unwrap();
    assert_eq!(b.engine.free_frame_count(), free);
    assert_eq!(
        (b.info(s.data).allocated, b.info(s.data).general_count),
        (false, 1)
    );
    refused(
        b.engine.decrease_extent(&b.d, s.data, 0),
        Rule::NotAllocated,
    );
    b.check();
    b.update(at(s.l1, 0), 0).unwrap();
    assert!(b.info(s.data).is_free);
    assert_eq!(b.engine.free_frame_count(), free + 1);
    b.check();
}

#[test]
fn giving_a_pinned_table_back_leaves_it_pinned() {
    let b = bench();
    let s = b.space();
    b.engine.decrease_extent(&b.d, s.l4, 0).unwrap();
    assert!(b.info(s.l4).pinned);
    b.check();
    b.unpin_with(s.l4, 1).unwrap();
    assert!(b.info(s.l4).is_free);
    b.check();
}

#[test]
fn only_own_ordinary_frames_can_be_given_back() {
    let b = bench();
    let decrease = |mfn| b.engine.decrease_extent(&b.d, mfn, 0);
    for mfn in [
        Mfn::new(3),
        Mfn::new(512),
        Mfn::new(5000),
        Mfn::new(u64::MAX),
    ] {
        refused(decrease(mfn), Rule::FrameNotOwned);
    }
    let shared = b.engine.allocate_frames(0, AddressLimit::NONE).unwrap();
    assert!(b.engine.share_with(&b.d, shared, true));
    refused(decrease(shared), Rule::SpecialFrame);
    refused(
        b.engine.decrease_extent(&b.d, shared, 60),
        Rule::OrderTooLarge,
    );
    b.check();
}

#[test]
fn scattered_frames_are_exchanged_for_a_contiguous_block_and_back() {
    let b = bench();
    let old: Vec<Mfn> = (0..8).map(|_| b.page()).collect();
    let owned = b.engine.owned_frames(b.d.id());
    let mut x = b
        .engine
        .begin_exchange(&b.d, 1, 3, AddressLimit::bits(21))
        .unwrap();
    for &mfn in &old {
        b.engine.exchange_in(&b.d, &mut x, mfn, 0).unwrap();
    }
    let first = b.engine.exchange_out(&b.d, &mut x, Pfn::new(40)).unwrap();
    assert_eq!(b.engine.exchange_out(&b.d, &mut x, Pfn::new(40)), None);
    b.engine.finish_exchange(&b.d, x);
    assert!(first.raw() < 1 << 9 && first.raw().is_multiple_of(8));
    assert_eq!(b.engine.m2p(first.wrapping_add(7)), Some(Pfn::new(47)));
    assert_eq!(b.engine.owned_frames(b.d.id()), owned);
    assert!(old.iter().all(|&mfn| b.info(mfn).is_free));
    b.check();

    let mut x = b
        .engine
        .begin_exchange(&b.d, 8, 0, AddressLimit::NONE)
        .unwrap();
    b.engine.exchange_in(&b.d, &mut x, first, 3).unwrap();
    for i in 0..8 {
        b.engine
            .exchange_out(&b.d, &mut x, Pfn::new(40 + i))
            .unwrap();
    }
    b.engine.finish_exchange(&b.d, x);
    assert_eq!(b.engine.owned_frames(b.d.id()), owned);
    b.check();
}

#[test]
fn a_failed_exchange_gives_every_frame_back() {
    let b = bench();
    let s = b.space();
    let old: Vec<Mfn> = (0..7).map(|_| b.page()).collect();
    let free = b.engine.free_frame_count();
    let bad = [
        (s.data, Rule::FrameInUse),
        (s.l4, Rule::FrameInUse),
        (Mfn::new(3), Rule::FrameNotOwned),
        (old[0], Rule::FrameNotOwned),
        (Mfn::new(u64::MAX), Rule::FrameNotOwned),
    ];
    for (mfn, rule) in bad {
        let mut x = b
            .engine
            .begin_exchange(&b.d, 1, 3, AddressLimit::NONE)
            .unwrap();
        for &mfn in &old {
            b.engine.exchange_in(&b.d, &mut x, mfn, 0).unwrap();
        }
        refused(b.engine.exchange_in(&b.d, &mut x, mfn, 0), rule);
        assert_eq!(
            b.engine.exchange_out(&b.d, &mut x, Pfn::new(0)),
            None,
            "too few frames were taken"
        );
        b.engine.abandon_exchange(&b.d, x);
        assert_eq!(b.engine.free_frame_count(), free);
        b.check();
    }
    let shared = b.engine.allocate_frames(0, AddressLimit::NONE).unwrap();
    assert!(b.engine.share_with(&b.d, shared, true));
    let mut x = b
        .engine
        .begin_exchange(&b.d, 1, 0, AddressLimit::NONE)
        .unwrap();
    refused(
        b.engine.exchange_in(&b.d, &mut x, shared, 0),
        Rule::SpecialFrame,
    );
    b.engine.abandon_exchange(&b.d, x);
    refused(
        b.engine.begin_exchange(&b.d, 2000, 0, AddressLimit::NONE),
        Rule::OutOfMemory,
    );
    b.check();
}

#[test]
fn frames_that_come_back_from_a_failed_exchange_are_flushed_first_whatever_they_were() {
    for level in [L1, L2, L3, L4] {
        let b = bench();
        let page = b.page();
        b.pin(page, level).unwrap();
        b.unpin(page).unwrap();
        let mut x = b
            .engine
            .begin_exchange(&b.d, 1, 0, AddressLimit::NONE)
            .unwrap();
        b.engine.exchange_in(&b.d, &mut x, page, 0).unwrap();
        b.engine.machine().take_flushes();
        let now = b.engine.machine().tlb_clock();
        b.engine.abandon_exchange(&b.d, x);
        let flushes = b.engine.machine().take_flushes();
        assert_eq!(flushes.len(), 1, "a CPU may still walk it as {level}");
        assert_eq!((flushes[0].cpus, flushes[0].since), (1, now));
        assert_eq!(b.info(page).frame_type, FrameType::None);
    }
}

#[test]
fn the_hypervisors_frames_can_be_assigned_all_or_none() {
    let b = bench();
    b.engine.assign_frames(&b.d, Mfn::new(4), 3).unwrap();
    assert_eq!(b.engine.owned_frames(b.d.id()), 3);
    refused(
        b.engine.assign_frames(&b.d, Mfn::new(3), 2),
        Rule::FrameNotOwned,
    );
    assert_eq!(b.engine.owned_frames(b.d.id()), 3);
    b.d.set_max_pages(4);
    refused(
        b.engine.assign_frames(&b.d, Mfn::new(10), 2),
        Rule::ReservationFull,
    );
    b.check();
}

#[test]
fn a_builder_block_is_owned_and_not_zeroed() {
    let b = bench_of(0);
    for mfn in 528..1024 {
        b.poke(Mfn::new(mfn), 0, 7);
    }
    let first = b
        .engine
        .allocate_domain_block(&b.d, 3, AddressLimit::NONE)
        .unwrap();
    assert_eq!(b.peek(first.wrapping_add(7), 0), 7);
    assert_eq!(b.engine.owned_frames(b.d.id()), 8);
    refused(
        b.engine.allocate_domain_block(&b.d, 30, AddressLimit::NONE),
        Rule::OrderTooLarge,
    );
    b.check();
}

#[test]
fn a_frame_can_be_shared_by_its_holder_only() {
    let b = bench();
    let other = domain(2);
    assert!(!b.engine.share_with(&other, b.page(), true));
    assert!(!b.engine.share_with(&other, Mfn::new(5000), true));
    let frame = b.engine.allocate_frames(0, AddressLimit::NONE).unwrap();
    assert!(b.engine.share_with(&b.d, frame, true));
    assert!(!b.engine.unshare(&other, frame));
    let held = b.engine.get_page(&b.d, frame).unwrap();
    assert!(!b.engine.unshare(&b.d, frame));
    b.check_with(&[&other], &[Held::General(frame)]);
    b.engine.put_page(held);
    assert!(b.engine.unshare(&b.d, frame));
    b.check_with(&[&other], &[]);
}

#[test]
fn the_largest_extent_is_the_callers_and_not_the_domains() {
    let b = bench();
    let control = DomainMemory::new(DomId(0), true, 0, IoAccess::none());
    let (beyond, d) = (b.engine.config().max_order_guest + 1, &b.d);
    d.set_max_pages(1 << 12);
    let populate = |caller, order| {
        let limit = AddressLimit::NONE;
        b.engine.populate_extent_for(caller, d, order, limit, None)
    };
    refused(populate(d, beyond), Rule::OrderTooLarge);
    // There may be no block of that size; the order itself is not what is wrong.
    let rule = populate(&control, beyond).map_err(|refusal| refusal.rule);
    assert_ne!(rule.as_ref().err(), Some(&Rule::OrderTooLarge));
    if let Ok(first) = rule {
        b.engine
            .decrease_extent_for(&control, d, first, beyond)
            .unwrap();
    }
    refused(
        b.engine.decrease_extent_for(d, d, Mfn::new(1), beyond),
        Rule::OrderTooLarge,
    );
    b.check();
}

/// The owner may begin to die after it was asked whether it does, and be done with it before the block comes.
#[test]
fn a_block_that_comes_too_late_is_taken_away_again_whole() {
    let b = bench();
    let free = b.engine.free_frame_count();
    b.engine.reserve(&b.d, 8).unwrap();
    let first = b
        .engine
        .take_block(3, AddressLimit::NONE, OwnerWord::UNOWNED, Some(&b.d))
        .unwrap();
    let budget = &mut Budget::unlimited();
    let taken = b.engine.relinquish(&b.d, &mut Mfn::new(0), budget);
    assert_eq!(taken, Progress::Done(()));
    b.engine.hand_over(&b.d, first, 3, None);
    assert_eq!(b.engine.owned_frames(b.d.id()), 0);
    assert_eq!(b.engine.free_frame_count(), free);
    b.check();
}

#[test]
fn a_builder_block_that_cannot_be_had_is_not_counted() {
    let b = bench();
    b.d.set_max_pages(u32::MAX);
    let largest = crate::allocator::MAX_ORDER;
    for (order, rule) in [
        (largest, Rule::OutOfMemory),
        (largest + 1, Rule::OrderTooLarge),
    ] {
        let block = b
            .engine
            .allocate_domain_block(&b.d, order, AddressLimit::NONE);
        refused(block, rule);
        assert_eq!(b.engine.owned_frames(b.d.id()), 0);
    }
    b.check();
}

#[test]
fn an_exchange_that_took_nothing_stops_no_cpu() {
    let b = bench();
    let x = b
        .engine
        .begin_exchange(&b.d, 1, 0, AddressLimit::NONE)
        .unwrap();
    b.engine.machine().take_flushes();
    b.engine.abandon_exchange(&b.d, x);
    assert!(b.engine.machine().take_flushes().is_empty());
    b.check();
}
