//! Page faults of a guest: stores to its page tables, its LDT on first use, and everything else, which is its own.
//!
//! Keeps true: a fault on any address, the hypervisor's included, ends as the guest's fault (I95).
//! Neighbours: `emulate` decodes the store, the engine decides on it.

use xenocryst_abi::{Mfn, PAGE_SIZE, Vaddr};
use xenocryst_memory::PteStoreOutcome;

use xenocryst_abi::trap::page_fault::{FETCH, PRESENT, RESERVED, WRITE};

use super::{bounce, read_cr2};
use crate::arch::guest_access::{HYPERVISOR_END, HYPERVISOR_START};
use crate::domain::{Vcpu, descriptors};
use crate::emulate;
use crate::mm::machine::engine;
use crate::percpu::GuestRegs;

/// Error code: reserved bits were set in an entry, or it was an instruction fetch.
const RESERVED_OR_FETCH: u32 = RESERVED | FETCH;

/// Answers a page fault.
#[inline]
pub fn from_guest(regs: &mut GuestRegs, vcpu: &'static Vcpu) {
    let address = read_cr2();
    let error = regs.error_code;
    if (HYPERVISOR_START..HYPERVISOR_END).contains(&address) {
        return hypervisor_range(regs, vcpu, address, error);
    }
    let protection = error & (PRESENT | WRITE | RESERVED_OR_FETCH) == PRESENT | WRITE;
    if protection && vcpu.in_kernel() && page_table_store(regs, vcpu, address) {
        return;
    }
    bounce::inject_page_fault(regs, vcpu, address, error);
}

/// A descriptor fetch through the LDT window maps the page; anything else in the range is the guest's mistake.
#[cold]
fn hypervisor_range(regs: &mut GuestRegs, vcpu: &'static Vcpu, address: u64, error: u32) {
    match descriptors::ldt_offset(vcpu, address) {
        Some(offset) if descriptors::map_ldt_page(vcpu, offset) => {}
        Some(offset) => {
            let guests = vcpu.ldt_base.get().wrapping_add(offset);
            bounce::inject_page_fault(regs, vcpu, guests, error);
        }
        None => bounce::inject_page_fault(regs, vcpu, address, error),
    }
}

/// Carries out a store to a page table. False if it was no such thing, so that the fault is the guest's.
#[inline(never)]
fn page_table_store(regs: &mut GuestRegs, vcpu: &'static Vcpu, address: u64) -> bool {
    let root = Mfn::new(vcpu.kernel_cr3.get() / PAGE_SIZE);
    let memory = &vcpu.domain.memory;
    let faulting = Vaddr::new(address);
    // Most write faults are the guest's own (copy on write): find out cheaply before any decoding.
    let Some(page) = engine().l1_table_at(memory, root, faulting) else {
        return false;
    };
    let Some(decoded) = emulate::pte_write::decode(regs) else {
        return false;
    };
    match engine().store_to_l1_table(memory, page, decoded.address, decoded.store) {
        PteStoreOutcome::Written => decoded.complete(regs, None),
        PteStoreOutcome::CompareFailed { found } => decoded.complete(regs, Some(found)),
        PteStoreOutcome::NotATable => return false,
        PteStoreOutcome::Refused(refusal) => {
            crate::hypercall::report_refusal(vcpu, &refusal);
            return false;
        }
    }
    true
}
