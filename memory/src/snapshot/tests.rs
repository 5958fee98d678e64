//! Runs as they are found and as they are written.

use std::string::ToString;
use std::vec::Vec;

use super::*;
use crate::AddressLimit;
use crate::testing::*;

#[test]
fn every_frame_is_in_one_run() {
    let b = bench();
    let mut next = 0;
    for run in b.engine.runs() {
        assert_eq!(run.first.raw(), next);
        next += run.frames;
    }
    assert_eq!(next, b.engine.maximum_ram_page().raw() + 1);
}

#[test]
fn frames_of_a_domain_are_told_with_their_type_and_pfn() {
    let b = bench();
    let mfn = b
        .engine
        .populate_extent(&b.d, 0, AddressLimit::NONE, Some(Pfn::new(0x900)))
        .unwrap();
    let run = b
        .engine
        .runs()
        .find(|run| (run.first.raw()..run.first.raw() + run.frames).contains(&mfn.raw()))
        .unwrap();
    assert_eq!(run.holder, Holder::Domain(b.d.id()));
    assert_eq!(
        run.pfn,
        Some(Pfn::new(0x900 - (mfn.raw() - run.first.raw())))
    );
    assert_eq!(run.frame_type, FrameType::None);
}

#[test]
fn a_pinned_table_is_told_as_one() {
    let b = bench();
    let table = b.page();
    b.pin(table, Level::L1).unwrap();
    let run = b.engine.runs().find(|run| run.first == table).unwrap();
    assert_eq!(
        (run.frame_type, run.pinned, run.frames),
        (FrameType::Table(Level::L1), true, 1)
    );
}

#[test]
fn what_is_written_is_read_back() {
    let b = bench();
    let table = b.page();
    b.pin(table, Level::L2).unwrap();
    let runs: Vec<Run> = b.engine.runs().collect();
    assert!(runs.len() > 2);
    for run in runs {
        assert_eq!(Run::parse(&run.to_string()), Some(run), "{run}");
    }
}

#[test]
fn noise_is_no_run() {
    for noise in [
        "",
        "1",
        "1+",
        "1+1",
        "1+1:",
        "1+1:d",
        "1+1:d1:q1/1",
        "1+1:d1:w1",
        "1+1:d1:w1/1:z",
        "1+1:d1:w1/1:1:1",
    ] {
        assert_eq!(Run::parse(noise), None, "{noise}");
    }
}
