//! One request of any kind, which could well be done.

use super::{budget, pages, pick};
use crate::layout::{CPUS, VCPUS};
use crate::model::bits::{PRESENT, RW, USER, target};
use crate::model::{Model, Owner, Role};
use crate::random::Choices;
use crate::request::Request;

/// One request of any kind.
pub fn any(model: &Model, c: &mut impl Choices) -> Request {
    if let Some(dying) = (0..model.domains.len()).find(|&dom| model.domains[dom].dying)
        && c.once_in(3)
    {
        return pages::end(model, dying, c);
    }
    let dom = pick::dom(model, c);
    match c.below(100) {
        0..=19 => l1_update(model, dom, c),
        20..=31 => upper_update(model, dom, c),
        32..=34 => foreign_update(model, dom, c),
        35..=36 => machphys(model, dom, c),
        37..=43 => va(model, dom, c),
        44..=48 => store(model, dom, c),
        49..=53 => pin(model, dom, c),
        54..=57 => unpin(model, dom, c),
        58..=61 => root(model, dom, c),
        62..=63 => page(model, dom, c),
        64..=66 => pages::descriptors(model, dom, c),
        67..=70 => pages::hold(model, dom, c),
        71..=80 => pages::write(model, dom, c),
        81..=88 => pages::memory(model, dom, c),
        89..=91 => pages::mark(model, c),
        92..=93 => Request::Switch {
            cpu: c.below(CPUS as u64),
            dom: dom as u64,
        },
        94..=95 => Request::Finish {
            dom: dom as u64,
            budget: budget(c),
        },
        _ => pages::rarely(model, dom, c),
    }
}

/// What an L1 entry may well name: memory of one's own, often a frame that is to be a table, seldom something else.
pub fn l1_value(model: &Model, dom: usize, c: &mut impl Choices) -> u64 {
    match c.below(10) {
        0..=2 => 0,
        3..=6 => {
            let plain = |_: usize, f: &crate::model::state::Frame| {
                matches!(f.role, Role::Idle | Role::Writable)
            };
            let frame = pick::frame_where(model, dom, c, plain).unwrap_or(0);
            pick::entry(frame, pick::l1_flags(c))
        }
        7 => pick::entry(pick::frame(model, dom, c), PRESENT | USER),
        8 => pick::entry(pick::frame(model, dom, c), pick::l1_flags(c)),
        _ => pick::entry(pick::nonsense(c), pick::l1_flags(c)),
    }
}

pub fn slot(c: &mut impl Choices) -> u64 {
    c.pick(&pick::SLOTS)
}

fn l1_update(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let table = pick::table(model, dom, 1, c).unwrap_or_else(|| pick::frame(model, dom, c));
    let slot = slot(c);
    let value = match c.below(4) {
        0 => change_flags(model, table, slot, c),
        _ => l1_value(model, dom, c),
    };
    let (at, dom) = (
        table << 12 | slot << 3 | c.pick(&[0, 0, 0, 2, 3]),
        dom as u64,
    );
    Request::Update {
        dom,
        tables: dom,
        pages: dom,
        at,
        value,
        budget: budget(c),
    }
}

/// The entry that is there, with one flag changed.
fn change_flags(model: &Model, table: u64, slot: u64, c: &mut impl Choices) -> u64 {
    let old = model
        .frames
        .get(table as usize)
        .map_or(0, |frame| frame.words.get(slot as u16));
    old ^ c.pick(&[
        RW,
        RW,
        RW,
        PRESENT,
        USER,
        1 << 9,
        1 << 63,
        1 << 5,
        1 << 6,
        1 << 8,
    ])
}

pub fn upper_value(model: &Model, dom: usize, level: u8, c: &mut impl Choices) -> u64 {
    match c.below(8) {
        0..=1 => 0,
        2..=4 => {
            let frame = pick::table(model, dom, level - 1, c).or_else(|| pick::idle(model, dom, c));
            pick::entry(frame.unwrap_or(0), pick::upper_flags(c))
        }
        5 => pick::entry(pick::idle(model, dom, c).unwrap_or(0), pick::upper_flags(c)),
        6 => {
            let half = pick::frame_where(
                model,
                dom,
                c,
                |_, f| matches!(f.role, Role::Partial(l, _) if l == level),
            );
            let frame = half.or_else(|| pick::table(model, dom, level, c));
            pick::entry(
                frame.unwrap_or(0),
                c.pick(&[PRESENT | USER, PRESENT | USER, PRESENT | RW | USER]),
            )
        }
        _ => pick::entry(pick::nonsense(c), pick::upper_flags(c)),
    }
}

fn upper_update(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let level = 2 + c.below(3) as u8;
    let table = pick::table(model, dom, level, c).unwrap_or_else(|| pick::frame(model, dom, c));
    let slot = slot(c);
    let value = match c.below(5) {
        0 => change_flags(model, table, slot, c),
        _ => upper_value(model, dom, level, c),
    };
    let (at, dom) = (table << 12 | slot << 3 | c.pick(&[0, 0, 0, 2]), dom as u64);
    Request::Update {
        dom,
        tables: dom,
        pages: dom,
        at,
        value,
        budget: budget(c),
    }
}

/// A domain that works on another's tables, or maps another's frames.
fn foreign_update(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let other = pick::other(dom, c);
    let (tables, pages) = c.pick(&[
        (dom, other),
        (dom, other),
        (other, other),
        (other, dom),
        (dom, 3),
    ]);
    let level = c.pick(&[1, 1, 1, 2, 3, 4]);
    let table =
        pick::table(model, tables, level, c).unwrap_or_else(|| pick::frame(model, tables, c));
    let value = match pages {
        3 => pick::entry(c.pick(&[97, 98, 100, 101, 0x4000]), pick::l1_flags(c)),
        pages if level == 1 => l1_value(model, pages, c),
        pages => upper_value(model, pages, level, c),
    };
    Request::Update {
        dom: dom as u64,
        tables: tables as u64,
        pages: pages as u64,
        at: table << 12 | slot(c) << 3,
        value,
        budget: budget(c),
    }
}

fn machphys(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let pages = if c.once_in(4) {
        pick::other(dom, c)
    } else {
        dom
    };
    let frame = pick::frame(model, pages, c);
    let at = frame << 12 | 1;
    let (dom, pages, value) = (dom as u64, pages as u64, c.below(300));
    Request::Update {
        dom,
        tables: dom,
        pages,
        at,
        value,
        budget: budget(c),
    }
}

/// A vCPU with a kernel root, and that root.
fn running(model: &Model, dom: usize, c: &mut impl Choices) -> (u64, Option<usize>) {
    let vcpu = c.below(VCPUS as u64);
    match model.domains[dom].roots[vcpu as usize][0] {
        Some(root) => (vcpu, Some(root)),
        None => (1 - vcpu, model.domains[dom].roots[1 - vcpu as usize][0]),
    }
}

fn va(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let (vcpu, root) = running(model, dom, c);
    let covered = root.and_then(|root| pick::covered(model, root, c));
    let (address, table) = covered.unwrap_or((c.below(1 << 48), 0));
    let slot = slot(c);
    let value = match c.below(4) {
        0 => change_flags(model, table as u64, slot, c),
        _ => l1_value(model, dom, c),
    };
    let address = address | slot << 12 | c.pick(&[0, 0, 0, 0x123]);
    let pages = if c.once_in(12) {
        pick::other(dom, c)
    } else {
        dom
    };
    Request::Va {
        dom: dom as u64,
        vcpu,
        pages: pages as u64,
        address,
        value,
    }
}

/// An address that maps an L1 table read-only, if there is one, and the table.
fn window_on_tables(
    model: &Model,
    dom: usize,
    root: usize,
    c: &mut impl Choices,
) -> Option<(u64, usize)> {
    let (address, table) = pick::covered(model, root, c)?;
    let found: Vec<(u64, usize)> = model.frames[table]
        .words
        .iter()
        .filter(|(_, entry)| entry & (PRESENT | RW) == PRESENT)
        .filter_map(|(slot, entry)| {
            let named = target(entry) as usize;
            let frame = model.frames.get(named)?;
            let own = frame.owner == Owner::Domain(dom) && frame.role == Role::Table(1);
            own.then_some((address | u64::from(slot) << 12, named))
        })
        .collect();
    (!found.is_empty()).then(|| c.pick(&found))
}

fn store(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let (vcpu, root) = running(model, dom, c);
    let window = root.and_then(|root| window_on_tables(model, dom, root, c));
    let (page, table) = window.unwrap_or((c.below(1 << 36) << 12, 0));
    let slot = slot(c);
    let old = model
        .frames
        .get(table)
        .map_or(0, |frame| frame.words.get(slot as u16));
    let (fault, address) = (page | slot << 3, page | slot << 3);
    let value = match c.below(3) {
        0 => change_flags(model, table as u64, slot, c),
        _ => l1_value(model, dom, c),
    };
    let dom = dom as u64;
    match c.below(5) {
        0 => {
            let width = c.pick(&[1, 2, 4]);
            Request::Store {
                dom,
                vcpu,
                fault,
                address,
                width,
                value: value & 0xffff_ffff,
            }
        }
        1 => Request::Store {
            dom,
            vcpu,
            fault,
            address: address | 4,
            width: 4,
            value: value >> 32,
        },
        2 => {
            let expected = if c.once_in(4) { old ^ 1 } else { old };
            Request::Exchange8 {
                dom,
                vcpu,
                fault,
                address,
                width: 8,
                expected,
                value,
            }
        }
        _ => Request::Store {
            dom,
            vcpu,
            fault,
            address,
            width: 8,
            value,
        },
    }
}

fn pin(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let level = c.pick(&[1, 1, 2, 3, 4, 4]);
    let live = pick::frame_where(model, dom, c, |_, f| {
        !f.pinned && matches!(f.role, Role::Table(l) | Role::Partial(l, _) if l == level)
    });
    let frame = live
        .filter(|_| !c.once_in(3))
        .or_else(|| pick::idle(model, dom, c))
        .unwrap_or(1);
    Request::Pin {
        dom: dom as u64,
        frame,
        level: u64::from(level),
        budget: budget(c),
    }
}

fn unpin(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let frame = pick::frame_where(model, dom, c, |_, f| f.pinned);
    let frame = frame.unwrap_or_else(|| pick::frame(model, dom, c));
    Request::Unpin {
        dom: dom as u64,
        frame,
        budget: budget(c),
    }
}

fn root(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let (vcpu, user) = (c.below(VCPUS as u64), u64::from(c.once_in(3)));
    let (d, budget) = (dom as u64, budget(c));
    if c.once_in(4) {
        return Request::DropRoot {
            dom: d,
            vcpu,
            user,
            budget,
        };
    }
    let frame = pick::table(model, dom, 4, c)
        .or_else(|| pick::idle(model, dom, c))
        .unwrap_or(1);
    Request::Root {
        dom: d,
        vcpu,
        user,
        frame,
        budget,
    }
}

fn page(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let plain =
        |_: usize, f: &crate::model::state::Frame| matches!(f.role, Role::Idle | Role::Writable);
    let to = pick::frame_where(model, dom, c, plain).unwrap_or(1);
    match c.below(2) {
        0 => Request::Clear {
            dom: dom as u64,
            frame: to,
        },
        _ => Request::Copy {
            dom: dom as u64,
            to,
            from: pick::frame(model, dom, c),
        },
    }
}
