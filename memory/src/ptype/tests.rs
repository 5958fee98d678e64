//! Promotion, demotion, linear tables, preemption.

use crate::frame::{FrameType, Level};
use crate::pte::{ACCESSED, GLOBAL, GUEST_KERNEL, PAGE_SIZE_BIT, PRESENT, RW, USER};
use crate::refusal::{Consequence, Errno, Rule};
use crate::sim::{HOLE, L1TF_SAFE, domain};
use crate::testing::*;
use crate::{AddressLimit, Budget, DomainMemory, Level::*, Progress};
use std::vec::Vec;
use xenocryst_abi::Mfn;

#[test]
fn promotion_types_every_table_and_takes_one_reference_an_entry() {
    let b = bench();
    let s = b.space();
    for (mfn, level) in [(s.l4, L4), (s.l3, L3), (s.l2, L2), (s.l1, L1)] {
        let info = b.info(mfn);
        assert_eq!(info.frame_type, FrameType::Table(level));
        assert!(info.validated);
        assert_eq!((info.type_count, info.general_count), (1, 2));
    }
    assert_eq!(b.info(s.data).frame_type, FrameType::Writable);
    assert!(b.info(s.l4).pinned);
    b.check();
}

#[test]
fn promotion_writes_the_hypervisors_slots_and_ignores_what_was_there() {
    let b = bench();
    let s = b.raw_space();
    for slot in 256..272 {
        b.poke(s.l4, slot, entry(s.l1, T | PAGE_SIZE_BIT));
    }
    b.pin(s.l4, L4).unwrap();
    for slot in 256..272u64 {
        let wanted = if slot == 260 {
            0x261
        } else {
            0x0bad_0000_0000 + slot - 256
        };
        assert_eq!(b.peek(s.l4, slot), wanted);
    }
    b.check();
}

#[test]
fn promotion_adjusts_flags_for_a_guest_kernel_in_ring_3() {
    let b = bench();
    let s = b.raw_space();
    let kernel = b.page();
    b.poke(s.l1, 1, entry(kernel, PRESENT | RW | GLOBAL));
    b.poke(s.l3, 0, entry(s.l2, PRESENT | RW));
    b.pin(s.l4, L4).unwrap();
    assert_eq!(b.peek(s.l1, 0), entry(s.data, T | GLOBAL));
    assert_eq!(b.peek(s.l1, 1), entry(kernel, T | GUEST_KERNEL));
    assert_eq!(b.peek(s.l3, 0), entry(s.l2, T));
    assert_eq!(b.peek(s.l4, 0), entry(s.l3, T | ACCESSED));
}

#[test]
fn unpinning_the_root_gives_everything_back() {
    let b = bench();
    let s = b.space();
    b.unpin(s.l4).unwrap();
    for mfn in [s.l4, s.l3, s.l2, s.l1, s.data] {
        let info = b.info(mfn);
        assert_eq!(
            (info.type_count, info.general_count, info.pinned),
            (0, 1, false)
        );
    }
    b.check();
}

#[test]
fn a_writable_mapping_of_a_table_in_the_same_tree_is_refused() {
    let b = bench();
    let s = b.raw_space();
    b.poke(s.l1, 5, entry(s.l2, T));
    let refusal = refused(b.pin(s.l4, L4), Rule::L1TargetNotWritable);
    assert_eq!(refusal.errno(), Errno::Busy);
    assert_eq!(
        (refusal.context.table, refusal.context.slot),
        (Some(s.l1), Some(5))
    );
    b.check();
    b.poke(s.l1, 5, entry(s.l2, PRESENT | USER));
    b.pin(s.l4, L4).unwrap();
    b.check();
}

#[test]
fn a_table_that_is_mapped_writable_is_refused() {
    let b = bench();
    let s = b.space();
    refused(b.pin(s.data, L1), Rule::TargetTypeConflict);
    b.check();
}

/// Each poison makes promotion fail at a certain place; afterwards nothing is held, whatever the budget.
#[test]
fn a_refused_promotion_leaves_every_count_as_it_was() {
    type Poison = fn(&Bench, &Space);
    let poisons: Vec<(Rule, Poison)> = std::vec![
        (Rule::IllegalFlags, |b, s| b.poke(
            s.l4,
            511,
            entry(s.l3, T | PAGE_SIZE_BIT)
        )),
        (Rule::IllegalFlags, |b, s| b.poke(
            s.l2,
            300,
            entry(s.data, T | PAGE_SIZE_BIT)
        )),
        (Rule::IllegalFlags, |b, s| b.poke(
            s.l1,
            300,
            entry(s.data, T | PAGE_SIZE_BIT)
        )),
        (Rule::TargetNotOwned, |b, s| b.poke(
            s.l3,
            511,
            entry(Mfn::new(3), T)
        )),
        (Rule::TargetNotOwned, |b, s| b.poke(
            s.l3,
            511,
            entry(Mfn::new(HOLE), T)
        )),
        (Rule::TargetNotOwned, |b, s| b.poke(
            s.l3,
            511,
            entry(Mfn::new(1 << 39), T)
        )),
        (Rule::TargetTypeConflict, |b, s| b.poke(
            s.l4,
            1,
            entry(s.l1, T)
        )),
        (Rule::TargetTypeConflict, |b, s| b.poke(
            s.l2,
            1,
            entry(s.data, T)
        )),
        (Rule::L1TargetOwner, |b, s| b.poke(
            s.l1,
            9,
            entry(Mfn::new(3), T)
        )),
        (Rule::IoNotPermitted, |b, s| b.poke(
            s.l1,
            9,
            entry(Mfn::new(HOLE), T)
        )),
        (Rule::L1TargetNotWritable, |b, s| b.poke(
            s.l1,
            9,
            entry(s.l1, T)
        )),
        (Rule::LinearWritable, |b, s| b.poke(
            s.l4,
            300,
            entry(s.l4, T)
        )),
        (Rule::L1tf, |b, s| b.poke(s.l1, 9, s.data.maddr().raw())),
        (Rule::L1tf, |b, s| b.poke(s.l2, 9, PAGE_SIZE_BIT)),
    ];
    for (rule, poison) in poisons {
        for units in [1, 2, 3, 7, 600, u32::MAX] {
            let b = bench();
            let s = b.raw_space();
            let more: Vec<Mfn> = (0..3).map(|_| b.page()).collect();
            b.poke(s.l2, 7, entry(more[0], T));
            b.poke(s.l3, 7, entry(more[1], T));
            b.poke(s.l4, 7, entry(more[2], T));
            poison(&b, &s);
            let owned = b.engine.owned_frames(b.d.id());
            refused(b.pin_with(s.l4, L4, units), rule);
            b.check();
            b.finish(units);
            for mfn in [s.l4, s.l3, s.l2, s.l1, s.data, more[0], more[1], more[2]] {
                let info = b.info(mfn);
                assert_eq!(
                    (info.type_count, info.general_count),
                    (0, 1),
                    "{} at budget {units}",
                    rule.code()
                );
                assert_eq!(info.partial, None);
            }
            assert_eq!(b.engine.owned_frames(b.d.id()), owned);
            b.check();
        }
    }
}

#[test]
fn preemption_at_every_point_ends_in_the_same_state() {
    for units in [1, 2, 511, 513, 1025] {
        let b = bench();
        let s = b.raw_space();
        let second = b.page();
        b.poke(s.l2, 400, entry(second, T));
        b.poke(s.l4, 272, entry(s.l3, T));
        b.pin_with(s.l4, L4, units).unwrap();
        assert_eq!(b.info(s.l3).type_count, 2);
        assert_eq!(b.info(s.l2).type_count, 1);
        b.check();
        b.unpin_with(s.l4, units).unwrap();
        for mfn in [s.l4, s.l3, s.l2, s.l1, s.data, second] {
            assert_eq!((b.info(mfn).type_count, b.info(mfn).general_count), (0, 1));
        }
        b.check();
    }
}

#[test]
fn a_pin_that_was_given_up_half_way_is_carried_on_by_another_user_of_the_table() {
    let b = bench();
    let s = b.raw_space();
    let budget = &mut crate::Budget::new(3);
    assert_eq!(
        b.engine.pin_table(&b.d, s.l4, L4, budget),
        Ok(crate::Progress::Preempted)
    );
    assert!(b.info(s.l4).partial.is_some());
    b.check();
    // Someone else pins a table below.
    b.pin(s.l3, L3).unwrap();
    b.check();
    b.pin_with(s.l4, L4, 1).unwrap();
    assert_eq!(b.info(s.l3).type_count, 2);
    b.check();
}

#[test]
fn a_half_validated_table_cannot_be_changed_or_used_as_something_else() {
    let b = bench();
    let s = b.raw_space();
    let budget = &mut crate::Budget::new(3);
    assert_eq!(
        b.engine.pin_table(&b.d, s.l4, L4, budget),
        Ok(crate::Progress::Preempted)
    );
    refused(b.update(at(s.l4, 3), 0), Rule::TableNotWritable);
    refused(b.pin(s.l4, L3), Rule::TargetTypeConflict);
    b.check();
}

#[test]
fn promotion_flushes_what_cpus_may_hold_from_the_type_that_is_left() {
    let b = bench();
    let s = b.space();
    let page = b.page();
    b.map(&s, 0x1000, entry(page, T)).unwrap();
    b.engine.machine().tick();
    b.map(&s, 0x1000, 0).unwrap();
    let since = crate::MachineMemory::tlb_clock(b.engine.machine());
    b.engine.machine().tick();
    b.engine.machine().take_flushes();
    b.pin(page, L1).unwrap();
    assert_eq!(
        b.engine.machine().take_flushes(),
        [crate::sim::FlushRequest { cpus: 1, since }]
    );
    // The same type again needs no flush; a fresh frame needs none either.
    b.unpin(page).unwrap();
    b.pin(page, L1).unwrap();
    b.pin(b.page(), L1).unwrap();
    assert_eq!(b.engine.machine().take_flushes(), []);
    // From table to writable it does: a CPU may still walk it.
    b.unpin(page).unwrap();
    b.map(&s, 0x1000, entry(page, T)).unwrap();
    assert_eq!(b.engine.machine().take_flushes().len(), 1);
    b.check();
}

#[test]
fn linear_entries_need_read_only_access_to_a_validated_table_one_level_deep() {
    let b = bench();
    let (s, t) = (b.space(), b.space());
    // A table may name itself; that takes no counts.
    b.update(at(s.l4, 300), entry(s.l4, PRESENT | USER))
        .unwrap();
    assert_eq!(b.info(s.l4).linear, 0);
    // Making it writable is a new validation.
    refused(
        b.update(at(s.l4, 300), entry(s.l4, T)),
        Rule::LinearWritable,
    );
    // A table may name another.
    b.update(at(s.l4, 301), entry(t.l4, PRESENT | USER))
        .unwrap();
    assert_eq!((b.info(s.l4).linear, b.info(t.l4).linear), (1, -1));
    b.check();
    // But not be named while it names, nor name while it is named.
    refused(
        b.update(at(t.l4, 301), entry(s.l4, PRESENT | USER)),
        Rule::LinearDepth,
    );
    let u = b.space();
    refused(
        b.update(at(u.l4, 301), entry(s.l4, PRESENT | USER)),
        Rule::LinearDepth,
    );
    b.update(at(s.l4, 301), 0).unwrap();
    assert_eq!((b.info(s.l4).linear, b.info(t.l4).linear), (0, 0));
    b.check();
}

#[test]
fn linear_entries_are_legal_at_l3_and_l2_and_never_reach_a_table_that_is_not_validated() {
    let b = bench();
    let s = b.space();
    b.update(at(s.l3, 5), entry(s.l3, PRESENT | USER)).unwrap();
    b.update(at(s.l2, 5), entry(s.l2, PRESENT | USER)).unwrap();
    b.check();
    let r = b.raw_space();
    let budget = &mut crate::Budget::new(3);
    assert_eq!(
        b.engine.pin_table(&b.d, r.l4, L4, budget),
        Ok(crate::Progress::Preempted)
    );
    refused(
        b.update(at(s.l4, 300), entry(r.l4, PRESENT | USER)),
        Rule::LinearTarget,
    );
    b.check();
}

#[test]
fn linear_counts_survive_preemption_and_come_back_to_zero() {
    for units in [1, 3, 1024] {
        let b = bench();
        let t = b.space();
        let s = b.raw_space();
        b.poke(s.l4, 100, entry(t.l4, PRESENT | USER));
        b.poke(s.l4, 200, entry(t.l4, PRESENT | USER));
        b.pin_with(s.l4, L4, units).unwrap();
        assert_eq!((b.info(s.l4).linear, b.info(t.l4).linear), (2, -2));
        b.check();
        // The target loses its pin first: the linear entries hold it.
        b.unpin_with(t.l4, units).unwrap();
        assert_eq!(b.info(t.l4).type_count, 2);
        b.unpin_with(s.l4, units).unwrap();
        b.check();
        for mfn in [s.l4, t.l4, t.l3, t.l2, t.l1, t.data] {
            assert_eq!(
                (
                    b.info(mfn).type_count,
                    b.info(mfn).general_count,
                    b.info(mfn).linear
                ),
                (0, 1, 0)
            );
        }
    }
}

#[test]
fn a_refused_promotion_gives_linear_counts_back() {
    for units in [1, 5, u32::MAX] {
        let b = bench();
        let t = b.space();
        let s = b.raw_space();
        b.poke(s.l4, 100, entry(t.l4, PRESENT | USER));
        b.poke(s.l4, 400, PAGE_SIZE_BIT);
        refused(b.pin_with(s.l4, L4, units), Rule::L1tf);
        b.finish(units);
        assert_eq!((b.info(s.l4).linear, b.info(t.l4).linear), (0, 0));
        b.check();
    }
}

#[test]
fn the_l1tf_rule_crashes_the_domain_and_spares_the_control_domain() {
    let b = bench();
    let s = b.space();
    let refusal = refused(b.update(at(s.l1, 3), s.data.maddr().raw()), Rule::L1tf);
    assert_eq!(refusal.consequence(), Consequence::CrashDomain);
    b.update(at(s.l1, 3), L1TF_SAFE).unwrap();
    b.update(at(s.l1, 3), 0xffe).unwrap();
    let b = bench_of(0);
    let s = b.space();
    b.update(at(s.l1, 3), s.data.maddr().raw()).unwrap();
    b.check();
}

#[test]
fn recursive_tables_cost_each_table_once() {
    // Every entry of the L3 names the same L2, every entry of that the same L1.
    let b = bench();
    let s = b.raw_space();
    for slot in 0..512 {
        b.poke(s.l3, slot, entry(s.l2, T));
        b.poke(s.l2, slot, entry(s.l1, T));
    }
    b.pin_with(s.l4, L4, 64).unwrap();
    assert_eq!(
        (b.info(s.l2).type_count, b.info(s.l1).type_count),
        (512, 512)
    );
    b.check();
    b.unpin_with(s.l4, 64).unwrap();
    b.check();
    assert_eq!(b.info(s.l1).type_count, 0);
}

#[test]
fn special_frames_can_be_no_tables() {
    let b = bench();
    for writable in [true, false] {
        let frame = b.engine.allocate_frames(0, AddressLimit::NONE).unwrap();
        assert!(b.engine.share_with(&b.d, frame, writable));
        refused(b.pin(frame, Level::L1), Rule::TargetTypeConflict);
    }
    b.check();
}

/// A refusal unwinds what the refused request began, and nothing else: not a table that its owner, or another user of it, is
/// still to carry on.
#[test]
fn a_refused_use_leaves_a_half_validated_table_of_another_domain_or_level_alone() {
    let b = bench();
    let other = domain(2);
    let begin = |owner: &DomainMemory| {
        let table = b.page_of(owner);
        let preempted = b
            .engine
            .pin_table(owner, table, L3, &mut Budget::new(1))
            .unwrap();
        assert_eq!(preempted, Progress::Preempted);
        (table, b.info(table))
    };
    let (theirs, half) = begin(&other);
    assert!(half.partial.is_some_and(|cursor| cursor > 0));
    refused(b.pin(theirs, L3), Rule::TargetNotOwned);
    refused(b.pin(theirs, L4), Rule::TargetNotOwned);
    assert_eq!(b.info(theirs), half);
    // Nor does what is unwound with the refused table.
    let l4 = b.page();
    b.poke(l4, 7, entry(theirs, T));
    refused(b.pin(l4, L4), Rule::TargetNotOwned);
    assert_eq!(b.info(theirs), half);
    let (ours, half) = begin(&b.d);
    refused(b.pin(ours, L2), Rule::TargetTypeConflict);
    assert_eq!(b.info(ours), half);
    b.pin(ours, L3).unwrap();
    b.check_with(&[&other], &[]);
}

/// Nobody's translations are old where nobody ever ran.
#[test]
fn a_domain_that_never_ran_asks_for_no_flush() {
    let b = bench();
    b.d.clear_cpu_dirty(0);
    let s = b.space();
    b.unpin(s.l4).unwrap();
    b.engine.machine().take_flushes();
    b.engine.clear_page(&b.d, s.l1).unwrap();
    b.pin(s.l1, L1).unwrap();
    assert!(b.engine.machine().take_flushes().is_empty());
    b.check();
}

/// Only in an L4 table are slots 256 to 271 the hypervisor's.
#[test]
fn a_refusal_below_any_slot_leaves_nothing_behind() {
    for slot in [0, 255, 256, 260, 271, 272, 511] {
        let b = bench();
        let s = b.raw_space();
        b.poke(s.l3, 0, 0);
        b.poke(s.l3, slot, entry(s.l2, T));
        b.poke(s.l2, 300, entry(s.data, T | PAGE_SIZE_BIT));
        refused(b.pin(s.l3, L3), Rule::IllegalFlags);
        for mfn in [s.l3, s.l2, s.l1, s.data] {
            let info = b.info(mfn);
            assert_eq!((info.type_count, info.general_count), (0, 1), "slot {slot}");
        }
        b.check();
    }
}
