//! A new domain's first page tables, as words in its memory.
//!
//! Keeps true: the tables themselves are mapped read-only, or the engine would refuse them. Which flags a guest's entries
//! get beyond these is the engine's business.

use xenocryst_abi::{Mfn, PAGE_SIZE};

use super::frames::Frames;
use super::layout::{Layout, SPAN};

/// Present, accessed, dirty.
const READ_ONLY: u64 = 1 | 1 << 5 | 1 << 6;
/// And writable.
const READ_WRITE: u64 = READ_ONLY | 2;
/// Present, writable, user, accessed, dirty: an entry that names a table.
const TABLE: u64 = READ_WRITE | 4;

/// A linear range that maps contiguous PFNs, and the PFNs of the tables for it, by level from 1.
struct Range {
    start: u64,
    end: u64,
    pfn: u64,
    tables: [u64; 4],
}

/// Writes all tables. Returns the root.
pub fn write(frames: &Frames, layout: &Layout) -> Mfn {
    let first = (layout.tables - layout.start) / PAGE_SIZE;
    let total: u64 = layout.table_counts.iter().sum();
    frames.zero(first * PAGE_SIZE, total * PAGE_SIZE);
    let [l1, l2, l3, _] = layout.table_counts;
    // The root comes first, where `pt_base` points.
    let tables = [first + 1 + l3 + l2, first + 1 + l3, first + 1, first];
    let read_only = [first..first + 1 + l3 + l2 + l1, p2m_table_pfns(layout)];
    let main = Range { start: layout.start, end: layout.end, pfn: 0, tables };
    fill(frames, &main, |pfn| if read_only.iter().any(|range| range.contains(&pfn)) { READ_ONLY } else { READ_WRITE });
    if layout.p2m_tables[0] != 0 {
        let [l1, l2, l3] = layout.p2m_tables;
        let next = layout.p2m_pfn + layout.p2m_pages;
        frames.zero(next * PAGE_SIZE, (l1 + l2 + l3) * PAGE_SIZE);
        let p2m = Range {
            start: layout.p2m_address,
            end: layout.p2m_address + layout.p2m_pages * PAGE_SIZE,
            pfn: layout.p2m_pfn,
            tables: [next, next + l1, next + l1 + l2, first],
        };
        fill(frames, &p2m, |_| READ_WRITE);
    }
    frames.mfn(first)
}

/// The PFNs of the tables that map the P2M, where they are not part of the initial mapping's.
fn p2m_table_pfns(layout: &Layout) -> core::ops::Range<u64> {
    let first = layout.p2m_pfn + layout.p2m_pages;
    first..first + layout.p2m_tables.iter().sum::<u64>()
}

/// Writes the entries of every level for one range.
fn fill(frames: &Frames, range: &Range, flags: impl Fn(u64) -> u64) {
    for level in 1..=4_usize {
        let (step, span) = (SPAN[level - 1], SPAN[level]);
        let first_table = range.start / span;
        let mut at = range.start / step * step;
        loop {
            let table = range.tables[level - 1] + (at / span - first_table);
            let slot = at % span / step;
            let entry = if level == 1 {
                let pfn = range.pfn + (at - range.start) / PAGE_SIZE;
                frames.mfn(pfn).maddr().raw() | flags(pfn)
            } else {
                let below = range.tables[level - 2] + (at / step - range.start / step);
                frames.mfn(below).maddr().raw() | TABLE
            };
            frames.write_u64(table * PAGE_SIZE + slot * 8, entry);
            match at.checked_add(step) {
                Some(next) if next < range.end => at = next,
                _ => break,
            }
        }
    }
}
