//! Mapping: what is taken, what is refused.

use super::*;
use crate::frame::FrameType;
use crate::grant::active::{Active, Pins};
use crate::pte;
use xenocryst_abi::grant_table::status;

#[test]
fn a_mapping_holds_references_marks_the_grant_and_gives_all_back() {
    for version in [1, 2] {
        let p = pair_of(version);
        let frame = p.granted(9, 0);
        let mapping = p.map(9, RW_MAP, 7 << 12).unwrap();
        assert_eq!(mapping.bus_address, frame.maddr().raw());
        let info = p.b.info(frame);
        assert_eq!((info.general_count, info.type_count), (2, 1));
        assert_eq!(info.frame_type, FrameType::Writable);
        assert_eq!(p.marks(9), f::READING | f::WRITING);
        let entry = p.b.peek(p.s.l1, 7);
        assert_eq!(pte::target(entry), frame);
        assert_eq!(
            entry & (pte::PRESENT | pte::RW | pte::USER | pte::NX | pte::GUEST_KERNEL),
            pte::PRESENT | pte::RW | pte::USER | pte::NX | pte::GUEST_KERNEL
        );
        p.check();
        p.b.engine.machine().take_flushes();
        p.unmap(mapping.handle, 7 << 12, 0).unwrap();
        assert_eq!(p.b.engine.machine().take_flushes().len(), 1);
        assert_eq!((p.marks(9), p.b.peek(p.s.l1, 7)), (0, 0));
        assert_eq!(p.b.info(frame).general_count, 1);
        p.check();
    }
}

#[test]
fn a_mapping_replaces_what_the_entry_mapped_before() {
    let p = pair();
    p.granted(9, 0);
    let count = p.b.info(p.s.data).general_count;
    p.map_at(9, RO_MAP | m::APPLICATION_MAP | 5 << 16, 0)
        .unwrap();
    assert_eq!(p.b.info(p.s.data).general_count, count - 1);
    assert_eq!(p.b.peek(p.s.l1, 0) & (pte::AVAILABLE | pte::RW), 5 << 9);
    assert_eq!(p.marks(9), f::READING);
    p.check();
}

#[test]
fn a_domain_may_map_its_own_grant() {
    let p = pair();
    let frame = p.b.page();
    let shared = p.b.engine.grant_frame(&p.own_table, 0).unwrap();
    let word = u64::from(f::PERMIT_ACCESS) | u64::from(p.b.d.id().0) << 16 | frame.raw() << 32;
    p.b.poke(shared, 3, word);
    let request = GrantMap {
        host_addr: 5 << 12,
        flags: RW_MAP,
        reference: 3,
    };
    p.b.engine
        .map_grant(&p.mapper(), &p.own_granter(), &request)
        .unwrap();
    p.check();
}

#[test]
fn what_the_entry_does_not_permit_is_refused_and_leaves_nothing() {
    for version in [1, 2] {
        let p = pair_of(version);
        let frame = p.granted(9, f::READONLY);
        told(
            p.map_at(9, RW_MAP, 4),
            Rule::GrantNotPermitted,
            status::GENERAL_ERROR,
        );
        p.grant_to(10, f::PERMIT_ACCESS, DomId(5), frame);
        told(
            p.map_at(10, RO_MAP, 4),
            Rule::GrantNotPermitted,
            status::GENERAL_ERROR,
        );
        p.grant_to(11, f::INVALID, p.b.d.id(), frame);
        told(
            p.map_at(11, RO_MAP, 4),
            Rule::GrantNotPermitted,
            status::GENERAL_ERROR,
        );
        p.grant(12, f::SUB_PAGE, frame);
        told(
            p.map_at(12, RO_MAP, 4),
            Rule::GrantPartOfPage,
            status::GENERAL_ERROR,
        );
        p.grant_to(13, f::TRANSITIVE, p.b.d.id(), frame);
        assert!(p.map_at(13, RO_MAP, 4).is_err());
        told(
            p.map_at(9, m::READONLY, 4),
            Rule::GrantMapKind,
            status::BAD_GNTREF,
        );
        told(
            p.map_at(1 << 20, RO_MAP, 4),
            Rule::GrantReference,
            status::BAD_GNTREF,
        );
        p.check();
        assert_eq!(p.b.peek(p.s.l1, 4), 0);
    }
}

#[test]
fn only_ram_of_the_granter_can_be_granted() {
    let p = pair();
    for frame in [
        p.s.data,
        Mfn::new(2),
        Mfn::new(512),
        Mfn::new(0xffff_ffff),
        Mfn::new(900),
    ] {
        p.grant(9, 0, frame);
        told(p.map_at(9, RO_MAP, 4), Rule::GrantFrame, status::BAD_PAGE);
        told(p.map_at(9, RW_MAP, 4), Rule::GrantFrame, status::BAD_PAGE);
    }
    p.check();
}

#[test]
fn a_table_can_be_granted_for_reading_only() {
    let p = pair();
    let frame = p.granted(9, 0);
    p.pin_granters(frame).unwrap();
    told(
        p.map_at(9, RW_MAP, 4),
        Rule::GrantNotWritable,
        status::GENERAL_ERROR,
    );
    told(
        p.map_at(9, m::DEVICE_MAP, 4),
        Rule::GrantNotWritable,
        status::GENERAL_ERROR,
    );
    p.map_at(9, RO_MAP, 4).unwrap();
    p.check();
}

/// XSA-227.
#[test]
fn an_entry_address_must_be_aligned_and_in_an_own_l1_table() {
    let p = pair();
    p.granted(9, 0);
    let before = [p.b.peek(p.s.l1, 3), p.b.peek(p.s.l1, 4)];
    for offset in 1..8 {
        let result = p.map(9, RW_MAP | PTE, at(p.s.l1, 4) - offset);
        told(result, Rule::GrantAddress, status::GENERAL_ERROR);
    }
    let foreign = p.b.page_of(&p.g);
    p.pin_granters(foreign).unwrap();
    for table in [
        p.s.l2,
        p.s.l4,
        p.s.data,
        foreign,
        Mfn::new(1),
        Mfn::new(1 << 40),
    ] {
        assert!(p.map(9, RW_MAP | PTE, at(table, 4)).is_err());
    }
    for address in [0xffff_8000_0000_0000, 1 << 50, 1 << 30] {
        told(
            p.map(9, RW_MAP, address),
            Rule::GrantAddress,
            status::GENERAL_ERROR,
        );
    }
    assert_eq!(before, [p.b.peek(p.s.l1, 3), p.b.peek(p.s.l1, 4)]);
    p.check();
}

/// XSA-224: host and device own references of their own.
#[test]
fn the_two_parts_of_a_mapping_are_counted_apart() {
    let p = pair();
    let frame = p.granted(9, 0);
    let both = p.map_at(9, RW_MAP | m::DEVICE_MAP, 4).unwrap();
    assert_eq!(p.b.info(frame).type_count, 2);
    p.check();
    p.unmap(both.handle, at(p.s.l1, 4), 0).unwrap();
    assert_eq!(p.b.info(frame).type_count, 1);
    assert!(p.pin_granters(frame).is_err());
    p.unmap(both.handle, 0, 0).unwrap();
    told(
        p.unmap(both.handle, 0, both.bus_address + 4096),
        Rule::GrantBusAddress,
        status::BAD_DEV_ADDR,
    );
    assert_eq!(p.marks(9), f::READING | f::WRITING);
    p.check();
    p.unmap(both.handle, 0, both.bus_address).unwrap();
    assert_eq!(p.marks(9), 0);
    p.pin_granters(frame).unwrap();
    p.check();
}

#[test]
fn pins_stop_at_their_limit() {
    let p = pair();
    p.granted(9, 0);
    for _ in 0..128 {
        p.map(9, m::DEVICE_MAP | m::READONLY, 0).unwrap();
    }
    told(
        p.map(9, m::DEVICE_MAP | m::READONLY, 0),
        Rule::GrantPinOverflow,
        status::GENERAL_ERROR,
    );
    p.map_at(9, RO_MAP, 4).unwrap();
    p.check();
}

/// XSA-500.
#[test]
fn a_grant_that_changed_while_used_serves_nothing_more() {
    for version in [1, 2] {
        let p = pair_of(version);
        p.granted(9, 0);
        let first = p.map_at(9, RO_MAP, 4).unwrap();
        let other = p.b.page_of(&p.g);
        p.grant(9, 0, other);
        told(
            p.map_at(9, RO_MAP, 5),
            Rule::GrantChanged,
            status::GENERAL_ERROR,
        );
        told(
            p.map_at(9, RW_MAP, 5),
            Rule::GrantChanged,
            status::GENERAL_ERROR,
        );
        p.check_with(false);
        p.unmap(first.handle, at(p.s.l1, 4), 0).unwrap();
        p.map_at(9, RW_MAP, 5).unwrap();
        p.check();
    }
}

#[test]
fn an_entry_that_keeps_changing_is_given_up() {
    let p = pair();
    p.granted(9, 0);
    p.b.engine.machine().race_with(u64::from(f::READONLY));
    told(
        p.map_at(9, RW_MAP, 4),
        Rule::GrantNotPermitted,
        status::GENERAL_ERROR,
    );
    p.check();
}

#[test]
fn a_mapping_for_devices_alone_touches_no_entry() {
    let p = pair();
    let frame = p.granted(9, 0);
    let mapping = p.map_at(9, m::DEVICE_MAP, 4).unwrap();
    assert_eq!(p.b.peek(p.s.l1, 4), 0);
    assert_eq!(p.b.info(frame).type_count, 1);
    // Whatever stands at the address that an unmapping names has nothing to do with it.
    p.b.update(at(p.s.l1, 4), entry(p.b.page(), T)).unwrap();
    let before = p.b.peek(p.s.l1, 4);
    p.unmap(mapping.handle, at(p.s.l1, 4), 0).unwrap();
    assert_eq!(p.b.peek(p.s.l1, 4), before);
    p.check();
    p.unmap(mapping.handle, 0, mapping.bus_address).unwrap();
    assert_eq!(p.b.info(frame).type_count, 0);
    p.check();
}

/// What one entry's users were promised is kept whole, for who comes while they are at it.
#[test]
fn what_a_used_grant_promised_is_kept_whole() {
    for (start, length, is_part) in [(0, 4096, false), (0x321, 0x4d2, true)] {
        let active = Active {
            pins: Pins::of([1, 2, 3, 128]),
            user: DomId(0x7f3),
            frame: Mfn::new(0xfedc_ba98),
            start,
            length,
            is_part,
        };
        assert_eq!(Active::unpack(active.pack()), active);
    }
}

#[test]
fn a_mapped_grant_is_no_code_and_counts_as_used_and_written() {
    let p = pair();
    p.granted(9, 0);
    let always = pte::PRESENT | pte::ACCESSED | pte::DIRTY | pte::NX | pte::USER;
    for (flags, access) in [(RO_MAP, 0), (RW_MAP, pte::RW)] {
        p.map_at(9, flags, 4).unwrap();
        let entry = p.b.peek(p.s.l1, 4);
        assert_eq!(entry & (always | pte::RW), always | access);
    }
}

/// The type that means "transitive" in version 2 means nothing in version 1.
#[test]
fn version_1_knows_no_transitive_grants() {
    let p = pair();
    let frame = p.b.page_of(&p.g);
    p.grant_to(9, f::TRANSITIVE, p.b.d.id(), frame);
    refused(p.map_at(9, RW_MAP, 4), Rule::GrantNotPermitted);
    p.check();
}
