//! The Xen 4.17 public interface for x86-64 PV, as types: numbers, structures, flags, ELF notes and the
//! page-table entry formats.
//!
//! Facts only, no logic: what a name means stands in Xen's public headers (Debian's `libxen-dev`), cited at
//! each item. Every size and offset is checked against those headers by a test that compiles C.
//! Neighbours: everything else in the workspace depends on this crate; it depends on none of it.
#![no_std]
#![forbid(unsafe_code)]

pub mod address;
pub mod domid;

pub use address::{Gfn, Maddr, Mfn, PAGE_SHIFT, PAGE_SIZE, Pfn, Vaddr};
pub use domid::DomId;
