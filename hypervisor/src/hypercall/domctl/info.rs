//! What tools are told of domains, their vCPUs and their frames.

use core::sync::atomic::Ordering;

use xenocryst_abi::domctl::{
    GetDomainInfo, GetPageFrameInfo3, GetVcpuInfo, INVALID_MAX_VCPU_ID, create_flag, frame_info,
    info_flag,
};
use xenocryst_abi::hypercall::errno::{E2BIG, EINVAL, ESRCH};
use xenocryst_abi::{DomId, Mfn};
use xenocryst_memory::{FrameInfo, FrameType, Level};
use xenocryst_vcpu::runstate::State;
use zerocopy::FromZeros;

use super::{Answer, Request, vcpu_of};
use crate::arch::guest_access;
use crate::domain::{self, Domain, Vcpu};
use crate::hypercall::owners;
use crate::mm::engine;
use crate::sched;

/// Most frames that can be asked after at once.
const MOST_FRAMES: u64 = 1024;

/// `XEN_DOMCTL_getdomaininfo`: of the domain with this number, or the next there is.
pub fn domain(request: &Request<'_>) -> Answer {
    let asked = request.copy.domain;
    if domain::find(asked).is_none() && asked >= DomId::FIRST_RESERVED {
        return Err(EINVAL.into());
    }
    let found = domain::first_from(u32::from(asked.0)).ok_or(ESRCH)?;
    owners::require_privilege(request.call.vcpu.domain)?;
    request.name_domain(found)?;
    request.answer(&describe(found))
}

/// What tools are told of `domain`.
pub fn describe(domain: &'static Domain) -> GetDomainInfo {
    let mut info = GetDomainInfo::new_zeroed();
    info.domain = domain.id;
    info.flags = flags(domain);
    info.max_vcpu_id = INVALID_MAX_VCPU_ID;
    for vcpu in domain.each_vcpu() {
        info.max_vcpu_id = vcpu.id;
        info.cpu_time += time_run(vcpu);
        info.nr_online_vcpus += u32::from(sched::is_up(vcpu));
    }
    info.tot_pages = u64::from(engine().owned_frames(domain.id));
    info.max_pages = u64::from(domain.memory.max_pages());
    info.outstanding_pages = u64::from(domain.memory.claimed_frames());
    info.shared_info_frame = domain.shared_info_mfn().raw();
    info.handle = *domain.control.handle.lock();
    info
}

/// The `XEN_DOMINF_*` word.
fn flags(domain: &'static Domain) -> u32 {
    let mut up = domain
        .each_vcpu()
        .filter(|vcpu| sched::is_up(vcpu))
        .peekable();
    let mut word = 0;
    if up.peek().is_some() {
        word |= info_flag::BLOCKED;
    }
    for vcpu in up {
        if !sched::is_blocked(vcpu) {
            word &= !info_flag::BLOCKED;
        }
        if sched::is_running(vcpu) {
            word |= info_flag::RUNNING;
        }
    }
    let mut set = |condition: bool, bit: u32| {
        if condition {
            word |= bit;
        }
    };
    let control = &domain.control;
    let stopped = domain.shutdown.load(Ordering::Acquire) != 0;
    set(stopped, info_flag::SHUTDOWN);
    set(control.dead.load(Ordering::Acquire), info_flag::DYING);
    set(
        control.pauses.load(Ordering::Relaxed) != 0,
        info_flag::PAUSED,
    );
    set(
        control.debugged.load(Ordering::Relaxed),
        info_flag::DEBUGGED,
    );
    set(
        control.flags & create_flag::XS_DOMAIN != 0,
        info_flag::XS_DOMAIN,
    );
    // The reason, all ones for none.
    let reason = domain.shutdown_code.load(Ordering::Acquire).wrapping_sub(1);
    word | (reason & info_flag::SHUTDOWN_MASK) << info_flag::SHUTDOWN_SHIFT
}

/// Nanoseconds for which `vcpu` has run.
fn time_run(vcpu: &Vcpu) -> u64 {
    sched::current_runstate(vcpu).time[State::Running as usize]
}

/// `XEN_DOMCTL_getvcpuinfo`.
pub fn vcpu(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let mut part: GetVcpuInfo = request.part()?;
    if part.vcpu >= domain.max_vcpus {
        return Err(EINVAL.into());
    }
    let vcpu = vcpu_of(domain, part.vcpu, ESRCH)?;
    part.online = u8::from(sched::is_up(vcpu));
    part.blocked = u8::from(sched::is_blocked(vcpu));
    part.running = u8::from(sched::is_running(vcpu));
    part.cpu_time = time_run(vcpu);
    part.cpu = vcpu.processor.load(Ordering::Relaxed);
    request.answer(&part)
}

/// `XEN_DOMCTL_getpageframeinfo3`: what each frame in a list is to the domain.
pub fn frames(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: GetPageFrameInfo3 = request.part()?;
    if part.num > MOST_FRAMES {
        return Err(E2BIG.into());
    }
    for index in 0..part.num {
        let at = part.array.wrapping_add(index * 8);
        let frame = Mfn::new(guest_access::read_u64(at)?);
        let kind = kind_of(&engine().frame_info(frame), domain.id);
        guest_access::write_u64(at, u64::from(kind))?;
    }
    Ok(0)
}

fn kind_of(info: &FrameInfo, owner: DomId) -> u32 {
    if info.owner != Some(owner) || info.special {
        return frame_info::XTAB;
    }
    let level = match info.frame_type {
        FrameType::Table(Level::L1) => frame_info::L1TAB,
        FrameType::Table(Level::L2) => frame_info::L2TAB,
        FrameType::Table(Level::L3) => frame_info::L3TAB,
        FrameType::Table(Level::L4) => frame_info::L4TAB,
        _ => frame_info::NOTAB,
    };
    match (info.pinned, info.validated) {
        (true, _) => level | frame_info::LPINTAB,
        (false, true) => level,
        (false, false) => frame_info::NOTAB,
    }
}
