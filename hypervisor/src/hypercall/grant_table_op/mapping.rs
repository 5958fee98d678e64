//! `GNTTABOP_map_grant_ref`, `GNTTABOP_unmap_grant_ref` and `GNTTABOP_unmap_and_replace`.
//!
//! Keeps true: entries removed by up to [`BATCH`] elements are flushed together, and what they held goes only then (I33).

use core::mem::offset_of;

use xenocryst_abi::Vaddr;
use xenocryst_abi::grant_table::{MapGrantRef, UnmapAndReplace, UnmapGrantRef, map_flag, status};
use xenocryst_abi::hypercall::errno::Errno;
use xenocryst_memory::grant::{BATCH, GrantMap, GrantMapping, GrantUnmap, UnmapBatch};

use super::{List, refused, status_of};
use crate::arch::guest_access;
use crate::domain;
use crate::grants::{granter, mapper};
use crate::hypercall::{Answer, Call};
use crate::mm::engine;

/// Bytes of an element to map.
pub const MAP_SIZE: u64 = size_of::<MapGrantRef>() as u64;

/// Maps one grant.
pub fn map(call: &Call, at: Vaddr) -> Result<(), Errno> {
    let mut request: MapGrantRef = guest_access::read(at)?;
    request.status = match map_one(call, &request) {
        Ok(mapping) => {
            request.handle = mapping.handle;
            request.dev_bus_addr = mapping.bus_address;
            status::OKAY
        }
        Err(status) => status,
    };
    guest_access::write(at, &request)
}

fn map_one(call: &Call, request: &MapGrantRef) -> Result<GrantMapping, i16> {
    if request.flags & (map_flag::HOST_MAP | map_flag::DEVICE_MAP) == 0 {
        return Err(status::BAD_GNTREF);
    }
    // By its own number only: `DOMID_SELF` names nobody here.
    let other = domain::find(request.dom).ok_or(status::BAD_DOMAIN)?;
    let wanted = GrantMap {
        host_addr: request.host_addr,
        flags: request.flags,
        reference: request.gref,
    };
    engine()
        .map_grant(&mapper(call.vcpu), &granter(other), &wanted)
        .map_err(|refusal| refused(call, &refusal))
}

/// Which of the two operations that unmap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `GNTTABOP_unmap_grant_ref`.
    Unmap,
    /// `GNTTABOP_unmap_and_replace`.
    Replace,
}

impl Kind {
    const fn size(self) -> u64 {
        match self {
            Self::Unmap => size_of::<UnmapGrantRef>() as u64,
            Self::Replace => size_of::<UnmapAndReplace>() as u64,
        }
    }

    const fn status_offset(self) -> u64 {
        match self {
            Self::Unmap => offset_of!(UnmapGrantRef, status) as u64,
            Self::Replace => offset_of!(UnmapAndReplace, status) as u64,
        }
    }

    fn read(self, at: Vaddr) -> Result<GrantUnmap, Errno> {
        Ok(match self {
            Self::Unmap => {
                let request: UnmapGrantRef = guest_access::read(at)?;
                GrantUnmap {
                    handle: request.handle,
                    host_addr: request.host_addr,
                    bus_address: request.dev_bus_addr,
                    new_addr: None,
                }
            }
            Self::Replace => {
                let request: UnmapAndReplace = guest_access::read(at)?;
                GrantUnmap {
                    handle: request.handle,
                    host_addr: request.host_addr,
                    bus_address: 0,
                    // Address 0 asks for nothing to come instead.
                    new_addr: Some(request.new_addr).filter(|&address| address != 0),
                }
            }
        })
    }
}

/// Unmaps the mappings of a list.
pub fn unmap(call: &Call, list: &mut List, kind: Kind) -> Answer {
    list.check(kind.size())?;
    while list.done < list.count {
        if list.must_pause() {
            return list.pause(call, kind.size());
        }
        let mut batch = UnmapBatch::new();
        let end = list.count.min(list.done + BATCH as u64);
        let mut result = Ok(());
        while list.done < end && result.is_ok() {
            result = unmap_one(call, list.next(kind.size()), kind, &mut batch);
            list.done += 1;
        }
        release(call, batch);
        result?;
    }
    Ok(0)
}

fn unmap_one(call: &Call, at: Vaddr, kind: Kind, batch: &mut UnmapBatch) -> Result<(), Errno> {
    let request = kind.read(at)?;
    let mapper = mapper(call.vcpu);
    let status = match engine().granter_of(mapper.track, request.handle) {
        Err(refusal) => refused(call, &refusal),
        Ok(id) => match domain::find(id) {
            None => status::BAD_DOMAIN,
            Some(other) => {
                let result = engine().unmap_grant(&mapper, &granter(other), &request, batch);
                status_of(call, result)
            }
        },
    };
    guest_access::write(at.wrapping_add(kind.status_offset()), &status)
}

/// Flushes, then gives back what the entries held.
fn release(call: &Call, batch: UnmapBatch) {
    for flushed in engine().flush_unmapped(&call.vcpu.domain.memory, batch) {
        // It is there: its table cannot go before its last pin. Otherwise the references would be kept, which is safe.
        if let Some(other) = domain::find(flushed.granter()) {
            engine().release_unmapped(&granter(other), flushed);
        }
    }
}
