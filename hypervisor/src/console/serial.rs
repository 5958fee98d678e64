//! A 16550 serial port.

use crate::arch::io::{inb, outb};

const COM1: u16 = 0x3f8;

/// 115200 baud, 8N1, FIFOs on, interrupts off.
pub fn init_early() {
    for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 3)] {
        // SAFETY: the port is the hypervisor's.
        unsafe { outb(COM1 + register, value) };
    }
}

/// Sends bytes, waiting for the transmitter.
pub fn write(bytes: &[u8]) {
    for &byte in bytes {
        if byte == b'\n' {
            put(b'\r');
        }
        put(byte);
    }
}

fn put(byte: u8) {
    for _ in 0..100_000 {
        // SAFETY: the port is the hypervisor's.
        if unsafe { inb(COM1 + 5) } & 0x20 != 0 {
            break;
        }
    }
    // SAFETY: as above.
    unsafe { outb(COM1, byte) };
}
