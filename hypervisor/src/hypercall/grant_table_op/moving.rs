//! `GNTTABOP_copy` and `GNTTABOP_transfer`: bytes, and whole frames, from domain to domain.
//!
//! Keeps true: who may be named how is asked for each end of each element (I57).

use core::mem::offset_of;

use xenocryst_abi::grant_table::{Copy, CopyPtr, Transfer, copy_flag, status};
use xenocryst_abi::hypercall::errno::Errno;
use xenocryst_abi::{DomId, Mfn, Vaddr};
use xenocryst_memory::grant::{CopyEnd, GrantCopy};

use super::{refused, status_of};
use crate::arch::guest_access;
use crate::domain::{self, Domain};
use crate::grants::granter;
use crate::hypercall::Call;
use crate::mm::engine;

/// Bytes of an element to copy.
pub const COPY_SIZE: u64 = size_of::<Copy>() as u64;
/// Bytes of an element to transfer.
pub const TRANSFER_SIZE: u64 = size_of::<Transfer>() as u64;

/// Copies one run of bytes.
pub fn copy(call: &Call, at: Vaddr) -> Result<(), Errno> {
    let request: Copy = guest_access::read(at)?;
    let status = match copy_one(call, &request) {
        Ok(()) => status::OKAY,
        Err(status) => status,
    };
    guest_access::write(at.wrapping_add(offset_of!(Copy, status) as u64), &status)
}

fn copy_one(call: &Call, request: &Copy) -> Result<(), i16> {
    let by_grant = |flag: u16| request.flags & flag != 0;
    let wanted = GrantCopy {
        from: end(call, &request.source, by_grant(copy_flag::SOURCE_GREF))?,
        from_offset: request.source.offset,
        to: end(call, &request.dest, by_grant(copy_flag::DEST_GREF))?,
        to_offset: request.dest.offset,
        length: request.len,
    };
    engine()
        .copy_grant(&call.vcpu.domain.memory, &wanted)
        .map_err(|refusal| refused(call, &refusal))
}

/// One end of a copy as the engine knows it.
fn end(call: &Call, named: &CopyPtr, by_grant: bool) -> Result<CopyEnd<'static>, i16> {
    CopyEnd::check_addressing(by_grant, named.domid).map_err(|refusal| refused(call, &refusal))?;
    if !by_grant {
        return Ok(CopyEnd::Own(Mfn::new(named.ref_or_gmfn)));
    }
    let caller = call.vcpu.domain;
    let other = any(caller, named.domid).ok_or(status::BAD_DOMAIN)?;
    Ok(CopyEnd::Grant(granter(other), named.ref_or_gmfn as u32))
}

/// The domain that `id` names; "itself" is a name too.
fn any(caller: &'static Domain, id: DomId) -> Option<&'static Domain> {
    if id == DomId::SELF {
        Some(caller)
    } else {
        domain::find(id)
    }
}

/// Gives one frame away.
pub fn transfer(call: &Call, at: Vaddr) -> Result<(), Errno> {
    let request: Transfer = guest_access::read(at)?;
    let status = match domain::find(request.domid) {
        None => status::BAD_DOMAIN,
        Some(receiver) => {
            let giver = &call.vcpu.domain.memory;
            let receiver = granter(receiver);
            let result = engine().transfer_grant(giver, request.mfn, &receiver, request.gref);
            status_of(call, result)
        }
    };
    guest_access::write(
        at.wrapping_add(offset_of!(Transfer, status) as u64),
        &status,
    )
}
