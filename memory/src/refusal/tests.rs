//! Refusals as values and as text.

use super::{Errno, Rule};
use crate::frame::Level;
use crate::testing::*;
use std::collections::BTreeSet;
use std::string::ToString;

#[test]
fn codes_are_unique_and_sentences_say_something() {
    let codes: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
    assert_eq!(codes.len(), Rule::ALL.len());
    for rule in Rule::ALL {
        assert!(
            rule.sentence().ends_with('.') && rule.sentence().len() > 20,
            "{}",
            rule.code()
        );
        assert!(rule.errno().as_return() < 0);
        assert!(rule.why().ends_with('.') && rule.instead().ends_with('.'));
        assert!(rule.to_string() == rule.code());
    }
}

#[test]
fn error_numbers_are_those_of_the_abi() {
    assert_eq!(Errno::Perm.as_return(), -1);
    assert_eq!(Errno::NoMem.as_return(), -12);
    assert_eq!(Errno::Access.as_return(), -13);
    assert_eq!(Errno::Busy.as_return(), -16);
    assert_eq!(Errno::Inval.as_return(), -22);
    assert_eq!(Errno::NoSys.as_return(), -38);
}

#[test]
fn the_line_names_the_entry_the_frame_its_owner_and_the_rule() {
    let b = bench();
    let s = b.space();
    let refusal = b.update(at(s.l1, 9), entry(s.l4, T)).unwrap_err();
    let line = refusal.to_string();
    for part in [
        "PT-012",
        "L1 table",
        "slot 9",
        "belongs to d1",
        "L4 table used 1 times",
        "pinned",
        "wanted as writable",
    ] {
        assert!(line.contains(part), "{part:?} is missing in: {line}");
    }
    assert!(!line.contains('\n'));
    assert!(line.starts_with("PT-012: "), "the code leads: {line}");
    assert_eq!(refusal.context.level, Some(Level::L1));
}

#[test]
fn frames_that_are_no_ram_or_free_are_called_so() {
    let b = bench();
    let s = b.space();
    let hole = b
        .update(at(s.l1, 9), entry(xenocryst_abi::Mfn::new(512), T))
        .unwrap_err();
    assert!(hole.to_string().contains("is no RAM"), "{hole}");
    let free = b
        .update(at(s.l1, 9), entry(xenocryst_abi::Mfn::new(900), T))
        .unwrap_err();
    assert!(free.to_string().contains("is free"), "{free}");
}

#[test]
fn the_line_of_an_l1_entry_names_the_domain_whose_frame_was_wanted() {
    let b = bench();
    let s = b.space();
    let theirs = b.page_of(&crate::sim::domain(2));
    for (frame, rule) in [
        (theirs, Rule::L1TargetOwner),
        (xenocryst_abi::Mfn::new(512), Rule::IoNotPermitted),
    ] {
        let refusal = refused(b.update(at(s.l1, 9), entry(frame, T)), rule);
        let line = refusal.to_string();
        assert!(line.contains("wanted a frame of d1"), "{line}");
    }
}
