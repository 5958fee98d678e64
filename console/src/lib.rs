//! The pure logic behind the console: who gets what is typed, and how much guests may make the hypervisor say.
//!
//! Keeps true: no statics, no locks, no unsafe code; time comes in as a number. Neighbours: `hypervisor::console`
//! wraps these types in locks and connects them to the serial port. Everything here is tested on the host.
#![no_std]
#![forbid(unsafe_code)]

pub mod limit;
pub mod switch;
