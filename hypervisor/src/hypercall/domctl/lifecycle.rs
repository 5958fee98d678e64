//! Making, starting, stopping and destroying domains.

use core::sync::atomic::Ordering;

use xenocryst_abi::DomId;
use xenocryst_abi::domctl::{CreateDomain, MaxMem, MaxVcpus, create_flag};
use xenocryst_abi::hypercall::errno::{EEXIST, EINVAL, ENOMEM, Errno};
use xenocryst_memory::IoAccess;

use super::{Answer, Request};
use crate::domain::{self, Domain, MAX_VCPUS, create, destroy, grave};
use crate::grants::Limits;
use crate::sched;

/// Flags that a PV guest may have.
const FLAGS: u32 = create_flag::XS_DOMAIN | create_flag::OOS_OFF;

/// `XEN_DOMCTL_createdomain`: a domain without vCPUs or memory, paused.
pub fn create(request: &Request<'_>) -> Answer {
    let wanted: CreateDomain = request.part()?;
    check(&wanted)?;
    let version = wanted.grant_opts & create_flag::GRANT_VERSION_MASK;
    let grants = Limits::new(wanted.max_grant_frames, wanted.max_maptrack_frames, version)?;
    let asked = request.copy.domain;
    let id = if (1..DomId::FIRST_RESERVED.0).contains(&asked.0) {
        if !domain::is_free(asked) {
            return Err(EEXIST.into());
        }
        asked
    } else {
        domain::next_number().ok_or(ENOMEM)?
    };
    let made = create::domain(create::Plan {
        id,
        privileged: false,
        max_vcpus: wanted.max_vcpus,
        max_pages: 0,
        io: IoAccess::none(),
        flags: wanted.flags | create_flag::OOS_OFF,
        handle: wanted.handle,
        grants,
    })
    .map_err(|_| ENOMEM)?;
    made.events.set_max_port(wanted.max_evtchn_port);
    if !domain::publish(made) {
        grave::discard(made);
        return Err(ENOMEM.into());
    }
    request.name_domain(made)?;
    Ok(0)
}

/// What Xen checks of a new domain's plan, for a PV guest on a host without IOMMU and tracing.
fn check(wanted: &CreateDomain) -> Result<(), Errno> {
    let possible = wanted.flags & !FLAGS == 0
        && wanted.grant_opts & !create_flag::GRANT_VERSION_MASK == 0
        && (1..=MAX_VCPUS as u32).contains(&wanted.max_vcpus)
        && wanted.iommu_opts == 0
        && wanted.vmtrace_size == 0
        && wanted.cpupool_id == 0
        && wanted.arch.emulation_flags == 0
        && wanted.arch.misc_flags & !1 == 0;
    if possible { Ok(()) } else { Err(EINVAL) }
}

/// `XEN_DOMCTL_destroydomain`.
pub fn destroy(request: &Request<'_>, domain: &'static Domain) -> Answer {
    if request.is_own(domain) {
        return Err(EINVAL.into());
    }
    if destroy::destroy(domain) {
        grave::sweep();
        return Ok(0);
    }
    request.again()
}

/// `XEN_DOMCTL_pausedomain`: when it returns, no vCPU of the domain runs.
pub fn pause(request: &Request<'_>, domain: &'static Domain) -> Answer {
    if request.is_own(domain) {
        return Err(EINVAL.into());
    }
    let pauses = &domain.control.pauses;
    let before = pauses.load(Ordering::Relaxed);
    if before == i32::MAX as u32 {
        return Err(EINVAL.into());
    }
    pauses.store(before + 1, Ordering::Relaxed);
    sched::pause(domain);
    domain.each_vcpu().for_each(sched::unload);
    Ok(0)
}

/// `XEN_DOMCTL_unpausedomain`.
pub fn unpause(domain: &'static Domain) -> Answer {
    let pauses = &domain.control.pauses;
    let before = pauses.load(Ordering::Relaxed);
    if before == 0 {
        return Err(EINVAL.into());
    }
    pauses.store(before - 1, Ordering::Relaxed);
    if before == 1 {
        domain.control.finished.store(true, Ordering::Relaxed);
    }
    sched::unpause(domain);
    Ok(0)
}

/// `XEN_DOMCTL_resumedomain`: a domain that stopped itself goes on where it stopped.
pub fn resume(request: &Request<'_>, domain: &'static Domain) -> Answer {
    if request.is_own(domain) {
        return Err(EINVAL.into());
    }
    sched::restart(domain);
    Ok(0)
}

/// `XEN_DOMCTL_max_vcpus`: makes the vCPUs that were planned.
pub fn make_vcpus(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let wanted: MaxVcpus = request.part()?;
    if request.is_own(domain) || wanted.max != domain.max_vcpus || domain.is_dying() {
        return Err(EINVAL.into());
    }
    for id in 0..wanted.max {
        create::vcpu(domain, id).map_err(|_| ENOMEM)?;
    }
    Ok(0)
}

/// `XEN_DOMCTL_max_mem`: less than the domain has is allowed; it then gets no more.
pub fn max_memory(request: &Request<'_>, domain: &'static Domain) -> Answer {
    /// KiB in a frame.
    const FRAME_KIB: u64 = 4;
    let wanted: MaxMem = request.part()?;
    let frames = wanted.max_memkb / FRAME_KIB;
    domain
        .memory
        .set_max_pages(u32::try_from(frames).unwrap_or(u32::MAX - 1));
    Ok(0)
}
