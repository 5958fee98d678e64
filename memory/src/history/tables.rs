//! What entries of tables were made to say.

use super::snapshot;
use crate::frame::Level;
use crate::pte::{ADDRESS, PAGE_SIZE_BIT, PAT, PCD, PRESENT, PWT, RW, USER};
use crate::refusal::Rule;
use crate::sim::{HOLE, domain};
use crate::testing::*;
use crate::{Actors, Budget, DomainMemory, Flush, IoAccess, Level::*, PteStore, PteStoreOutcome};
use xenocryst_abi::{DomId, Maddr, Mfn, Vaddr};

#[test]
fn xsa_32_frame_numbers_outside_memory_are_refused_by_every_operation() {
    let b = bench();
    let s = b.space();
    let before = snapshot(&b);
    for mfn in [0, 900, HOLE, 1023, 1024, 1 << 40, (1 << 52) - 1, u64::MAX] {
        let mfn = Mfn::new(mfn);
        for level in [L1, L2, L3, L4] {
            assert!(b.pin(mfn, level).is_err());
        }
        assert!(b.unpin(mfn).is_err());
        assert!(
            b.engine
                .get_root(&b.d, mfn, &mut Budget::unlimited())
                .is_err()
        );
        assert!(b.engine.clear_page(&b.d, mfn).is_err());
        assert!(b.engine.copy_page(&b.d, mfn, s.data).is_err());
        assert!(b.engine.copy_page(&b.d, s.data, mfn).is_err());
        assert!(b.engine.get_descriptor_page(&b.d, mfn).is_err());
        assert!(b.engine.get_page(&b.d, mfn).is_err());
        assert!(b.engine.get_writable_page(&b.d, mfn).is_err());
        assert!(b.engine.decrease_extent(&b.d, mfn, 0).is_err());
        assert!(b.update(mfn.maddr().raw(), 0).is_err());
        assert!(b.update(mfn.maddr().raw() | 1, 0).is_err());
        for table in [s.l1, s.l2, s.l3, s.l4] {
            assert!(
                b.update(at(table, 8), mfn.maddr().raw() & ADDRESS | T)
                    .is_err()
            );
        }
        assert_eq!(snapshot(&b), before, "{mfn}");
    }
    b.check();
}

#[test]
fn xsa_113_a_refused_machphys_update_keeps_no_reference() {
    let b = bench_of(0);
    let other = domain(2);
    let (mine, theirs) = (b.page(), b.page_of(&other));
    let before = snapshot(&b);
    let update = |tables, mfn: Mfn| {
        let actors = Actors {
            caller: &b.d,
            tables,
            pages: &b.d,
        };
        b.engine
            .mmu_update(&actors, mfn.maddr().raw() | 1, 5, &mut Budget::unlimited())
    };
    for _ in 0..3 {
        refused(update(&other, mine), Rule::MachphysForeignTables);
        refused(update(&b.d, theirs), Rule::FrameNotOwned);
        refused(update(&b.d, Mfn::new(HOLE)), Rule::FrameNotOwned);
    }
    assert_eq!(snapshot(&b), before);
    b.check_with(&[&other], &[]);
}

/// Every flag alone and together with RW, added to every entry above L1, by every command that writes one.
#[test]
fn xsa_148_no_change_of_flags_makes_a_window_over_tables() {
    let b = bench();
    let s = b.space();
    for (table, level) in [(s.l2, L2), (s.l3, L3), (s.l4, L4)] {
        for bit in (0..12).chain(52..64) {
            for more in [0, RW] {
                for command in [0, 2, 3] {
                    let old = b.peek(table, 0);
                    let new = old ^ (1 << bit) | more;
                    let result = b.update(at(table, 0) | command, new);
                    let legal = matches!(bit, 0 | 1 | 2 | 5 | 6 | 9..=11 | 52..);
                    if new & PRESENT == 0 {
                        assert!(result.is_err(), "the address makes it unsafe: {level}");
                    } else {
                        assert_eq!(result.is_ok(), legal, "bit {bit} at {level}");
                    }
                    if result.is_err() {
                        assert_eq!(b.peek(table, 0), old, "bit {bit} at {level}");
                    }
                    assert_eq!(b.peek(table, 0) & PAGE_SIZE_BIT, 0);
                    b.check();
                }
            }
        }
    }
}

#[test]
fn xsa_154_no_path_leaves_a_device_mapped_cached() {
    let b = bench_of(0);
    let s = b.space();
    let io = Mfn::new(HOLE + 2);
    let bits = |n: u64| (n & 3) << 3 | (n >> 2) << 7;
    for old in 0..8 {
        for new in 0..8 {
            b.update(at(s.l1, 4), 0).unwrap();
            for flags in [bits(old), bits(new)] {
                for command in [0, 2] {
                    b.update(at(s.l1, 4) | command, entry(io, T | flags))
                        .unwrap();
                    let cache = b.peek(s.l1, 4) & (PAT | PCD | PWT);
                    assert!(cache & PCD != 0 || cache == PAT, "{cache:#x}");
                }
            }
        }
    }
    let guest = bench();
    let s = guest.space();
    for flags in 1..8 {
        refused(
            guest.update(at(s.l1, 0), entry(s.data, T | bits(flags))),
            Rule::IllegalFlags,
        );
    }
    refused(
        guest.update(at(s.l1, 4), entry(io, T)),
        Rule::IoNotPermitted,
    );
    // The owner of the tables needs the permission, too.
    let (dom0, any) = (
        domain(0),
        DomainMemory::new(DomId::IO, false, 0, IoAccess::none()),
    );
    let actors = Actors {
        caller: &dom0,
        tables: &guest.d,
        pages: &any,
    };
    let update =
        guest
            .engine
            .mmu_update(&actors, at(s.l1, 4), entry(io, T), &mut Budget::unlimited());
    refused(update, Rule::IoNotPermitted);
    guest.check();
}

#[test]
fn xsa_182_a_read_only_self_map_never_gains_rw() {
    for level in [L2, L3, L4] {
        for command in [0, 2, 3] {
            let b = bench();
            let s = b.space();
            let table = match level {
                L2 => s.l2,
                L3 => s.l3,
                _ => s.l4,
            };
            b.update(at(table, 300), entry(table, PRESENT | USER))
                .unwrap();
            let (before, installed) = (snapshot(&b), b.peek(table, 300));
            for more in [RW, RW | PAGE_SIZE_BIT, RW | 1 << 63, RW | 0xe60] {
                let result = b.update(at(table, 300) | command, installed | more);
                assert!(result.is_err(), "{level}");
                assert_eq!(b.peek(table, 300), installed);
            }
            assert_eq!(snapshot(&b), before);
            b.check();
        }
    }
}

#[test]
fn xsa_64_and_243_the_hypervisors_slots_are_nobody_elses() {
    let b = bench();
    let s = b.space();
    let t = b.space();
    for slot in 256..272 {
        let before = b.peek(s.l4, slot);
        for val in [
            0,
            entry(t.l3, T),
            entry(s.l4, PRESENT | USER),
            before,
            before | RW,
        ] {
            refused(b.update(at(s.l4, slot), val), Rule::HypervisorSlot);
            refused(b.update(at(s.l4, slot) | 2, val), Rule::HypervisorSlot);
        }
        assert_eq!(b.peek(s.l4, slot), before);
    }
    b.unpin(s.l4).unwrap();
    b.check();
}

#[test]
fn xsa_173_and_516_wide_addresses_are_refused_not_cut() {
    let b = bench_of(0);
    let s = b.space();
    let before = snapshot(&b);
    for bit in 40..52 {
        // The low bits name a frame of the domain: only a cut address would be good.
        let val = entry(s.data, T) | 1 << bit;
        refused(b.update(at(s.l1, 9), val), Rule::AddressTooWide);
        for table in [s.l2, s.l3, s.l4] {
            refused(
                b.update(at(table, 9), entry(s.l1, T) | 1 << bit),
                Rule::TargetNotOwned,
            );
        }
        assert!(b.pin(Mfn::new(s.l1.raw() | 1 << (bit - 12)), L1).is_err());
    }
    assert_eq!(snapshot(&b), before);
    b.check();
}

#[test]
fn xsa_176_a_page_size_bit_ends_a_walk() {
    let b = bench();
    let s = b.space();
    assert!(b.engine.translate(&b.d, s.l4, Vaddr::new(0)).is_some());
    for table in [s.l2, s.l3, s.l4] {
        let good = b.peek(table, 0);
        // Behind the engine's back, for no request can do it.
        b.poke(table, 0, good | PAGE_SIZE_BIT);
        assert_eq!(b.engine.translate(&b.d, s.l4, Vaddr::new(0)), None);
        refused(b.map(&s, 0, 0), Rule::NoL1Table);
        b.poke(table, 0, good);
    }
    b.check();
}

#[test]
fn xsa_227_no_offset_splices_two_entries() {
    let b = bench();
    let s = b.raw_space();
    b.poke(s.l1, 7, entry(s.l1, PRESENT | USER));
    b.pin(s.l4, Level::L4).unwrap();
    let page = b.page();
    let held = b.engine.get_descriptor_page(&b.d, page).unwrap();
    let entries = [b.peek(s.l1, 0), b.peek(s.l1, 1)];
    for offset in 1..8 {
        let va = Vaddr::new(0x7000 + offset);
        let store = PteStore::Plain {
            width: 8,
            value: u64::MAX,
        };
        let outcome = b.engine.emulate_pte_store(&b.d, s.l4, va, va, store);
        assert!(
            matches!(outcome, PteStoreOutcome::Refused(r) if r.rule == Rule::EmulateMisaligned)
        );
        let word = Maddr::new(page.maddr().raw() + offset);
        refused(b.engine.update_descriptor(&b.d, word, 0), Rule::Misaligned);
    }
    assert_eq!([b.peek(s.l1, 0), b.peek(s.l1, 1)], entries);
    b.engine.put_descriptor_page(&b.d, held);
    b.check();
}

#[test]
fn xsa_240_chains_of_one_level_end_after_one_link() {
    for level in [L2, L3, L4] {
        let b = bench();
        let tables = [b.page(), b.page(), b.page(), b.page()];
        for table in tables {
            b.pin(table, level).unwrap();
        }
        let link = |from: usize, to: usize| {
            b.update(
                at(tables[from], 40 + to as u64),
                entry(tables[to], PRESENT | USER),
            )
        };
        link(0, 1).unwrap();
        refused(link(1, 2), Rule::LinearDepth);
        refused(link(3, 0), Rule::LinearDepth);
        refused(link(1, 0), Rule::LinearDepth);
        link(3, 1).unwrap();
        b.check();
        for table in tables {
            b.unpin_with(table, 1).unwrap();
        }
        b.check();
        assert!(tables.iter().all(|&t| b.info(t).general_count == 1));
    }
}

#[test]
fn xsa_240_no_link_crosses_domains() {
    let b = bench();
    let other = domain(2);
    let theirs = b.page_of(&other);
    let _ = b
        .engine
        .pin_table(&other, theirs, L4, &mut Budget::unlimited())
        .unwrap();
    let s = b.space();
    let before = snapshot(&b);
    refused(
        b.update(at(s.l4, 300), entry(theirs, PRESENT | USER)),
        Rule::TargetNotOwned,
    );
    assert_eq!(snapshot(&b), before);
    b.check_with(&[&other], &[]);
}

#[test]
fn xsa_240_a_full_linear_counter_refuses_and_undoes_its_other_half() {
    let b = bench();
    let (s, t) = (b.space(), b.space());
    let target = b.engine.frame(t.l4).unwrap();
    let word = target.type_word();
    target.set_type_word(word.with_linear_moved(i16::MIN).unwrap());
    let before = snapshot(&b);
    refused(
        b.update(at(s.l4, 300), entry(t.l4, PRESENT | USER)),
        Rule::LinearDepth,
    );
    assert_eq!(snapshot(&b), before);
    target.set_type_word(word);
    b.check();
}

#[test]
fn xsa_273_unsafe_not_present_entries_reach_no_table() {
    let b = bench();
    let s = b.space();
    let before = snapshot(&b);
    for table in [s.l1, s.l2, s.l3, s.l4] {
        for address in [0x1000, s.data.maddr().raw(), crate::sim::L1TF_SAFE - 4096] {
            for flags in [0, RW, USER, 1 << 63] {
                refused(b.update(at(table, 9), address | flags), Rule::L1tf);
                assert_eq!(b.peek(table, 9), 0);
            }
        }
        b.update(at(table, 9), crate::sim::L1TF_SAFE).unwrap();
        b.update(at(table, 9), 0).unwrap();
    }
    for table in [s.l2, s.l3, s.l4] {
        refused(b.update(at(table, 9), PAGE_SIZE_BIT), Rule::L1tf);
    }
    assert_eq!(snapshot(&b), before);
    b.check();
}

#[test]
fn xsa_279_an_address_that_cannot_be_is_refused_and_nothing_flushed() {
    let b = bench();
    let s = b.space();
    b.engine.machine().take_flushes();
    for va in [
        1 << 63,
        1 << 47,
        0x7fff_ffff_ffff_f000 | 1 << 62,
        0xffff_8000_0000_0000,
        0xffff_87ff_ffff_ffff,
    ] {
        refused(b.map(&s, va, 0), Rule::AddressOutOfRange);
    }
    // The bytes on either side are the guest's.
    for va in [0x7fff_ffff_f000, 0xffff_8800_0000_0000] {
        refused(b.map(&s, va, 0), Rule::NoL1Table);
    }
    assert_eq!(b.engine.machine().take_flushes(), []);
    b.check();
}

#[test]
fn xsa_286_the_next_update_goes_through_the_new_tables() {
    let b = bench();
    let s = b.space();
    let t = b.space();
    let (one, two) = (b.page(), b.page());
    b.map(&s, 0x3000, entry(one, T)).unwrap();
    let flush = b.flush_after(at(s.l3, 0), entry(t.l2, T), u32::MAX);
    assert_eq!(flush, Ok(Flush::Local), "what was walked is forgotten");
    b.map(&s, 0x3000, entry(two, T)).unwrap();
    assert_eq!(b.peek(t.l1, 3) & ADDRESS, two.maddr().raw());
    assert_eq!(b.peek(s.l1, 3) & ADDRESS, one.maddr().raw());
    assert_eq!((b.info(s.l1).type_count, b.info(two).type_count), (0, 1));
    b.check();
}
