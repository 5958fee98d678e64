//! The Xen 4.17 public interface for x86-64 PV, as types: numbers, structures, flags, ELF notes and the
//! page-table entry formats.
//!
//! Facts only, no logic: what a name means stands in Xen's public headers (Debian's `libxen-dev`), cited at
//! each item. Every size, offset and number is checked against those headers by a test that compiles C.
//!
//! How to find things: a hypercall's module has its sub-calls in `op`, other numbers in modules named after their
//! meaning, and structures beside them. Each module of numbers has `NAMES` and `name`, for log lines. Structures
//! implement zerocopy's traits and have no hidden padding: fill one from `FromZeros::new_zeroed()`.
//! Guest handles are [`Vaddr`]: addresses in the caller's space, checked by nobody yet.
//! Neighbours: everything else in the workspace depends on this crate; it depends on none of it.
#![no_std]
#![forbid(unsafe_code)]

pub mod address;
pub mod assist;
pub mod callback;
pub mod console;
pub mod cpuid;
pub mod domctl;
pub mod domid;
pub mod elfnote;
pub mod event_channel;
pub mod grant_table;
pub mod hvm;
pub mod hypercall;
pub mod hypfs;
pub mod layout;
mod macros;
pub mod mca;
pub mod memory_op;
pub mod mmu;
pub mod nmi;
pub mod physdev;
pub mod platform;
pub mod pmu;
pub mod pte;
pub mod sched;
pub mod segment;
pub mod shared_info;
pub mod start_info;
pub mod sysctl;
pub mod trap;
pub mod vcpu_context;
pub mod vcpu_op;
pub mod version;
pub mod virq;
pub mod xsm;

pub use address::{Gfn, Maddr, Mfn, PAGE_SHIFT, PAGE_SIZE, Pfn, Vaddr};
pub use domid::DomId;
pub use hypercall::errno::Errno;
pub use pte::{Pte, PteFlags};
