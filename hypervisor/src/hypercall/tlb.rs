//! The flushes a guest asks for: of one address or of everything, on this CPU, on some vCPUs' or on all of the domain's.
//!
//! Keeps true: an address reaches flush hardware only if it is canonical and the guest's (I38); a CPU is asked only if the domain's
//! translations may be there.

use core::sync::atomic::Ordering;

use xenocryst_abi::Vaddr;
use xenocryst_abi::hypercall::errno::Errno;

use crate::arch::{control, guest_access, tlb};
use crate::domain::Domain;
use crate::percpu::this_cpu;

/// Whom a flush is for.
#[derive(Clone, Copy)]
pub enum Scope {
    /// This CPU.
    Local,
    /// The CPUs in the mask.
    Cpus(u64),
}

/// What is flushed.
#[derive(Clone, Copy)]
pub enum What {
    /// Every translation, global ones too.
    All,
    /// The translation of one address.
    Page(Vaddr),
}

/// Every CPU that may hold translations of `domain`.
pub fn all_of(domain: &Domain) -> Scope {
    Scope::Cpus(domain.memory.dirty_cpus())
}

/// The CPUs on which the vCPUs in the guest's bit map at `bitmap` last ran, as far as they may hold translations.
///
/// # Errors
/// `EFAULT` if the map cannot be read.
pub fn of_vcpus(domain: &Domain, bitmap: Vaddr) -> Result<Scope, Errno> {
    // The map is made of whole words, of which the first has all the vCPUs there can be.
    let wanted = guest_access::read_u64(bitmap)?;
    let cpus = domain
        .each_vcpu()
        .filter(|vcpu| wanted >> (vcpu.id & 63) & 1 != 0)
        .fold(0, |mask, vcpu| {
            mask | 1 << (vcpu.processor.load(Ordering::Relaxed) & 63)
        });
    Ok(Scope::Cpus(cpus & domain.memory.dirty_cpus()))
}

/// Flushes. Returns when every CPU concerned has done it.
#[inline]
pub fn flush(scope: Scope, what: What) {
    if let What::Page(at) = what
        && !guest_access::is_guest_address(at)
    {
        return;
    }
    match scope {
        Scope::Local => local(what),
        Scope::Cpus(mask) if mask == 1 << this_cpu().cpu => local(what),
        Scope::Cpus(mask) => tlb::flush(mask),
    }
}

#[inline]
fn local(what: What) {
    match what {
        What::All => tlb::flush_local(),
        What::Page(at) => {
            debug_assert!(
                guest_access::is_guest_address(at),
                "an address that is not the guest's reached the TLB"
            );
            control::invlpg(at.raw());
        }
    }
}
