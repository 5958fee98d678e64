//! The text-mode display of a PC: what the hypervisor says at its start, for a machine without a serial line.
//!
//! Keeps true: nothing is written before [`Display::start`] or after [`Display::stop`]: from dom0's start on the display is
//! dom0's own.

use crate::mm::layout::direct_map;
use xenocryst_abi::Maddr;

/// Physical address of the character cells in colour text modes.
const CELLS: Maddr = Maddr::new(0xb_8000);
/// Grey on black.
const ATTRIBUTE: u16 = 0x0700;
const COLUMNS: usize = 80;
const ROWS: usize = 25;

/// The display, written from its last line upwards as a terminal is.
pub(super) struct Display {
    on: bool,
    column: usize,
}

impl Display {
    pub(super) const fn new() -> Self {
        Self {
            on: false,
            column: 0,
        }
    }

    /// Clears the display and uses it from now on, if there is one: what is written to a cell can be read back.
    pub(super) fn start(&mut self) {
        set(0, 0, ATTRIBUTE | 0x58);
        if get(0, 0) != ATTRIBUTE | 0x58 {
            return;
        }
        (self.on, self.column) = (true, 0);
        for row in 0..ROWS {
            (0..COLUMNS).for_each(|column| set(row, column, ATTRIBUTE | 0x20));
        }
    }

    /// Leaves the display alone from now on.
    pub(super) fn stop(&mut self) {
        self.on = false;
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if !self.on {
            return;
        }
        for &byte in bytes {
            if byte == b'\n' || self.column == COLUMNS {
                scroll();
                self.column = 0;
            }
            if !byte.is_ascii_control() {
                set(ROWS - 1, self.column, ATTRIBUTE | u16::from(byte));
                self.column += 1;
            }
        }
    }
}

/// Moves every line up by one, and empties the last.
fn scroll() {
    for row in 1..ROWS {
        (0..COLUMNS).for_each(|column| set(row - 1, column, get(row, column)));
    }
    (0..COLUMNS).for_each(|column| set(ROWS - 1, column, ATTRIBUTE | 0x20));
}

fn cell(row: usize, column: usize) -> *mut u16 {
    assert!(row < ROWS && column < COLUMNS);
    direct_map(CELLS)
        .cast::<u16>()
        .wrapping_add(row * COLUMNS + column)
}

fn get(row: usize, column: usize) -> u16 {
    // SAFETY: a cell of the display's memory, below 1 MiB and so in the direct map; no other code forms references to it.
    unsafe { cell(row, column).read_volatile() }
}

fn set(row: usize, column: usize, value: u16) {
    // SAFETY: as in `get`.
    unsafe { cell(row, column).write_volatile(value) }
}
