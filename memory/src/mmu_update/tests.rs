//! Updates of single entries.

use crate::frame::{FrameType, Level, Level::*};
use crate::pte::{
    ACCESSED, DIRTY, GLOBAL, GUEST_KERNEL, NX, PAGE_SIZE_BIT, PAT, PCD, PRESENT, PWT, RW, USER,
};
use crate::refusal::{Errno, Rule};
use crate::sim::{HOLE, domain};
use crate::testing::*;
use crate::{Actors, AddressLimit, Budget, Flush, IoAccess, IoRange, Progress};
use std::string::ToString;
use xenocryst_abi::{DomId, Mfn, Pfn, Vaddr};

#[test]
fn an_l1_update_moves_the_references_from_the_old_frame_to_the_new() {
    let b = bench();
    let s = b.space();
    let page = b.page();
    assert_eq!(
        b.flush_after(at(s.l1, 0), entry(page, T), 1),
        Ok(Flush::None)
    );
    assert_eq!(b.peek(s.l1, 0), entry(page, T | GLOBAL));
    assert_eq!(
        (b.info(page).general_count, b.info(page).type_count),
        (2, 1)
    );
    assert_eq!(
        (b.info(s.data).general_count, b.info(s.data).type_count),
        (1, 0)
    );
    b.check();
}

#[test]
fn harmless_flag_changes_take_no_references() {
    let b = bench();
    let s = b.space();
    let before = b.info(s.data);
    for flags in [NX, 0x200, 1 << 55, DIRTY, ACCESSED, GUEST_KERNEL] {
        b.update(at(s.l1, 0), entry(s.data, T | flags)).unwrap();
        assert_eq!(b.info(s.data), before);
    }
    b.update(at(s.l1, 0), entry(s.data, PRESENT | RW)).unwrap();
    assert_eq!(b.peek(s.l1, 0), entry(s.data, T | GUEST_KERNEL));
    b.check();
}

#[test]
fn losing_and_gaining_rw_is_no_harmless_change() {
    let b = bench();
    let s = b.space();
    b.update(at(s.l1, 0), entry(s.data, PRESENT | USER))
        .unwrap();
    assert_eq!(
        (b.info(s.data).general_count, b.info(s.data).type_count),
        (2, 0)
    );
    b.pin(s.data, L1).unwrap();
    refused(
        b.update(at(s.l1, 0), entry(s.data, T)),
        Rule::L1TargetNotWritable,
    );
    b.check();
}

#[test]
fn write_protecting_and_back_moves_the_writable_reference_only() {
    let b = bench();
    let s = b.space();
    let (data, mapped) = (s.data, |flags| entry(s.data, flags));
    for _ in 0..3 {
        b.update(at(s.l1, 0), mapped(PRESENT | USER)).unwrap();
        assert_eq!(
            (b.info(data).general_count, b.info(data).type_count),
            (2, 0)
        );
        b.check();
        b.update(at(s.l1, 0) | 2, mapped(T | NX)).unwrap();
        assert_eq!(
            (b.info(data).general_count, b.info(data).type_count),
            (2, 1)
        );
        b.check();
    }
}

#[test]
fn a_foreign_mapping_is_not_made_writable_in_ones_own_name() {
    let b = bench_of(0);
    let other = domain(2);
    let s = b.space();
    let theirs = b.page_of(&other);
    let actors = b.actors_on(&other);
    let val = |flags| entry(theirs, flags);
    let _ = b
        .engine
        .mmu_update(
            &actors,
            at(s.l1, 1),
            val(PRESENT | USER),
            &mut Budget::unlimited(),
        )
        .unwrap();
    refused(b.update(at(s.l1, 1), val(T)), Rule::L1TargetOwner);
    let _ = b
        .engine
        .mmu_update(&actors, at(s.l1, 1), val(T), &mut Budget::unlimited())
        .unwrap();
    refused(
        b.update(at(s.l1, 1), val(PRESENT | USER)),
        Rule::L1TargetOwner,
    );
    b.check_with(&[&other], &[]);
}

#[test]
fn accessed_and_dirty_bits_are_kept_when_asked_even_if_the_cpu_sets_them_meanwhile() {
    let b = bench();
    let s = b.space();
    b.engine.machine().race_with(ACCESSED);
    b.update(at(s.l1, 0) | 2, entry(s.data, PRESENT | USER | NX))
        .unwrap();
    assert_eq!(b.peek(s.l1, 0) & (ACCESSED | DIRTY), ACCESSED);
    b.poke(s.l1, 0, b.peek(s.l1, 0) | DIRTY);
    b.update(at(s.l1, 0) | 2, entry(s.data, PRESENT | USER))
        .unwrap();
    assert_eq!(b.peek(s.l1, 0) & (ACCESSED | DIRTY), ACCESSED | DIRTY);
    b.update(at(s.l1, 0), entry(s.data, PRESENT | USER))
        .unwrap();
    assert_eq!(b.peek(s.l1, 0) & (ACCESSED | DIRTY), 0);
    b.check();
}

#[test]
fn l1_refusals_change_nothing() {
    let b = bench();
    let other = domain(2);
    let s = b.space();
    let theirs = b.page_of(&other);
    let cases = [
        (entry(s.data, T | PCD), Rule::IllegalFlags, Errno::Inval),
        (entry(s.data, T | PAT), Rule::IllegalFlags, Errno::Inval),
        (entry(theirs, T), Rule::L1TargetOwner, Errno::Busy),
        (
            entry(Mfn::new(3), PRESENT),
            Rule::L1TargetOwner,
            Errno::Busy,
        ),
        (entry(s.l1, T), Rule::L1TargetNotWritable, Errno::Busy),
        (entry(s.l4, T), Rule::L1TargetNotWritable, Errno::Busy),
        (entry(Mfn::new(HOLE), T), Rule::IoNotPermitted, Errno::Perm),
        (
            entry(Mfn::new(0xf_0000), T),
            Rule::IoNotPermitted,
            Errno::Perm,
        ),
        (
            entry(Mfn::new(1 << 30), T),
            Rule::AddressTooWide,
            Errno::Perm,
        ),
        (
            entry(Mfn::new((1 << 40) - 1), T),
            Rule::IoInvalidFrame,
            Errno::Inval,
        ),
    ];
    let before = b.peek(s.l1, 0);
    for (val, rule, errno) in cases {
        let refusal = refused(b.update(at(s.l1, 0), val), rule);
        assert_eq!(refusal.errno(), errno);
        assert_eq!(refusal.context.level, Some(L1));
        assert_eq!(b.peek(s.l1, 0), before);
        b.check_with(&[&other], &[]);
    }
}

#[test]
fn unknown_commands_and_frames_of_others_are_refused() {
    let b = bench();
    let s = b.space();
    for command in 4..8 {
        assert_eq!(
            refused(b.update(at(s.l1, 0) | command, 0), Rule::UnknownCommand).errno(),
            Errno::NoSys
        );
    }
    for mfn in [0, 3, HOLE, 1023, 1024, 1 << 40, (1 << 52) - 1] {
        refused(
            b.update(Mfn::new(mfn).maddr().raw(), 0),
            Rule::FrameNotOwned,
        );
    }
    refused(b.update(u64::MAX - 7, 0), Rule::FrameNotOwned);
    b.check();
}

#[test]
fn a_frame_that_is_no_table_is_written_as_plain_memory() {
    let b = bench();
    let s = b.space();
    let page = b.page();
    b.update(at(page, 7), 0x0000_8900_0000_0067).unwrap();
    assert_eq!(b.peek(page, 7), 0x0000_8900_0000_0067);
    assert_eq!(b.info(page).type_count, 0);
    let held = b.engine.get_descriptor_page(&b.d, page);
    refused(held, Rule::BadDescriptor);
    b.poke(page, 7, 0);
    let held = b.engine.get_descriptor_page(&b.d, page).unwrap();
    refused(b.update(at(page, 7), 0), Rule::TableNotWritable);
    b.engine.put_descriptor_page(&b.d, held);
    b.update(at(s.data, 7), 5).unwrap();
    b.check();
}

#[test]
fn upper_updates_promote_the_new_table_and_demote_the_old() {
    for units in [1, 2, 512, u32::MAX] {
        let b = bench();
        let s = b.space();
        let t = b.raw_space();
        assert_eq!(
            b.flush_after(at(s.l4, 0), entry(t.l3, T), units),
            Ok(Flush::Local)
        );
        b.finish(units);
        assert!(b.info(t.l1).validated);
        assert_eq!(
            (b.info(s.l3).type_count, b.info(s.l3).general_count),
            (0, 1)
        );
        assert_eq!(
            (b.info(s.data).type_count, b.info(s.data).general_count),
            (0, 1)
        );
        b.check();
        b.update_with(at(s.l4, 0), 0, units).unwrap();
        b.finish(units);
        assert_eq!(b.info(t.data).general_count, 1);
        b.check();
    }
}

#[test]
fn upper_refusals_change_nothing_whatever_the_budget() {
    for units in [1, 100, u32::MAX] {
        let b = bench();
        let s = b.space();
        let t = b.raw_space();
        b.poke(t.l1, 511, entry(s.l1, T));
        let cases = [
            (at(s.l4, 256), 0, Rule::HypervisorSlot),
            (at(s.l4, 271), entry(t.l3, T), Rule::HypervisorSlot),
            (
                at(s.l4, 0),
                entry(t.l3, T | PAGE_SIZE_BIT),
                Rule::IllegalFlags,
            ),
            (
                at(s.l2, 0),
                b.peek(s.l2, 0) | PAGE_SIZE_BIT | RW,
                Rule::IllegalFlags,
            ),
            (at(s.l2, 0), b.peek(s.l2, 0) | PWT, Rule::IllegalFlags),
            (at(s.l3, 0), entry(Mfn::new(HOLE), T), Rule::TargetNotOwned),
            (at(s.l3, 0), entry(s.data, T), Rule::TargetTypeConflict),
            (at(s.l4, 0), entry(t.l3, T), Rule::L1TargetNotWritable),
            (at(s.l2, 0), PAGE_SIZE_BIT, Rule::L1tf),
        ];
        for (ptr, val, rule) in cases {
            let before = b.engine.machine();
            let before = crate::MachineMemory::read_u64(before, xenocryst_abi::Maddr::new(ptr));
            refused(b.update_with(ptr, val, units), rule);
            b.finish(units);
            let after =
                crate::MachineMemory::read_u64(b.engine.machine(), xenocryst_abi::Maddr::new(ptr));
            assert_eq!(before, after);
            assert_eq!(
                (b.info(t.l3).type_count, b.info(t.data).general_count),
                (0, 1),
                "{}",
                rule.code()
            );
            b.check();
        }
    }
}

#[test]
fn a_leftover_unwinding_is_invisible_to_the_next_operation() {
    let b = bench();
    let s = b.space();
    let t = b.space();
    // Unpin with hardly any budget: the tables below are still held by the unwinding.
    assert_eq!(
        b.engine.unpin_table(&b.d, t.l4, &mut Budget::new(1)),
        Ok(Progress::Done(()))
    );
    assert!(b.info(t.l1).type_count != 0);
    b.check();
    // Yet the guest may now map them writable.
    b.map(&s, 0x5000, entry(t.l1, T)).unwrap();
    assert_eq!(b.info(t.l1).frame_type, FrameType::Writable);
    b.check();
}

#[test]
fn foreign_frames_need_the_page_owner_in_the_request() {
    let b = bench_of(0);
    let other = domain(2);
    let s = b.space();
    let theirs = b.page_of(&other);
    let actors = b.actors_on(&other);
    let update = |ptr, val| {
        b.engine
            .mmu_update(&actors, ptr, val, &mut Budget::unlimited())
    };
    let _ = update(at(s.l1, 1), entry(theirs, T)).unwrap();
    assert_eq!(
        (b.info(theirs).general_count, b.info(theirs).type_count),
        (2, 1)
    );
    b.check_with(&[&other], &[]);
    refused(update(at(s.l1, 2), entry(s.data, T)), Rule::L1TargetOwner);
    refused(update(at(s.l2, 2), entry(s.l1, T)), Rule::ForeignUpperEntry);
    // The frame cannot become a table of its owner meanwhile.
    refused(
        b.engine
            .pin_table(&other, theirs, L1, &mut Budget::unlimited()),
        Rule::TargetTypeConflict,
    );
    b.update(at(s.l1, 1), 0).unwrap();
    assert_eq!(b.info(theirs).general_count, 1);
    b.check_with(&[&other], &[]);
}

#[test]
fn foreign_tables_are_edited_under_their_owners_rules() {
    let other = bench_of(2);
    let s = other.space();
    let dom0 = domain(0);
    let actors = Actors {
        caller: &dom0,
        tables: &other.d,
        pages: &other.d,
    };
    let page = other.page();
    let _ = other
        .engine
        .mmu_update(
            &actors,
            at(s.l1, 1),
            entry(page, T),
            &mut Budget::unlimited(),
        )
        .unwrap();
    other.check();
    refused(
        other
            .engine
            .mmu_update(&actors, at(s.l1, 1) | 1, 5, &mut Budget::unlimited()),
        Rule::MachphysForeignTables,
    );
}

#[test]
fn machphys_updates_are_for_frames_of_the_page_owner_only() {
    let b = bench();
    let page = b.page();
    assert_eq!(b.engine.m2p(page), None);
    b.update(page.maddr().raw() | 1, 77).unwrap();
    assert_eq!(b.engine.m2p(page), Some(Pfn::new(77)));
    refused(
        b.update(Mfn::new(3).maddr().raw() | 1, 77),
        Rule::FrameNotOwned,
    );
    refused(
        b.update(Mfn::new(1 << 40).maddr().raw() | 1, 77),
        Rule::FrameNotOwned,
    );
    b.check();
}

#[test]
fn io_frames_are_mapped_uncached_and_as_permitted() {
    let b = bench_of(0);
    let s = b.space();
    let io = Mfn::new(HOLE + 1);
    b.update(at(s.l1, 1), entry(io, T)).unwrap();
    assert_eq!(b.peek(s.l1, 1), entry(io, T | GLOBAL | PWT | PCD));
    b.update(at(s.l1, 1), entry(io, T | PAT)).unwrap();
    assert_eq!(
        b.peek(s.l1, 1) & (PAT | PWT | PCD),
        PAT,
        "write-combining stays"
    );
    b.d.change_io_access(|access| {
        access.make_read_only(IoRange {
            first: io,
            last: io,
        })
    });
    b.update(at(s.l1, 1), 0).unwrap();
    b.update(at(s.l1, 1), entry(io, T)).unwrap();
    assert_eq!(b.peek(s.l1, 1) & RW, 0);
    b.d.change_io_access(|access| {
        access.deny(IoRange {
            first: io,
            last: io,
        })
    });
    refused(b.update(at(s.l1, 2), entry(io, T)), Rule::IoNotPermitted);
    b.check();
}

#[test]
fn domid_io_stands_for_the_callers_own_permission() {
    let b = bench_of(0);
    let s = b.space();
    let io = crate::DomainMemory::new(DomId::IO, false, 0, IoAccess::none());
    let actors = b.actors_on(&io);
    let update = |val| {
        b.engine
            .mmu_update(&actors, at(s.l1, 1), val, &mut Budget::unlimited())
    };
    let _ = update(entry(Mfn::new(HOLE), T)).unwrap();
    refused(update(entry(s.data, T)), Rule::L1TargetOwner);
    b.check();
}

#[test]
fn the_hypervisors_own_frames_are_reached_through_no_system_owner() {
    let b = bench_of(0);
    let s = b.space();
    let kept = b.engine.allocate_frames(0, AddressLimit::NONE).unwrap();
    for id in [DomId::XEN, DomId::IO, DomId::IDLE, DomId::INVALID] {
        let system = crate::DomainMemory::new(id, false, 0, IoAccess::none());
        let actors = b.actors_on(&system);
        let val = entry(kept, PRESENT);
        let result = b
            .engine
            .mmu_update(&actors, at(s.l1, 1), val, &mut Budget::unlimited());
        let refusal = refused(result, Rule::L1TargetOwner);
        assert!(
            refusal.to_string().contains("the hypervisor's"),
            "{refusal}"
        );
    }
    // What it lets privileged domains map, it shares with DOMID_XEN.
    let xen = crate::DomainMemory::new(DomId::XEN, false, 0, IoAccess::none());
    assert!(b.engine.share_with(&xen, kept, true));
    let actors = b.actors_on(&xen);
    let _ = b
        .engine
        .mmu_update(
            &actors,
            at(s.l1, 1),
            entry(kept, T),
            &mut Budget::unlimited(),
        )
        .unwrap();
    b.check_with(&[&xen], &[]);
}

#[test]
fn frames_shared_by_the_hypervisor_are_mapped_write_back_only() {
    let b = bench_of(0);
    let s = b.space();
    let frame = b.engine.allocate_frames(0, AddressLimit::NONE).unwrap();
    assert!(b.engine.share_with(&b.d, frame, true));
    b.update(at(s.l1, 1), entry(frame, T)).unwrap();
    let refusal = refused(
        b.update(at(s.l1, 2), entry(frame, T | PCD)),
        Rule::SpecialCaching,
    );
    assert_eq!(refusal.errno(), Errno::Access);
    refused(
        b.update(at(s.l1, 2), entry(frame, PRESENT | PCD)),
        Rule::SpecialCaching,
    );
    b.check();
    assert!(!b.engine.unshare(&b.d, frame));
    b.update(at(s.l1, 1), 0).unwrap();
    assert!(b.engine.unshare(&b.d, frame));
    b.engine.free_frames(frame, 0);
    let read_only = b.engine.allocate_frames(0, AddressLimit::NONE).unwrap();
    assert!(b.engine.share_with(&b.d, read_only, false));
    refused(
        b.update(at(s.l1, 1), entry(read_only, T)),
        Rule::L1TargetNotWritable,
    );
    b.update(at(s.l1, 1), entry(read_only, PRESENT)).unwrap();
    b.check();
}

#[test]
fn va_mappings_are_found_through_the_guests_own_tables() {
    let b = bench();
    let s = b.space();
    let page = b.page();
    b.map(&s, 0x3000, entry(page, T)).unwrap();
    assert_eq!(b.peek(s.l1, 3), entry(page, T | GLOBAL));
    for (va, rule) in [
        (0x20_0000, Rule::NoL1Table),
        (0x4000_0000, Rule::NoL1Table),
        (0x80_0000_0000, Rule::NoL1Table),
        (0x8000_0000_0000, Rule::AddressOutOfRange),
        (1 << 63, Rule::AddressOutOfRange),
        (0xffff_8000_0000_0000, Rule::AddressOutOfRange),
        (0xffff_87ff_ffff_f000, Rule::AddressOutOfRange),
        (0xffff_8800_0000_0000, Rule::NoL1Table),
        (u64::MAX, Rule::NoL1Table),
    ] {
        refused(b.map(&s, va, 0), rule);
    }
    refused(b.map(&s, 0x3000, entry(s.l1, T)), Rule::L1TargetNotWritable);
    b.check();
}

#[test]
fn a_linear_table_is_no_l1_table() {
    let b = bench();
    let s = b.space();
    b.update(at(s.l4, 300), entry(s.l4, PRESENT | USER))
        .unwrap();
    // Through slot 300 the walk ends at the L2 table, one level short.
    let va = 300u64 << 39 | 0xffff << 48;
    refused(
        b.engine
            .update_va_mapping(&Actors::own(&b.d), s.l4, Vaddr::new(va), 0),
        Rule::NoL1Table,
    );
    b.check();
}

#[test]
fn adding_rw_and_page_size_to_an_l2_entry_is_no_fast_path() {
    let b = bench();
    let s = b.raw_space();
    b.poke(s.l2, 0, entry(s.l1, PRESENT | USER));
    b.pin(s.l4, Level::L4).unwrap();
    let before = b.peek(s.l2, 0);
    refused(
        b.update(at(s.l2, 0), before | RW | PAGE_SIZE_BIT),
        Rule::IllegalFlags,
    );
    assert_eq!(b.peek(s.l2, 0), before);
    b.update(at(s.l2, 0), before | RW).unwrap();
    assert_eq!(b.info(s.l1).type_count, 1);
    b.check();
}
