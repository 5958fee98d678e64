//! Interrupts of devices: which vector each raises, and to which domain it goes as a physical interrupt (pirq).
//!
//! Keeps true: a vector has one user; a domain gets only interrupts that were mapped for it; a level-triggered line is held
//! back from the moment it fires until its domain says that it dealt with it, so that a guest that never does silences
//! that one line and nothing else. No lock of this module is held while an event is sent.
//! Neighbours: `arch::ioapic` and `arch::apic` (the controllers), [`pci`] and [`msi`] (message signalled interrupts),
//! `events` (what a pirq becomes), `hypercall::physdev_op` (what the hardware domain asks for).

mod dispatch;
mod lines;
pub mod msi;
pub mod pci;
mod pirqs;

pub use dispatch::handle;
pub use lines::{claim_for_hypervisor, register_gsi};
pub use pirqs::{
    DomainPirqs, bind, check_pirq, each_held_page, eoi, free_pirq, hold_eoi_page, is_in_range,
    map_gsi, map_message, permit, release_all, set_affinity, unbind, unmap, unmask_all,
};
