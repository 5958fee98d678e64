//! Attacks from history, recreated: each test is named after the Xen security advisory whose rule it holds.
//!
//! `tables` has what entries were made to say, `frames` what was done about ownership and counts, `stopped` what
//! happened when long operations were interrupted (`preempted` interrupts each of them at every
//! point, `batches` does so with requests that are made of parts), `flushes` the
//! order of things that only TLBs can tell apart.
//! The facts are public; which invariant each advisory stands for is in `docs/invariants.md`.

mod batches;
mod flushes;
mod frames;
mod preempted;
mod stopped;
mod tables;

use crate::FrameInfo;
use crate::sim::FRAMES;
use crate::testing::Bench;
use std::vec::Vec;
use xenocryst_abi::Mfn;

/// The state of every frame: what must be the same after a refusal as before.
fn snapshot(b: &Bench) -> Vec<FrameInfo> {
    (0..FRAMES as u64).map(|n| b.info(Mfn::new(n))).collect()
}
