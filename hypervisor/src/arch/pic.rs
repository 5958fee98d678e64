//! The two 8259 interrupt controllers of old: moved out of the way and masked.

use super::io::{inb, outb};

const MASTER: u16 = 0x20;
const SLAVE: u16 = 0xa0;
/// Vectors for anything that gets through all the same, e.g. a spurious interrupt.
const BASE_VECTOR: u8 = 0x20;

/// Masks all sixteen lines, with vectors that are no exception's.
pub fn disable() {
    // SAFETY: the controllers are the hypervisor's; this is their documented initialisation.
    unsafe {
        for (port, base, cascade) in [(MASTER, BASE_VECTOR, 4), (SLAVE, BASE_VECTOR + 8, 2)] {
            outb(port, 0x11);
            outb(port + 1, base);
            outb(port + 1, cascade);
            outb(port + 1, 1);
            outb(port + 1, 0xff);
        }
        let _ = inb(MASTER + 1);
    }
}
