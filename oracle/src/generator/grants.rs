//! Requests about grants: what two guests that share memory do, in the right order and in others.

use std::collections::VecDeque;

use super::{pick, stories};
use crate::layout::{DOMAINS, GRANT_FRAMES, VCPUS};
use crate::model::grants::{APPLICATION, CONTAINS_PTE, DEVICE, HOST, READ_ONLY};
use crate::model::{Model, Role};
use crate::random::Choices;
use crate::request::Request;

/// References that are used: few, so that things meet; some of them reserved, some at the ends of tables.
pub const REFERENCES: [u64; 9] = [8, 8, 9, 9, 10, 0, 1, 255, 300];
/// Kinds of entries, mostly those that permit something.
const FLAGS: [u64; 14] = [1, 1, 1, 1, 1, 5, 5, 2, 2, 0x101, 0x101, 3, 0x19, 0];
/// Stands for a frame of one's own in a copy.
const OWN: u64 = DOMAINS as u64;

/// An entry that somebody can do something with.
#[derive(Clone, Copy)]
pub struct Offer {
    pub granter: usize,
    pub reference: u64,
    pub flags: u64,
    pub peer: u64,
}

/// One request about grants.
pub fn any(
    model: &Model,
    dom: usize,
    plan: &mut VecDeque<Request>,
    c: &mut impl Choices,
) -> Request {
    let d = dom as u64;
    let grants = &model.domains[dom].grants;
    if !grants.unmapped.is_empty() && c.once_in(3) {
        return Request::GrantRelease { dom: d };
    }
    if grants.lists.shared.is_empty() && !c.once_in(6) {
        return setup(dom, c);
    }
    match c.below(32) {
        0..=6 => entry(model, dom, plan, c),
        7..=14 => map(model, dom, c),
        15..=20 => unmap(model, dom, c),
        21..=24 => copy(model, dom, c),
        25..=26 => transfer(model, dom, plan, c),
        27 => Request::GrantVersion {
            dom: d,
            version: c.pick(&[1, 2, 2, 2, 0]),
        },
        28 => Request::GrantSwap {
            dom: d,
            reference: c.pick(&REFERENCES),
            other: c.pick(&REFERENCES),
        },
        29 if c.once_in(40) => stories::exhaust(model, dom, plan, c),
        29 => setup(dom, c),
        30 => stories::lend(model, dom, plan, c),
        _ => spoil_marks(model, dom, c),
    }
}

pub fn setup(dom: usize, c: &mut impl Choices) -> Request {
    Request::GrantSetup {
        dom: dom as u64,
        frames: c.pick(&[1, 1, 1, GRANT_FRAMES, 0, GRANT_FRAMES + 1]),
    }
}

/// What a domain may grant: its memory mostly.
fn granted_frame(model: &Model, dom: usize, c: &mut impl Choices) -> u64 {
    let plain = |_: usize, f: &crate::model::state::Frame| {
        matches!(f.role, Role::Idle | Role::Writable) && !f.special
    };
    match c.below(8) {
        0 => pick::frame(model, dom, c),
        1 => pick::nonsense(c),
        _ => pick::frame_where(model, dom, c, plain).unwrap_or(1),
    }
}

/// The granting guest writes an entry, and ends another's access that way, too.
fn entry(model: &Model, dom: usize, plan: &mut VecDeque<Request>, c: &mut impl Choices) -> Request {
    let d = dom as u64;
    let reference = c.pick(&REFERENCES);
    let Some((table, slot)) = model.grant_place(dom, reference) else {
        return setup(dom, c);
    };
    let peer = if c.once_in(12) {
        d
    } else {
        pick::other(dom, c) as u64
    };
    let flags = c.pick(&FLAGS);
    let frame = if flags & 3 == 2 {
        c.below(200)
    } else {
        granted_frame(model, dom, c)
    };
    let header = flags | peer << 16;
    let write = |slot: u16, value: u64| Request::Write {
        dom: d,
        frame: table as u64,
        slot: u64::from(slot),
        value,
    };
    if model.domains[dom].grants.version == 1 {
        return write(slot, header | frame << 32);
    }
    let part = c.pick(&[0x0100_0000, 0x0800_0800, 0, 0x1000_0000, 0x0010_0fff]);
    plan.push_back(write(slot, header | part << 32));
    write(slot + 1, frame)
}

/// A guest that changes the marks in its own entries.
fn spoil_marks(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let reference = c.pick(&REFERENCES);
    let grants = &model.domains[dom].grants;
    let (frame, slot) = match grants.lists.status.first() {
        Some(&status) => (status, (reference / 4) as u16),
        None => match model.grant_place(dom, reference) {
            Some(place) => place,
            None => return setup(dom, c),
        },
    };
    let word = model.frames[frame].words.get(slot);
    Request::Write {
        dom: dom as u64,
        frame: frame as u64,
        slot: u64::from(slot),
        value: word ^ c.pick(&[8, 16, 24, 4]),
    }
}

/// Entries that concern `dom`, if there are any.
fn offers(model: &Model, dom: usize, kind: u64) -> Vec<Offer> {
    let mut found = Vec::new();
    for granter in 0..DOMAINS {
        for reference in [0, 1, 8, 9, 10, 255, 300] {
            let Some((frame, slot)) = model.grant_place(granter, reference) else {
                continue;
            };
            let word = model.frames[frame].words.get(slot);
            let (flags, peer) = (word & 0xffff, word >> 16 & 0xffff);
            if flags & 3 == kind && peer == dom as u64 {
                found.push(Offer {
                    granter,
                    reference,
                    flags,
                    peer,
                });
            }
        }
    }
    found
}

/// A grant that `dom` may use; seldom one that it may not.
pub fn offer(model: &Model, dom: usize, kind: u64, c: &mut impl Choices) -> Offer {
    let found = offers(model, dom, kind);
    if found.is_empty() || c.once_in(10) {
        return Offer {
            granter: pick::other(dom, c),
            reference: c.pick(&REFERENCES),
            flags: 1,
            peer: dom as u64,
        };
    }
    c.pick(&found)
}

/// A place for a mapping: an entry of a table, or an address; and whether it is the former.
fn place(model: &Model, dom: usize, vcpu: u64, c: &mut impl Choices) -> (u64, bool) {
    let slot = c.pick(&pick::SLOTS);
    let root = model.domains[dom].roots[vcpu as usize][0];
    if c.once_in(2)
        && let Some((address, _)) = root.and_then(|root| pick::covered(model, root, c))
    {
        return (address | slot << 12, false);
    }
    let table = pick::table(model, dom, 1, c).unwrap_or_else(|| pick::frame(model, dom, c));
    (table << 12 | slot << 3, true)
}

fn vcpu_of(model: &Model, dom: usize, c: &mut impl Choices) -> u64 {
    let vcpu = c.below(VCPUS as u64);
    match model.domains[dom].roots[vcpu as usize][0] {
        Some(_) => vcpu,
        None => 1 - vcpu,
    }
}

fn map(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let offer = offer(model, dom, 1, c);
    let vcpu = vcpu_of(model, dom, c);
    let (host, is_entry) = place(model, dom, vcpu, c);
    let mut flags = c.pick(&[HOST, HOST, HOST, HOST | DEVICE, DEVICE, 0]);
    if offer.flags & 4 != 0 && !c.once_in(8) || c.once_in(4) {
        flags |= READ_ONLY;
    }
    if is_entry {
        flags |= CONTAINS_PTE;
    }
    flags |= c.pick(&[0, 0, APPLICATION, APPLICATION | 5 << 16, 0xffff << 16]);
    Request::GrantMap {
        dom: offer.peer,
        vcpu,
        granter: offer.granter as u64,
        reference: offer.reference,
        flags,
        host,
    }
}

fn unmap(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let maps = &model.domains[dom].grants.maps;
    let vcpu = vcpu_of(model, dom, c);
    if maps.is_empty() {
        return map(model, dom, c);
    }
    let mapping = c.pick(maps);
    let bus = (mapping.frame as u64) << 12;
    let (host, bus) = c.pick(&[
        (mapping.host, bus),
        (mapping.host, bus),
        (mapping.host, 0),
        (0, bus),
    ]);
    let new = match c.below(6) {
        0 => place(model, dom, vcpu, c).0,
        _ => 0,
    };
    Request::GrantUnmap {
        dom: dom as u64,
        vcpu,
        handle: mapping.handle,
        host,
        bus,
        new,
    }
}

fn copy(model: &Model, dom: usize, c: &mut impl Choices) -> Request {
    let end = |c: &mut _| {
        if Choices::once_in(c, 3) {
            (OWN, granted_frame(model, dom, c))
        } else {
            let offer = offer(model, dom, 1, c);
            (offer.granter as u64, offer.reference)
        }
    };
    let ((source, from), (target, to)) = (end(c), end(c));
    let length = c.pick(&[0, 1, 8, 13, 256, 256, 4096]);
    let offset = |c: &mut _| {
        let start = Choices::pick(c, &[0, 0, 7, 16, 256, 2048, 3840]);
        if length == 4096 { 0 } else { start }
    };
    Request::GrantCopy {
        dom: dom as u64,
        source,
        from,
        from_offset: offset(c),
        target,
        to,
        to_offset: offset(c),
        length,
    }
}

fn transfer(
    model: &Model,
    dom: usize,
    plan: &mut VecDeque<Request>,
    c: &mut impl Choices,
) -> Request {
    let offer = offer(model, dom, 2, c);
    let pinned = |i: usize, f: &crate::model::state::Frame| {
        f.pinned && f.allocated && model.counts[i].general == 2
    };
    if c.once_in(3)
        && let Some(frame) = pick::frame_where(model, dom, c, pinned)
    {
        return stories::give_a_table(dom, frame, &offer, plan, c);
    }
    let frame = pick::idle(model, dom, c)
        .filter(|_| !c.once_in(5))
        .unwrap_or_else(|| pick::frame(model, dom, c));
    Request::GrantTransfer {
        dom: dom as u64,
        frame,
        granter: offer.granter as u64,
        reference: offer.reference,
    }
}
