//! Where the CPUs' stack blocks appear: in an area of their own, in which the pages below each stack are left out.
//!
//! Keeps true: what runs off the end of a stack faults, and does not write to what happens to lie below; a block is aligned
//! to its size, by which its CPU is found.
//! Neighbours: `arch::cpu_block` (what is in a block), `traps::crash` (says whose stack it was).

use xenocryst_abi::{Maddr, PAGE_SIZE};

use super::layout::{STACKS, STACKS_END};
use super::tables::{self, NoFrame};

/// Maps the block of `bytes` bytes at `block`, the one with number `cpu`, except the pages at offsets `holes`, which ascend.
/// Returns its address.
///
/// # Errors
/// When no frame is left for a page table.
pub fn map(cpu: u32, block: Maddr, bytes: u64, holes: &[u64]) -> Result<u64, NoFrame> {
    let to = STACKS + u64::from(cpu) * bytes;
    assert!(to.is_multiple_of(bytes) && to + bytes <= STACKS_END);
    let mut done = 0;
    for hole in holes.iter().copied().chain([bytes]) {
        if hole > done {
            let from = Maddr::new(block.raw() + done);
            tables::map(to + done, from, hole - done, tables::DATA, 1)?;
        }
        done = hole + PAGE_SIZE;
    }
    Ok(to)
}
