//! The two tables with an entry for each machine frame: the engine's frame table and the M2P.
//!
//! Keeps true: 24 bytes a frame in all. Both tables cover every frame number from 0 to the end of RAM; where there is no RAM
//! for the whole of a 2 MiB piece of a table, pieces share one page-sized image of "no RAM", read-only. The M2P stands in
//! runs of 2 MiB of RAM, as `XENMEM_machphys_mfn_list` promises, and appears twice: writable for us, read-only for guests.

use core::sync::atomic::{AtomicU32, AtomicU64};

use alloc::vec::Vec;
use xenocryst_abi::{Maddr, Mfn, PAGE_SIZE};
use xenocryst_boot::regions::{Regions, Side};
use xenocryst_memory::{Config, Frame};

use super::layout::{FRAME_TABLE, M2P, M2P_GUEST, PER_DOMAIN_SLOT};
use super::tables::{self, NoFrame, bits};
use super::{frames, machine};

/// Bytes in one piece of a table.
const PIECE: u64 = 2 << 20;
/// Bytes of the M2P for one frame.
const M2P_ENTRY: u64 = 8;
/// Frame numbers are covered up to 16 TiB of physical addresses, the most that a count in 32 bits can name.
const MAX_FRAMES: u64 = 1 << 32;
/// `INVALID_M2P_ENTRY`: a frame that is nobody's pseudo-physical frame.
const INVALID_M2P_ENTRY: u64 = u64::MAX;
/// Domain numbers, for the counts of frames owned: all ordinary ones and the reserved ones.
const DOMAIN_NUMBERS: usize = 0x8000;

/// One table with an entry a frame.
struct Table<'r> {
    /// Where it is mapped, writable.
    base: u64,
    /// Where it is mapped for guests, if it is.
    guest_base: Option<u64>,
    /// Bytes of an entry.
    entry: u64,
    /// What every entry says of a frame that is no RAM, in each of its words.
    blank: u64,
    ram: &'r Regions,
}

/// Where the M2P is, for `XENMEM_machphys_mfn_list`: the first frame of each 2 MiB piece.
static M2P_PIECES: spin::Once<Vec<Mfn>> = spin::Once::new();

/// The first frame of each 2 MiB piece of the M2P; pieces for which there is no RAM repeat the one before.
pub fn m2p_pieces() -> &'static [Mfn] {
    M2P_PIECES.get().map_or(&[], Vec::as_slice)
}

/// Frame numbers covered by both tables: one more than the last.
fn frame_count(ram: &Regions) -> u64 {
    (ram.top() / PAGE_SIZE).min(MAX_FRAMES - 1)
}

impl Table<'_> {
    /// The table's pieces by number, each with whether any of the frames it describes is RAM.
    fn pieces(&self) -> impl Iterator<Item = (u64, bool)> + '_ {
        let span = PIECE / self.entry * PAGE_SIZE;
        (0..(frame_count(self.ram) * PAGE_SIZE).div_ceil(span)).map(move |index| {
            let (start, end) = (index * span, (index + 1) * span);
            (
                index,
                self.ram
                    .as_slice()
                    .iter()
                    .any(|region| region.start < end && start < region.end),
            )
        })
    }

    /// Takes RAM for the table and maps it.
    fn map(&self) -> Result<(), NoFrame> {
        let blank = frames::alloc_page().ok_or(NoFrame)?.maddr();
        let places = [
            Some((self.base, tables::DATA)),
            self.guest_base
                // Not global: user mode must not find what its kernel has just read.
                .map(|at| (at, tables::READ_ONLY & !bits::GLOBAL | bits::USER)),
        ];
        for (index, has_ram) in self.pieces() {
            let piece = if has_ram {
                Some(frames::take_early(PIECE, PIECE, u64::MAX, Side::High).ok_or(NoFrame)?)
            } else {
                None
            };
            for (base, flags) in places.into_iter().flatten() {
                let to = base + index * PIECE;
                match piece {
                    Some(piece) => tables::map(to, piece, PIECE, flags, 2)?,
                    None => map_blank(to, blank, flags & !bits::WRITABLE & !bits::DIRTY)?,
                }
            }
        }
        tables::fill_page(blank, self.blank);
        Ok(())
    }

    /// Fills every piece that has RAM of its own with the entry of a frame that is no RAM.
    fn fill(&self) {
        for (index, _) in self.pieces().filter(|(_, has_ram)| *has_ram) {
            fill(
                (self.base + index * PIECE) as *mut u64,
                PIECE / 8,
                self.blank,
            );
        }
    }
}

/// Maps the page `blank` at every page of the piece at `to`.
fn map_blank(to: u64, blank: Maddr, flags: u64) -> Result<(), NoFrame> {
    (0..PIECE / PAGE_SIZE)
        .try_for_each(|page| tables::map(to + page * PAGE_SIZE, blank, PAGE_SIZE, flags, 1))
}

/// Stores `word` `count` times from `at` on.
fn fill(at: *mut u64, count: u64, word: u64) {
    // SAFETY: callers pass memory of the two tables (or a blank page) that is mapped writable and not in use yet.
    unsafe {
        core::arch::asm!(
            "rep stosq",
            inout("rdi") at => _,
            inout("rcx") count => _,
            in("rax") word,
            options(nostack, preserves_flags),
        );
    }
}

fn frame_table(ram: &Regions) -> Table<'_> {
    Table {
        base: FRAME_TABLE,
        guest_base: None,
        entry: size_of::<Frame>() as u64,
        blank: 0,
        ram,
    }
}

fn m2p(ram: &Regions) -> Table<'_> {
    Table {
        base: M2P,
        guest_base: Some(M2P_GUEST),
        entry: M2P_ENTRY,
        blank: INVALID_M2P_ENTRY,
        ram,
    }
}

/// Takes RAM for both tables and maps them at their places.
pub(super) fn map(ram: &Regions) -> Result<(), NoFrame> {
    frame_table(ram).map()?;
    m2p(ram).map()
}

/// Initialises both tables and makes the engine over them, with all free RAM in its free list and all other RAM noted as the
/// hypervisor's.
pub(super) fn start_engine(ram: &Regions) {
    frame_table(ram).fill();
    m2p(ram).fill();
    note_m2p_pieces(&m2p(ram));

    let count = frame_count(ram) as usize;
    let owned: &'static [AtomicU32] = (0..DOMAIN_NUMBERS)
        .map(|_| AtomicU32::new(0))
        .collect::<Vec<_>>()
        .leak();
    // SAFETY: both tables are mapped for `count` entries, initialised above, live for ever, and are accessed from here on
    // only through these references (guests read the M2P; the types are atomics).
    let engine_storage = unsafe {
        xenocryst_memory::Storage {
            frames: core::slice::from_raw_parts(FRAME_TABLE as *const Frame, count),
            m2p: core::slice::from_raw_parts(M2P as *const AtomicU64, count),
            owned,
        }
    };
    let engine = machine::init(engine_storage, config());
    let free = frames::hand_over().expect("free memory was handed over twice");
    let mut kept = ram.clone();
    for region in free.as_slice() {
        kept.remove(region.start, region.end)
            .expect("the memory map has too many pieces");
        engine.donate(
            Mfn::new(region.start / PAGE_SIZE),
            region.bytes() / PAGE_SIZE,
        );
    }
    for region in kept.as_slice() {
        engine.claim(
            Mfn::new(region.start / PAGE_SIZE),
            region.bytes() / PAGE_SIZE,
        );
    }
}

fn note_m2p_pieces(m2p: &Table<'_>) {
    M2P_PIECES.call_once(|| {
        let mut last = Mfn::new(0);
        m2p.pieces()
            .map(|(index, has_ram)| {
                if has_ram && let Some(at) = tables::translate(M2P + index * PIECE) {
                    last = at.mfn();
                }
                last
            })
            .collect()
    });
}

/// What the engine must know of this machine.
fn config() -> Config {
    let mut hypervisor_l4 = [0; 16];
    for (index, slot) in hypervisor_l4.iter_mut().enumerate() {
        let number = super::layout::FIRST_SLOT + index;
        *slot = if number == PER_DOMAIN_SLOT {
            0
        } else {
            tables::slot_entry(number)
        };
    }
    let physical_bits = crate::arch::cpu::features().physical_bits;
    Config {
        hypervisor_l4,
        // The upper half of the physical address space, as seen by the L1 cache, never holds RAM of ours.
        l1tf_safe: Maddr::new((1 << (physical_bits - 1)).max(super::ram().top())),
        physical_bits,
        max_order_control: 18,
        max_order_guest: 9,
    }
}
