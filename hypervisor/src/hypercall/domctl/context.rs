//! A vCPU's whole state, as tools set it to start a vCPU and get it to save one.
//!
//! Neighbours: `domain::guest_context` (what it means).

use xenocryst_abi::domctl::VcpuContext;
use xenocryst_abi::hypercall::errno::{EINVAL, ENODATA, ENOMEM};
use xenocryst_abi::vcpu_context::{VcpuGuestContext, flag};
use xenocryst_memory::{Budget, Progress};

use super::{Answer, Request, vcpu_of};
use crate::arch::guest_access;
use crate::domain::{Domain, destroy, guest_context};
use crate::mm::heap::try_box;
use crate::sched;

/// `XEN_DOMCTL_setvcpucontext`; without a context, the vCPU is as new and down.
pub fn set(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: VcpuContext = request.part()?;
    if request.is_own(domain) || domain.is_dying() {
        return Err(EINVAL.into());
    }
    let vcpu = vcpu_of(domain, part.vcpu, EINVAL)?;
    if part.ctxt.raw() == 0 {
        sched::pause(domain);
        sched::reset(vcpu);
        destroy::give_up(vcpu);
        sched::unpause(domain);
        return Ok(0);
    }
    let context: VcpuGuestContext = guest_access::read(part.ctxt)?;
    let context = try_box(context).ok_or(ENOMEM)?;
    sched::pause(domain);
    sched::unload(vcpu);
    let mut budget = Budget::hypercall();
    let result = guest_context::load(vcpu, &context, &mut budget).and_then(|progress| {
        if progress == Progress::Done(()) && context.flags & flag::ONLINE != 0 {
            sched::up(vcpu)?;
        }
        Ok(progress)
    });
    sched::unpause(domain);
    match result? {
        Progress::Done(()) => Ok(0),
        Progress::Preempted => request.again(),
    }
}

/// `XEN_DOMCTL_getvcpucontext`.
pub fn get(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: VcpuContext = request.part()?;
    let vcpu = vcpu_of(domain, part.vcpu, EINVAL)?;
    // The caller cannot stop itself from here.
    if core::ptr::eq(vcpu, request.call.vcpu) {
        return Err(EINVAL.into());
    }
    if vcpu.kernel_cr3.get() == 0 {
        return Err(ENODATA.into());
    }
    let mut context = try_box(guest_context::empty()).ok_or(ENOMEM)?;
    sched::hold(vcpu);
    guest_context::store(vcpu, &mut context);
    sched::release(vcpu);
    guest_access::write(part.ctxt, &*context)?;
    request.answer(&part)
}
