//! The hypervisor's own page tables: building them, adding to them, and the entry bits they use.
//!
//! Keeps true: L4 entries 256 to 271 are made once, by [`build`], with an L3 table each, and never change afterwards, so
//! that they can be copied into every guest's root. Mappings of the hypervisor are global pages except slot 260.
//! What is mapped later (devices, large buffers) is added and taken away under one lock, so that nobody follows an entry that
//! another CPU is about to write (I40).
//! Table frames come from [`super::frames`] and are reached through the identity mapping while that is all there is,
//! through the direct map afterwards.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use xenocryst_abi::{Maddr, Mfn, PAGE_SIZE};

use super::frames;
use super::layout::{FIRST_SLOT, SLOTS};
use crate::sync::{self, Mutex, Rank};

/// Entry bits (Intel SDM volume 3, section 4.5).
pub mod bits {
    #![allow(missing_docs)] // Each is named as in the manual.
    pub const PRESENT: u64 = 1 << 0;
    pub const WRITABLE: u64 = 1 << 1;
    pub const USER: u64 = 1 << 2;
    pub const WRITE_THROUGH: u64 = 1 << 3;
    pub const CACHE_DISABLE: u64 = 1 << 4;
    pub const ACCESSED: u64 = 1 << 5;
    pub const DIRTY: u64 = 1 << 6;
    pub const LARGE: u64 = 1 << 7;
    pub const GLOBAL: u64 = 1 << 8;
    pub const NO_EXECUTE: u64 = 1 << 63;
}

/// Read, write; cached; not executable.
pub const DATA: u64 =
    bits::PRESENT | bits::WRITABLE | bits::ACCESSED | bits::DIRTY | bits::GLOBAL | bits::NO_EXECUTE;
/// Read only; cached; not executable.
pub const READ_ONLY: u64 = bits::PRESENT | bits::ACCESSED | bits::GLOBAL | bits::NO_EXECUTE;
/// Read and execute.
pub const CODE: u64 = bits::PRESENT | bits::ACCESSED | bits::GLOBAL;
/// Read and write past all caches, for device registers.
pub const DEVICE: u64 = DATA | bits::CACHE_DISABLE | bits::WRITE_THROUGH;
/// An entry that points to a table. Rights are decided at the last level.
pub const TABLE: u64 = bits::PRESENT | bits::WRITABLE | bits::USER | bits::ACCESSED;

/// The address bits of an entry.
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// Added to a table's physical address to reach it.
static WINDOW: AtomicU64 = AtomicU64::new(0);
/// Held while the tables that all CPUs share are changed.
static CHANGE: Mutex<()> = Mutex::new(Rank::OwnTables, ());
static ROOT: Once<Maddr> = Once::new();
static TRAMPOLINE_ROOT: Once<Maddr> = Once::new();

/// From now on tables are reached through the direct map.
pub(super) fn use_direct_map() {
    WINDOW.store(super::layout::DIRECT_MAP, Ordering::Release);
}

/// No frame was left for a page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoFrame;

/// The address of entry `index` (below 512) of the table at `table`.
fn entry(table: Maddr, index: usize) -> *mut u64 {
    assert!(index < 512);
    (table.raw() + WINDOW.load(Ordering::Acquire) + index as u64 * 8) as *mut u64
}

fn read(table: Maddr, index: usize) -> u64 {
    // SAFETY: `table` is a page table of the hypervisor's own, reachable through the window; the index is checked.
    unsafe { entry(table, index).read_volatile() }
}

fn write(table: Maddr, index: usize, value: u64) {
    // SAFETY: as in `read`; callers never change a present entry into another without a flush.
    unsafe { entry(table, index).write_volatile(value) };
}

/// A new empty table.
fn new_table() -> Result<Maddr, NoFrame> {
    let table = frames::alloc_page().ok_or(NoFrame)?.maddr();
    for index in 0..512 {
        write(table, index, 0);
    }
    Ok(table)
}

/// The table that entry `index` of `table` points to; made if there is none.
fn next(table: Maddr, index: usize) -> Result<Maddr, NoFrame> {
    sync::assert_held(Rank::OwnTables);
    let value = read(table, index);
    if value & bits::PRESENT != 0 {
        assert!(
            value & bits::LARGE == 0,
            "a large page is where a page table was expected"
        );
        return Ok(Maddr::new(value & ADDRESS_MASK));
    }
    let made = new_table()?;
    write(table, index, made.raw() | TABLE);
    Ok(made)
}

/// Makes the root table with an L3 for each of the hypervisor's slots.
pub(super) fn build() -> Result<Maddr, NoFrame> {
    let root = new_table()?;
    let _turn = CHANGE.lock();
    for slot in FIRST_SLOT..FIRST_SLOT + SLOTS {
        next(root, slot)?;
    }
    ROOT.call_once(|| root);
    Ok(root)
}

/// The hypervisor's own root table: its slots and nothing else. CPUs without a guest run on it.
pub fn root() -> Maddr {
    *ROOT
        .get()
        .expect("the hypervisor's page tables are not built yet")
}

/// Makes the root table that other CPUs start on: the hypervisor's slots, and `page` at its physical address. It lies below
/// 4 GiB, as it is loaded in real mode.
pub(super) fn build_trampoline(page: Maddr) -> Result<(), NoFrame> {
    let table = new_table()?;
    for slot in FIRST_SLOT..FIRST_SLOT + SLOTS {
        write(table, slot, slot_entry(slot));
    }
    map_in(table, page.raw(), page, PAGE_SIZE, CODE & !bits::GLOBAL, 1)?;
    TRAMPOLINE_ROOT.call_once(|| table);
    Ok(())
}

/// The root table that other CPUs start on.
///
/// # Panics
/// If there is none, as there was no page for the trampoline.
pub fn trampoline_root() -> Maddr {
    *TRAMPOLINE_ROOT.get().expect("there is no trampoline")
}

/// What stands in L4 `slot` (256 to 271) of every guest's root, but for slot 260, which is the domain's own.
pub fn slot_entry(slot: usize) -> u64 {
    assert!((FIRST_SLOT..FIRST_SLOT + SLOTS).contains(&slot));
    read(root(), slot)
}

/// Maps `bytes` bytes at physical `from` to virtual `to`, with pages as large as alignment and `largest` (the level whose
/// entries may be pages: 1, 2 or 3) allow. Everything is a multiple of a page, nothing is mapped there yet.
pub fn map(to: u64, from: Maddr, bytes: u64, flags: u64, largest: u8) -> Result<(), NoFrame> {
    map_in(root(), to, from, bytes, flags, largest)
}

/// [`map`], under the root table at `root`.
pub(super) fn map_in(
    root: Maddr,
    to: u64,
    from: Maddr,
    bytes: u64,
    flags: u64,
    largest: u8,
) -> Result<(), NoFrame> {
    let (mut at, mut from, end) = (to, from.raw(), to + bytes);
    let _turn = CHANGE.lock();
    while at < end {
        let fits = |level: u8| {
            let size = PAGE_SIZE << (9 * (u32::from(level) - 1));
            level <= largest && (at | from) & (size - 1) == 0 && end - at >= size
        };
        let level = (1..=3).rev().find(|level| fits(*level)).unwrap_or(1);
        let mut table = root;
        for above in (level + 1..=4).rev() {
            table = next(table, index(at, above))?;
        }
        let large = if level > 1 { bits::LARGE } else { 0 };
        write(table, index(at, level), from | flags | large);
        let size = PAGE_SIZE << (9 * (u32::from(level) - 1));
        at += size;
        from += size;
    }
    Ok(())
}

/// The physical address that `at` is mapped to; `None` where nothing is.
pub fn translate(at: u64) -> Option<Maddr> {
    let mut table = root();
    for level in (1..=4).rev() {
        let value = read(table, index(at, level));
        if value & bits::PRESENT == 0 {
            return None;
        }
        if level == 1 || value & bits::LARGE != 0 {
            let size = PAGE_SIZE << (9 * (u32::from(level) - 1));
            return Some(Maddr::new(
                (value & ADDRESS_MASK & !(size - 1)) | (at & (size - 1)),
            ));
        }
        table = Maddr::new(value & ADDRESS_MASK);
    }
    None
}

/// Takes away the page at `at`, and returns where it was and how many bytes it has; `None` where nothing is mapped. The caller
/// flushes.
pub(super) fn unmap(at: u64) -> Option<(Maddr, u64)> {
    let _turn = CHANGE.lock();
    let mut table = root();
    for level in (1..=4).rev() {
        let value = read(table, index(at, level));
        if value & bits::PRESENT == 0 {
            return None;
        }
        if level == 1 || value & bits::LARGE != 0 {
            let size = PAGE_SIZE << (9 * (u32::from(level) - 1));
            sync::assert_held(Rank::OwnTables);
            write(table, index(at, level), 0);
            return Some((Maddr::new(value & ADDRESS_MASK & !(size - 1)), size));
        }
        table = Maddr::new(value & ADDRESS_MASK);
    }
    None
}

/// Fills the page at `page`, one of the hypervisor's own, with `word`.
pub(super) fn fill_page(page: Maddr, word: u64) {
    for index in 0..512 {
        write(page, index, word);
    }
}

/// Index into the table of `level` for address `at`.
fn index(at: u64, level: u8) -> usize {
    xenocryst_abi::Vaddr::new(at).index(level)
}

/// A tree of tables that covers the start of one L3's range, for a slot that differs between domains.
pub(super) struct Tree {
    /// The L3.
    pub(super) l3: Mfn,
    /// The L2 that its first entry points to.
    l2: Mfn,
    /// The L1 tables that cover its first addresses, in order.
    pub(super) l1: [Option<Mfn>; 4],
}

/// Makes a [`Tree`] with `l1_tables` (at most 4) L1 tables.
pub(super) fn build_tree(l1_tables: usize) -> Result<Tree, NoFrame> {
    let l3 = new_table()?;
    let _turn = CHANGE.lock();
    let Ok(l2) = next(l3, 0) else {
        frames::free_page(l3.mfn());
        return Err(NoFrame);
    };
    let mut tree = Tree {
        l3: l3.mfn(),
        l2: l2.mfn(),
        l1: [None; 4],
    };
    for index in 0..l1_tables.min(tree.l1.len()) {
        match next(l2, index) {
            Ok(table) => tree.l1[index] = Some(table.mfn()),
            Err(NoFrame) => {
                free_tree(&tree);
                return Err(NoFrame);
            }
        }
    }
    Ok(tree)
}

/// Gives the frames of a [`Tree`] back. No root that names it is loaded or will be.
pub(super) fn free_tree(tree: &Tree) {
    let tables = [Some(tree.l3), Some(tree.l2)].into_iter().chain(tree.l1);
    tables.flatten().for_each(frames::free_page);
}

/// Writes entry `index` of the L1 table in frame `table`, one that [`build_tree`] made.
pub(super) fn write_leaf(table: Mfn, index: usize, value: u64) {
    write(table.maddr(), index, value);
}
