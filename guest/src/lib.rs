//! `xenocryst-guest`: what a PV kernel for x86-64 needs, on Xenocryst and on Xen alike.
//!
//! It says what the kernel is ([`mod@entry`]), makes hypercalls ([`hypercall`]), prints ([`console`]), knows the domain's
//! frames ([`domain`]), reads what the toolstack wants ([`store`]), edits page tables ([`mmu`]), has pages of its own
//! ([`pages`]), tries accesses that may fault ([`trap`], [`access`]), and chooses at random ([`rng`]).
//! The kernels built on it are in `src/bin/`.
//!
//! What it keeps true: one vCPU, events masked from start to end, so nothing interrupts the kernel but its own faults;
//! a fault that nobody asked for ends the domain with a line on the console.
#![no_std]

pub mod access;
pub mod console;
pub mod domain;
pub mod entry;
pub mod hypercall;
pub mod mmu;
pub mod pages;
pub mod rng;
pub mod store;
mod string;
pub mod trap;

pub use xenocryst_abi as abi;
