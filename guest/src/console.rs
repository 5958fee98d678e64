//! Printing: to the hypervisor's console in the control domain, to the ring that xenconsoled reads in others.
//!
//! What it keeps true: a line is handed over whole; without a place to print to, printing does nothing.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::domain::Domain;
use crate::hypercall;

/// Bytes that a line is collected in; a longer one goes out in pieces.
const LINE: usize = 1024;
/// Bytes of the ring for output.
const RING_OUT: usize = 2048;
/// Offset of the ring for output, behind that for input.
const RING_OUT_OFFSET: usize = 1024;
/// Offsets of the output's consumer and producer indexes.
const OUT_CONS_OFFSET: usize = 1024 + 2048 + 8;
const OUT_PROD_OFFSET: usize = 1024 + 2048 + 12;

/// Address of the console page of a domain that is not the control domain; 0 without.
static RING: AtomicU64 = AtomicU64::new(0);
/// Its event channel.
static PORT: AtomicU32 = AtomicU32::new(0);

/// Finds out where to print to.
pub(crate) fn init(domain: &Domain) {
    if let Some((page, port)) = domain.console() {
        PORT.store(port, Ordering::Relaxed);
        RING.store(page, Ordering::Relaxed);
    }
}

/// Text on its way out.
pub struct Console {
    line: [u8; LINE],
    used: usize,
}

impl Console {
    /// With nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            line: [0; LINE],
            used: 0,
        }
    }

    /// Hands over what has been collected.
    pub fn flush(&mut self) {
        let text = self.line.get(..self.used).unwrap_or_default();
        match RING.load(Ordering::Relaxed) {
            0 => hypercall::console_write(text),
            page => ring_write(page, text),
        }
        self.used = 0;
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if self.used > 0 {
            self.flush();
        }
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.used == LINE {
                self.flush();
            }
            if let Some(place) = self.line.get_mut(self.used) {
                *place = byte;
                self.used += 1;
            }
        }
        Ok(())
    }
}

/// Puts text into the ring at `page`, waiting for room where there is none.
fn ring_write(page: u64, text: &[u8]) {
    // SAFETY: the console page of start_info, mapped for the domain's whole life and shared with the other end, so it is
    // only reached by atomic accesses; the offsets are within it.
    let (cons, prod, out) = unsafe {
        (
            &*((page as usize + OUT_CONS_OFFSET) as *const AtomicU32),
            &*((page as usize + OUT_PROD_OFFSET) as *const AtomicU32),
            &*((page as usize + RING_OUT_OFFSET) as *const [AtomicU8; RING_OUT]),
        )
    };
    for byte in text {
        let at = prod.load(Ordering::Relaxed);
        while at.wrapping_sub(cons.load(Ordering::Acquire)) as usize >= RING_OUT {
            notify();
        }
        if let Some(place) = out.get(at as usize % RING_OUT) {
            place.store(*byte, Ordering::Relaxed);
        }
        prod.store(at.wrapping_add(1), Ordering::Release);
    }
    notify();
}

/// Tells the other end of the ring.
fn notify() {
    hypercall::notify(PORT.load(Ordering::Relaxed));
}

/// Prints a line.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => {{
        use core::fmt::Write as _;
        let mut console = $crate::console::Console::new();
        // Printing to the console cannot fail.
        let _ = writeln!(console, $($argument)*);
    }};
}
