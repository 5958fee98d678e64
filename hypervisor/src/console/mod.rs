//! The console: serial port, ring of past output, and the log.

mod serial;

use core::fmt::{self, Write};

/// Makes output work with the port's usual settings, before options are known.
pub fn init_early() {
    serial::init_early();
}

struct Raw;

impl Write for Raw {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        serial::write(text.as_bytes());
        Ok(())
    }
}

/// Prints what this is.
pub fn banner() {
    let _ = writeln!(Raw, "(XEN) Xenocryst version {} (Xen 4.17 PV ABI)", env!("CARGO_PKG_VERSION"));
}

/// Prints without taking any lock.
pub fn emergency(text: fmt::Arguments<'_>) {
    let _ = writeln!(Raw, "(XEN) {text}");
}
