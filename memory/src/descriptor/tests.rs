//! Descriptors.

use super::check_descriptor;
use crate::audit::Held;
use crate::frame::{FrameType, Level::*};
use crate::refusal::Rule;
use crate::testing::*;
use xenocryst_abi::{Maddr, Mfn};

/// A present 64-bit code segment of ring 0.
const CODE: u64 = 0x00af_9b00_0000_ffff;
/// A present 64-bit TSS.
const TSS: u64 = 0x0000_8900_0000_0067;
/// A present call gate to selector 0x10, privilege 3.
const GATE: u64 = 0x0000_ec00_0010_1234;

#[test]
fn segments_are_raised_to_ring_3() {
    assert_eq!(check_descriptor(CODE), Some(CODE | 3 << 45));
    assert_eq!(check_descriptor(CODE | 3 << 45), Some(CODE | 3 << 45));
}

#[test]
fn descriptors_that_always_fault_are_left_alone() {
    assert_eq!(check_descriptor(0), Some(0));
    assert_eq!(check_descriptor(TSS & !(1 << 47)), Some(TSS & !(1 << 47)));
    assert_eq!(
        check_descriptor(1 << 47),
        Some(1 << 47),
        "second half of a gate"
    );
}

#[test]
fn call_gates_are_made_to_fault() {
    assert_eq!(check_descriptor(GATE), Some(GATE & !(3 << 45) | 3 << 16));
    assert_eq!(check_descriptor(GATE | 1 << 32), None, "reserved bits");
    assert_eq!(
        check_descriptor(GATE & !(0xffff << 16) | 0xe008 << 16),
        None,
        "the hypervisor's selectors"
    );
    assert!(check_descriptor(GATE & !(0xffff << 16) | 0xe033 << 16).is_some());
    assert!(
        check_descriptor(GATE & !(0xffff << 16) | 0xe00c << 16).is_some(),
        "LDT selectors"
    );
}

#[test]
fn a_call_gate_leads_to_any_segment_of_the_guests_own_gdt_and_to_none_behind_it() {
    let gate_to = |selector: u64| check_descriptor(GATE & !(0xffff << 16) | selector << 16);
    let faulting = |selector: u64| GATE & !(0xffff << 16 | 3 << 45) | selector << 16;
    for (selector, kept) in [
        (0xdff8, 0xdffb),
        (0xdffb, 0xdffb),
        (0x13, 0x13),
        (0x11, 0x13),
    ] {
        assert_eq!(gate_to(selector), Some(faulting(kept)), "{selector:#x}");
    }
    for selector in [0xe000, 0xe003] {
        assert_eq!(gate_to(selector), None, "{selector:#x}");
    }
}

#[test]
fn everything_else_is_refused() {
    for kind in [1u64, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15] {
        assert_eq!(check_descriptor(TSS & !(0xf << 40) | kind << 40), None);
    }
}

#[test]
fn a_descriptor_page_is_validated_held_and_unwritable() {
    let b = bench();
    let s = b.space();
    let page = b.page();
    b.poke(page, 4, CODE);
    let held = b.engine.get_descriptor_page(&b.d, page).unwrap();
    assert_eq!(b.peek(page, 4), CODE | 3 << 45);
    assert_eq!(b.info(page).frame_type, FrameType::Descriptors);
    refused(b.map(&s, 0x1000, entry(page, T)), Rule::L1TargetNotWritable);
    refused(b.pin(page, L1), Rule::TargetTypeConflict);
    let again = b.engine.get_descriptor_page(&b.d, page).unwrap();
    b.check_with(&[], &[Held::Typed(page), Held::Typed(page)]);
    b.engine.put_descriptor_page(&b.d, again);
    b.engine.put_descriptor_page(&b.d, held);
    b.map(&s, 0x1000, entry(page, T)).unwrap();
    refused(
        b.engine.get_descriptor_page(&b.d, page),
        Rule::DescriptorFrame,
    );
    refused(
        b.engine.get_descriptor_page(&b.d, Mfn::new(3)),
        Rule::FrameNotOwned,
    );
    b.check();
}

#[test]
fn a_page_with_a_bad_descriptor_is_refused_and_keeps_no_type() {
    let b = bench();
    let page = b.page();
    b.poke(page, 511, TSS);
    refused(
        b.engine.get_descriptor_page(&b.d, page),
        Rule::BadDescriptor,
    );
    assert_eq!(
        (b.info(page).type_count, b.info(page).general_count),
        (0, 1)
    );
    b.pin(b.page(), L1).unwrap();
    b.check();
}

#[test]
fn descriptors_are_written_one_by_one_where_that_is_safe() {
    let b = bench();
    let s = b.space();
    let page = b.page();
    let write = |mfn: Mfn, offset: u64, value| {
        b.engine
            .update_descriptor(&b.d, Maddr::new(mfn.maddr().raw() + offset), value)
    };
    write(page, 8, CODE).unwrap();
    assert_eq!(b.peek(page, 1), CODE | 3 << 45);
    let held = b.engine.get_descriptor_page(&b.d, page).unwrap();
    write(page, 16, CODE).unwrap();
    assert_eq!(b.peek(page, 2), CODE | 3 << 45);
    refused(write(page, 16, TSS), Rule::BadDescriptor);
    refused(write(page, 12, CODE), Rule::Misaligned);
    refused(write(s.l1, 0, CODE), Rule::DescriptorFrame);
    refused(write(Mfn::new(3), 0, CODE), Rule::FrameNotOwned);
    b.engine.put_descriptor_page(&b.d, held);
    b.check();
}
