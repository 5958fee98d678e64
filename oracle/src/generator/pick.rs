//! Picking things that exist.

use crate::layout::{DOMAINS, FRAMES};
use crate::model::bits::{
    ACCESSED, BIT7, DIRTY, GLOBAL, NO_EXECUTE, PRESENT, RW, UNCACHED, USER, target,
};
use crate::model::state::Frame;
use crate::model::{Model, Owner, Role};
use crate::random::Choices;

/// Slots that are used: few, so that things meet.
pub const SLOTS: [u64; 10] = [0, 1, 2, 3, 255, 256, 260, 271, 272, 511];

/// A domain, mostly not the control domain; a dying one seldom.
pub fn dom(model: &Model, c: &mut impl Choices) -> usize {
    let dom = c.pick(&[0, 1, 1, 1, 2, 2]);
    if model.domains[dom].dying && !c.once_in(10) {
        0
    } else {
        dom
    }
}

/// Another domain.
pub fn other(dom: usize, c: &mut impl Choices) -> usize {
    (dom + 1 + c.below(DOMAINS as u64 - 1) as usize) % DOMAINS
}

/// A frame of a domain for which `suits` holds.
pub fn frame_where(
    model: &Model,
    dom: usize,
    c: &mut impl Choices,
    suits: impl Fn(usize, &Frame) -> bool,
) -> Option<u64> {
    let found: Vec<u64> = (0..FRAMES)
        .filter(|&i| model.frames[i].owner == Owner::Domain(dom) && suits(i, &model.frames[i]))
        .map(|i| i as u64)
        .collect();
    (!found.is_empty()).then(|| c.pick(&found))
}

/// Any frame of a domain, or nonsense if it has none.
pub fn frame(model: &Model, dom: usize, c: &mut impl Choices) -> u64 {
    frame_where(model, dom, c, |_, _| true).unwrap_or_else(|| nonsense(c))
}

/// A frame of a domain that nothing uses.
pub fn idle(model: &Model, dom: usize, c: &mut impl Choices) -> Option<u64> {
    frame_where(model, dom, c, |i, f| {
        f.role == Role::Idle && model.counts[i].general == 1 && f.allocated && !f.special
    })
}

/// A table of a level.
pub fn table(model: &Model, dom: usize, level: u8, c: &mut impl Choices) -> Option<u64> {
    frame_where(model, dom, c, |_, f| f.role == Role::Table(level))
}

/// A number that may be a frame of anybody's, or none at all.
pub fn nonsense(c: &mut impl Choices) -> u64 {
    match c.below(8) {
        0..=5 => c.below(FRAMES as u64 + 8),
        6 => c.pick(&[
            97,
            98,
            99,
            100,
            101,
            0x4000,
            0x4001,
            (1 << 28) - 1,
            1 << 28,
            (1 << 40) - 1,
        ]),
        _ => c.pick(&[u64::MAX >> 12, u64::MAX, 1 << 39, 1 << 52, u64::MAX >> 1]),
    }
}

/// An entry that names a frame.
#[must_use]
pub fn entry(frame: u64, flags: u64) -> u64 {
    frame.wrapping_shl(12) | flags
}

/// Flags of an L1 entry.
pub fn l1_flags(c: &mut impl Choices) -> u64 {
    let basic = c.pick(&[
        PRESENT | RW | USER,
        PRESENT | RW | USER,
        PRESENT | USER,
        PRESENT | RW,
        PRESENT,
    ]);
    let more = match c.below(8) {
        0 => c.pick(&[
            NO_EXECUTE,
            GLOBAL,
            ACCESSED | DIRTY,
            1 << 9,
            1 << 52,
            1 << 59,
        ]),
        1 => c.pick(&[UNCACHED, BIT7, 1 << 3, 1 << 3 | BIT7]),
        _ => 0,
    };
    basic | more
}

/// Flags of an entry above L1.
pub fn upper_flags(c: &mut impl Choices) -> u64 {
    let basic = c.pick(&[
        PRESENT | RW | USER,
        PRESENT | RW | USER,
        PRESENT | RW | USER,
        PRESENT | USER,
    ]);
    basic
        | if c.once_in(8) {
            c.pick(&[NO_EXECUTE, ACCESSED, 1 << 10, BIT7, GLOBAL, UNCACHED])
        } else {
            0
        }
}

/// A linear address under a root that an L1 table covers, if there is one; its lowest index is as wanted.
pub fn covered(model: &Model, root: usize, c: &mut impl Choices) -> Option<(u64, usize)> {
    let (mut table, mut address) = (root, 0u64);
    for level in [4u64, 3, 2] {
        let named: Vec<(u16, u64)> = model.frames[table]
            .words
            .iter()
            .filter(|&(slot, entry)| {
                entry & PRESENT != 0 && !(level == 4 && (256..272).contains(&slot))
            })
            .filter(|&(_, entry)| (target(entry) as usize) < FRAMES)
            .collect();
        if named.is_empty() {
            return None;
        }
        let (slot, entry) = c.pick(&named);
        address |= u64::from(slot) << (3 + 9 * level);
        table = target(entry) as usize;
    }
    let canonical = if address >> 47 & 1 != 0 {
        address | 0xffff << 48
    } else {
        address
    };
    Some((canonical, table))
}
