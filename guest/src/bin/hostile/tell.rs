//! The lines of the transcript: what was tried, and how it ended.

use core::fmt;

use xenocryst_guest::println;
use xenocryst_guest::trap::{self, Fault};

/// How an attempt ended, to be printed; `origin` is where it began, from which the fault's place is counted.
pub struct Ended {
    pub result: Result<(), Fault>,
    pub origin: u64,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match &self.result {
            Ok(()) => return f.write_str("done"),
            Err(fault) => fault,
        };
        match fault.vector {
            trap::FAILSAFE => f.write_str("failsafe callback")?,
            trap::SYSCALL => f.write_str("system call")?,
            trap::EVENT => f.write_str("event")?,
            vector => write!(f, "fault {vector} error {:x}", fault.error)?,
        }
        if fault.vector == 14 {
            write!(f, " at {:x}", fault.address)?;
        }
        let offset = fault.rip.wrapping_sub(self.origin);
        if offset < 4096 {
            write!(f, " rip +{offset:x}")?;
        }
        Ok(())
    }
}

/// Prints a line.
pub fn tell(section: &str, what: fmt::Arguments<'_>, answer: impl fmt::Display) {
    println!("hostile {section}: {what} -> {answer}");
}
