//! Discrepancies in grants, planted and found.

use super::*;
use crate::grant::audit::{Party, recount_grants};

fn said(p: &Pair, marks: bool) -> std::string::String {
    let parties = [
        Party {
            domain: &p.b.d,
            table: &p.own_table,
            track: &p.track,
        },
        Party {
            domain: &p.g,
            table: &p.table,
            track: &p.g_track,
        },
    ];
    recount_grants(&p.b.engine, &parties, marks)
        .err()
        .unwrap_or_default()
}

#[test]
fn a_pin_without_a_mapping_and_a_mapping_without_a_pin_are_found() {
    let p = pair();
    p.granted(9, 0);
    let mapping = p.map_at(9, RW_MAP, 4).unwrap();
    assert_eq!(said(&p, true), "");
    let machine = p.b.engine.machine();
    let record = p.track.state.lock().get(machine, mapping.handle).unwrap();
    p.track.state.lock().put(machine, mapping.handle);
    assert_eq!(said(&p, true), "grant 9 of d2 has other pins than mappings");
    // A second mapping that was never made.
    let handle = p.b.engine.take_handle(&p.track).unwrap();
    p.track.state.lock().set(machine, handle, &record);
    assert_eq!(said(&p, true), "");
    let handle = p.b.engine.take_handle(&p.track).unwrap();
    p.track.state.lock().set(machine, handle, &record);
    assert_eq!(said(&p, true), "grant 9 of d2 has other pins than mappings");
}

#[test]
fn a_mapping_of_another_frame_or_of_nothing_is_found() {
    let p = pair();
    p.granted(9, 0);
    let mapping = p.map_at(9, RW_MAP, 4).unwrap();
    let machine = p.b.engine.machine();
    let change = |change: &dyn Fn(&mut super::super::maptrack::Record)| {
        let mut record = p.track.state.lock().get(machine, mapping.handle).unwrap();
        change(&mut record);
        p.track.state.lock().set(machine, mapping.handle, &record);
        said(&p, true)
    };
    assert!(change(&|record| record.frame = p.s.data).contains("another user or frame"));
    assert!(change(&|record| record.reference = 1 << 20).contains("a grant that there is not"));
    assert!(change(&|record| record.granter = DomId(7)).contains("a granter that is not there"));
}

#[test]
fn marks_that_a_guest_spoilt_are_found_if_they_are_looked_at() {
    let p = pair();
    let frame = p.granted(9, 0);
    p.map_at(9, RW_MAP, 4).unwrap();
    p.grant(9, 0, frame);
    assert!(said(&p, true).contains("grant 9 of d2 has other marks than pins"));
    assert_eq!(said(&p, false), "");
}

#[test]
fn a_lost_handle_is_found() {
    let p = pair();
    p.granted(9, 0);
    let mapping = p.map_at(9, RW_MAP, 4).unwrap();
    p.unmap(mapping.handle, at(p.s.l1, 4), 0).unwrap();
    assert_eq!(said(&p, true), "");
    let _lost = p.b.engine.take_handle(&p.track).unwrap();
    assert!(said(&p, true).contains("the list of free handles"));
}
