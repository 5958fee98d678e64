//! Whole address spaces: tables written in plain memory, then pinned and loaded, with everything that guests do and a few
//! things that they should not.

use std::collections::VecDeque;

use super::{budget, pick};
use crate::layout::VCPUS;
use crate::model::Model;
use crate::model::bits::{PRESENT, RW, USER};
use crate::random::Choices;
use crate::request::Request;

const TABLE: u64 = PRESENT | RW | USER;
const READ_ONLY: u64 = PRESENT | USER;

/// Plans an address space for some domain, if it has frames left.
pub fn plan(model: &Model, plan: &mut VecDeque<Request>, c: &mut impl Choices) {
    let dom = pick::dom(model, c);
    let mut frames: Vec<u64> = Vec::new();
    while frames.len() < 7 {
        match pick::idle(model, dom, c) {
            Some(frame) if !frames.contains(&frame) => frames.push(frame),
            Some(_) if !c.once_in(20) => {}
            _ => break,
        }
    }
    let [l4, l3, l2, l1, rest @ ..] = frames.as_slice() else {
        return;
    };
    let dom = dom as u64;
    let mut write = |frame: u64, slot: u64, value: u64| {
        plan.push_back(Request::Write {
            dom,
            frame,
            slot,
            value,
        });
    };
    for frame in &frames {
        for slot in pick::SLOTS {
            if model.frames[*frame as usize].words.get(slot as u16) != 0 {
                write(*frame, slot, 0);
            }
        }
    }
    let root_slot = c.pick(&[0, 1, 255, 272, 511]);
    write(*l4, root_slot, pick::entry(*l3, TABLE));
    write(*l3, c.pick(&[0, 1, 511]), pick::entry(*l2, TABLE));
    write(*l2, c.pick(&[0, 2]), pick::entry(*l1, TABLE));
    // The table shows itself to the guest, which may only read it there.
    write(*l1, 3, pick::entry(*l1, READ_ONLY));
    for (slot, frame) in rest.iter().enumerate() {
        write(*l1, slot as u64, pick::entry(*frame, pick::l1_flags(c)));
    }
    for _ in 0..c.below(3) {
        let frame = c.pick(&[*l4, *l3, *l2, *l1]);
        let (slot, named) = (c.pick(&pick::SLOTS), c.pick(&frames));
        write(
            frame,
            slot,
            pick::entry(named, c.pick(&[TABLE, READ_ONLY, READ_ONLY, 0])),
        );
    }
    finish(dom, &[*l4, *l3, *l2, *l1], plan, c);
}

/// Pins and loads what was written, from the bottom up or all at once.
fn finish(dom: u64, tables: &[u64; 4], plan: &mut VecDeque<Request>, c: &mut impl Choices) {
    if c.once_in(3) {
        for (level, &frame) in (1..).zip(tables.iter().rev()).take(3) {
            plan.push_back(Request::Pin {
                dom,
                frame,
                level,
                budget: budget(c),
            });
        }
    }
    let frame = tables[0];
    let (vcpu, user) = (c.below(VCPUS as u64), c.below(2));
    match c.below(3) {
        0 => plan.push_back(Request::Pin {
            dom,
            frame,
            level: 4,
            budget: budget(c),
        }),
        1 => plan.push_back(Request::Root {
            dom,
            vcpu,
            user,
            frame,
            budget: budget(c),
        }),
        _ => {
            plan.push_back(Request::Pin {
                dom,
                frame,
                level: 4,
                budget: budget(c),
            });
            plan.push_back(Request::Root {
                dom,
                vcpu,
                user: 0,
                frame,
                budget: budget(c),
            });
        }
    }
}
