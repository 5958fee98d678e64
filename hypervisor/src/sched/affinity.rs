//! On which CPUs a vCPU may run, and how much of them its domain gets.
//!
//! Keeps true: a vCPU runs only on CPUs of its hard affinity, from the next choice on after that was set.

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::{EBUSY, EINVAL, EOPNOTSUPP, Errno};

use super::{lifecycle, queues};
use crate::domain::{Domain, Vcpu};
use crate::percpu::work;

/// The least and the most weight a domain can have.
const WEIGHTS: core::ops::RangeInclusive<u32> = 1..=65_535;

/// CPUs that may run `vcpu`, a bit each; those that are not up too.
pub fn hard_affinity(vcpu: &Vcpu) -> u64 {
    vcpu.run.hard_affinity.load(Ordering::Relaxed)
}

/// CPUs that should run `vcpu`, a bit each; those that are not up too.
pub fn soft_affinity(vcpu: &Vcpu) -> u64 {
    vcpu.run.soft_affinity.load(Ordering::Relaxed)
}

/// From now on only the CPUs in `cpus`, some of which are up, run `vcpu`.
///
/// # Errors
/// `EBUSY` if the vCPU is pinned to a CPU by its own wish.
pub fn set_hard_affinity(vcpu: &'static Vcpu, cpus: u64) -> Result<(), Errno> {
    if lifecycle::is_pinned(vcpu) {
        return Err(EBUSY);
    }
    vcpu.run.hard_affinity.store(cpus, Ordering::SeqCst);
    let at = vcpu.processor.load(Ordering::SeqCst);
    if is_allowed_on(vcpu, at) {
        return Ok(());
    }
    if vcpu.loaded.load(Ordering::SeqCst) {
        // It is moved when its state leaves the CPU, which the next choice there sees to.
        queues::tell(at, work::SCHEDULE);
    } else {
        move_to_allowed(vcpu);
    }
    Ok(())
}

/// Whether CPU `cpu` may run `vcpu`.
pub fn is_allowed_on(vcpu: &Vcpu, cpu: u32) -> bool {
    hard_affinity(vcpu) & 1 << (cpu & 63) != 0
}

/// The state of `vcpu` has left the CPU: if that was to let it go elsewhere, it goes.
#[inline]
pub fn left_cpu(vcpu: &'static Vcpu) {
    if !is_allowed_on(vcpu, vcpu.processor.load(Ordering::SeqCst)) {
        move_to_allowed(vcpu);
    }
}

#[cold]
fn move_to_allowed(vcpu: &'static Vcpu) {
    queues::move_home(vcpu, lifecycle::home(vcpu));
    queues::wake(vcpu);
}

/// From now on the CPUs in `cpus` should run `vcpu`, if they have time.
pub fn set_soft_affinity(vcpu: &Vcpu, cpus: u64) {
    vcpu.run.soft_affinity.store(cpus, Ordering::Relaxed);
}

/// Sets the share of CPU time that `domain` gets where domains compete. 0 as weight leaves that as it is. The most it gets
/// (`cap`, percent of a CPU) cannot be limited: there is only 0, for no limit.
///
/// # Errors
/// `EINVAL` for a weight out of range, `EOPNOTSUPP` for a limit.
pub fn set_parameters(domain: &Domain, weight: u32, cap: u32) -> Result<(), Errno> {
    if cap != 0 {
        return Err(EOPNOTSUPP);
    }
    if weight != 0 {
        if !WEIGHTS.contains(&weight) {
            return Err(EINVAL);
        }
        domain.control.weight.store(weight, Ordering::Relaxed);
    }
    Ok(())
}
