//! `event_channel_op`: what a guest does with its event channels (`public/event_channel.h`).

use xenocryst_abi::event_channel::{
    AllocUnbound, BIND_PIRQ_WILL_SHARE, BindInterdomain, BindIpi, BindPirq, BindVcpu, BindVirq,
    Close, ExpandArray, InitControl, Reset, Send, SetPriority, Status, Unmask, fifo, op, status,
};
use xenocryst_abi::hypercall::errno::{ENOSYS, EPERM, ESRCH, Errno};
use xenocryst_abi::{DomId, Mfn, Vaddr};
use xenocryst_vcpu::port::Binding;

use super::{Answer, Call};
use crate::arch::guest_access::{read, write};
use crate::domain::{Domain, find};
use crate::events;

/// The continuation of `EVTCHNOP_reset`, which guests have no business to use first.
const RESET_CONTINUED: u32 = 14;

/// `event_channel_op(cmd, arg)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let at = Vaddr::new(call.args[1]);
    let domain = call.vcpu.domain;
    match call.args[0] as u32 {
        op::SEND => events::send(domain, read::<Send>(at)?.port)?,
        op::UNMASK => events::unmask(domain, read::<Unmask>(at)?.port)?,
        op::CLOSE => events::close(domain, read::<Close>(at)?.port)?,
        op::BIND_VCPU => {
            let request: BindVcpu = read(at)?;
            events::bind_vcpu(domain, request.port, request.vcpu)?;
        }
        op::ALLOC_UNBOUND => alloc_unbound(domain, at)?,
        op::BIND_INTERDOMAIN => bind_interdomain(domain, at)?,
        op::BIND_VIRQ => {
            let mut request: BindVirq = read(at)?;
            request.port = events::bind_virq(domain, request.virq, request.vcpu)?;
            write(at, &request)?;
        }
        op::BIND_IPI => {
            let mut request: BindIpi = read(at)?;
            request.port = events::bind_ipi(domain, request.vcpu)?;
            write(at, &request)?;
        }
        op::BIND_PIRQ => {
            let mut request: BindPirq = read(at)?;
            let shared = request.flags & BIND_PIRQ_WILL_SHARE != 0;
            request.port = events::bind_pirq(domain, request.pirq, shared)?;
            write(at, &request)?;
        }
        op::STATUS => port_status(domain, at)?,
        op::RESET | RESET_CONTINUED => return reset(call, at),
        op::INIT_CONTROL => init_control(domain, at)?,
        op::EXPAND_ARRAY => {
            let request: ExpandArray = read(at)?;
            events::expand_array(domain, Mfn::new(request.array_gfn.raw()))?;
        }
        op::SET_PRIORITY => {
            let request: SetPriority = read(at)?;
            events::set_priority(domain, request.port, request.priority)?;
        }
        _ => return Err(ENOSYS.into()),
    }
    Ok(0)
}

/// The domain that `caller` names by `id`; "itself" is a name too.
fn named(caller: &'static Domain, id: DomId) -> Result<&'static Domain, Errno> {
    if id == DomId::SELF {
        Ok(caller)
    } else {
        find(id).ok_or(ESRCH)
    }
}

/// As [`named`], where only the control domain may name another than itself.
fn governed(caller: &'static Domain, id: DomId) -> Result<&'static Domain, Errno> {
    let domain = named(caller, id)?;
    if core::ptr::eq(domain, caller) || caller.privileged {
        Ok(domain)
    } else {
        Err(EPERM)
    }
}

fn alloc_unbound(caller: &'static Domain, at: Vaddr) -> Result<(), Errno> {
    let mut request: AllocUnbound = read(at)?;
    let domain = governed(caller, request.dom)?;
    let remote = if request.remote_dom == DomId::SELF {
        caller.id
    } else {
        request.remote_dom
    };
    request.port = events::alloc_unbound(domain, remote)?;
    write(at, &request)
}

fn bind_interdomain(caller: &'static Domain, at: Vaddr) -> Result<(), Errno> {
    let mut request: BindInterdomain = read(at)?;
    let remote = named(caller, request.remote_dom)?;
    request.local_port = events::bind_interdomain(caller, remote, request.remote_port)?;
    write(at, &request)
}

fn init_control(domain: &'static Domain, at: Vaddr) -> Result<(), Errno> {
    let mut request: InitControl = read(at)?;
    let frame = Mfn::new(request.control_gfn.raw());
    events::init_control(domain, request.vcpu, frame, request.offset)?;
    request.link_bits = fifo::LINK_BITS as u8;
    write(at, &request)
}

fn port_status(caller: &'static Domain, at: Vaddr) -> Result<(), Errno> {
    let mut request: Status = read(at)?;
    let domain = governed(caller, request.dom)?;
    let found = events::status(domain, request.port)?;
    request.vcpu = found.vcpu;
    // A domain has the low half of the word.
    let peer = |id: DomId| request.bound_to & 0xffff_0000 | u32::from(id.0);
    (request.status, request.bound_to, request.remote_port) = match found.binding {
        Binding::Free | Binding::Reserved => {
            (status::CLOSED, request.bound_to, request.remote_port)
        }
        Binding::Unbound { remote } => (status::UNBOUND, peer(remote), request.remote_port),
        Binding::Interdomain { remote, port } => (status::INTERDOMAIN, peer(remote.id), port),
        Binding::Pirq(pirq) => (status::PIRQ, pirq, request.remote_port),
        Binding::Virq(virq) => (status::VIRQ, virq, request.remote_port),
        Binding::Ipi => (status::IPI, request.bound_to, request.remote_port),
    };
    write(at, &request)
}

fn reset(call: &Call, at: Vaddr) -> Answer {
    let request: Reset = read(at)?;
    let domain = governed(call.vcpu.domain, request.dom)?;
    let resuming = call.args[0] as u32 == RESET_CONTINUED;
    if events::reset(domain, resuming)? {
        return Ok(0);
    }
    let mut args = call.args;
    args[0] = u64::from(RESET_CONTINUED);
    Err(call.continue_with(args))
}
