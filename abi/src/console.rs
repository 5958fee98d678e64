//! `console_io` (`public/xen.h`).

use crate::macros::numbers;

numbers! { u32;
    /// Write bytes to the console.
    WRITE = 0, "CONSOLEIO_write";
    /// Read bytes typed.
    READ = 1, "CONSOLEIO_read";
}
