//! Walks.

use crate::testing::*;
use xenocryst_abi::{Maddr, Mfn, Vaddr};

#[test]
fn addresses_translate_through_the_domains_own_tables() {
    let b = bench();
    let s = b.space();
    let translated = b.engine.translate(&b.d, s.l4, Vaddr::new(0x123));
    assert_eq!(translated, Some(Maddr::new(s.data.maddr().raw() + 0x123)));
    assert_eq!(b.engine.translate(&b.d, s.l4, Vaddr::new(0x1123)), None);
    assert_eq!(
        b.engine.read_l1_entry(&b.d, s.l4, Vaddr::new(0x1123)),
        Some((Maddr::new(at(s.l1, 1)), 0))
    );
    assert_eq!(
        b.engine.read_l1_entry(&b.d, s.l4, Vaddr::new(0x20_0000)),
        None
    );
}

#[test]
fn a_walk_from_something_that_is_no_root_finds_nothing() {
    let b = bench();
    let s = b.space();
    for root in [s.l3, s.data, Mfn::new(3), Mfn::new(u64::MAX)] {
        assert_eq!(b.engine.translate(&b.d, root, Vaddr::new(0x123)), None);
    }
}

#[test]
fn the_hypervisors_range_is_never_walked() {
    let b = bench();
    let s = b.space();
    for va in [
        0xffff_8000_0000_0000u64,
        0xffff_87ff_ffff_ffff,
        0x0000_8000_0000_0000,
        0xfff7_8000_0000_0000,
    ] {
        assert_eq!(b.engine.read_l1_entry(&b.d, s.l4, Vaddr::new(va)), None);
    }
}
