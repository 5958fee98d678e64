//! The rules, stated a second time: what a request must answer and what must change, from the whole state.
//!
//! What it keeps true: it shares no code with the engine and keeps no counters. `state` is the state and what follows
//! from it; `l1` and `tables` say what entries may be; `memory` who owns what; `meaning`, `paging`, `pages` and `requests` put them together;
//! `grants` says what domains may do with each other's memory by consent, `io` who may map devices;
//! `interrupted` says what must be true when an operation stopped half-way.

pub mod bits;
pub mod grants;
pub mod interrupted;
pub mod io;
pub mod l1;
mod meaning;
pub mod memory;
mod pages;
mod paging;
mod requests;
pub mod state;
mod tables;
pub mod words;

pub use interrupted::{Interrupted, Place};
pub use state::{Model, Owner, Role};
