//! `XENMEM_acquire_resource`: frames of a domain that are no memory of its, for the control domain to map.
//!
//! Keeps true: only tables of grants can be had, and those of other domains only; what is asked for is made if need be,
//! within the domain's own limit. I/O request servers and trace buffers are for domains with hardware help, and have no
//! frames here, as on Xen for such domains as ours.

use core::mem::offset_of;

use xenocryst_abi::hypercall::errno::{EFAULT, EINVAL, EOPNOTSUPP, EPERM, ESRCH, Errno};
use xenocryst_abi::memory_op::{
    AcquireResource, CMD_SHIFT, op,
    resource::{self, grant_table_id},
};
use xenocryst_abi::{Mfn, Vaddr};

use super::super::{Answer, Call, report_refusal};
use super::CHECK_EVERY;
use crate::arch::guest_access;
use crate::domain::{self, Domain};
use crate::grants::granter;
use crate::mm::engine;
use crate::percpu::must_pause;

/// Entries of a version 2 table for which one frame has the status words, in frames of entries.
const TABLE_FRAMES_PER_STATUS_FRAME: u32 = 8;

/// A part of a grant table.
#[derive(Clone, Copy)]
enum Part {
    Shared,
    Status,
}

/// Hands out what is left of the request at `at`, from frame `start` of its list.
pub fn acquire(call: &Call, at: Vaddr, start: u64) -> Answer {
    let request: AcquireResource = guest_access::read(at)?;
    let end = request.frame.checked_add(u64::from(request.nr_frames));
    if request.pad != 0 || end.is_none_or(|end| end >> 32 != 0) {
        return Err(EINVAL.into());
    }
    let domain = domain::find(request.domid).ok_or(ESRCH)?;
    if core::ptr::eq(domain, call.vcpu.domain) || !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    let part = part(&request)?;
    if request.frame_list.raw() == 0 {
        if request.nr_frames != 0 || start != 0 {
            return Err(EINVAL.into());
        }
        let offset = offset_of!(AcquireResource, nr_frames) as u64;
        guest_access::write(at.wrapping_add(offset), &size(domain, part))?;
        return Ok(0);
    }
    let count = u64::from(request.nr_frames);
    if start >= count || count > u64::from(u32::MAX >> CMD_SHIFT) {
        return Err(EINVAL.into());
    }
    for index in start..count {
        if index != start && index % CHECK_EVERY == 0 && must_pause() {
            let command = u64::from(op::ACQUIRE_RESOURCE) | index << CMD_SHIFT;
            return Err(call.continue_with([command, at.raw(), 0, 0, 0, 0]));
        }
        let frame = frame_of(call, domain, part, request.frame as u32 + index as u32)?;
        let slot = request.frame_list.wrapping_add(index * 8);
        guest_access::write_u64(slot, frame.raw()).map_err(|_| EFAULT)?;
    }
    Ok(0)
}

fn part(request: &AcquireResource) -> Result<Part, Errno> {
    match (request.kind, request.id) {
        (resource::GRANT_TABLE, grant_table_id::SHARED) => Ok(Part::Shared),
        (resource::GRANT_TABLE, grant_table_id::STATUS) => Ok(Part::Status),
        (resource::GRANT_TABLE | resource::IOREQ_SERVER | resource::VMTRACE_BUF, _) => Err(EINVAL),
        _ => Err(EOPNOTSUPP),
    }
}

/// The most frames that there can be.
fn size(domain: &Domain, part: Part) -> u32 {
    let frames = domain.grants.table.max_frames();
    match part {
        Part::Shared => frames,
        Part::Status => frames.div_ceil(TABLE_FRAMES_PER_STATUS_FRAME),
    }
}

/// Frame `index` of a part of `domain`'s table, which is made if it can be.
fn frame_of(call: &Call, domain: &'static Domain, part: Part, index: u32) -> Result<Mfn, Errno> {
    let table = &domain.grants.table;
    let find = || match part {
        Part::Shared => engine().grant_frame(table, index),
        Part::Status => engine().grant_status_frame(table, index),
    };
    if let Some(frame) = find() {
        return Ok(frame);
    }
    let needed = match part {
        _ if index >= size(domain, part) => return Err(EINVAL),
        Part::Shared => index + 1,
        Part::Status if engine().grant_version(table) != 2 => return Err(EINVAL),
        // The last may serve fewer than the others.
        Part::Status => {
            ((index + 1) * TABLE_FRAMES_PER_STATUS_FRAME).min(domain.grants.table.max_frames())
        }
    };
    engine()
        .grow_grant_table(&granter(domain), needed)
        .map_err(|refusal| {
            report_refusal(call.vcpu, &refusal);
            EINVAL
        })?;
    find().ok_or(EINVAL)
}
