//! Unmapping: only what was recorded, only once, and never before the flush.

use super::*;
use crate::grant::unmap::BATCH;
use crate::pte;
use std::vec::Vec;
use xenocryst_abi::grant_table::status;

#[test]
fn references_are_held_until_the_flush() {
    let p = pair();
    let frame = p.granted(9, 0);
    let mapping = p.map_at(9, RW_MAP, 4).unwrap();
    let mut batch = UnmapBatch::new();
    let request = GrantUnmap {
        handle: mapping.handle,
        host_addr: at(p.s.l1, 4),
        bus_address: 0,
        new_addr: None,
    };
    p.b.engine
        .unmap_grant(&p.mapper(), &p.granter(), &request, &mut batch)
        .unwrap();
    assert_eq!(p.b.peek(p.s.l1, 4), 0);
    assert_eq!(p.marks(9), f::READING | f::WRITING);
    assert!(p.pin_granters(frame).is_err());
    // The handle is gone already.
    let again =
        p.b.engine
            .unmap_grant(&p.mapper(), &p.granter(), &request, &mut batch);
    told(again, Rule::GrantHandle, status::BAD_HANDLE);
    for flushed in p.b.engine.flush_unmapped(&p.b.d, batch) {
        p.b.engine.release_unmapped(&p.granter(), flushed);
    }
    p.pin_granters(frame).unwrap();
    p.check();
}

/// XSA-218, XSA-228.
#[test]
fn handles_are_freed_once_and_never_given_twice() {
    let p = pair();
    p.granted(9, 0);
    let handles: Vec<u32> = (0..4)
        .map(|slot| p.map_at(9, RO_MAP, 20 + slot).unwrap().handle)
        .collect();
    assert_eq!(handles, [0, 1, 2, 3]);
    p.unmap(2, at(p.s.l1, 22), 0).unwrap();
    told(
        p.unmap(2, at(p.s.l1, 22), 0),
        Rule::GrantHandle,
        status::BAD_HANDLE,
    );
    told(
        p.unmap(99, at(p.s.l1, 22), 0),
        Rule::GrantHandle,
        status::BAD_HANDLE,
    );
    told(
        p.unmap(u32::MAX, at(p.s.l1, 22), 0),
        Rule::GrantHandle,
        status::BAD_HANDLE,
    );
    assert_eq!(p.map_at(9, RO_MAP, 22).unwrap().handle, 2);
    assert_eq!(p.map_at(9, RO_MAP, 30).unwrap().handle, 4);
    p.check();
}

#[test]
fn handles_end_at_the_limit_of_the_track() {
    let p = pair();
    for reference in 8..16 {
        p.granted(reference, 0);
    }
    for i in 0..512 {
        p.map(8 + i / 64, m::DEVICE_MAP | m::READONLY, 0).unwrap();
    }
    told(
        p.map(15, m::DEVICE_MAP | m::READONLY, 0),
        Rule::GrantHandles,
        status::NO_SPACE,
    );
    p.check();
}

/// XSA-234: the live entry must be what the mapping recorded.
#[test]
fn an_entry_that_the_guest_rewrote_is_not_taken_for_the_mapping() {
    let p = pair();
    let frame = p.granted(9, 0);
    let mapping = p.map_at(9, RW_MAP, 4).unwrap();
    let second = p.map_at(9, RO_MAP, 5).unwrap();
    // Named at another place, or at an entry with other access, or at one of another frame.
    for slot in [0, 5, 6] {
        told(
            p.unmap(mapping.handle, at(p.s.l1, slot), 0),
            Rule::GrantEntryMismatch,
            status::GENERAL_ERROR,
        );
    }
    told(
        p.unmap(second.handle, at(p.s.l1, 4), 0),
        Rule::GrantEntryMismatch,
        status::GENERAL_ERROR,
    );
    // Making it read-only by an ordinary update needs rights that the mapper doesn't have.
    let read_only = p.b.peek(p.s.l1, 4) & !pte::RW;
    refused(p.b.update(at(p.s.l1, 4), read_only), Rule::L1TargetOwner);
    p.check();
    p.b.update(at(p.s.l1, 4), 0).unwrap();
    told(
        p.unmap(mapping.handle, at(p.s.l1, 4), 0),
        Rule::GrantEntryMismatch,
        status::GENERAL_ERROR,
    );
    p.check();
    assert_eq!(p.b.info(frame).type_count, 0);
}

/// XSA-234: stealing the entry of a mapping by replacing, then unmapping it where it was.
#[test]
fn replacing_moves_an_entry_and_counts_stay_right() {
    let p = pair();
    let frame = p.granted(9, 0);
    let other = p.granted(10, 0);
    let a = p.map(9, RW_MAP, 4 << 12).unwrap();
    let b = p.map(10, RW_MAP, 5 << 12).unwrap();
    for new_addr in [4 << 12, 1 << 50] {
        assert!(p.unmap_with(a.handle, 4 << 12, 0, Some(new_addr)).is_err());
    }
    p.check();
    p.unmap_with(a.handle, 4 << 12, 0, Some(5 << 12)).unwrap();
    assert_eq!(pte::target(p.b.peek(p.s.l1, 4)), other);
    assert_eq!(p.b.peek(p.s.l1, 5), 0);
    assert_eq!(p.b.info(frame).general_count, 1);
    p.check();
    told(
        p.unmap(b.handle, 5 << 12, 0),
        Rule::GrantEntryMismatch,
        status::GENERAL_ERROR,
    );
    assert!(p.pin_granters(other).is_err());
    p.unmap(b.handle, 4 << 12, 0).unwrap();
    p.pin_granters(other).unwrap();
    p.check();
}

#[test]
fn a_mapping_made_in_an_entry_cannot_be_replaced() {
    let p = pair();
    p.granted(9, 0);
    let a = p.map_at(9, RW_MAP, 4).unwrap();
    told(
        p.unmap_with(a.handle, at(p.s.l1, 4), 0, Some(0)),
        Rule::GrantReplaceEntry,
        status::GENERAL_ERROR,
    );
    p.check();
}

/// The mapper drops its entry unflushed; before the granter's frame becomes a table, every CPU forgets it.
#[test]
fn a_lent_frame_becomes_a_table_only_after_a_flush_of_all_cpus() {
    let p = pair();
    let frame = p.granted(9, 0);
    p.map_at(9, RW_MAP, 4).unwrap();
    p.b.update(at(p.s.l1, 4), 0).unwrap();
    p.b.engine.machine().take_flushes();
    p.pin_granters(frame).unwrap();
    let flushes = p.b.engine.machine().take_flushes();
    assert!(flushes.iter().any(|flush| flush.cpus == u64::MAX));
}

#[test]
fn a_frame_lent_for_reading_only_becomes_a_table_after_a_flush_of_its_owners_cpus() {
    let p = pair();
    let frame = p.granted(9, 0);
    let held = p.b.engine.get_writable_page(&p.g, frame).unwrap();
    p.b.engine.put_writable_page(held);
    p.map_at(9, RO_MAP, 4).unwrap();
    p.b.update(at(p.s.l1, 4), 0).unwrap();
    p.b.engine.machine().take_flushes();
    p.pin_granters(frame).unwrap();
    let flushes = p.b.engine.machine().take_flushes();
    assert_eq!(flushes.iter().fold(0, |all, flush| all | flush.cpus), 1);
}

#[test]
fn a_batch_is_full_when_it_takes_no_more_and_is_flushed_once_if_anybody_may_know_it() {
    for cpus in [0, 1] {
        let p = pair();
        if cpus == 0 {
            p.b.d.clear_cpu_dirty(0);
        }
        let e = &p.b.engine;
        let flushes = || e.machine().take_flushes().len();
        assert!(UnmapBatch::new().is_empty() && !UnmapBatch::new().is_full());
        flushes();
        assert_eq!(e.flush_unmapped(&p.b.d, UnmapBatch::new()).count(), 0);
        assert_eq!(flushes(), 0);
        p.granted(9, 0);
        let mut batch = UnmapBatch::new();
        let slots = 10..=10 + BATCH as u64;
        let results: Vec<_> = slots
            .map(|slot| {
                let request = GrantUnmap {
                    handle: p.map_at(9, RW_MAP, slot).unwrap().handle,
                    host_addr: at(p.s.l1, slot),
                    bus_address: 0,
                    new_addr: None,
                };
                let full = batch.is_full();
                let result = e.unmap_grant(&p.mapper(), &p.granter(), &request, &mut batch);
                assert!(!batch.is_empty());
                assert_eq!(result.is_err(), full);
                full
            })
            .collect();
        assert_eq!(results.iter().filter(|full| !**full).count(), BATCH);
        flushes();
        for flushed in e.flush_unmapped(&p.b.d, batch) {
            e.release_unmapped(&p.granter(), flushed);
        }
        assert_eq!(flushes(), cpus);
        assert_ne!(p.b.peek(p.s.l1, 10 + BATCH as u64), 0);
        p.check();
    }
}
