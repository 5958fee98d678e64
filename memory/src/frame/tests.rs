//! The words, and the edges of the counters.

use super::{Frame, FrameType, Level, OwnerTag, OwnerWord, TypeWord};
use crate::refusal::Rule;
use crate::testing::*;
use xenocryst_abi::DomId;

const TYPES: [FrameType; 8] = [
    FrameType::None,
    FrameType::Writable,
    FrameType::Table(Level::L1),
    FrameType::Table(Level::L2),
    FrameType::Table(Level::L3),
    FrameType::Table(Level::L4),
    FrameType::Descriptors,
    FrameType::Shared,
];

#[test]
fn a_frame_is_16_bytes_and_zero_means_no_ram() {
    assert_eq!(core::mem::size_of::<Frame>(), 16);
    let frame = Frame::new();
    assert!(!frame.info().is_ram);
    for id in [0, 1, 0x7ff1, 0xffff] {
        assert!(!frame.get(OwnerTag::of(DomId(id))));
    }
}

#[test]
fn every_state_decodes_to_what_was_encoded() {
    for t in TYPES {
        let live = TypeWord::live_once(t);
        assert_eq!(
            (live.frame_type(), live.count(), live.is_idle()),
            (t, 1, false)
        );
        assert!(live.is_live(t) && live.partial().is_none());
        assert!(
            TYPES
                .iter()
                .all(|&other| live.is_live(other) == (other == t))
        );
        let idle = TypeWord::idle(t, 0x3fff_ffff);
        assert_eq!(
            (idle.frame_type(), idle.count(), idle.stamp()),
            (t, 0, 0x3fff_ffff)
        );
        assert!(idle.is_idle() && idle.partial().is_none() && idle.linear() == 0);
        for cursor in [0, 1, 255, 512, TypeWord::BUSY] {
            let partial = TypeWord::started(t).with_cursor(cursor);
            assert_eq!(
                (partial.partial(), partial.count(), partial.frame_type()),
                (Some(cursor), 1, t)
            );
            assert!(!partial.is_idle() && !partial.is_live(t));
            assert_eq!(partial.validated(), live);
        }
    }
}

#[test]
fn the_linear_counter_is_signed_and_refuses_to_overflow() {
    let word = TypeWord::live_once(FrameType::Table(Level::L4));
    let most = word.with_linear_moved(i16::MAX).unwrap();
    assert_eq!(most.linear(), i16::MAX);
    assert_eq!(most.with_linear_moved(1), None);
    let least = word.with_linear_moved(i16::MIN).unwrap();
    assert_eq!(least.linear(), i16::MIN);
    assert_eq!(least.with_linear_moved(-1), None);
    assert_eq!(
        (most.count(), most.frame_type()),
        (1, FrameType::Table(Level::L4))
    );
    assert_eq!(most.with_cursor(7).linear(), i16::MAX);
}

#[test]
fn a_frame_of_another_or_of_nobody_is_not_taken() {
    let frame = Frame::new();
    frame.set_owner_word(OwnerWord::given_to(DomId(3), false));
    assert!(frame.get(OwnerTag::of(DomId(3))) && !frame.get(OwnerTag::of(DomId(2))));
    assert_eq!(frame.owner_word().count(), 2);
    frame.set_owner_word(OwnerWord::UNOWNED);
    assert!(!frame.get(OwnerTag::of(DomId(0xffff))) && !frame.get(OwnerTag::of(DomId(0))));
    for word in [OwnerWord::FREE_BODY, OwnerWord::free_head(3, Some(7))] {
        frame.set_owner_word(word);
        assert!(!frame.get(OwnerTag::of(DomId(0))) && frame.info().is_free);
    }
    assert_eq!(OwnerWord::free_head(18, Some(7)).free_order(), Some(18));
    assert_eq!(OwnerWord::FREE_BODY.free_order(), None);
}

/// Puts a frame's counters at their upper edge.
fn saturate(b: &Bench, mfn: xenocryst_abi::Mfn) {
    let frame = b.engine.frame(mfn).unwrap();
    frame.set_owner_word(OwnerWord(frame.owner_word().0 | 0xffff_fffe));
    frame.set_type_word(TypeWord(frame.type_word().0 | 0x0fff_ffff));
}

#[test]
fn saturated_counts_refuse_instead_of_wrapping() {
    let b = bench();
    let s = b.space();
    saturate(&b, s.l1);
    refused(
        b.update(at(s.l2, 5), entry(s.l1, T)),
        Rule::FrameCountSaturated,
    );
    let frame = b.engine.frame(s.l1).unwrap();
    frame.set_owner_word(OwnerWord::given_to(b.d.id(), false));
    refused(
        b.update(at(s.l2, 5), entry(s.l1, T)),
        Rule::TypeCountSaturated,
    );
    assert_eq!(frame.owner_word().count(), 1);
    refused(b.pin(s.l1, Level::L1), Rule::TypeCountSaturated);
    saturate(&b, s.data);
    refused(
        b.update(at(s.l1, 5), entry(s.data, T)),
        Rule::FrameCountSaturated,
    );
    let frame = b.engine.frame(s.data).unwrap();
    frame.set_owner_word(OwnerWord::given_to(b.d.id(), false));
    refused(
        b.update(at(s.l1, 5), entry(s.data, T)),
        Rule::L1TargetNotWritable,
    );
}

/// Between its last reference's going and its coming to the free list, a frame still carries its owner's number.
#[test]
fn a_frame_whose_last_reference_is_gone_belongs_to_nobody() {
    let owner = DomId(3);
    let word = OwnerWord::given_to(owner, false);
    assert!(word.belongs_to(OwnerTag::of(owner)));
    let frame = Frame::new();
    frame.set_owner_word(word.deallocated().unwrap());
    assert!(!frame.owner_word().belongs_to(OwnerTag::of(owner)));
    assert!(!frame.get(OwnerTag::of(owner)));
    assert_eq!(frame.info().owner, None);
}
