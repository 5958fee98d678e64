//! What the hypervisor answers in place of hardware, as pure logic: the few instructions it executes for a guest,
//! CPUID as a guest may see it, which I/O ports a guest may touch, interrupt vectors, MSI.
//!
//! Keeps true: nothing here touches hardware or memory. Everything works on values the caller fetched once, cannot panic
//! for any of them, and is tested on the host.
//! Neighbours: the hypervisor's `emulate`, `cpuid` and `irq` modules feed it and act on what it answers.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod cpuid;
pub mod flags;
pub mod modrm;
pub mod msi;
pub mod msr;
pub mod ports;
pub mod privileged;
pub mod registers;
pub mod store;
pub mod vectors;

pub use registers::{Registers, Width};
