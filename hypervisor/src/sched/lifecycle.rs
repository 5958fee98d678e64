//! Bringing vCPUs up and down, and stopping them for a while.

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::{EBUSY, EINVAL, Errno};
use xenocryst_abi::sched::shutdown::POWEROFF;

use super::{flag, queues};
use crate::arch::smp;
use crate::domain::{Domain, Vcpu};
use crate::percpu::work;
use crate::time;

/// The period of the timer that a vCPU starts with, in nanoseconds (Xen's).
const FIRST_PERIOD_NS: u64 = 10_000_000;

/// There is no memory for it.
#[derive(Debug)]
pub struct NoMemory;

/// vCPUs made so far, all domains together.
static MADE: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);

/// Announces a new vCPU: finds it a home among the CPUs, so that a domain's vCPUs are spread, and makes room for it in the
/// queues.
///
/// # Errors
/// [`NoMemory`].
pub fn register(vcpu: &'static Vcpu) -> Result<(), NoMemory> {
    let made = MADE.fetch_add(1, Ordering::Relaxed) + 1;
    if !queues::reserve(made) || !time::reserve(made) {
        MADE.fetch_sub(1, Ordering::Relaxed);
        return Err(NoMemory);
    }
    vcpu.processor.store(home(vcpu), Ordering::SeqCst);
    Ok(())
}

/// The CPU on which `vcpu` starts: its number, plus its domain's so that small domains do not all share one, counted round
/// the CPUs that are up.
pub fn home(vcpu: &Vcpu) -> u32 {
    let allowed = smp::online_mask() & super::hard_affinity(vcpu);
    let online = if allowed == 0 {
        smp::online_mask()
    } else {
        allowed
    };
    let wanted = (vcpu.id + u32::from(vcpu.domain.id.0)) % online.count_ones().max(1);
    let mut left = online;
    for _ in 0..wanted {
        left &= left.wrapping_sub(1);
    }
    if left == 0 { 0 } else { left.trailing_zeros() }
}

/// Whether `vcpu` is up.
#[inline]
pub fn is_up(vcpu: &Vcpu) -> bool {
    vcpu.run.flags.load(Ordering::Relaxed) & flag::DOWN == 0
}

/// `VCPUOP_up`: `vcpu` runs from now on.
///
/// # Errors
/// `EINVAL` if it was never given a state to start from.
pub fn up(vcpu: &'static Vcpu) -> Result<(), Errno> {
    if vcpu.kernel_cr3.get() == 0 {
        return Err(EINVAL);
    }
    if vcpu.run.flags.load(Ordering::SeqCst) & flag::DOWN != 0
        && !vcpu.loaded.load(Ordering::Acquire)
    {
        queues::move_home(vcpu, home(vcpu));
    }
    if vcpu.run.flags.fetch_or(flag::STARTED, Ordering::SeqCst) & flag::STARTED == 0 {
        // The interface promises a tick from the start; kernels that want none stop it.
        time::set_periodic(vcpu, FIRST_PERIOD_NS)?;
    }
    if vcpu.run.flags.fetch_and(!flag::DOWN, Ordering::SeqCst) & flag::DOWN != 0 {
        queues::wake(vcpu);
    }
    Ok(())
}

/// `VCPUOP_down`: `vcpu` runs no more until it is brought up. If it is the last of its domain, that is a power-off.
pub fn down(vcpu: &'static Vcpu) {
    let others = vcpu
        .domain
        .each_vcpu()
        .any(|other| !core::ptr::eq(other, vcpu) && is_up(other));
    if !others {
        super::shutdown(vcpu.domain, POWEROFF);
        return;
    }
    if vcpu.run.flags.fetch_or(flag::DOWN, Ordering::SeqCst) & flag::DOWN == 0 {
        stop_if_running(vcpu);
    }
}

/// Brings `vcpu` down for the tools, which have paused its domain, and waits until no CPU has it loaded. It waits for nothing
/// any more. That no vCPU is left is no power-off: the domain did not ask for it.
pub fn reset(vcpu: &'static Vcpu) {
    vcpu.run.flags.fetch_or(flag::DOWN, Ordering::SeqCst);
    super::end_wait(vcpu);
    unload(vcpu);
}

/// Keeps `vcpu`, which is not the caller, from running until it is released, and waits until no CPU has it loaded. One at a
/// time may do so: `domctl` requests are.
pub fn hold(vcpu: &'static Vcpu) {
    vcpu.run.flags.fetch_or(flag::HELD, Ordering::SeqCst);
    stop_if_running(vcpu);
    unload(vcpu);
}

/// Undoes [`hold`].
pub fn release(vcpu: &'static Vcpu) {
    vcpu.run.flags.fetch_and(!flag::HELD, Ordering::SeqCst);
    queues::wake(vcpu);
}

/// Keeps `domain` from running until [`unpause`] was called as often. Its vCPUs may still run for a moment: see [`unload`].
pub fn pause(domain: &'static Domain) {
    domain.pauses.fetch_add(1, Ordering::SeqCst);
    domain.each_vcpu().for_each(stop_if_running);
}

/// Undoes one [`pause`].
pub fn unpause(domain: &'static Domain) {
    let before = domain
        .pauses
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
            count.checked_sub(1)
        });
    if before == Ok(1) {
        domain.each_vcpu().for_each(queues::wake);
    }
}

/// `domain`, which had stopped, may run again.
pub fn restart(domain: &'static Domain) {
    domain.shutdown_code.store(0, Ordering::SeqCst);
    if domain.shutdown.swap(0, Ordering::SeqCst) != 0 {
        domain.each_vcpu().for_each(queues::wake);
    }
}

/// Asks the CPU that has `vcpu` loaded, if one has, to unload it: something keeps it from running. True if none has.
pub fn try_unload(vcpu: &'static Vcpu) -> bool {
    if is_unloaded(vcpu) {
        return true;
    }
    vcpu.run.unload.store(true, Ordering::SeqCst);
    queues::tell(vcpu.processor.load(Ordering::SeqCst), work::SCHEDULE);
    is_unloaded(vcpu)
}

/// Whether no CPU has `vcpu` loaded, nor has chosen it and is about to load it.
fn is_unloaded(vcpu: &Vcpu) -> bool {
    !vcpu.run.running.load(Ordering::SeqCst) && !vcpu.loaded.load(Ordering::SeqCst)
}

/// Waits until no CPU has `vcpu` loaded, which something keeps from running and which is not the caller: its registers are
/// then all where they are saved.
pub fn unload(vcpu: &'static Vcpu) {
    if !try_unload(vcpu) {
        while !is_unloaded(vcpu) {
            crate::arch::smp::serve();
            core::hint::spin_loop();
        }
    }
    vcpu.run.unload.store(false, Ordering::SeqCst);
}

/// Whether `vcpu`, which is loaded on this idle CPU, must not stay there.
pub fn is_wanted_unloaded(vcpu: &Vcpu) -> bool {
    vcpu.run.unload.load(Ordering::SeqCst)
        || vcpu.domain.dying.load(Ordering::Acquire)
        || !super::is_allowed_on(vcpu, vcpu.processor.load(Ordering::SeqCst))
}

/// Nothing of the scheduler knows `vcpu` any more, which is not loaded and will never run again.
pub fn forget(vcpu: &'static Vcpu) {
    queues::forget(vcpu);
    MADE.fetch_sub(1, Ordering::Relaxed);
}

/// Makes the CPU that runs `vcpu` choose again.
pub fn stop_if_running(vcpu: &'static Vcpu) {
    if vcpu.run.running.load(Ordering::SeqCst) {
        queues::tell(vcpu.processor.load(Ordering::SeqCst), work::SCHEDULE);
    }
}

/// `SCHEDOP_pin_override` for the calling vCPU: it stays on `cpu` from now on; `None` undoes that.
///
/// # Errors
/// `EINVAL` if `cpu` is not up, or nothing was pinned; `EBUSY` if the vCPU is pinned already, or runs on another CPU, which
/// it cannot leave while its registers are there.
pub fn pin(vcpu: &Vcpu, cpu: Option<u32>) -> Result<(), Errno> {
    let Some(cpu) = cpu else {
        let was = vcpu.run.pinned.swap(false, Ordering::Relaxed);
        return if was { Ok(()) } else { Err(EINVAL) };
    };
    if cpu >= u64::BITS || smp::online_mask() & 1 << cpu == 0 {
        return Err(EINVAL);
    }
    if vcpu.processor.load(Ordering::Relaxed) != cpu
        || vcpu.run.pinned.swap(true, Ordering::Relaxed)
    {
        return Err(EBUSY);
    }
    Ok(())
}

/// Whether the guest has pinned `vcpu` to its CPU.
pub fn is_pinned(vcpu: &Vcpu) -> bool {
    vcpu.run.pinned.load(Ordering::Relaxed)
}
