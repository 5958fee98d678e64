//! Each kind of discrepancy, planted and found; and what the audit asks of the memory it is lent.

use super::*;
use crate::frame::{FrameType, Level, OwnerWord, TypeWord};
use crate::pte::{PRESENT, USER};
use crate::sim::{FRAMES, HOLE, domain};
use crate::testing::*;
use core::sync::atomic::Ordering;
use std::string::{String, ToString};
use std::vec::Vec;
use xenocryst_abi::Pfn;

/// What an audit of the bench's domain says.
fn findings(b: &Bench) -> Vec<String> {
    findings_in(b, FRAMES, 100).0
}

/// With room for `covered` frames, in chunks of `each`.
fn findings_in(b: &Bench, covered: usize, each: usize) -> (Vec<String>, Totals) {
    let mut said = Vec::new();
    let mut tallies = std::vec![Tally { general: 9, ..Tally::default() }; covered];
    let mut chunks: Vec<&mut [Tally]> = tallies.chunks_mut(each).collect();
    let mut report = |finding: &Finding| said.push(finding.to_string());
    let audit = Audit::new(&b.engine, Tallies::new(&mut chunks), &mut report);
    let totals = audit.finish(&[&b.d]);
    (said, totals)
}

/// Plants one thing in a clean machine, and expects it to be named by all of `wanted` and nothing else.
#[track_caller]
fn planted(plant: impl FnOnce(&Bench, &Space), wanted: &[&str]) {
    let b = bench();
    let s = b.space();
    assert_eq!(findings(&b), Vec::<String>::new());
    plant(&b, &s);
    let said = findings(&b);
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for (said, wanted) in said.iter().zip(wanted) {
        assert!(said.contains(wanted), "{said} does not say {wanted:?}");
    }
}

#[test]
fn a_clean_machine_is_counted_whole() {
    let b = bench();
    b.space();
    let (said, totals) = findings_in(&b, FRAMES, 1 << 20);
    assert_eq!(said, Vec::<String>::new());
    let ram = FRAMES as u64 - 16;
    let wanted = Totals {
        frames: ram,
        tables: 4,
        discrepancies: 0,
    };
    assert_eq!(totals, wanted);
}

#[test]
fn what_the_lent_memory_does_not_cover_is_said() {
    let b = bench();
    b.space();
    let (said, totals) = findings_in(&b, FRAMES - 1, 64);
    assert_eq!(
        said,
        [std::format!(
            "frame {} cannot be counted",
            Mfn::new(FRAMES as u64 - 1)
        )]
    );
    assert_eq!(totals.discrepancies, 1);
}

#[test]
fn a_reference_too_many_and_one_too_few_are_found() {
    planted(
        |b, s| drop(b.engine.get_page(&b.d, s.data)),
        &["should have 2 references, 1 of its type"],
    );
    planted(
        |b, s| {
            b.engine.frame(s.l2).unwrap().put();
        },
        &["should have 2 references, 1 of its type"],
    );
}

#[test]
fn a_type_reference_that_nobody_holds_is_found() {
    planted(
        |b, s| {
            let frame = b.engine.frame(s.data).unwrap();
            frame.set_type_word(frame.type_word().one_more().unwrap());
        },
        &["is writable used 2 times"],
    );
}

/// An entry that was written without a reference: what skipping a check would leave.
#[test]
fn a_writable_mapping_of_a_table_is_found_with_the_entry() {
    planted(
        |b, s| b.poke(s.l1, 7, entry(s.l3, T)),
        &[
            "slot 7 maps frame",
            "should have 3 references, 2 of its type",
        ],
    );
}

#[test]
fn an_entry_that_names_no_table_is_found() {
    planted(
        |b, s| b.poke(s.l3, 7, entry(s.data, T)),
        &["L3 table", "should have 3 references, 1 of its type"],
    );
}

#[test]
fn a_wrong_linear_count_is_found() {
    planted(
        |b, s| {
            let frame = b.engine.frame(s.l4).unwrap();
            frame.set_type_word(frame.type_word().with_linear_moved(1).unwrap());
        },
        &["linear 0; it belongs to d1, is L4 table used 1 times, 2 references, linear 1"],
    );
    planted(
        |b, s| {
            let other = b.space();
            b.poke(s.l4, 300, entry(other.l4, PRESENT | USER));
        },
        &["linear -1;", "linear 1;"],
    );
}

#[test]
fn a_free_frame_that_is_mapped_is_found() {
    planted(
        |b, s| {
            let free = Mfn::new(FRAMES as u64 - 1);
            assert!(b.info(free).is_free);
            b.poke(s.l1, 9, entry(free, PRESENT | USER));
        },
        &["is free or no RAM, but referred to 1 times"],
    );
}

#[test]
fn an_upper_entry_to_no_ram_is_found() {
    planted(
        |b, s| b.poke(s.l2, 9, entry(Mfn::new(HOLE), T)),
        &["names frame", "is free or no RAM"],
    );
}

#[test]
fn a_frame_of_nobody_or_of_an_unknown_domain_is_found() {
    planted(
        |b, _| {
            let frame = b.engine.frame(b.page()).unwrap();
            frame.set_owner_word(OwnerWord::UNOWNED);
        },
        &["is in nobody's hands", "d1 owns 5 frames, counted 6"],
    );
    planted(
        |b, _| {
            b.page_of(&domain(5));
        },
        &["belongs to d5, which is not there"],
    );
}

#[test]
fn a_total_that_is_off_is_found() {
    planted(
        |b, _| {
            b.engine.owned[1].fetch_add(3, Ordering::Relaxed);
        },
        &["d1 owns 5 frames, counted 8"],
    );
}

#[test]
fn states_that_contradict_themselves_are_found() {
    planted(
        |b, s| {
            let frame = b.engine.frame(s.data).unwrap();
            frame.set_type_word(frame.type_word().with_pin(true));
        },
        &["should have", "is pinned, but no validated table"],
    );
    planted(
        |b, _| {
            let frame = b.engine.frame(b.page()).unwrap();
            frame.set_type_word(
                TypeWord::started(FrameType::Table(Level::L2)).with_cursor(TypeWord::BUSY),
            );
        },
        &["should have", "is being worked on by nobody"],
    );
}

#[test]
fn a_number_in_the_m2p_for_a_free_frame_is_found() {
    planted(
        |b, _| b.engine.write_m2p(Mfn::new(3), Pfn::new(77).raw()),
        &["frame 0x3 is no domain's"],
    );
}

#[test]
fn a_shared_frame_that_comes_back_has_no_number() {
    let b = bench();
    let frame = b
        .engine
        .allocate_frames(0, crate::AddressLimit::NONE)
        .unwrap();
    assert!(b.engine.share_with(&b.d, frame, true));
    b.engine.set_m2p(&b.d, frame, Pfn::new(5)).unwrap();
    b.check();
    assert!(b.engine.unshare(&b.d, frame));
    b.check();
    b.engine.free_frames(frame, 0);
    b.check();
}

#[test]
fn a_broken_free_list_is_found() {
    let b = bench();
    let highest = b.engine.frame(Mfn::new(FRAMES as u64 - 1)).unwrap();
    highest.set_owner_word(OwnerWord::HELD);
    let said = findings(&b);
    for wanted in [
        "heads a block that is not whole",
        "is in no block",
        "is in a list that is too long",
    ] {
        assert!(said.iter().any(|said| said.contains(wanted)), "{said:#?}");
    }
    highest.set_owner_word(OwnerWord::FREE_BODY);
    assert_eq!(findings(&b), Vec::<String>::new());
    b.engine.free.lock().frames_off_by_one();
    assert_eq!(findings(&b), ["992 frames are free, counted 993"]);
}

#[test]
fn references_are_told_apart() {
    let b = bench();
    let s = b.space();
    let general = b.engine.get_page(&b.d, s.l4).unwrap();
    let typed = b.engine.get_writable_page(&b.d, s.data).unwrap();
    let held = [Held::General(s.l4), Held::Typed(s.data)];
    b.check_with(&[], &held);
    assert!(
        recount(
            &b.engine,
            &[&b.d],
            &[Held::Typed(s.l4), Held::Typed(s.data)]
        )
        .is_err()
    );
    assert!(recount(&b.engine, &[&b.d], &held[..1]).is_err());
    b.engine.put_page(general);
    b.engine.put_writable_page(typed);
    b.check();
}
