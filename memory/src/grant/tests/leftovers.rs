//! Grants among tables whose unwinding was interrupted: the mapper's, in which entries are made, and the granter's, of
//! which a frame is granted. Entries are made and removed under the page-table lock without waiting for anything;
//! only the granted frame may have to be waited for, and it is held meanwhile.

use super::*;
use crate::{Budget, FrameType, Level, Progress};
use xenocryst_abi::grant_table::status;

/// Numbers of slices to stop after.
fn stops() -> impl Iterator<Item = usize> {
    (1..8).chain((8..).step_by(5))
}

/// One slice of an unpin in the smallest slices. `false` when there is nothing left.
fn slice(p: &Pair, domain: &DomainMemory, table: Mfn) -> bool {
    let budget = &mut Budget::new(1);
    if p.b.info(table).pinned {
        let _ = p.b.engine.unpin_table(domain, table, budget).unwrap();
        return true;
    }
    p.b.engine.finish_unwinding(domain, budget) == Progress::Preempted
}

/// An entry made in a table that is still one only by an unwinding goes with it; the rest of the mapping stays.
#[test]
fn a_mapping_made_in_a_table_that_is_going_goes_with_it_and_is_counted_once() {
    let mut made = 0;
    for stop in stops() {
        let p = pair();
        let frame = p.granted(9, 0);
        let done = (0..stop).any(|_| !slice(&p, &p.b.d, p.s.l4));
        let is_table = p.b.info(p.s.l1).validated;
        // In place of an ordinary entry, which is given back.
        let result = p.map_at(9, RW_MAP | m::DEVICE_MAP, 0);
        p.check();
        assert_eq!(result.is_ok(), is_table, "stopped after {stop}");
        match result {
            Err(refusal) => assert_eq!(refusal.rule, Rule::GrantAddress),
            Ok(mapping) => {
                made += 1;
                assert_eq!(p.b.info(p.s.data).type_count, 0);
                while slice(&p, &p.b.d, p.s.l4) {}
                assert_eq!(
                    p.b.info(frame).general_count,
                    2,
                    "for itself and for devices"
                );
                let gone = p.unmap(mapping.handle, at(p.s.l1, 0), 0);
                told(gone, Rule::GrantAddress, status::GENERAL_ERROR);
                p.unmap(mapping.handle, 0, mapping.bus_address).unwrap();
                assert_eq!(p.b.info(frame).general_count, 1);
            }
        }
        p.check();
        if done {
            break;
        }
    }
    assert!(made > 20, "the table was one at {made} stops");
}

/// The frame granted is a table by nothing but an unwinding, and given up by its owner: nothing but the mapping that is
/// being made holds it when the unwinding is over.
#[test]
fn a_granted_frame_is_held_while_the_unwinding_that_it_waits_for_is_finished() {
    for stop in stops() {
        let p = pair();
        let (l3, l2) = (p.b.page_of(&p.g), p.granted(9, 0));
        p.b.poke(l3, 511, entry(l2, T));
        let budget = &mut Budget::unlimited();
        let pinned = p.b.engine.pin_table(&p.g, l3, Level::L3, budget);
        assert_eq!(pinned, Ok(Progress::Done(())));
        p.b.engine.decrease_extent(&p.g, l2, 0).unwrap();
        let refused = p.map_at(9, RW_MAP, 4);
        told(refused, Rule::GrantNotWritable, status::GENERAL_ERROR);
        let done = (0..stop).any(|_| !slice(&p, &p.g, l3));
        let result = p.map_at(9, RW_MAP | m::DEVICE_MAP, 4);
        p.check();
        if p.b.info(l2).is_free {
            told(result, Rule::GrantFrame, status::BAD_PAGE);
        } else {
            let mapping = result.unwrap();
            assert_eq!(p.b.info(l2).frame_type, FrameType::Writable);
            assert_eq!(p.b.info(l2).general_count, 2, "for the CPU and for devices");
            p.unmap(mapping.handle, at(p.s.l1, 4), mapping.bus_address)
                .unwrap();
            assert!(p.b.info(l2).is_free);
        }
        while slice(&p, &p.g, l3) {}
        p.check();
        if done {
            break;
        }
    }
}
