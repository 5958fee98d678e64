//! What the boot loader and the firmware hand over, parsed in safe code.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod regions;
