//! Details of single updates that only these tests see: each was written against a mutant of the code that survived, or would have.

use crate::frame::{FrameType, Level::*};
use crate::pte::{
    ACCESSED, AVAILABLE, CACHE_BITS, DIRTY, GUEST_KERNEL, NX, PAT, PCD, PRESENT, PWT, RW, USER,
};
use crate::refusal::Rule;
use crate::sim::{HOLE, domain};
use crate::testing::*;
use crate::{Budget, Flush, IoAccess, IoRange, Progress};
use xenocryst_abi::Mfn;

/// The frame is held already: whose it is does not matter for a change of flags alone.
#[test]
fn harmless_flags_of_a_foreign_mapping_change_without_naming_its_owner() {
    let b = bench_of(0);
    let other = domain(2);
    let s = b.space();
    let theirs = b.page_of(&other);
    let actors = b.actors_on(&other);
    let plain = entry(theirs, PRESENT | USER);
    let budget = &mut Budget::unlimited();
    let _ = b
        .engine
        .mmu_update(&actors, at(s.l1, 1), plain, budget)
        .unwrap();
    let held = b.info(theirs);
    let available = [9, 10, 11, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62].map(|bit| 1 << bit);
    for flags in [NX, DIRTY, ACCESSED, GUEST_KERNEL, AVAILABLE]
        .into_iter()
        .chain(available)
    {
        b.update(at(s.l1, 1), plain | flags).unwrap();
        assert_eq!(b.peek(s.l1, 1) & flags, flags);
        assert_eq!(b.info(theirs), held);
    }
    // From a page of the guest's user space, which is global, to one of its kernel and back.
    b.update(at(s.l1, 1), entry(theirs, PRESENT)).unwrap();
    b.update(at(s.l1, 1), plain).unwrap();
    assert_eq!(b.info(theirs), held);
    b.check_with(&[&other], &[]);
}

#[test]
fn a_bit_that_both_old_and_new_entry_have_is_kept_when_asked() {
    let b = bench();
    let s = b.space();
    for bit in [ACCESSED, DIRTY] {
        b.update(at(s.l1, 0), entry(s.data, T | bit)).unwrap();
        b.update(at(s.l1, 0) | 2, entry(s.data, T | bit | NX))
            .unwrap();
        assert_eq!(b.peek(s.l1, 0) & (ACCESSED | DIRTY | NX), bit | NX);
    }
    b.check();
}

#[test]
fn the_control_domains_entries_that_map_nothing_are_its_own_business() {
    let b = bench_of(0);
    let s = b.space();
    for value in [0x1000, 0x7000_0000 | RW, 0] {
        b.update(at(s.l1, 0), value).unwrap();
        assert_eq!(b.peek(s.l1, 0), value);
    }
    let guest = bench();
    let s = guest.space();
    refused(guest.update(at(s.l1, 0), 0x1000), Rule::L1tf);
    guest.d.set_checks_l1tf(false);
    guest.update(at(s.l1, 0), 0x1000).unwrap();
    guest.d.set_checks_l1tf(true);
    guest.update(at(s.l1, 0), 0).unwrap();
    guest.check();
}

#[test]
fn every_memory_type_of_an_io_frame_becomes_the_nearest_that_is_not_cached() {
    let b = bench_of(0);
    let s = b.space();
    let io = Mfn::new(HOLE + 1);
    for (asked, becomes) in [
        (0, PWT | PCD),
        (PWT, PWT | PCD),
        (PCD, PCD),
        (PWT | PCD, PWT | PCD),
        (PAT, PAT),
        (PAT | PWT, PWT | PCD),
        (PAT | PCD, PAT | PCD),
        (PAT | PCD | PWT, PAT | PCD | PWT),
    ] {
        b.update(at(s.l1, 1), 0).unwrap();
        b.update(at(s.l1, 1), entry(io, T | asked)).unwrap();
        let found = b.peek(s.l1, 1);
        assert_eq!(found & CACHE_BITS, becomes, "{asked:#x}");
        assert_eq!(found & RW, RW);
    }
}

/// The tables' owner maps them, so it must be permitted itself if another lends its name.
#[test]
fn io_frames_in_anothers_name_need_both_permissions() {
    let range = IoRange {
        first: Mfn::new(HOLE),
        last: Mfn::new(HOLE),
    };
    let io = entry(Mfn::new(HOLE), T);
    for (own, others, permitted) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (true, true, true),
    ] {
        let b = bench();
        let other = domain(2);
        let s = b.space();
        for (domain, may) in [(&b.d, own), (&other, others)] {
            domain.change_io_access(|access| {
                *access = IoAccess::none();
                may && access.permit(range)
            });
        }
        let actors = b.actors_on(&other);
        let budget = &mut Budget::unlimited();
        let result = b.engine.mmu_update(&actors, at(s.l1, 1), io, budget);
        assert_eq!(result.is_ok(), permitted, "{own} {others}");
        if !permitted {
            refused(result, Rule::IoNotPermitted);
        }
        b.check_with(&[&other], &[]);
    }
}

#[test]
fn commands_are_told_apart_whatever_they_are_for() {
    let b = bench();
    let s = b.space();
    for command in [0, 2, 3] {
        for flags in [T, PRESENT | USER] {
            b.update(at(s.l1, 0) | command, entry(s.data, flags))
                .unwrap();
            assert_eq!(b.peek(s.l1, 0) & RW, flags & RW, "command {command}");
        }
    }
    for command in 4..8 {
        refused(b.update(command, 0), Rule::UnknownCommand);
    }
    b.check();
}

/// A frame whose use as a table is over is memory like any other, whatever level it had.
#[test]
fn a_former_table_is_written_as_plain_memory() {
    for level in [L1, L2, L3, L4] {
        let b = bench();
        let table = b.page();
        b.pin(table, level).unwrap();
        b.unpin(table).unwrap();
        assert_eq!(b.info(table).frame_type, FrameType::Table(level));
        // As an entry of a table it would be refused.
        let nonsense = entry(Mfn::new(3), T | PWT);
        b.update(at(table, 5), nonsense).unwrap();
        assert_eq!(b.peek(table, 5), nonsense);
        b.check();
    }
}

#[test]
fn what_an_interrupted_unwinding_still_holds_is_given_back_before_it_is_missed() {
    let left_over = || {
        let b = bench();
        let (s, t) = (b.space(), b.space());
        let unpinned = b.engine.unpin_table(&b.d, t.l4, &mut Budget::new(1));
        assert_eq!(unpinned, Ok(Progress::Done(())));
        assert!(b.info(t.l1).type_count != 0);
        (b, s, t)
    };
    let (b, s, t) = left_over();
    b.update(at(s.l1, 0), entry(t.l1, T)).unwrap();
    assert_eq!(b.info(t.l1).frame_type, FrameType::Writable);
    b.check();
    let (b, _, t) = left_over();
    b.engine.clear_page(&b.d, t.l1).unwrap();
    b.check();
    let (b, s, _) = left_over();
    refused(b.engine.clear_page(&b.d, s.l1), Rule::FrameTypeConflict);
    b.check();
}

#[test]
fn a_table_that_another_pinned_is_not_unpinned() {
    let b = bench();
    let other = domain(2);
    let theirs = b.page_of(&other);
    let budget = &mut Budget::unlimited();
    let pinned = b.engine.pin_table(&other, theirs, L1, budget);
    assert_eq!(pinned, Ok(Progress::Done(())));
    refused(b.unpin(theirs), Rule::FrameNotOwned);
    assert!(b.info(theirs).pinned);
    b.check_with(&[&other], &[]);
}

/// Who only reads a frame leaves nothing behind that its owner's tables need fear: no CPU but the owner's is stopped.
#[test]
fn only_writable_mappings_by_another_make_the_owner_flush_all_cpus() {
    for (flags, cpus) in [(PRESENT | USER, 1), (T, u64::MAX)] {
        let b = bench_of(0);
        let other = domain(2);
        let s = b.space();
        let theirs = b.page_of(&other);
        let actors = b.actors_on(&other);
        let budget = &mut Budget::unlimited();
        for value in [entry(theirs, flags), 0] {
            let _ = b
                .engine
                .mmu_update(&actors, at(s.l1, 1), value, budget)
                .unwrap();
        }
        // Its owner writes to it, and then makes a table of it.
        let held = b.engine.get_writable_page(&other, theirs).unwrap();
        b.engine.put_writable_page(held);
        b.engine.machine().take_flushes();
        let pinned = b.engine.pin_table(&other, theirs, L1, budget);
        assert_eq!(pinned, Ok(Progress::Done(())));
        let flushes = b.engine.machine().take_flushes();
        assert_eq!(flushes.iter().fold(0, |all, f| all | f.cpus), cpus);
    }
}

/// Where nothing was mapped no TLB knows anything.
#[test]
fn an_upper_entry_owes_a_flush_only_if_it_mapped_something_before() {
    let b = bench();
    let s = b.space();
    let (mapped, nothing) = (entry(s.l1, T), 0);
    for (val, flush) in [
        (nothing, Flush::Local),
        (nothing, Flush::None),
        (mapped, Flush::None),
        (mapped, Flush::Local),
    ] {
        assert_eq!(b.flush_after(at(s.l2, 0), val, u32::MAX), Ok(flush));
    }
    b.check();
}
