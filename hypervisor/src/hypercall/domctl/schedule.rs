//! Where a domain's vCPUs may run, and how much.

use core::sync::atomic::Ordering;

use xenocryst_abi::domctl::{Bitmap, SchedCredit, SchedulerOp, VcpuAffinity, affinity, scheduler};
use xenocryst_abi::hypercall::errno::{EINVAL, ESRCH};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{Answer, Request, vcpu_of};
use crate::arch::smp;
use crate::domain::Domain;
use crate::hypercall::bitmap;
use crate::sched;

/// `XEN_DOMCTL_setvcpuaffinity`. Writes back what is in force.
pub fn set_affinity(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: VcpuAffinity = request.part()?;
    let kinds = affinity::HARD | affinity::SOFT;
    if part.flags & kinds == 0 || part.flags & !(kinds | affinity::FORCE) != 0 {
        return Err(EINVAL.into());
    }
    let vcpu = vcpu_of(domain, part.vcpu, ESRCH)?;
    if part.flags & affinity::HARD != 0 {
        let wanted = bitmap::read(&part.cpumap_hard)?;
        if wanted & smp::online_mask() == 0 {
            return Err(EINVAL.into());
        }
        sched::set_hard_affinity(vcpu, wanted)?;
        bitmap::write(&part.cpumap_hard, wanted & smp::online_mask())?;
    }
    if part.flags & affinity::SOFT != 0 {
        let wanted = bitmap::read(&part.cpumap_soft)?;
        if wanted & smp::online_mask() == 0 {
            return Err(EINVAL.into());
        }
        sched::set_soft_affinity(vcpu, wanted);
        let hard = sched::hard_affinity(vcpu);
        bitmap::write(&part.cpumap_soft, wanted & hard & smp::online_mask())?;
    }
    Ok(0)
}

/// `XEN_DOMCTL_getvcpuaffinity`.
pub fn get_affinity(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: VcpuAffinity = request.part()?;
    let kinds = affinity::HARD | affinity::SOFT;
    if part.flags & kinds == 0 || part.flags & !kinds != 0 {
        return Err(EINVAL.into());
    }
    let vcpu = vcpu_of(domain, part.vcpu, ESRCH)?;
    if part.flags & affinity::HARD != 0 {
        bitmap::write(&part.cpumap_hard, sched::hard_affinity(vcpu))?;
    }
    if part.flags & affinity::SOFT != 0 {
        bitmap::write(&part.cpumap_soft, sched::soft_affinity(vcpu))?;
    }
    Ok(0)
}

/// `XEN_DOMCTL_setnodeaffinity`: there is one node, which must be among those wanted.
pub fn set_nodes(request: &Request<'_>) -> Answer {
    let part: Bitmap = request.part()?;
    if bitmap::read(&part)? & 1 == 0 {
        return Err(EINVAL.into());
    }
    Ok(0)
}

/// `XEN_DOMCTL_getnodeaffinity`.
pub fn get_nodes(request: &Request<'_>) -> Answer {
    let part: Bitmap = request.part()?;
    bitmap::write(&part, 1)?;
    Ok(0)
}

/// `XEN_DOMCTL_scheduler_op`: a domain's weight and cap.
pub fn parameters(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let mut part: SchedulerOp = request.part()?;
    if part.sched_id != scheduler::CREDIT2 {
        return Err(EINVAL.into());
    }
    match part.cmd {
        scheduler::GETINFO => {
            let mut now = SchedCredit::new_zeroed();
            now.weight = domain.control.weight.load(Ordering::Relaxed) as u16;
            let bytes = now.as_bytes();
            let to = part.data.as_mut_bytes().get_mut(..bytes.len());
            to.ok_or(EINVAL)?.copy_from_slice(bytes);
            request.answer(&part)
        }
        scheduler::PUTINFO => {
            let (wanted, _) =
                SchedCredit::read_from_prefix(part.data.as_bytes()).map_err(|_| EINVAL)?;
            sched::set_parameters(domain, u32::from(wanted.weight), u32::from(wanted.cap))?;
            Ok(0)
        }
        _ => Err(EINVAL.into()),
    }
}
