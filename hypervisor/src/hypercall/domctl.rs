//! `HYPERVISOR_domctl`: what tools do to domains. So far: describing one, and what it sees of the processor.
//!
//! Keeps true: only the control domain is heard, with the interface's own version.

use alloc::boxed::Box;
use core::sync::atomic::Ordering;

use xenocryst_abi::Vaddr;
use xenocryst_abi::domctl::{
    CpuPolicy, Domctl, GetDomainInfo, INTERFACE_VERSION, INVALID_MAX_VCPU_ID, info_flag, op,
};
use xenocryst_abi::hypercall::errno::{EACCES, EEXIST, EINVAL, ENOSYS, EPERM, ESRCH, Errno};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::{Answer, Call, cpu_policy};
use crate::arch::guest_access;
use crate::cpuid;
use crate::domain::{self, Domain};
use crate::mm::engine;
use crate::sched;

/// Bytes before the union.
const HEADER: u64 = 16;
/// Offset of the domain's number in the call.
const DOMAIN: u64 = 8;

/// `domctl(op)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    if !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    let at = Vaddr::new(call.args[0]);
    let request: Domctl = guest_access::read(at)?;
    if request.interface_version != INTERFACE_VERSION {
        return Err(EACCES.into());
    }
    match request.cmd {
        op::GETDOMAININFO => {
            // The domain with this number or the next there is.
            let found = domain::first_from(u32::from(request.domain.0)).ok_or(ESRCH)?;
            guest_access::write(at.wrapping_add(DOMAIN), &found.id.0)?;
            guest_access::write(at.wrapping_add(HEADER), &describe(found))?;
            Ok(0)
        }
        op::GET_CPU_POLICY => get_cpu_policy(&request, at),
        op::SET_CPU_POLICY => set_cpu_policy(call, &request, at),
        _ => Err(ENOSYS.into()),
    }
}

/// The member of the union that belongs to the call.
fn part<T: FromBytes + KnownLayout + Immutable>(request: &Domctl) -> Result<T, Errno> {
    T::read_from_prefix(request.data.as_bytes())
        .map(|(part, _)| part)
        .map_err(|_| EINVAL)
}

fn get_cpu_policy(request: &Domctl, at: Vaddr) -> Answer {
    let mut wanted: CpuPolicy = part(request)?;
    let domain = domain::find(request.domain).ok_or(ESRCH)?;
    wanted.nr_leaves = cpuid::with_policy(domain, |policy| {
        let source = |leaf, subleaf| policy.stored(leaf, subleaf);
        cpu_policy::write_leaves(&source, wanted.leaves, wanted.nr_leaves)
    })?;
    wanted.nr_msrs = cpu_policy::write_msrs(&cpuid::policy_msrs(), wanted.msrs, wanted.nr_msrs)?;
    guest_access::write(at.wrapping_add(HEADER), &wanted)?;
    Ok(0)
}

/// A domain's view of the processor may change only before it runs.
fn set_cpu_policy(call: &Call, request: &Domctl, at: Vaddr) -> Answer {
    let mut wanted: CpuPolicy = part(request)?;
    let domain = domain::find(request.domain).ok_or(ESRCH)?;
    if core::ptr::eq(domain, call.vcpu.domain) {
        return Err(EINVAL.into());
    }
    if domain.each_vcpu().any(sched::is_up) {
        return Err(EEXIST.into());
    }
    let merged = cpuid::with_policy(domain, |policy| cpu_policy::merged(&mut wanted, policy));
    match merged {
        Ok(policy) => {
            *domain.cpu_policy.lock() = Some(Box::new(policy));
            Ok(0)
        }
        Err(errno) => {
            guest_access::write(at.wrapping_add(HEADER), &wanted)?;
            Err(errno.into())
        }
    }
}

/// What tools are told of `domain`.
pub fn describe(domain: &'static Domain) -> GetDomainInfo {
    let mut info = GetDomainInfo::new_zeroed();
    info.domain = domain.id;
    let shutdown = domain.shutdown.load(Ordering::Acquire);
    if shutdown != 0 {
        info.flags |= info_flag::SHUTDOWN | (shutdown - 1) << info_flag::SHUTDOWN_SHIFT;
    }
    if domain.dying.load(Ordering::Acquire) {
        info.flags |= info_flag::DYING;
    }
    let mut running = false;
    info.max_vcpu_id = INVALID_MAX_VCPU_ID;
    for vcpu in domain.each_vcpu() {
        info.max_vcpu_id = vcpu.id;
        if sched::is_up(vcpu) {
            info.nr_online_vcpus += 1;
            running |= vcpu.loaded.load(Ordering::Relaxed);
        }
    }
    info.flags |= if running {
        info_flag::RUNNING
    } else {
        info_flag::BLOCKED
    };
    info.tot_pages = u64::from(engine().owned_frames(domain.id));
    info.max_pages = u64::from(domain.memory.max_pages());
    info.shared_info_frame = domain.shared_info_mfn().raw();
    info
}
