//! The memory engine: who owns every machine frame, what it is used as, and what may be mapped where.
//!
//! An [`Engine`] is a value over a [`MachineMemory`]: no statics, no allocation, no `unsafe`. The hypervisor
//! implements the trait over its direct map; tests implement it over a vector (module `sim`, behind the feature of that name).
//!
//! # What the engine keeps true
//!
//! * A frame has one owner, one count of all references, and one *type* at a time (none, writable, L1 to L4
//!   table, segment descriptors, shared) with a count of the uses of that type. The type changes only at count 0.
//! * There is never a writable mapping of a frame that is in use as a page table or descriptor table.
//! * Nothing is walked by the hardware that was not validated entry by entry.
//! * A half-validated table belongs to nobody: its own state word holds one reference of each kind, and whoever
//!   holds the owner's page-table lock may carry it on or unwind it (module `ptype`).
//! * Types of tables and descriptor pages change only under the owning domain's page-table lock; counts are
//!   atomics, since other domains take references too.
//!
//! Neighbours: `xenocryst-abi` below, the hypervisor's hypercall layer above.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "sim"))]
extern crate std;

mod config;
mod domain;
mod engine;
mod frame;
#[cfg(test)]
mod history;
#[cfg(test)]
mod interleave;
mod machine;
mod progress;
pub mod pte;
mod refs;
mod refusal;

mod allocator;
pub mod audit;
mod descriptor;
mod emulate;
pub mod grant;
mod l1;
mod m2p;
mod mmu_update;
mod mmuext;
#[cfg(test)]
mod model;
mod ptype;
mod reservation;
pub mod seeded;
mod shown_m2p;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod snapshot;
mod teardown;
#[cfg(test)]
mod testing;
mod walk;

pub use config::{AddressLimit, Config, HYPERVISOR_SLOTS};
pub use descriptor::check_descriptor;
pub use domain::{Actors, DomainMemory, IoAccess, IoRange};
pub use emulate::{PtePage, PteStore, PteStoreOutcome};
pub use engine::{Engine, Storage};
pub use frame::{Frame, FrameInfo, FrameType, Level};
pub use m2p::INVALID_M2P_ENTRY;
pub use machine::{CLOCK_BITS, MachineMemory};
pub use mmu_update::{MmuUpdate, UpdateKind};
pub use progress::{Budget, Flush, Progress};
pub use refs::{DescriptorRef, PageRef, RootRef, WritableRef};
pub use refusal::{Consequence, Context, Errno, Refusal, Rule};
pub use reservation::Exchange;
pub use snapshot::{Holder, Run};
