//! `HYPERVISOR_grant_table_op`: so far, setting the table up. Mapping and copying through grants is refused as by a
//! hypervisor that does not know the operations.
//!
//! Keeps true: a batch stops at its end or with room for events, never for longer.

use core::sync::atomic::Ordering;

use xenocryst_abi::grant_table::{GetVersion, QuerySize, SetVersion, SetupTable, op, status};
use xenocryst_abi::hypercall::errno::{EFAULT, EINVAL, ENOSYS, EPERM, Errno};
use xenocryst_abi::{DomId, Vaddr};

use super::{Answer, Call, owners};
use crate::arch::guest_access;
use crate::domain::Domain;
use crate::grants::MAX_FRAMES;
use crate::percpu::this_cpu;

/// `grant_table_op(cmd, list, count)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [command, list, count, ..] = call.args;
    let count = count as u32;
    if count > i32::MAX as u32 {
        return Err(EINVAL.into());
    }
    let caller = call.vcpu.domain;
    let one: fn(&'static Domain, Vaddr) -> Result<(), Errno> = match command as u32 {
        op::SETUP_TABLE if count != 1 => return Err(EINVAL.into()),
        op::SETUP_TABLE => setup_table,
        op::QUERY_SIZE if count != 1 => return Err(EINVAL.into()),
        op::QUERY_SIZE => query_size,
        op::SET_VERSION if count != 1 => return Err(EINVAL.into()),
        op::SET_VERSION => set_version,
        op::GET_VERSION => get_version,
        _ => return Err(ENOSYS.into()),
    };
    let size = match command as u32 {
        op::GET_VERSION => size_of::<GetVersion>() as u64,
        _ => 0,
    };
    for index in 0..u64::from(count) {
        if index != 0 && this_cpu().work.load(Ordering::Relaxed) != 0 {
            let rest = u64::from(count) - index;
            return Err(call.continue_with([
                command,
                list.wrapping_add(index * size),
                rest,
                0,
                0,
                0,
            ]));
        }
        one(caller, Vaddr::new(list.wrapping_add(index * size)))?;
    }
    Ok(0)
}

/// The domain that an operation is on, or the status that says why not.
fn subject(caller: &'static Domain, id: DomId) -> Result<&'static Domain, i16> {
    owners::other(caller, id).map_err(|errno| match errno {
        EPERM => status::PERMISSION_DENIED,
        _ => status::BAD_DOMAIN,
    })
}

fn setup_table(caller: &'static Domain, at: Vaddr) -> Result<(), Errno> {
    let mut request: SetupTable = guest_access::read(at)?;
    request.status = match subject(caller, request.dom) {
        Err(status) => status,
        Ok(_) if request.nr_frames > MAX_FRAMES => return Err(EINVAL),
        Ok(domain) => {
            let list = request.frame_list;
            let result = domain
                .grants
                .with_frames(domain, request.nr_frames, |index, frame| {
                    guest_access::write_u64(list.wrapping_add(index as u64 * 8), frame.raw())
                });
            match result {
                Ok(()) => status::OKAY,
                Err(EFAULT) => return Err(EFAULT),
                Err(_) => status::GENERAL_ERROR,
            }
        }
    };
    guest_access::write(at, &request)
}

fn query_size(caller: &'static Domain, at: Vaddr) -> Result<(), Errno> {
    let mut request: QuerySize = guest_access::read(at)?;
    request.status = match subject(caller, request.dom) {
        Err(status) => status,
        Ok(domain) => {
            request.nr_frames = domain.grants.frame_count();
            request.max_nr_frames = MAX_FRAMES;
            status::OKAY
        }
    };
    guest_access::write(at, &request)
}

fn set_version(caller: &'static Domain, at: Vaddr) -> Result<(), Errno> {
    let mut request: SetVersion = guest_access::read(at)?;
    let result = caller.grants.set_version(request.version);
    // What there is goes back even when what was asked for is refused.
    request.version = caller.grants.version();
    guest_access::write(at, &request)?;
    result.map(|_| ())
}

fn get_version(caller: &'static Domain, at: Vaddr) -> Result<(), Errno> {
    let mut request: GetVersion = guest_access::read(at)?;
    let domain = owners::other(caller, request.dom)?;
    request.version = domain.grants.version();
    guest_access::write(at, &request)
}
