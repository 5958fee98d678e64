//! Stores to page tables.

use super::{PteStore, PteStoreOutcome};
use crate::frame::Level;
use crate::pte::{ACCESSED, GLOBAL, NX, PCD, PRESENT, RW, USER};
use crate::refusal::Rule;
use crate::testing::*;
use crate::{Actors, Budget};
use xenocryst_abi::Vaddr;

const WINDOW: u64 = 0x7000;

/// A space with its L1 mapped read-only at [`WINDOW`].
fn windowed() -> (Bench, Space) {
    let b = bench();
    let s = b.raw_space();
    b.poke(s.l1, WINDOW >> 12, entry(s.l1, PRESENT | USER));
    b.pin(s.l4, Level::L4).unwrap();
    (b, s)
}

fn store(b: &Bench, s: &Space, offset: u64, store: PteStore) -> PteStoreOutcome {
    let va = Vaddr::new(WINDOW + offset);
    b.engine.emulate_pte_store(&b.d, s.l4, va, va, store)
}

fn plain(value: u64) -> PteStore {
    PteStore::Plain { width: 8, value }
}

#[track_caller]
fn assert_refused(outcome: PteStoreOutcome, rule: Rule) {
    match outcome {
        PteStoreOutcome::Refused(refusal) => assert_eq!(refusal.rule, rule, "{refusal}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plain_store_is_validated_and_done() {
    let (b, s) = windowed();
    let page = b.page();
    assert_eq!(
        store(&b, &s, 8, plain(entry(page, T))),
        PteStoreOutcome::Written
    );
    assert_eq!(b.peek(s.l1, 1), entry(page, T | GLOBAL));
    b.check();
    assert_eq!(store(&b, &s, 8, plain(0)), PteStoreOutcome::Written);
    assert_eq!(b.info(page).general_count, 1);
    b.check();
}

#[test]
fn harmless_changes_keep_the_references() {
    let (b, s) = windowed();
    let before = b.info(s.data);
    assert_eq!(
        store(&b, &s, 0, plain(entry(s.data, T | ACCESSED))),
        PteStoreOutcome::Written
    );
    assert_eq!(b.info(s.data), before);
    b.check();
}

#[test]
fn a_compare_exchange_reports_what_it_found() {
    let (b, s) = windowed();
    let now = b.peek(s.l1, 0);
    let wrong = PteStore::CompareExchange {
        width: 8,
        expected: now ^ RW,
        value: 0,
    };
    assert_eq!(
        store(&b, &s, 0, wrong),
        PteStoreOutcome::CompareFailed { found: now }
    );
    assert_eq!(b.peek(s.l1, 0), now);
    let right = PteStore::CompareExchange {
        width: 8,
        expected: now,
        value: 0,
    };
    assert_eq!(store(&b, &s, 0, right), PteStoreOutcome::Written);
    assert_eq!((b.peek(s.l1, 0), b.info(s.data).general_count), (0, 1));
    b.check();
}

#[test]
fn a_cpu_setting_accessed_meanwhile_is_seen() {
    let (b, s) = windowed();
    let now = b.peek(s.l1, 0);
    b.engine.machine().race_with(ACCESSED);
    let compare = PteStore::CompareExchange {
        width: 8,
        expected: now,
        value: 0,
    };
    assert_eq!(
        store(&b, &s, 0, compare),
        PteStoreOutcome::CompareFailed {
            found: now | ACCESSED
        }
    );
    b.check();
    b.engine.machine().race_with(1 << 6);
    let page = b.page();
    assert_eq!(
        store(&b, &s, 0, plain(entry(page, T))),
        PteStoreOutcome::Written
    );
    assert_eq!(b.info(s.data).general_count, 1);
    b.check();
}

#[test]
fn narrow_stores_change_their_bytes_only() {
    let (b, s) = windowed();
    let now = b.peek(s.l1, 0);
    let clear_low = PteStore::Plain { width: 1, value: 0 };
    assert_eq!(
        store(&b, &s, 0, clear_low),
        PteStoreOutcome::Refused(expect_l1tf(&b, &s, now & !0xff))
    );
    b.d.set_checks_l1tf(false);
    assert_eq!(store(&b, &s, 0, clear_low), PteStoreOutcome::Written);
    assert_eq!(b.peek(s.l1, 0), now & !0xff);
    assert_eq!(b.info(s.data).general_count, 1);
    let set_low = PteStore::CompareExchange {
        width: 4,
        expected: now & 0xffff_ff00,
        value: now,
    };
    assert_eq!(store(&b, &s, 0, set_low), PteStoreOutcome::Written);
    assert_eq!(b.peek(s.l1, 0), now);
    let high = PteStore::Plain {
        width: 4,
        value: 1 << 31,
    };
    assert_eq!(store(&b, &s, 4, high), PteStoreOutcome::Written);
    assert_eq!(b.peek(s.l1, 0), now | 1 << 63);
    b.check();
}

fn expect_l1tf(_b: &Bench, s: &Space, value: u64) -> crate::Refusal {
    let mut refusal = Rule::L1tf.refuse().value(value);
    refusal.context.level = Some(Level::L1);
    refusal.context.table = Some(s.l1);
    refusal.context.slot = Some(0);
    refusal
}

#[test]
fn stores_that_are_not_aligned_or_leave_the_page_are_refused() {
    let (b, s) = windowed();
    for (offset, width) in [(1, 2), (4, 8), (2, 4), (0, 0), (0, 3), (0, 16), (0, 255)] {
        let outcome = store(&b, &s, offset, PteStore::Plain { width, value: 0 });
        assert_refused(outcome, Rule::EmulateMisaligned);
    }
    let outcome = b.engine.emulate_pte_store(
        &b.d,
        s.l4,
        Vaddr::new(WINDOW),
        Vaddr::new(WINDOW + 0x1000),
        plain(0),
    );
    assert_refused(outcome, Rule::EmulateMisaligned);
    b.check();
}

#[test]
fn entries_that_are_not_allowed_are_refused_with_nothing_changed() {
    let (b, s) = windowed();
    for (value, rule) in [
        (entry(s.l1, T), Rule::L1TargetNotWritable),
        (entry(s.data, T | PCD), Rule::IllegalFlags),
        (entry(xenocryst_abi::Mfn::new(3), T), Rule::L1TargetOwner),
    ] {
        let before = b.peek(s.l1, 1);
        assert_refused(store(&b, &s, 8, plain(value)), rule);
        assert_eq!(b.peek(s.l1, 1), before);
        b.check();
    }
}

#[test]
fn other_faults_are_the_guests_own() {
    let (b, s) = windowed();
    // A writable page, a page that isn't mapped, a read-only data page, an L2 table.
    assert_eq!(store(&b, &s, 0, plain(0)), PteStoreOutcome::Written);
    let data = b.page();
    b.map(&s, 0x8000, entry(data, PRESENT | USER)).unwrap();
    b.map(&s, 0x9000, entry(s.l2, PRESENT | USER)).unwrap();
    b.map(&s, 0xa000, entry(data, T)).unwrap();
    for va in [
        0x8000,
        0x9000,
        0xa000,
        0xb000,
        0x40_0000,
        0xffff_8000_0000_0000,
        1 << 63,
    ] {
        let va = Vaddr::new(va);
        assert!(!b.engine.maps_l1_table(&b.d, s.l4, va));
        assert_eq!(
            b.engine.emulate_pte_store(&b.d, s.l4, va, va, plain(0)),
            PteStoreOutcome::NotATable
        );
    }
    assert!(b.engine.maps_l1_table(&b.d, s.l4, Vaddr::new(WINDOW)));
    b.check();
}

#[test]
fn a_table_that_is_gone_by_the_time_of_the_store_is_left_alone() {
    let (b, s) = windowed();
    let page = b
        .engine
        .l1_table_at(&b.d, s.l4, Vaddr::new(WINDOW + 8))
        .unwrap();
    b.unpin(s.l4).unwrap();
    let stored = b
        .engine
        .store_to_l1_table(&b.d, page, Vaddr::new(WINDOW + 8), plain(0));
    assert_eq!(stored, PteStoreOutcome::NotATable);
    b.check();
}

#[test]
fn an_unwinding_left_over_does_not_show() {
    let (b, s) = windowed();
    let t = b.space();
    let _ = b
        .engine
        .unpin_table(&b.d, t.l4, &mut Budget::new(1))
        .unwrap();
    assert_eq!(
        store(&b, &s, 8, plain(entry(t.l1, T))),
        PteStoreOutcome::Written
    );
    let _ = Actors::own(&b.d);
    b.check();
}

#[test]
fn a_table_that_was_one_only_by_an_unwinding_left_over_takes_no_store() {
    let (b, s) = windowed();
    let (l2, l1) = (b.page(), b.page());
    b.poke(l2, 0, entry(l1, T));
    b.pin(l2, Level::L2).unwrap();
    b.map(&s, WINDOW, entry(l1, PRESENT | USER)).unwrap();
    let _ = b.engine.unpin_table(&b.d, l2, &mut Budget::new(1)).unwrap();
    // Refused at first, since the frame it names is half a table; legal once that is unwound, but then nothing makes
    // the frame that the store goes to a table.
    let stored = store(&b, &s, 8, plain(entry(l2, T)));
    assert_eq!(stored, PteStoreOutcome::NotATable);
    assert_eq!(b.peek(l1, 1), 0);
    assert_eq!(b.info(l2).type_count, 0, "no reference stays behind");
    b.check();
}

#[test]
fn a_compare_exchange_of_the_upper_half_compares_and_reports_that_half() {
    let (b, s) = windowed();
    b.update(at(s.l1, 0), entry(s.data, T | NX)).unwrap();
    let now = b.peek(s.l1, 0);
    let exchange = |expected| {
        let (width, value) = (4, 0);
        let compare = PteStore::CompareExchange {
            width,
            expected,
            value,
        };
        store(&b, &s, 4, compare)
    };
    let found = now >> 32;
    assert_eq!(exchange(0), PteStoreOutcome::CompareFailed { found });
    assert_eq!(b.peek(s.l1, 0), now);
    assert_eq!(exchange(found), PteStoreOutcome::Written);
    assert_eq!(b.peek(s.l1, 0), now & 0xffff_ffff);
    b.check();
}
