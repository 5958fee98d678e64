//! The table itself: its frames, its size, its version, and its entries' places.

use core::mem::offset_of;

use xenocryst_abi::grant_table::{
    GetStatusFrames, GetVersion, QuerySize, SetVersion, SetupTable, SwapGrantRef, status,
};
use xenocryst_abi::hypercall::errno::{EFAULT, Errno};
use xenocryst_abi::{Mfn, Vaddr};

use super::{refused, status_of, subject};
use crate::arch::guest_access;
use crate::grants::granter;
use crate::hypercall::{Call, owners, report_refusal};
use crate::mm::engine;

/// Bytes of an element to swap.
pub const SWAP_SIZE: u64 = size_of::<SwapGrantRef>() as u64;

/// Writes `count` frame numbers to `list`. The status says whether all of it can be written.
fn write_frames(list: Vaddr, count: u32, frame: impl Fn(u32) -> Option<Mfn>) -> i16 {
    for index in 0..count {
        let Some(frame) = frame(index) else {
            return status::GENERAL_ERROR;
        };
        let slot = list.wrapping_add(u64::from(index) * 8);
        if guest_access::write_u64(slot, frame.raw()).is_err() {
            return status::BAD_VIRT_ADDR;
        }
    }
    status::OKAY
}

fn check_list(list: Vaddr, count: u32) -> Result<(), Errno> {
    if guest_access::is_guest_range(list, u64::from(count) * 8) {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// `GNTTABOP_setup_table`.
pub fn setup(call: &Call, at: Vaddr) -> Result<(), Errno> {
    let request: SetupTable = guest_access::read(at)?;
    check_list(request.frame_list, request.nr_frames)?;
    let status = match subject(call.vcpu.domain, request.dom) {
        Err(status) => status,
        Ok(domain) => {
            // A table has a frame from the start: asking for none is asking for that.
            let frames = request.nr_frames.max(1);
            match engine().grow_grant_table(&granter(domain), frames) {
                Ok(()) => write_frames(request.frame_list, request.nr_frames, |index| {
                    engine().grant_frame(&domain.grants.table, index)
                }),
                Err(refusal) => refused(call, &refusal),
            }
        }
    };
    let offset = offset_of!(SetupTable, status) as u64;
    guest_access::write(at.wrapping_add(offset), &status)
}

/// `GNTTABOP_get_status_frames`.
pub fn status_frames(call: &Call, at: Vaddr) -> Result<(), Errno> {
    let request: GetStatusFrames = guest_access::read(at)?;
    check_list(request.frame_list, request.nr_frames)?;
    let status = match subject(call.vcpu.domain, request.dom) {
        Err(status) => status,
        Ok(domain) => {
            let table = &domain.grants.table;
            // All or nothing.
            let last = request.nr_frames.checked_sub(1);
            if last.is_some_and(|last| engine().grant_status_frame(table, last).is_none()) {
                status::GENERAL_ERROR
            } else {
                write_frames(request.frame_list, request.nr_frames, |index| {
                    engine().grant_status_frame(table, index)
                })
            }
        }
    };
    let offset = offset_of!(GetStatusFrames, status) as u64;
    guest_access::write(at.wrapping_add(offset), &status)
}

/// `GNTTABOP_query_size`.
pub fn query_size(call: &Call, at: Vaddr) -> Result<(), Errno> {
    let mut request: QuerySize = guest_access::read(at)?;
    request.status = match subject(call.vcpu.domain, request.dom) {
        Err(status) => status,
        Ok(domain) => {
            let table = &domain.grants.table;
            request.nr_frames = engine().grant_frame_count(table);
            request.max_nr_frames = table.max_frames();
            status::OKAY
        }
    };
    guest_access::write(at, &request)
}

/// `GNTTABOP_set_version`.
pub fn set_version(call: &Call, at: Vaddr) -> Result<(), Errno> {
    let mut request: SetVersion = guest_access::read(at)?;
    let domain = call.vcpu.domain;
    let result = engine().set_grant_version(&granter(domain), request.version);
    // What there is goes back even when what was asked for is refused.
    request.version = engine().grant_version(&domain.grants.table);
    guest_access::write(at, &request)?;
    result.map_err(|refusal| {
        report_refusal(call.vcpu, &refusal);
        refusal.errno().into()
    })
}

/// `GNTTABOP_get_version`.
pub fn get_version(call: &Call, at: Vaddr) -> Result<(), Errno> {
    let mut request: GetVersion = guest_access::read(at)?;
    let domain = owners::other(call.vcpu.domain, request.dom)?;
    request.version = engine().grant_version(&domain.grants.table);
    guest_access::write(at, &request)
}

/// Swaps two entries (`GNTTABOP_swap_grant_ref`).
pub fn swap(call: &Call, at: Vaddr) -> Result<(), Errno> {
    let request: SwapGrantRef = guest_access::read(at)?;
    let table = &call.vcpu.domain.grants.table;
    let result = engine().swap_grants(table, request.ref_a, request.ref_b);
    let offset = offset_of!(SwapGrantRef, status) as u64;
    guest_access::write(at.wrapping_add(offset), &status_of(call, result))
}
