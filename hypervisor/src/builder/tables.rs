//! A new domain's first page tables, as words in its memory.
//!
//! Keeps true: the tables themselves are mapped read-only, or the engine would refuse them. Which flags a guest's entries
//! get beyond these is the engine's business.

use xenocryst_abi::PAGE_SIZE;
use xenocryst_boot::layout::{Layout, Mapping, SPAN};

use super::frames::Frames;

/// Present, accessed, dirty.
const READ_ONLY: u64 = 1 | 1 << 5 | 1 << 6;
/// And writable.
const READ_WRITE: u64 = READ_ONLY | 2;
/// Present, writable, user, accessed, dirty: an entry that names a table.
const TABLE: u64 = READ_WRITE | 4;

/// Writes all tables.
pub fn write(frames: &Frames, layout: &Layout) {
    let first = layout.pfn_of(layout.tables);
    frames.zero(first * PAGE_SIZE, layout.nr_tables() * PAGE_SIZE);
    fill(frames, layout, &layout.main_mapping());
    if let Some(p2m) = layout.p2m_mapping() {
        let tables = layout.p2m_tables.iter().sum::<u64>();
        frames.zero(
            (layout.p2m_pfn + layout.p2m_pages) * PAGE_SIZE,
            tables * PAGE_SIZE,
        );
        fill(frames, layout, &p2m);
    }
}

/// Writes the entries of every level for one mapping.
fn fill(frames: &Frames, layout: &Layout, mapping: &Mapping) {
    for level in 1..=4_usize {
        let (step, span) = (SPAN[level - 1], SPAN[level]);
        let mut at = mapping.start / step * step;
        loop {
            let table = mapping.tables[level - 1] + (at / span - mapping.start / span);
            let slot = at % span / step;
            let entry = if level == 1 {
                let pfn = mapping.pfn + (at - mapping.start) / PAGE_SIZE;
                let flags = if layout.is_table(pfn) {
                    READ_ONLY
                } else {
                    READ_WRITE
                };
                frames.mfn(pfn).maddr().raw() | flags
            } else {
                let below = mapping.tables[level - 2] + (at / step - mapping.start / step);
                frames.mfn(below).maddr().raw() | TABLE
            };
            frames.write_u64(table * PAGE_SIZE + slot * 8, entry);
            match at.checked_add(step) {
                Some(next) if next < mapping.end => at = next,
                _ => break,
            }
        }
    }
}
