//! The free list.

use super::{MAX_ORDER, blocks};
use crate::sim::{FRAMES, HOLE, bare_engine, world};
use crate::{AddressLimit, MachineMemory};
use std::collections::BTreeSet;
use std::vec::Vec;
use xenocryst_abi::Mfn;

#[test]
fn ranges_are_cut_into_aligned_blocks() {
    let cut: Vec<_> = blocks(3, 14).collect();
    assert_eq!(cut, [(3, 0), (4, 2), (8, 3), (16, 0)]);
    assert_eq!(
        blocks(0, 1 << 20).map(|(_, order)| order).max(),
        Some(MAX_ORDER)
    );
    assert_eq!(blocks(5, 0).count(), 0);
}

#[test]
fn every_frame_is_handed_out_once_and_comes_back_as_one_block() {
    let engine = world();
    let all = engine.free_frame_count();
    assert_eq!(all, FRAMES as u64 - 32);
    let mut seen = BTreeSet::new();
    while let Some(mfn) = engine.allocate_frames(0, AddressLimit::NONE) {
        assert!(seen.insert(mfn.raw()));
        assert!((16..HOLE).contains(&mfn.raw()) || (HOLE + 16..FRAMES as u64).contains(&mfn.raw()));
    }
    assert_eq!((seen.len() as u64, engine.free_frame_count()), (all, 0));
    for &mfn in &seen {
        engine.free_frames(Mfn::new(mfn), 0);
    }
    assert_eq!(engine.free_frame_count(), all);
    assert!(
        engine.allocate_frames(8, AddressLimit::NONE).is_some(),
        "buddies were joined"
    );
}

#[test]
fn blocks_are_aligned_to_their_size() {
    let engine = world();
    for order in (0..=8).rev() {
        let mfn = engine.allocate_frames(order, AddressLimit::NONE).unwrap();
        assert_eq!(mfn.raw() % (1 << order), 0);
    }
    assert_eq!(engine.allocate_frames(10, AddressLimit::NONE), None);
    assert_eq!(engine.allocate_frames(200, AddressLimit::NONE), None);
}

#[test]
fn address_limits_are_kept_and_high_frames_go_first() {
    let engine = world();
    assert!(engine.allocate_frames(0, AddressLimit::NONE).unwrap().raw() >= 512);
    for bits in 17..=22 {
        let mfn = engine.allocate_frames(0, AddressLimit::bits(bits)).unwrap();
        assert!(mfn.raw() < 1 << (bits - 12), "{mfn} for {bits} bits");
    }
    for bits in 1..=16 {
        assert_eq!(
            engine.allocate_frames(0, AddressLimit::bits(bits)),
            None,
            "{bits}"
        );
    }
    assert!(engine.allocate_frames(0, AddressLimit::bits(64)).is_some());
}

#[test]
fn a_block_that_crosses_the_limit_is_not_used() {
    let engine = bare_engine(64);
    engine.donate(Mfn::new(0), 64);
    // 32 frames below 2^17: frame 0 is never given out.
    assert_eq!(engine.allocate_frames(5, AddressLimit::bits(17)), None);
    assert_eq!(
        engine.allocate_frames(4, AddressLimit::bits(17)),
        Some(Mfn::new(16))
    );
    assert_eq!(
        engine.allocate_frames(5, AddressLimit::NONE),
        Some(Mfn::new(32))
    );
}

#[test]
fn a_reused_block_is_flushed_for_since_it_was_freed() {
    let engine = world();
    let mfn = engine.allocate_frames(8, AddressLimit::NONE).unwrap();
    assert!(
        engine.machine().take_flushes().is_empty(),
        "nobody knows fresh memory"
    );
    engine.machine().tick();
    let since = engine.machine().tlb_clock();
    engine.free_frames(mfn, 8);
    engine.machine().tick();
    let again = engine.allocate_frames(8, AddressLimit::NONE).unwrap();
    assert_eq!(again, mfn);
    let flushes = engine.machine().take_flushes();
    assert_eq!(flushes.len(), 1);
    assert_eq!((flushes[0].cpus, flushes[0].since), (u64::MAX, since));
}

#[test]
fn joining_keeps_the_later_time() {
    let engine = bare_engine(64);
    engine.donate(Mfn::new(32), 32);
    let (a, b) = (
        engine.allocate_frames(4, AddressLimit::NONE),
        engine.allocate_frames(4, AddressLimit::NONE),
    );
    engine.free_frames(a.unwrap(), 4);
    engine.machine().tick();
    engine.free_frames(b.unwrap(), 4);
    engine.allocate_frames(5, AddressLimit::NONE).unwrap();
    assert_eq!(
        engine.machine().take_flushes()[0].since,
        engine.machine().tlb_clock()
    );
}

#[test]
fn claimed_frames_can_be_given_back() {
    let engine = world();
    let before = engine.free_frame_count();
    engine.free_frames(Mfn::new(4), 2);
    engine.free_frames(Mfn::new(9), 0);
    assert_eq!(engine.free_frame_count(), before + 5);
}

#[test]
#[should_panic(expected = "accounting error")]
fn a_double_free_is_caught() {
    let engine = world();
    let mfn = engine.allocate_frames(0, AddressLimit::NONE).unwrap();
    engine.free_frames(mfn, 0);
    engine.free_frames(mfn, 0);
}

#[test]
fn frames_outside_the_table_are_ignored() {
    let engine = bare_engine(64);
    engine.donate(Mfn::new(60), 1000);
    engine.claim(Mfn::new(u64::MAX - 3), 1000);
    engine.donate(Mfn::new(1 << 50), u64::MAX);
    assert_eq!((engine.free_frame_count(), engine.ram_frames()), (4, 4));
}
