//! Requests about single pages and about who owns what.

use super::kinds::{l1_value, slot, upper_value};
use super::{budget, pick};
use crate::layout::{VCPUS, WINDOWS};
use crate::model::bits::{ADDRESS, PRESENT, RW, USER, target};
use crate::model::{Model, Owner, Role};
use crate::random::Choices;
use crate::request::{NO_PFN, Request};

/// Descriptors that a guest may have, and some that it may not.
pub fn descriptor(c: &mut impl Choices) -> u64 {
    c.pick(&[
        0,
        0x00af_fa00_0000_ffff,
        0x00af_9a00_0000_ffff,
        0x00cf_f200_0000_ffff,
        0x0000_ec00_e033_0000,
        0x0000_ec00_e02b_0000,
        0x0000_ec01_0008_0000,
        0x0000_8900_0000_0067,
        0x0000_8200_0000_0067,
    ])
}

pub fn descriptors(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let d = dom as u64;
    let (vcpu, slot) = (c.below(VCPUS as u64), c.below(WINDOWS as u64));
    let known = pick::frame_where(model, dom, c, |_, f| f.role == Role::Descriptors);
    match c.below(4) {
        0 => Request::Unwindow { dom: d, vcpu, slot },
        1 => {
            // One in which a present descriptor was written before, if there is one.
            let written = pick::frame_where(model, dom, c, |_, f| {
                f.role == Role::Idle && f.words.iter().any(|(_, word)| word >> 47 & 1 != 0)
            });
            let frame = known
                .filter(|_| !c.once_in(2))
                .or(written)
                .or_else(|| pick::idle(model, dom, c))
                .unwrap_or(1);
            Request::Window {
                dom: d,
                vcpu,
                slot,
                frame,
            }
        }
        2 => match pick::idle(model, dom, c) {
            Some(frame) => Request::Write {
                dom: d,
                frame,
                slot: self::slot(c),
                value: descriptor(c),
            },
            None => Request::Window {
                dom: d,
                vcpu,
                slot,
                frame: 1,
            },
        },
        _ => {
            let frame = known.unwrap_or_else(|| pick::frame(model, dom, c));
            Request::Descriptor {
                dom: d,
                at: frame << 12 | self::slot(c) << 3,
                value: descriptor(c),
            }
        }
    }
}

pub fn hold(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let holds = &model.domains[dom].holds;
    let d = dom as u64;
    if holds.len() > 3 || (!holds.is_empty() && c.once_in(2)) {
        let (frame, writable) = c.pick(holds);
        return Request::Release {
            dom: d,
            frame: frame as u64,
            writable: u64::from(writable),
        };
    }
    Request::Hold {
        dom: d,
        frame: pick::frame(model, dom, c),
        writable: c.below(2),
    }
}

pub fn write(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let Some(frame) = pick::idle(model, dom, c) else {
        return hold(model, dom, c);
    };
    let value = match c.below(6) {
        0 => 0,
        1 => l1_value(model, dom, c),
        2 => upper_value(model, dom, 2 + c.below(3) as u8, c),
        3 => pick::entry(pick::nonsense(c), 0) & ADDRESS,
        _ => {
            let level = 1 + c.below(3) as u8;
            pick::entry(
                pick::table(model, dom, level, c).unwrap_or(0),
                PRESENT | USER | RW,
            )
        }
    };
    Request::Write {
        dom: dom as u64,
        frame,
        slot: slot(c),
        value,
    }
}

pub fn memory(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let d = dom as u64;
    let bits = if c.once_in(6) {
        c.pick(&[17, 18, 19])
    } else {
        0
    };
    let idle = pick::idle(model, dom, c);
    match c.below(8) {
        0..=3 => {
            let pfn = if c.once_in(3) { NO_PFN } else { c.below(200) };
            Request::Populate {
                dom: d,
                order: c.pick(&[0, 0, 0, 1, 2]),
                bits,
                pfn,
            }
        }
        4..=5 => {
            let frame = idle
                .filter(|_| !c.once_in(3))
                .unwrap_or_else(|| pick::frame(model, dom, c));
            Request::Decrease {
                dom: d,
                frame,
                order: c.pick(&[0, 0, 0, 0, 1]),
            }
        }
        _ => Request::Exchange {
            dom: d,
            first: idle.unwrap_or(1),
            inputs: c.pick(&[1, 1, 1, 2]),
            in_order: c.pick(&[0, 0, 1]),
            blocks: c.pick(&[1, 1, 2]),
            order: c.pick(&[0, 0, 0, 1]),
            bits,
            pfn: c.below(200),
            end: c.pick(&[0, 0, 0, 0, 0, 1]),
        },
    }
}

pub fn mark(model: &Model, c: &mut impl Choices) -> Request {
    let dom = pick::dom(model, c);
    let frame = pick::table(model, dom, 1 + c.below(4) as u8, c).unwrap_or(0);
    let words = model.frames[frame as usize].words.iter();
    let present: Vec<u64> = words
        .filter(|(_, e)| e & PRESENT != 0)
        .map(|(s, _)| u64::from(s))
        .collect();
    let slot = if present.is_empty() {
        0
    } else {
        c.pick(&present)
    };
    Request::Mark {
        frame,
        slot,
        bits: c.pick(&[0x20, 0x60]),
    }
}

/// What happens once in a while only.
pub fn rarely(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let d = dom as u64;
    let special = pick::frame_where(model, dom, c, |_, f| f.special);
    match c.below(16) {
        0..=2 => Request::Share {
            dom: d,
            writable: c.below(2),
        },
        3..=5 => match special {
            Some(frame) => Request::Unshare { dom: d, frame },
            None => Request::Share {
                dom: d,
                writable: 1,
            },
        },
        6 => Request::Limit {
            dom: d,
            frames: c.pick(&[10, 30, 40, 40, 50]),
        },
        7 => Request::L1tf {
            dom: d,
            on: c.below(2),
        },
        8..=10 => weigh(model, dom, c),
        11 => io(dom, c),
        12 if dom != 0 && c.once_in(2) => Request::Die { dom: d },
        _ => memory(model, dom, c),
    }
}

/// Which devices a domain may map.
fn io(dom: usize, c: &mut impl Choices) -> Request {
    let first = c.pick(&[96, 97, 98, 99, 100, 101, 102, 0x4000, 0x4002]);
    Request::Io {
        dom: dom as u64,
        frame: first,
        last: first + c.pick(&[0, 0, 1, 3, 0x1000]),
        allow: c.below(2),
    }
}

/// Puts a frame near the end of its counters, or takes it from there.
pub fn weigh(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    if let Some(frame) = (0..model.frames.len()).find(|&i| model.frames[i].weight.0 != 0) {
        return Request::Unweigh {
            frame: frame as u64,
        };
    }
    let frame = pick::frame(model, dom, c);
    let count = model
        .counts
        .get(frame as usize)
        .copied()
        .unwrap_or_default();
    let room = c.below(3);
    let (general, typed) = match c.below(2) {
        0 => (
            (u64::from(u32::MAX) - 2 - room).saturating_sub(count.general),
            0,
        ),
        _ => {
            let typed = ((1 << 28) - 1 - room).saturating_sub(count.typed);
            (typed, typed)
        }
    };
    Request::Weigh {
        dom: dom as u64,
        frame,
        general,
        typed,
    }
}

/// What is left to do for a domain that dies.
pub fn end(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    if let Some(request) = super::stories::end(model, dom, c) {
        return request;
    }
    let d = dom as u64;
    let lists = &model.domains[dom].grants.lists;
    let frame = pick::frame_where(model, dom, c, |_, _| true);
    let special = pick::frame_where(model, dom, c, |i, f| {
        f.special && !lists.shared.contains(&i) && !lists.status.contains(&i)
    });
    match (frame, special) {
        (None, _) => Request::Birth { dom: d },
        (_, Some(frame)) if c.once_in(4) => Request::Unshare { dom: d, frame },
        (Some(frame), _) if c.once_in(4) => loosen(model, dom, frame),
        _ => Request::Relinquish {
            dom: d,
            budget: budget(c),
        },
    }
}

/// Lets something go that holds a dying domain's frame.
pub fn loosen(model: &Model, dom: usize, frame: u64) -> Request {
    if model.frames[frame as usize].weight.0 != 0 {
        return Request::Unweigh { frame };
    }
    if let Some(&(frame, writable)) = model.domains[dom].holds.first() {
        return Request::Release {
            dom: dom as u64,
            frame: frame as u64,
            writable: u64::from(writable),
        };
    }
    for table in 0..model.frames.len() {
        let Owner::Domain(owner) = model.frames[table].owner else {
            continue;
        };
        if owner == dom || model.frames[table].role != Role::Table(1) {
            continue;
        }
        if let Some((slot, _)) = model.frames[table]
            .words
            .iter()
            .find(|(_, e)| e & PRESENT != 0 && target(*e) == frame)
        {
            let (owner, at) = (owner as u64, (table as u64) << 12 | u64::from(slot) << 3);
            return Request::Update {
                dom: owner,
                tables: owner,
                pages: owner,
                at,
                value: 0,
                budget: u64::from(u32::MAX),
            };
        }
    }
    Request::Relinquish {
        dom: dom as u64,
        budget: u64::from(u32::MAX),
    }
}
