//! What a domain sees of the processor, as tools get it and set it.
//!
//! Neighbours: `hypercall::cpu_policy` (lists of leaves), `cpuid` (the answers).

use core::sync::atomic::Ordering;

use xenocryst_abi::domctl::CpuPolicy;
use xenocryst_abi::hypercall::errno::{EEXIST, EINVAL, ENOMEM};

use super::{Answer, Request};
use crate::cpuid;
use crate::domain::Domain;
use crate::hypercall::cpu_policy;
use crate::mm::heap::try_box;

/// `XEN_DOMCTL_get_cpu_policy`.
pub fn get(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let mut part: CpuPolicy = request.part()?;
    part.nr_leaves = cpuid::with_policy(domain, |policy| {
        let source = |leaf, subleaf| policy.stored(leaf, subleaf);
        cpu_policy::write_leaves(&source, part.leaves, part.nr_leaves)
    })?;
    part.nr_msrs = cpu_policy::write_msrs(&cpuid::policy_msrs(), part.msrs, part.nr_msrs)?;
    request.answer(&part)
}

/// `XEN_DOMCTL_set_cpu_policy`: a domain's view of the processor may change only before it runs.
pub fn set(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let mut part: CpuPolicy = request.part()?;
    if request.is_own(domain) {
        return Err(EINVAL.into());
    }
    if domain.control.finished.load(Ordering::Relaxed) {
        return Err(EEXIST.into());
    }
    let merged = cpuid::with_policy(domain, |policy| cpu_policy::merged(&mut part, policy));
    match merged {
        Ok(policy) => {
            let policy = try_box(policy).ok_or(ENOMEM)?;
            *domain.cpu_policy.lock() = Some(policy);
            Ok(0)
        }
        Err(errno) => {
            request.answer(&part)?;
            Err(errno.into())
        }
    }
}
