//! Xenocryst: a hypervisor that speaks the Xen 4.17 PV interface.
//!
//! This crate is the bare-metal image. Its parts: `boot` (from the loader to Rust), `mm` (the hypervisor's own address
//! space and memory), `console` (serial port, ring, log), `arch` (the processor and its board).
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod audit;
mod boot;
mod builder;
mod console;
mod cpuid;
mod dom0;
mod domain;
mod emulate;
mod events;
mod grants;
mod hypercall;
mod irq;
mod keys;
mod mm;
mod options;
mod panic;
mod percpu;
mod quiet;
mod sched;
mod start;
mod sync;
mod time;
mod traps;

use start::{kmain, run_cpu};
