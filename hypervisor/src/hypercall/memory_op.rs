//! `HYPERVISOR_memory_op`: what a domain has, what the machine has, and changing the former.
//!
//! Keeps true: a list is worked through one extent at a time with room for events between (I79); its bounds are computed
//! without wrapping (I65, I86); what is reported done was done.
//! Neighbours: the engine gives and takes frames; `memory_op::exchange` has the one operation with two lists.

mod exchange;
mod maps;
mod resource;

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::{EFAULT, EINVAL, ENOSYS, EPERM, Errno};
use xenocryst_abi::memory_op::{CMD_MASK, CMD_SHIFT, MemoryDomain, MemoryReservation, flag, op};
use xenocryst_abi::{DomId, Mfn, Pfn, Vaddr};
use xenocryst_memory::{AddressLimit, Refusal};

use super::{Answer, Call, owners, report_refusal};
use crate::arch::guest_access;
use crate::domain::Domain;
use crate::mm::machine::engine;
use crate::percpu::this_cpu;

/// Extents between two looks at pending work.
const CHECK_EVERY: u64 = 64;

/// `memory_op(cmd, arg)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [command, argument, ..] = call.args;
    let at = Vaddr::new(argument);
    let start = command >> CMD_SHIFT;
    match (command & CMD_MASK) as u32 {
        op::INCREASE_RESERVATION => reservation(call, at, start, Kind::Increase),
        op::DECREASE_RESERVATION => reservation(call, at, start, Kind::Decrease),
        op::POPULATE_PHYSMAP => reservation(call, at, start, Kind::Populate),
        op::EXCHANGE => exchange::handle(call, at),
        op::MAXIMUM_RAM_PAGE => Ok(engine().maximum_ram_page().raw()),
        op::CURRENT_RESERVATION => Ok(u64::from(engine().owned_frames(subject(call, at)?.id))),
        op::MAXIMUM_RESERVATION => Ok(u64::from(subject(call, at)?.memory.max_pages())),
        op::MAXIMUM_GPFN => maximum_gpfn(subject(call, at)?),
        op::MACHINE_MEMORY_MAP => maps::machine_memory_map(call, at),
        op::MACHPHYS_MAPPING => maps::machphys_mapping(at),
        op::MACHPHYS_MFN_LIST => maps::machphys_mfn_list(at),
        op::ACQUIRE_RESOURCE => resource::acquire(call, at, start),
        op::GET_SHARING_FREED_PAGES | op::GET_SHARING_SHARED_PAGES => Ok(0),
        _ => Err(ENOSYS.into()),
    }
}

/// The domain that a `xen_memory_domain` names.
fn subject(call: &Call, at: Vaddr) -> Result<&'static Domain, Errno> {
    let asked: MemoryDomain = guest_access::read(at)?;
    owners::other(call.vcpu.domain, asked.domid)
}

/// `XENMEM_maximum_gpfn`: the highest PFN that the guest says it uses, in its shared page (`arch.max_pfn`), less one.
fn maximum_gpfn(domain: &Domain) -> Answer {
    let low = domain
        .shared_info
        .half(crate::domain::ARCH_SHARED_INFO)
        .load(Ordering::Relaxed);
    let high = domain
        .shared_info
        .half(crate::domain::ARCH_SHARED_INFO + 4)
        .load(Ordering::Relaxed);
    Ok((u64::from(high) << 32 | u64::from(low)).saturating_sub(1))
}

/// The three operations on one list of extents.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Increase,
    Decrease,
    Populate,
}

/// The limit that a reservation's flags put on machine addresses.
fn address_limit(mem_flags: u32) -> AddressLimit {
    AddressLimit::bits((mem_flags & 0xff) as u8)
}

/// Works through a reservation's list from extent `start`. The answer is the number of extents done, whatever stopped it.
fn reservation(call: &Call, at: Vaddr, start: u64, kind: Kind) -> Answer {
    let request: MemoryReservation = match guest_access::read(at) {
        Ok(request) => request,
        Err(_) => return Ok(start),
    };
    let domain = owners::other(call.vcpu.domain, request.domid)?;
    let too_many = request.nr_extents > u64::MAX >> CMD_SHIFT || start > request.nr_extents;
    let demand = request.mem_flags & flag::POPULATE_ON_DEMAND != 0;
    if too_many || request.extent_order > 18 || demand {
        return Ok(start);
    }
    for index in start..request.nr_extents {
        if index != start
            && index % CHECK_EVERY == 0
            && this_cpu().work.load(Ordering::Relaxed) != 0
        {
            let number = match kind {
                Kind::Increase => op::INCREASE_RESERVATION,
                Kind::Decrease => op::DECREASE_RESERVATION,
                Kind::Populate => op::POPULATE_PHYSMAP,
            };
            return Err(call.continue_with([
                u64::from(number) | index << CMD_SHIFT,
                at.raw(),
                0,
                0,
                0,
                0,
            ]));
        }
        if one_extent(call, domain, &request, index, kind).is_err() {
            return Ok(index);
        }
    }
    Ok(request.nr_extents)
}

/// An extent's place in the guest's list; `None` for no list.
fn slot(list: Vaddr, index: u64) -> Option<Vaddr> {
    (list.raw() != 0).then(|| list.wrapping_add(index.wrapping_mul(8)))
}

fn one_extent(
    call: &Call,
    domain: &'static Domain,
    request: &MemoryReservation,
    index: u64,
    kind: Kind,
) -> Result<(), Errno> {
    let order = request.extent_order as u8;
    let limit = address_limit(request.mem_flags);
    let slot = slot(request.extent_start, index);
    let refused = |refusal: Refusal| {
        report_refusal(call.vcpu, &refusal);
        EINVAL
    };
    match kind {
        Kind::Increase => {
            let first = engine()
                .populate_extent(&domain.memory, order, limit, None)
                .map_err(refused)?;
            match slot {
                Some(slot) => guest_access::write_u64(slot, first.raw()),
                None => Ok(()),
            }
        }
        Kind::Populate => {
            let slot = slot.ok_or(EFAULT)?;
            let pfn = Pfn::new(guest_access::read_u64(slot)?);
            let first = engine()
                .populate_extent(&domain.memory, order, limit, Some(pfn))
                .map_err(refused)?;
            guest_access::write_u64(slot, first.raw())
        }
        Kind::Decrease => {
            let first = Mfn::new(guest_access::read_u64(slot.ok_or(EFAULT)?)?);
            engine()
                .decrease_extent(&domain.memory, first, order)
                .map_err(refused)
        }
    }
}

/// Whether `domain` may see the machine's own layout.
fn require_privilege(domain: &Domain) -> Result<(), Errno> {
    if domain.privileged {
        Ok(())
    } else {
        Err(EPERM)
    }
}

/// Whether `id` names the caller itself.
fn is_self(call: &Call, id: DomId) -> bool {
    id == DomId::SELF || id == call.vcpu.domain.id
}
