//! Hypercalls for what is not here: domains with hardware help, shadow paging, loading another kernel.
//!
//! Keeps true: each is refused as Xen refuses a caller, or a domain named by one, that has nothing of the kind.

use xenocryst_abi::domctl::{self, Domctl};
use xenocryst_abi::hvm::{DmOpBuf, NR_PARAMS, Param, op};
use xenocryst_abi::hypercall::errno::{
    E2BIG, EINVAL, ENODATA, ENOSYS, EOPNOTSUPP, EPERM, ESRCH, Errno,
};
use xenocryst_abi::{DomId, Vaddr};

use super::{Answer, Call, owners};
use crate::arch::guest_access;
use crate::domain;

/// The most buffers that a `dm_op` may name.
const MOST_BUFFERS: u32 = 2;

/// `dm_op(domain, count, buffers)`: what a device model does to a domain with hardware help.
#[inline(never)]
pub fn dm_op(call: &Call) -> Answer {
    let [target, count, buffers, ..] = call.args;
    let target = DomId(target as u16);
    let count = count as u32;
    if count == 0 {
        return Err(ENODATA.into());
    }
    if count > MOST_BUFFERS {
        return Err(E2BIG.into());
    }
    for index in 0..u64::from(count) {
        let at = buffers.wrapping_add(index * size_of::<DmOpBuf>() as u64);
        let _: DmOpBuf = guest_access::read(Vaddr::new(at))?;
    }
    let found = domain::find(target).ok_or(ESRCH)?;
    if core::ptr::eq(found, call.vcpu.domain) {
        return Err(EPERM.into());
    }
    Err(EINVAL.into())
}

/// `hvm_op(op, argument)`.
#[inline(never)]
pub fn hvm_op(call: &Call) -> Answer {
    let [command, at, ..] = call.args;
    Err(match u32::try_from(command) {
        Ok(op::SET_PARAM | op::GET_PARAM) => no_parameter(Vaddr::new(at)),
        Ok(op::FLUSH_TLBS | op::SET_EVTCHN_UPCALL_VECTOR) => EINVAL,
        _ => ENOSYS,
    }
    .into())
}

/// Why a parameter can be neither set nor read.
fn no_parameter(at: Vaddr) -> Errno {
    match guest_access::read::<Param>(at) {
        Err(errno) => errno,
        Ok(request) if request.index >= NR_PARAMS || request.domid == DomId::SELF => EINVAL,
        Ok(request) => domain::find(request.domid).map_or(ESRCH, |_| EINVAL),
    }
}

/// `kexec_op`: no other kernel is loaded, on behalf of nobody.
pub fn kexec_op(call: &Call) -> Answer {
    let unprivileged = !call.vcpu.domain.privileged;
    Err(if unprivileged { EPERM } else { ENOSYS }.into())
}

/// The hypercall by which Xen carries on a `domctl` on shadow paging: 49 (`__HYPERVISOR_arch_1`).
#[inline(never)]
pub fn shadow_continued(call: &Call) -> Answer {
    let request: Domctl = guest_access::read(Vaddr::new(call.args[0]))?;
    if request.interface_version != domctl::INTERFACE_VERSION
        || request.cmd != domctl::op::SHADOW_OP
    {
        return Err(EOPNOTSUPP.into());
    }
    domain::find(request.domain).ok_or(ESRCH)?;
    owners::require_privilege(call.vcpu.domain)?;
    Err(EINVAL.into())
}
