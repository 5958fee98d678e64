//! `sched_op`: giving up the CPU, waiting, and stopping (`public/sched.h`).

use xenocryst_abi::Vaddr;
use xenocryst_abi::hypercall::errno::{EINVAL, ENOSYS, EPERM, ESRCH};
use xenocryst_abi::sched::{
    SchedPinOverride, SchedPoll, SchedRemoteShutdown, SchedShutdown, SchedWatchdog, op,
};
use zerocopy::IntoBytes;

use super::{Answer, Call, Stop};
use crate::arch::guest_access;
use crate::domain::find;
use crate::{events, sched, time};

/// Most ports that one `SCHEDOP_poll` may name (Xen's).
const MAX_POLL_PORTS: usize = 128;

/// `sched_op(cmd, arg)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let at = Vaddr::new(call.args[1]);
    let domain = call.vcpu.domain;
    match call.args[0] as u32 {
        op::YIELD => {
            sched::yield_now();
            Err(Stop::Reschedule)
        }
        op::BLOCK => {
            if sched::block(call.vcpu) {
                return Err(Stop::Reschedule);
            }
            Ok(0)
        }
        op::SHUTDOWN => {
            let request: SchedShutdown = guest_access::read(at)?;
            sched::shutdown(domain, request.reason);
            Err(Stop::Reschedule)
        }
        op::SHUTDOWN_CODE => {
            let request: SchedShutdown = guest_access::read(at)?;
            sched::record_reason(domain, request.reason);
            Ok(0)
        }
        op::POLL => poll(call, at),
        op::REMOTE_SHUTDOWN => remote_shutdown(call, at),
        op::WATCHDOG => {
            let request: SchedWatchdog = guest_access::read(at)?;
            Ok(time::set_watchdog(domain, request.id, request.timeout)?)
        }
        op::PIN_OVERRIDE => pin_override(call, at),
        _ => Err(ENOSYS.into()),
    }
}

fn poll(call: &Call, at: Vaddr) -> Answer {
    let request: SchedPoll = guest_access::read(at)?;
    let count = request.nr_ports as usize;
    if count > MAX_POLL_PORTS {
        return Err(EINVAL.into());
    }
    let mut ports = [0_u32; MAX_POLL_PORTS];
    let ports = &mut ports[..count];
    guest_access::copy_from(ports.as_mut_bytes(), request.ports)?;
    if events::poll(call.vcpu, ports, request.timeout)? {
        return Err(Stop::Reschedule);
    }
    Ok(0)
}

/// The control domain declares another one stopped.
fn remote_shutdown(call: &Call, at: Vaddr) -> Answer {
    let request: SchedRemoteShutdown = guest_access::read(at)?;
    let domain = find(request.domain_id).ok_or(ESRCH)?;
    if !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    sched::shutdown(domain, request.reason);
    Ok(0)
}

fn pin_override(call: &Call, at: Vaddr) -> Answer {
    if !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    let request: SchedPinOverride = guest_access::read(at)?;
    sched::pin(call.vcpu, u32::try_from(request.pcpu).ok())?;
    Ok(0)
}
