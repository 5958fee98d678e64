//! `HYPERVISOR_memory_op`: what a domain has, what the machine has, and changing the former.
//!
//! Keeps true: a list is worked through one extent at a time with room for events between (I79); its bounds are computed
//! without wrapping (I65, I86); what is reported done was done.
//! Neighbours: the engine gives and takes frames; `memory_op::exchange` has the one operation with two lists.

mod exchange;
mod maps;
mod resource;

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::{EACCES, EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, ESRCH, Errno};
use xenocryst_abi::memory_op::{
    AddToPhysmap, CMD_MASK, CMD_SHIFT, MemoryDomain, MemoryReservation, PodTarget,
    VnumaTopologyInfo, flag, op, space,
};
use xenocryst_abi::{DomId, Mfn, Pfn, Vaddr};
use xenocryst_memory::{AddressLimit, Refusal};

use super::{Answer, Call, owners, refused, report_refusal};
use crate::arch::guest_access;
use crate::domain::{self, Domain};
use crate::mm::machine::engine;
use crate::percpu::must_pause;

/// Frames between two looks at pending work.
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
        // Only lists are worked through in pieces.
        op::EXCHANGE
        | op::MAXIMUM_RAM_PAGE
        | op::CURRENT_RESERVATION
        | op::MAXIMUM_RESERVATION
        | op::MAXIMUM_GPFN
        | op::REMOVE_FROM_PHYSMAP
        | op::CLAIM_PAGES
        | op::GET_VNUMAINFO
        | op::RESERVED_DEVICE_MEMORY_MAP
            if start != 0 =>
        {
            Err(EINVAL.into())
        }
        op::MEMORY_MAP
        | op::SET_MEMORY_MAP
        | op::MACHINE_MEMORY_MAP
        | op::MACHPHYS_MAPPING
        | op::MACHPHYS_MFN_LIST
        | op::GET_SHARING_FREED_PAGES
        | op::GET_SHARING_SHARED_PAGES
            if start != 0 =>
        {
            Err(ENOSYS.into())
        }
        op::EXCHANGE => exchange::handle(call, at),
        // One more than the number of the last frame, as on Xen.
        op::MAXIMUM_RAM_PAGE => Ok(engine().maximum_ram_page().raw() + 1),
        op::CURRENT_RESERVATION => Ok(u64::from(engine().owned_frames(subject(call, at)?.id))),
        op::MAXIMUM_RESERVATION => Ok(u64::from(subject(call, at)?.memory.max_pages())),
        op::MAXIMUM_GPFN => maximum_gpfn(subject(call, at)?),
        op::MACHINE_MEMORY_MAP => maps::machine_memory_map(call, at),
        op::MACHPHYS_MAPPING => maps::machphys_mapping(call, at),
        op::MACHPHYS_MFN_LIST => maps::machphys_mfn_list(at),
        op::ACQUIRE_RESOURCE => resource::acquire(call, at, start),
        op::MEMORY_MAP => maps::memory_map(call, at),
        op::SET_MEMORY_MAP => maps::set_memory_map(call, at),
        op::CLAIM_PAGES => claim(call, at, start),
        op::GET_VNUMAINFO => no_vnuma(call, at),
        // Another domain's pages, or one's own, are put at a place of a translated domain's; there are none of those.
        op::ADD_TO_PHYSMAP => Err(no_physmap(at).into()),
        op::ADD_TO_PHYSMAP_BATCH | op::REMOVE_FROM_PHYSMAP => Err(translated_only(at).into()),
        op::SET_POD_TARGET | op::GET_POD_TARGET if start != 0 => Err(ENOSYS.into()),
        op::SET_POD_TARGET | op::GET_POD_TARGET => Err(no_demand(at).into()),
        op::GET_SHARING_FREED_PAGES | op::GET_SHARING_SHARED_PAGES => Ok(0),
        _ => Err(ENOSYS.into()),
    }
}

/// The domain that a `xen_memory_domain` names.
fn subject(call: &Call, at: Vaddr) -> Result<&'static Domain, Errno> {
    let asked: MemoryDomain = guest_access::read(at)?;
    owners::other(call.vcpu.domain, asked.domid)
}

/// `XENMEM_get_vnumainfo`: no domain has nodes of its own.
fn no_vnuma(call: &Call, at: Vaddr) -> Answer {
    let request: VnumaTopologyInfo = guest_access::read(at)?;
    // The answer to a domain that may not ask is that there is none such.
    owners::other(call.vcpu.domain, request.domid).map_err(|_| ESRCH)?;
    Err(EOPNOTSUPP.into())
}

/// Why there is no target for populating a domain on demand: that is for translated domains.
fn no_demand(at: Vaddr) -> Errno {
    match guest_access::read::<PodTarget>(at) {
        Err(errno) => errno,
        Ok(request) if request.domid == DomId::SELF => EINVAL,
        Ok(request) => domain::find(request.domid).map_or(ESRCH, |_| EINVAL),
    }
}

/// Why pages cannot be put into or taken out of the physical address space of the domain named first in the request.
fn translated_only(at: Vaddr) -> Errno {
    match guest_access::read::<MemoryDomain>(at) {
        Err(errno) => errno,
        Ok(request) => not_translated(request.domid),
    }
}

/// As [`translated_only`] for `XENMEM_add_to_physmap`, by which other domains' pages never come.
fn no_physmap(at: Vaddr) -> Errno {
    match guest_access::read::<AddToPhysmap>(at) {
        Err(errno) => errno,
        Ok(request) if request.space == space::GMFN_FOREIGN => ENOSYS,
        Ok(request) => not_translated(request.domid),
    }
}

/// Domain `id` has no physical address space of its own, which whoever asks is told before whether it may ask.
fn not_translated(id: DomId) -> Errno {
    if id == DomId::SELF {
        return EACCES;
    }
    domain::find(id).map_or(ESRCH, |_| EACCES)
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

/// Bits of an address inside a page: no frame can be had below so few.
const PAGE_BITS: u32 = 12;
/// Most NUMA nodes that a machine may have.
const MAX_NODES: u32 = 64;

/// Whether frames can be had as the flags of a reservation want them: below an address, on a node, on demand. There is one
/// node, 0; a guest may prefer any other, and insist on this one if it is the control domain.
fn placement_is_possible(caller: &Domain, mem_flags: u32, kind: Kind) -> bool {
    let bits = mem_flags & 0xff;
    if bits != 0 && bits <= PAGE_BITS {
        return false;
    }
    if kind == Kind::Populate && mem_flags & flag::POPULATE_ON_DEMAND != 0 {
        return false;
    }
    let exact = mem_flags & flag::EXACT_NODE_REQUEST != 0;
    let Some(node) = (mem_flags >> 8 & 0xff).checked_sub(1) else {
        return true;
    };
    // Virtual nodes are for domains that were given some, and there are none.
    if mem_flags & flag::VNODE != 0 {
        return true;
    }
    if !caller.privileged {
        return !exact;
    }
    node < MAX_NODES && (node == 0 || !exact || kind == Kind::Decrease)
}

/// Works through a reservation's list from extent `start`. The answer is the number of extents done, whatever stopped it,
/// and be it that the request makes no sense.
fn reservation(call: &Call, at: Vaddr, start: u64, kind: Kind) -> Answer {
    let request: MemoryReservation = match guest_access::read(at) {
        Ok(request) => request,
        Err(_) => return Ok(start),
    };
    // The most that a continuation's argument has room for.
    if request.nr_extents > u64::from(u32::MAX >> CMD_SHIFT) || start >= request.nr_extents {
        return Ok(start);
    }
    let Ok(domain) = owners::other(call.vcpu.domain, request.domid) else {
        return Ok(start);
    };
    if !placement_is_possible(call.vcpu.domain, request.mem_flags, kind)
        || request.extent_order > 18
    {
        return Ok(start);
    }
    let check_every = (CHECK_EVERY >> request.extent_order).max(1);
    for index in start..request.nr_extents {
        if index != start && index % check_every == 0 && must_pause() {
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
    let caller = &call.vcpu.domain.memory;
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
                .populate_extent_for(caller, &domain.memory, order, limit, None)
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
                .populate_extent_for(caller, &domain.memory, order, limit, Some(pfn))
                .map_err(refused)?;
            guest_access::write_u64(slot, first.raw())
        }
        Kind::Decrease => {
            let first = Mfn::new(guest_access::read_u64(slot.ok_or(EFAULT)?)?);
            engine()
                .decrease_extent_for(caller, &domain.memory, first, order)
                .map_err(refused)
        }
    }
}

/// `XENMEM_claim_pages`: sets frames aside for a domain.
fn claim(call: &Call, at: Vaddr, start: u64) -> Answer {
    if start != 0 {
        return Err(EINVAL.into());
    }
    let request: MemoryReservation = guest_access::read(at)?;
    if request.extent_start.raw() != 0 || request.extent_order != 0 || request.mem_flags != 0 {
        return Err(EINVAL.into());
    }
    let domain = domain::find(request.domid).ok_or(EINVAL)?;
    owners::require_privilege(call.vcpu.domain)?;
    match engine().claim_frames(&domain.memory, request.nr_extents) {
        Ok(()) => Ok(0),
        Err(refusal) => Err(refused(call, &refusal)),
    }
}
