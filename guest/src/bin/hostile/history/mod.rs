//! What advisories about Xen did, through the hypercalls: lists, flushes, events, answers, another domain's frames.
//!
//! Keeps true: each attempt says what it left behind as well as what it was answered, so that a check that is gone shows; and
//! leaves this kernel's memory as it was. What is printed is the same on every machine.

use core::fmt;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::mmuext;
use xenocryst_guest::abi::{DomId, Mfn};
use xenocryst_guest::domain::{Domain, pfn_of};
use xenocryst_guest::{hypercall, mmu};

use crate::page::Pages;
use crate::tell::tell;

mod answers;
mod channels;
mod flushes;
mod frames;
mod lists;
mod lives;
mod other;

pub use lives::at_fault;

/// Addresses that are not the guest's.
const FORBIDDEN: [(u64, &str); 5] = [
    (0xffff_82d0_8020_0000, "image"),
    (0xffff_8300_0000_0000, "direct map"),
    (0xffff_87ff_ffff_f000, "range end"),
    (0xffff_8000_0000_0000, "m2p"),
    (0x0000_8000_0000_0000, "non-canonical"),
];

/// Pages to be tables, control blocks and lost to exchanges.
static SPARE: Pages<8> = Pages::new();
/// A page to name in requests and to hand over lists in.
static LIST: Pages<1> = Pages::new();

/// Everything of this module.
pub fn all(domain: &Domain) {
    answers::all();
    flushes::all(domain);
    lists::all(domain);
    frames::all(domain);
    lives::all();
    channels::all(domain);
}

/// Makes a hypercall and tells its answer.
fn ask(section: &str, what: fmt::Arguments<'_>, number: u64, arguments: [u64; 5]) -> i64 {
    let answer = call(number, arguments);
    tell(section, what, answer);
    answer
}

/// Makes a hypercall.
fn call(number: u64, arguments: [u64; 5]) -> i64 {
    // SAFETY: what is asked for is refused, or about pages that are reached by address only.
    unsafe { hypercall::call(number, arguments) }
}

/// Makes a hypercall of a number and a structure.
fn call_with<T>(number: u64, operation: u64, argument: &mut T) -> i64 {
    call(number, [operation, &raw mut *argument as u64, 0, 0, 0])
}

/// The frame of page `n` of [`SPARE`].
fn spare(domain: &Domain, n: usize) -> Mfn {
    domain.mfn(pfn_of(SPARE.address(n)))
}

/// Maps page `n` of [`SPARE`] where it belongs, writable or not.
fn map_spare(domain: &Domain, n: usize, writable: bool) -> i64 {
    // SAFETY: the pages are reached by address only.
    unsafe { mmu::map_page(SPARE.address(n), spare(domain, n), writable) }
}

/// Takes page `n` of [`SPARE`] out of this kernel's address space.
fn unmap_spare(n: usize) -> i64 {
    // SAFETY: as above.
    unsafe { mmu::set_entry(SPARE.address(n), xenocryst_guest::abi::Pte::from_raw(0)) }
}

/// Whether page `n` of [`SPARE`], which is not mapped writable, can be an L1 table: nobody holds it as something else.
fn is_free(domain: &Domain, n: usize) -> bool {
    let frame = spare(domain, n).raw();
    // SAFETY: an empty table changes nothing.
    unsafe {
        let pinned = mmu::extended(mmuext::PIN_L1_TABLE, frame, 0);
        if pinned == 0 {
            mmu::extended(mmuext::UNPIN_TABLE, frame, 0);
        }
        pinned == 0
    }
}

/// One `mmu_update` of the domain's own tables.
fn update(entry: u64, value: u64) -> i64 {
    let request = [entry, value];
    call(
        number::MMU_UPDATE,
        [request.as_ptr() as u64, 1, 0, u64::from(DomId::SELF.0), 0],
    )
}
