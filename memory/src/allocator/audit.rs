//! The audit of the free list: its blocks are the free frames, each once.
//!
//! Neighbours: `crate::audit` runs it; the structure is described in the module above.

use super::{FreeFrames, MAX_ORDER, ORDERS, ZONES, frame_of, zone_of};
use crate::audit::Finding;
use crate::engine::Engine;
use crate::frame::Frame;
use crate::machine::MachineMemory;
use core::sync::atomic::Ordering;
use xenocryst_abi::Mfn;

/// Blocks seen in the frame table, by list.
type Blocks = [[u32; ORDERS]; ZONES];

type Report<'a> = &'a mut dyn FnMut(Finding);

fn wrong(report: Report<'_>, frame: usize, what: &'static str) {
    report(Finding::FreeList {
        frame: Mfn::new(frame as u64),
        what,
    });
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Compares the free list with the frames that say they are free.
    pub(crate) fn audit_free_list(&self, report: Report<'_>) {
        let free = self.free_list();
        let mut blocks: Blocks = [[0; ORDERS]; ZONES];
        let found = count_blocks(self.frames, &mut blocks, report);
        if found != free.frames {
            report(Finding::FreeTotal {
                found,
                counted: free.frames,
            });
        }
        for (zone, of_zone) in blocks.iter().enumerate() {
            for (order, &wanted) in (0..=MAX_ORDER).zip(of_zone) {
                walk_list(&free, self.frames, (zone, order), wanted, report);
            }
        }
    }
}

#[cfg(test)]
impl FreeFrames {
    /// Spoils the total.
    pub(crate) fn frames_off_by_one(&mut self) {
        self.frames += 1;
    }
}

/// Counts free frames, and the blocks that they make.
fn count_blocks(table: &[Frame], blocks: &mut Blocks, report: Report<'_>) -> u64 {
    let mut free = 0;
    let mut at = 0;
    while let Some(frame) = table.get(at) {
        let word = frame.owner_word();
        let Some(order) = word.free_order().filter(|&order| order <= MAX_ORDER) else {
            if word.is_free() {
                free += 1;
                wrong(report, at, "is in no block");
            }
            at += 1;
            continue;
        };
        let length = 1_usize << order;
        let body = table.get(at..at + length).unwrap_or(&[]);
        let is_body = |frame: &Frame| {
            let word = frame.owner_word();
            word.is_free() && word.free_order().is_none()
        };
        if body.len() != length || !at.is_multiple_of(length) || !body[1..].iter().all(is_body) {
            wrong(report, at, "heads a block that is not whole");
            free += 1;
            at += 1;
            continue;
        }
        if let Some(count) = blocks
            .get_mut(zone_of(at as u32, order))
            .and_then(|zone| zone.get_mut(usize::from(order)))
        {
            *count += 1;
        }
        free += length as u64;
        at += length;
    }
    free
}

/// Follows one list, which should have `wanted` blocks.
fn walk_list(
    free: &FreeFrames,
    table: &[Frame],
    (zone, order): (usize, u8),
    wanted: u32,
    report: Report<'_>,
) {
    let head = free.heads[zone][usize::from(order)];
    if (head != 0) != (free.orders[zone] & 1 << order != 0) {
        wrong(
            report,
            head as usize,
            "begins a list that is noted as empty, or none does",
        );
    }
    let (mut at, mut previous) = (head, 0);
    for _ in 0..wanted {
        let Some(frame) = frame_of(table, at) else {
            return wrong(report, previous as usize, "ends its list too early");
        };
        let number = at - 1;
        let links = frame.link_word().load(Ordering::Relaxed);
        if frame.owner_word().free_order() != Some(order) || zone_of(number, order) != zone {
            return wrong(report, number as usize, "is in another block's list");
        }
        if (links >> 32) as u32 != previous {
            return wrong(report, number as usize, "does not link back");
        }
        (previous, at) = (at, links as u32);
    }
    if at != 0 {
        wrong(report, at as usize - 1, "is in a list that is too long");
    }
}
