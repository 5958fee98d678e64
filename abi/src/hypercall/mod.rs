//! Hypercall numbers, the codes hypercalls fail with, and the multicall batch (`public/xen.h`, `public/errno.h`).
//!
//! A call is `SYSCALL` with the number in RAX and arguments in RDI, RSI, RDX, R10, R8, R9; the answer is in RAX.
//! Neighbours: each call's own numbers and structures are in the module named after it.

pub mod errno;
pub mod number;

pub use errno::Errno;

use crate::macros::wire;

/// Slots in the hypercall page: one of 32 bytes per number.
pub const PAGE_SLOTS: usize = 128;
/// Bytes in one slot of the hypercall page.
pub const PAGE_SLOT_SIZE: usize = 32;

wire! {
    /// One call of a `multicall` batch (`struct multicall_entry`).
    MulticallEntry {
        /// The hypercall's number ([`number`]).
        op: u64,
        /// Where the hypervisor puts the call's answer.
        result: u64,
        /// The arguments.
        args: [u64; 6],
    }
}
