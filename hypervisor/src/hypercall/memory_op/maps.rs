//! The memory operations that only tell: memory maps, the machine's and a domain's, and where the M2P is.

use alloc::vec::Vec;
use xenocryst_abi::Vaddr;

use xenocryst_abi::hypercall::errno::{EFAULT, EINVAL, ENOMEM, ENOSYS, EPERM};
use xenocryst_abi::memory_op::{
    E820Entry, ForeignMemoryMap, MachphysMapping, MachphysMfnList, MemoryMap,
};
use zerocopy::FromZeros;

use super::super::{Answer, Call, owners};
use crate::arch::guest_access;
use crate::mm::{engine, layout};

/// The most entries a domain's memory map can have (`E820MAX`).
const MOST_ENTRIES: u32 = 1024;
/// Bytes of an entry of a memory map.
const ENTRY: u64 = size_of::<E820Entry>() as u64;
/// `MACH2PHYS_VIRT_END` (`public/arch-x86/xen-x86_64.h`).
const M2P_GUEST_END: u64 = 0xffff_8040_0000_0000;

/// `XENMEM_machine_memory_map`: the loader's map, for the control domain.
pub fn machine_memory_map(call: &Call, at: Vaddr) -> Answer {
    owners::require_privilege(call.vcpu.domain)?;
    let mut request: MemoryMap = guest_access::read(at)?;
    let map = crate::boot::info().memory.entries();
    if (request.nr_entries as usize) < map.len() {
        return Err(EINVAL.into());
    }
    for (index, entry) in map.iter().enumerate() {
        let to = request
            .buffer
            .wrapping_add((index * size_of::<E820Entry>()) as u64);
        let entry = E820Entry {
            addr: entry.start,
            size: entry.end - entry.start,
            kind: entry.kind.raw(),
        };
        guest_access::write(to, &entry)?;
    }
    request.nr_entries = map.len() as u32;
    guest_access::write(at, &request)?;
    Ok(0)
}

/// `XENMEM_memory_map`: the map that the tools gave the calling domain.
pub fn memory_map(call: &Call, at: Vaddr) -> Answer {
    let mut request: MemoryMap = guest_access::read(at)?;
    let map = call.vcpu.domain.control.memory_map.lock();
    if map.is_empty() {
        return Err(ENOSYS.into());
    }
    request.nr_entries = request.nr_entries.min(map.len() as u32);
    for (index, entry) in (0..u64::from(request.nr_entries)).zip(map.iter()) {
        guest_access::write(request.buffer.wrapping_add(index * ENTRY), entry)?;
    }
    guest_access::write(at, &request)?;
    Ok(0)
}

/// `XENMEM_set_memory_map`: the map that a domain is shown.
pub fn set_memory_map(call: &Call, at: Vaddr) -> Answer {
    let request: ForeignMemoryMap = guest_access::read(at)?;
    if request.map.nr_entries > MOST_ENTRIES {
        return Err(EINVAL.into());
    }
    let domain = owners::other(call.vcpu.domain, request.domid)?;
    // A domain's map is its maker's to give.
    if !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    let count = request.map.nr_entries as usize;
    let mut map: Vec<E820Entry> = Vec::new();
    map.try_reserve_exact(count).map_err(|_| ENOMEM)?;
    map.resize(count, E820Entry::new_zeroed());
    for (index, entry) in (0..).zip(&mut map) {
        let from = request.map.buffer.wrapping_add(index * ENTRY);
        *entry = guest_access::read(from).map_err(|_| EFAULT)?;
    }
    *domain.control.memory_map.lock() = map;
    Ok(0)
}

/// `XENMEM_machphys_mapping`: the M2P's range in every guest's address space. The control domain is told the last frame that
/// there is; others may go on on a larger machine, and are told the last that there is room for.
pub fn machphys_mapping(call: &Call, at: Vaddr) -> Answer {
    let last = if call.vcpu.domain.privileged {
        engine().maximum_ram_page().raw()
    } else {
        (M2P_GUEST_END - layout::M2P_GUEST) / 8 - 1
    };
    let mapping = MachphysMapping {
        v_start: layout::M2P_GUEST,
        v_end: M2P_GUEST_END,
        max_mfn: last,
    };
    guest_access::write(at, &mapping)?;
    Ok(0)
}

/// `XENMEM_machphys_mfn_list`: the first frame of each 2 MiB piece of the M2P.
pub fn machphys_mfn_list(at: Vaddr) -> Answer {
    let mut request: MachphysMfnList = guest_access::read(at)?;
    let pieces = crate::mm::storage::m2p_pieces();
    let count = pieces.len().min(request.max_extents as usize);
    for (index, frame) in pieces[..count].iter().enumerate() {
        guest_access::write_u64(
            request.extent_start.wrapping_add(index as u64 * 8),
            frame.raw(),
        )?;
    }
    request.nr_extents = count as u32;
    guest_access::write(at, &request)?;
    Ok(0)
}
