//! Words that the granting guest rewrites between any two reads of them.

use super::*;
use crate::pte;
use std::vec::Vec;

/// The header of an entry for the mapper, with `flags`.
fn header(p: &Pair, flags: u16) -> u64 {
    u64::from(f::PERMIT_ACCESS | flags) | u64::from(p.b.d.id().0) << 16
}

/// Whatever is fetched first is what is checked, held, mapped and recorded, or nothing is.
#[test]
fn a_grant_that_changes_after_any_fetch_is_mapped_as_it_was_or_not_at_all() {
    for version in [1, 2] {
        for change in 0..4 {
            for kept in 0..4 {
                let p = pair_of(version);
                let frames = [p.granted(9, 0), p.b.page_of(&p.g)];
                let (good, other, evil) = (frames[0], frames[1], Mfn::new(3));
                let shared = p.b.engine.grant_frame(&p.table, 0).unwrap();
                let word_of = |mfn: Mfn, flags: u16| match version {
                    1 => header(&p, flags) | mfn.raw() << 32,
                    _ => header(&p, flags),
                };
                // What the guest writes over it: another frame, one that is not its own, less access, nothing.
                let (slot, old, new) = match (version, change) {
                    (1, 0) => (9, word_of(good, 0), word_of(other, 0)),
                    (1, 1) => (9, word_of(good, 0), word_of(evil, 0)),
                    (2, 0) => (19, good.raw(), other.raw()),
                    (2, 1) => (19, good.raw(), evil.raw()),
                    (1, 2) => (9, word_of(good, 0), word_of(good, f::READONLY)),
                    (1, _) => (9, word_of(good, 0), 0),
                    (_, 2) => (18, word_of(good, 0), word_of(good, f::READONLY)),
                    _ => (18, word_of(good, 0), 0),
                };
                // After `kept` reads that find it as it was.
                let mut values: Vec<u64> = std::vec![new];
                values.extend(core::iter::repeat_n(old, kept));
                let at_entry = Maddr::new(at(shared, slot));
                p.b.engine.machine().rewrite_after_reads(at_entry, values);
                let mapped = p.map_at(9, RW_MAP, 4);
                p.b.engine
                    .machine()
                    .rewrite_after_reads(Maddr::new(0), Vec::new());
                let entry = p.b.peek(p.s.l1, 4);
                match mapped {
                    Ok(mapping) => {
                        let frame = pte::target(entry);
                        assert!(frames.contains(&frame), "mapped {frame}");
                        assert_eq!(mapping.bus_address, frame.maddr().raw());
                        assert_eq!(p.b.info(frame).type_count, 1);
                    }
                    Err(_) => assert_eq!(entry, 0),
                }
                assert_eq!(p.b.info(evil).general_count, 1);
                p.check_with(false);
            }
        }
    }
}
