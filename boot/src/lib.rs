//! Everything that reads foreign bytes at boot: boot loader information, the command line, firmware tables, kernel
//! images; and the computation of where a domain's first pages go.
//!
//! Keeps true: pure functions over byte slices, no statics, no `unsafe`; whatever the bytes are, the answer is a value,
//! never a panic, and the work is bounded by the input's size. Neighbours: `xenocryst-abi` for ELF note numbers; the
//! hypervisor, which gives access to physical memory ([`phys::PhysRead`]) and acts on the results.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acpi;
pub mod cmdline;
pub mod elf;
pub mod info;
pub mod kernel;
pub mod layout;
pub mod memory_map;
pub mod multiboot1;
pub mod multiboot2;
pub mod notes;
pub mod phys;
pub mod refusal;
pub mod regions;
