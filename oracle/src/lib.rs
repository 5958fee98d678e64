//! A second opinion on the memory engine: the rules stated once more, naively, and random traces run on both.
//!
//! [`model`] decides from the whole state, as plain maps and lists, what a [`request::Request`] must answer and what must
//! change, working out from nothing who refers to what. [`runner`] makes each step on the engine and on the model, and
//! compares answers, refusals and states ([`compare`]); [`tlb`] remembers what CPUs may still hold. [`generator`] makes traces that are
//! legal, illegal and nearly legal; [`shrink`] cuts a failing one down to a few lines, which are kept under `regressions/`
//! and replayed by a test, or by `xenocryst replay FILE`.
//!
//! What it keeps true: no code is shared with the engine but numbers of the ABI. Neighbours: it drives
//! `xenocryst-memory` as the hypervisor's hypercall layer does.
#![forbid(unsafe_code)]

pub mod answer;
pub mod campaign;
pub mod compare;
pub mod generator;
pub mod layout;
pub mod machine;
pub mod model;
pub mod no;
pub mod random;
pub mod replay;
pub mod request;
pub mod runner;
pub mod shrink;
pub mod statistics;
pub mod subject;
pub mod tlb;
