//! Single accesses that may fault.
//!
//! What it keeps true: exactly one load or store of the size named is made, by an instruction that is known.

use core::arch::asm;

use crate::trap::{Fault, attempt};

/// Reads 8 bytes.
///
/// # Errors
/// The fault.
pub fn read_u64(address: u64) -> Result<u64, Fault> {
    let mut value = 0_u64;
    attempt(|| {
        // SAFETY: a load changes nothing; if nothing is there it faults, and the attempt ends.
        unsafe {
            asm!("mov {value}, [{address}]", address = in(reg) address, value = out(reg) value, options(nostack, readonly));
        }
    })?;
    Ok(value)
}

/// Writes 8 bytes.
///
/// # Safety
/// Nothing that Rust code relies on is there.
///
/// # Errors
/// The fault.
pub unsafe fn write_u64(address: u64, value: u64) -> Result<(), Fault> {
    attempt(|| {
        // SAFETY: the caller's.
        unsafe {
            asm!("mov [{address}], {value}", address = in(reg) address, value = in(reg) value, options(nostack));
        }
    })
}
