//! Stories about grants: several requests in a row, each of which would be rare by itself.

use std::collections::VecDeque;

use super::grants::{Offer, REFERENCES, offer, setup};
use super::pick;
use crate::model::bits::{PRESENT, RW, USER, target};
use crate::model::grants::{CONTAINS_PTE, DEVICE, HOST, Lists, READ_ONLY};
use crate::model::{Model, Owner, Role};
use crate::random::Choices;
use crate::request::{Request, UNLIMITED};

/// A frame that was a table a moment ago is given away, or comes back from the attempt and is then written to.
pub fn give_a_table(
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
pub fn lend(
    model: &Model,
    dom: usize,
    plan: &mut VecDeque<Request>,
    c: &mut impl Choices,
) -> Request {
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
pub fn exhaust(
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
    let has_frames = grants.lists != Lists::default();
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
            let (slot, _) =
                words.find(|&(_, entry)| entry & PRESENT != 0 && target(entry) == frame)?;
            Some((table as u64) << 12 | u64::from(slot) << 3)
        })
}
