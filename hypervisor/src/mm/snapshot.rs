//! A snapshot of all frames on the console, from which the host command draws a map of memory.
//!
//! Keeps true: every line begins with `frames: `, between `begin` and `end` stand all frames in order.
//! Neighbours: `xenocryst_memory::Run` (what a frame is told by), `keys` (who asks).

use core::cell::RefCell;
use core::fmt;
use core::iter::Peekable;

use xenocryst_memory::Run;

use super::engine;
use crate::console::say;

/// Runs on one line: short enough for any terminal, long enough that the rest of the line costs little.
const RUNS_IN_A_LINE: usize = 6;

/// The next runs, as they are formatted: formatting belongs inside the console, which knows what it may use there.
struct Line<'a, I: Iterator<Item = Run>>(RefCell<&'a mut Peekable<I>>);

impl<I: Iterator<Item = Run>> fmt::Display for Line<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs = self.0.try_borrow_mut().map_err(|_| fmt::Error)?;
        for (number, run) in runs.by_ref().take(RUNS_IN_A_LINE).enumerate() {
            let gap = if number == 0 { "" } else { " " };
            write!(f, "{gap}{run}")?;
        }
        Ok(())
    }
}

/// Prints every frame. It takes as long as the serial port does, which is what an answer to a key may.
pub fn print() {
    let mut runs = engine().runs().peekable();
    say!("frames: begin");
    while runs.peek().is_some() {
        say!("frames: {}", Line(RefCell::new(&mut runs)));
    }
    say!("frames: end");
}
