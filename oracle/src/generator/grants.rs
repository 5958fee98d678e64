//! Requests about grants: what two guests that share memory do, in the right order and in others.

use std::collections::VecDeque;

use super::pick;
use crate::layout::{DOMAINS, GRANT_FRAMES, VCPUS};
use crate::model::bits::{PRESENT, RW, USER};
use crate::model::grants::{APPLICATION, CONTAINS_PTE, DEVICE, HOST, READ_ONLY};
use crate::model::{Model, Owner, Role};
use crate::random::Choices;
use crate::request::{Request, UNLIMITED};

/// References that are used: few, so that things meet; some of them reserved, some at the ends of tables.
const REFERENCES: [u64; 9] = [8, 8, 9, 9, 10, 0, 1, 255, 300];
/// Kinds of entries, mostly those that permit something.
const FLAGS: [u64; 14] = [1, 1, 1, 1, 1, 5, 5, 2, 2, 0x101, 0x101, 3, 0x19, 0];
/// Stands for a frame of one's own in a copy.
const OWN: u64 = DOMAINS as u64;

/// An entry that somebody can do something with.
#[derive(Clone, Copy)]
struct Offer {
    granter: usize,
    reference: u64,
    flags: u64,
    peer: u64,
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
        29 if c.once_in(40) => exhaust(model, dom, plan, c),
        29 => setup(dom, c),
        30 => lend(model, dom, plan, c),
        _ => spoil_marks(model, dom, c),
    }
}

fn setup(dom: usize, c: &mut impl Choices) -> Request {
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
fn offer(model: &Model, dom: usize, kind: u64, c: &mut impl Choices) -> Offer {
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
        return give_a_table(dom, frame, &offer, plan, c);
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

/// A frame that was a table a moment ago is given away, or comes back from the attempt and is then written to.
fn give_a_table(
    dom: usize,
    frame: u64,
    offer: &Offer,
    plan: &mut VecDeque<Request>,
    c: &mut impl Choices,
) -> Request {
    let d = dom as u64;
    plan.push_back(match c.below(3) {
        0 => Request::Exchange {
            dom: d,
            first: frame,
            inputs: 1,
            in_order: 0,
            blocks: 1,
            order: 0,
            bits: 0,
            pfn: 0,
            end: 1,
        },
        which => Request::GrantTransfer {
            dom: d,
            frame,
            granter: offer.granter as u64,
            reference: if which == 1 {
                offer.reference
            } else {
                c.pick(&REFERENCES)
            },
        },
    });
    for request in [
        Request::Hold {
            dom: d,
            frame,
            writable: 1,
        },
        Request::Release {
            dom: d,
            frame,
            writable: 1,
        },
    ] {
        plan.push_back(request);
    }
    Request::Unpin {
        dom: d,
        frame,
        budget: UNLIMITED,
    }
}

/// A frame lent for writing, of which the other guest drops the mapping without a word, and which then becomes a table.
fn lend(model: &Model, dom: usize, plan: &mut VecDeque<Request>, c: &mut impl Choices) -> Request {
    let (other, reference) = (pick::other(dom, c), c.pick(&REFERENCES));
    let place = model.grant_place(dom, reference);
    let table = pick::table(model, other, 1, c);
    let (Some((entries, slot)), Some(table), Some(frame)) =
        (place, table, pick::idle(model, dom, c))
    else {
        return setup(dom, c);
    };
    let (d, peer) = (dom as u64, other as u64);
    let header = 1 | peer << 16;
    let write = |slot: u16, value: u64| Request::Write {
        dom: d,
        frame: entries as u64,
        slot: u64::from(slot),
        value,
    };
    let first = if model.domains[dom].grants.version == 1 {
        write(slot, header | frame << 32)
    } else {
        plan.push_back(write(slot, header));
        write(slot + 1, frame)
    };
    let at = table << 12 | c.pick(&pick::SLOTS) << 3;
    let update = |pages: u64, value: u64| Request::Update {
        dom: peer,
        tables: peer,
        pages,
        at,
        value,
        budget: UNLIMITED,
    };
    // By the grant, or by the other way to another's memory.
    plan.push_back(if c.once_in(2) {
        update(d, pick::entry(frame, PRESENT | RW | USER))
    } else {
        Request::GrantMap {
            dom: peer,
            vcpu: 0,
            granter: d,
            reference,
            flags: HOST | CONTAINS_PTE,
            host: at,
        }
    });
    plan.push_back(update(peer, 0));
    plan.push_back(Request::Pin {
        dom: d,
        frame,
        level: c.pick(&[1, 1, 2, 4]),
        budget: UNLIMITED,
    });
    first
}

/// One grant mapped for devices over and over: pins end before handles do.
fn exhaust(
    model: &Model,
    dom: usize,
    plan: &mut VecDeque<Request>,
    c: &mut impl Choices,
) -> Request {
    let offer = offer(model, dom, 1, c);
    let request = Request::GrantMap {
        dom: dom as u64,
        vcpu: 0,
        granter: offer.granter as u64,
        reference: offer.reference,
        flags: DEVICE | offer.flags & READ_ONLY,
        host: 0,
    };
    for _ in 0..130 {
        plan.push_back(request);
    }
    if offer.flags & READ_ONLY == 0 {
        let reading = super::with_field(&request, "flags", DEVICE | READ_ONLY);
        (0..130).for_each(|_| plan.push_back(reading));
    }
    request
}

/// What is left to do about the grants of a domain that dies.
pub fn end(model: &Model, dom: usize, c: &mut impl Choices) -> Option<Request> {
    let grants = &model.domains[dom].grants;
    let d = dom as u64;
    if !grants.unmapped.is_empty() {
        return Some(Request::GrantRelease { dom: d });
    }
    if !grants.maps.is_empty() {
        return Some(Request::GrantLetGo {
            dom: d,
            mappings: c.pick(&[1, 3, 256]),
        });
    }
    // Somebody who uses a grant of the dying domain lets go of it.
    if c.once_in(3)
        && let Some(one) = grants.uses.values().next()
    {
        let maps = &model.domains[one.user].grants.maps;
        if let Some(mapping) = maps.iter().find(|mapping| mapping.granter == dom) {
            let entry = entry_of(model, one.user, mapping.frame as u64);
            return Some(Request::GrantUnmap {
                dom: one.user as u64,
                vcpu: 0,
                handle: mapping.handle,
                host: match mapping.flags & CONTAINS_PTE {
                    0 => mapping.host,
                    _ => entry.unwrap_or(mapping.host),
                },
                bus: (mapping.frame as u64) << 12,
                new: 0,
            });
        }
        return Some(Request::GrantRelease {
            dom: one.user as u64,
        });
    }
    let has_frames = grants.lists != crate::model::grants::Lists::default();
    (has_frames && c.once_in(3)).then_some(Request::GrantDestroy { dom: d })
}

/// Where a domain maps a frame.
fn entry_of(model: &Model, dom: usize, frame: u64) -> Option<u64> {
    (0..model.frames.len())
        .filter(|&table| {
            let found = &model.frames[table];
            found.owner == Owner::Domain(dom) && found.role == Role::Table(1)
        })
        .find_map(|table| {
            let mut words = model.frames[table].words.iter();
            let (slot, _) = words.find(|&(_, entry)| {
                entry & PRESENT != 0 && crate::model::bits::target(entry) == frame
            })?;
            Some((table as u64) << 12 | u64::from(slot) << 3)
        })
}
