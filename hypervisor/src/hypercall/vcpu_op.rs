//! `vcpu_op`: starting, stopping, timing and observing the domain's vCPUs (`public/vcpu.h`).

use core::sync::atomic::Ordering;

use xenocryst_abi::Vaddr;
use xenocryst_abi::hypercall::errno::{EEXIST, EINVAL, ENOENT, ENOMEM, ENOSYS};
use xenocryst_abi::vcpu_context::VcpuGuestContext;
use xenocryst_abi::vcpu_op::{
    GetPhysid, RegisterArea, RegisterVcpuInfo, SetPeriodicTimer, SetSingleshotTimer, op,
};

use xenocryst_memory::{Budget, Progress};

use super::{Answer, Call, Stop};
use crate::arch::{apic, guest_access};
use crate::domain::{Vcpu, guest_context};
use crate::mm::heap::try_box;
use crate::time::{self, Timer};
use crate::{events, sched};

/// `vcpu_op(cmd, vcpu, extra)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [cmd, id, extra, ..] = call.args;
    let cmd = cmd as u32;
    // The kernel's clock calls this for every event it plans, so it goes first.
    if cmd == op::SET_SINGLESHOT_TIMER && id as u32 == call.vcpu.id {
        return set_singleshot_timer(call.vcpu, Vaddr::new(extra));
    }
    // Kernels look for their vCPUs by asking for thousands of numbers.
    let vcpu = call.vcpu.domain.vcpu(id as u32).ok_or(ENOENT)?;
    match cmd {
        op::IS_UP => Ok(u64::from(sched::is_up(vcpu))),
        op::INITIALISE => initialise(call, vcpu, Vaddr::new(extra)),
        op::UP => {
            sched::up(vcpu)?;
            Ok(0)
        }
        op::DOWN => {
            sched::down(vcpu);
            if core::ptr::eq(vcpu, call.vcpu) {
                Err(Stop::Reschedule)
            } else {
                Ok(0)
            }
        }
        op::SEND_NMI => send_nmi(vcpu, extra),
        op::GET_PHYSID => get_physid(vcpu, Vaddr::new(extra)),
        _ => timers_and_areas(call, cmd, vcpu, Vaddr::new(extra)),
    }
}

/// The sub-calls that concern time and what a guest has shown to it.
fn timers_and_areas(call: &Call, cmd: u32, vcpu: &'static Vcpu, at: Vaddr) -> Answer {
    match cmd {
        op::SET_PERIODIC_TIMER => {
            let request: SetPeriodicTimer = guest_access::read(at)?;
            if request.period_ns == 0 {
                return Err(EINVAL.into());
            }
            time::set_periodic(vcpu, request.period_ns)?;
        }
        op::STOP_PERIODIC_TIMER => time::set_periodic(vcpu, 0)?,
        // A one-shot timer is its own vCPU's affair only.
        op::SET_SINGLESHOT_TIMER => return Err(EINVAL.into()),
        op::STOP_SINGLESHOT_TIMER if !core::ptr::eq(vcpu, call.vcpu) => return Err(EINVAL.into()),
        op::STOP_SINGLESHOT_TIMER => time::stop_timer(vcpu, Timer::SingleShot),
        op::GET_RUNSTATE_INFO => guest_access::write(at, &sched::current_runstate(vcpu))?,
        op::REGISTER_RUNSTATE_MEMORY_AREA => {
            let request: RegisterArea = guest_access::read(at)?;
            sched::register_area(vcpu, request.addr)?;
        }
        op::REGISTER_VCPU_TIME_MEMORY_AREA => {
            let request: RegisterArea = guest_access::read(at)?;
            time::register_area(vcpu, request.addr)?;
        }
        op::REGISTER_VCPU_INFO => {
            let request: RegisterVcpuInfo = guest_access::read(at)?;
            if !core::ptr::eq(vcpu, call.vcpu) && sched::is_up(vcpu) {
                return Err(EINVAL.into());
            }
            events::register_vcpu_info(vcpu, request.mfn, request.offset)?;
            time::update(vcpu);
        }
        _ => return Err(ENOSYS.into()),
    }
    Ok(0)
}

/// Sets the calling vCPU's one-shot timer. A time that has passed raises the event at once, whatever the flags say: the
/// interface lets the hypervisor ignore the wish for an error instead, and Xen does.
#[inline]
fn set_singleshot_timer(vcpu: &'static Vcpu, at: Vaddr) -> Answer {
    let request: SetSingleshotTimer = guest_access::read(at)?;
    time::set_single_shot(vcpu, request.timeout_abs_ns)?;
    Ok(0)
}

/// Gives a vCPU the state it starts from.
fn initialise(call: &Call, vcpu: &'static Vcpu, at: Vaddr) -> Answer {
    if vcpu.kernel_cr3.get() != 0 || sched::is_up(vcpu) {
        return Err(EEXIST.into());
    }
    let context: VcpuGuestContext = guest_access::read(at)?;
    let context = try_box(context).ok_or(ENOMEM)?;
    match guest_context::load(vcpu, &context, &mut Budget::hypercall())? {
        Progress::Done(()) => Ok(0),
        Progress::Preempted => Err(call.continue_with(call.args)),
    }
}

fn send_nmi(vcpu: &'static Vcpu, extra: u64) -> Answer {
    if extra != 0 {
        return Err(EINVAL.into());
    }
    vcpu.pending_special
        .fetch_or(crate::domain::SPECIAL_NMI, Ordering::SeqCst);
    sched::kick(vcpu);
    Ok(0)
}

/// Tells a pinned vCPU of the control domain which CPU it runs on.
fn get_physid(vcpu: &'static Vcpu, at: Vaddr) -> Answer {
    if !vcpu.domain.privileged || !sched::is_pinned(vcpu) {
        return Err(EINVAL.into());
    }
    let cpu = vcpu.processor.load(Ordering::Relaxed);
    let apic_id = apic::id_of(cpu).ok_or(EINVAL)?;
    // The ACPI numbers of CPUs are given in the order of the table, as are our own.
    let physid = GetPhysid {
        phys_id: u64::from(apic_id) | u64::from(cpu) << 32,
    };
    guest_access::write(at, &physid)?;
    Ok(0)
}
