//! One line of the transcript: what was asked, what was answered, and what changed.
//!
//! What it keeps true: a line is the same on every hypervisor that behaves the same, so it holds no machine addresses.

use core::fmt::{self, Write};

use xenocryst_guest::console::Console;

/// Bytes that a line has room for; the rest is left out, and the line says so by a mark at its end.
const ROOM: usize = 4096;

/// A line being written.
pub struct Line {
    text: [u8; ROOM],
    used: usize,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self {
            text: [0; ROOM],
            used: 0,
        }
    }

    /// Starts over.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Prints it.
    pub fn print(&self) {
        let text = core::str::from_utf8(&self.text[..self.used]).unwrap_or("(not text)");
        let mut console = Console::new();
        // Printing to the console cannot fail.
        let _ = writeln!(console, "{text}");
    }

    /// A digest that goes on from `digest` (FNV-1a).
    pub fn digest(&self, digest: u64) -> u64 {
        self.text[..self.used].iter().fold(digest, |digest, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        })
    }
}

/// What a digest begins with.
pub const EMPTY_DIGEST: u64 = 0xcbf2_9ce4_8422_2325;

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.used == ROOM {
                self.text[ROOM - 1] = b'~';
                return Ok(());
            }
            self.text[self.used] = byte;
            self.used += 1;
        }
        Ok(())
    }
}
