//! `HYPERVISOR_domctl`: what tools do to domains.
//!
//! Keeps true: only the control domain is obeyed, with the interface's own version; the request is copied once; one request
//! is carried out at a time, and whoever comes meanwhile comes again (others are refused without waiting or making anybody
//! wait); what takes long is continued by the same call.
//! Neighbours: `domain::create`, `domain::destroy`, `domain::grave`; [`describe`] serves `sysctl` too.

mod context;
mod extended;
mod info;
mod lifecycle;
mod permissions;
mod policy;
mod schedule;
mod settings;

use xenocryst_abi::domctl::{Domctl, INTERFACE_VERSION, SetTarget, op};
use xenocryst_abi::hypercall::errno::{EACCES, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESRCH, Errno};
use xenocryst_abi::{DomId, Vaddr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Answer, Call};
use crate::arch::guest_access;
use crate::domain::{self, Domain, Vcpu, grave};
use crate::sync::{Mutex, Rank};

pub use info::describe;

/// Bytes before the union.
const HEADER: u64 = 16;
/// Offset of the domain's number in the call.
const DOMAIN: u64 = 8;

/// Held while a request is carried out.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(Rank::Domctl, ());

/// A request: where it stands in the caller's memory, and what it said.
struct Request<'a> {
    call: &'a Call,
    at: Vaddr,
    copy: Domctl,
}

impl Request<'_> {
    /// What the sub-call's own part says.
    fn part<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<T, Errno> {
        T::read_from_prefix(self.copy.data.as_bytes())
            .map(|(part, _)| part)
            .map_err(|_| EINVAL)
    }

    /// Writes the sub-call's own part back.
    fn answer<T: IntoBytes + Immutable>(&self, part: &T) -> Answer {
        guest_access::write(self.at.wrapping_add(HEADER), part)?;
        Ok(0)
    }

    /// Writes back which domain it is about.
    fn name_domain(&self, domain: &Domain) -> Result<(), Errno> {
        guest_access::write(self.at.wrapping_add(DOMAIN), &domain.id.0)
    }

    /// Whether it is about the caller's own domain, which cannot be stopped to be worked on.
    fn is_own(&self, domain: &'static Domain) -> bool {
        core::ptr::eq(domain, self.call.vcpu.domain)
    }

    /// Leaves the rest to the same call again.
    fn again(&self) -> Answer {
        Err(self.call.continue_with(self.call.args))
    }
}

/// vCPU `id` of `domain`.
fn vcpu_of(domain: &'static Domain, id: u32, missing: Errno) -> Result<&'static Vcpu, Errno> {
    domain.vcpu(id).ok_or(missing)
}

/// `domctl(op)`. Who may not ask is told so only after the domain was looked for, and by some operations after their
/// arguments were, as by Xen.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let at = Vaddr::new(call.args[0]);
    let request = Request {
        call,
        at,
        copy: guest_access::read(at)?,
    };
    if request.copy.interface_version != INTERFACE_VERSION {
        return Err(EACCES.into());
    }
    let (command, asked) = (request.copy.cmd, request.copy.domain);
    let found = domain::find(asked);
    if found.is_none() && !is_about_no_domain(command, asked) {
        return Err(ESRCH.into());
    }
    // Looking is free: an unprivileged caller learns which numbers are in use by these errors, on Xen too.
    let caller = call.vcpu.domain;
    if !caller.privileged && !refuses_by_itself(command) {
        return Err(EPERM.into());
    }
    // Who will be refused whatever was said must not keep the control domain waiting: no turn for those.
    let _turn = if caller.privileged {
        grave::sweep();
        let Some(turn) = ONE_AT_A_TIME.try_lock() else {
            return request.again();
        };
        Some(turn)
    } else {
        None
    };
    carry_out(&request, found)
}

/// Does what `request` says, of a domain that was there when the call began, if it is `found`.
fn carry_out(request: &Request<'_>, found: Option<&'static Domain>) -> Answer {
    let (command, asked) = (request.copy.cmd, request.copy.domain);
    match command {
        op::CREATEDOMAIN => lifecycle::create(request),
        op::GETDOMAININFO => info::domain(request),
        // The sweep may have freed it.
        _ => match domain::find(asked) {
            Some(domain) => of_domain(request, domain),
            None if found.is_none() => no_domain(command),
            None => Err(ESRCH.into()),
        },
    }
}

/// Whether `command`, naming `id`, is about a domain that is not there yet, the next that there is, or no domain.
fn is_about_no_domain(command: u32, id: DomId) -> bool {
    match command {
        op::CREATEDOMAIN | op::GETDOMAININFO => true,
        op::ASSIGN_DEVICE | op::DEASSIGN_DEVICE => id == DomId::IO,
        op::TEST_ASSIGN_DEVICE | op::VM_EVENT_OP => id == DomId::INVALID,
        _ => false,
    }
}

/// Carries out `command` where it names no domain.
fn no_domain(command: u32) -> Answer {
    match command {
        op::VM_EVENT_OP => unknown(),
        _ => no_passthrough(),
    }
}

/// Whether `command` looks at its arguments, and then by itself at whether the caller may ask.
fn refuses_by_itself(command: u32) -> bool {
    matches!(
        command,
        op::GETDOMAININFO
            | op::IRQ_PERMISSION
            | op::IOMEM_PERMISSION
            | op::IOPORT_PERMISSION
            | op::MEMORY_MAPPING
            | op::IOPORT_MAPPING
            | op::BIND_PT_IRQ
            | op::UNBIND_PT_IRQ
            | op::SET_TARGET
            | op::GET_DEVICE_GROUP
    )
}

/// Whether a domain's life is what `cmd` is about: dead ones can only be asked after and destroyed again.
fn of_domain(request: &Request<'_>, domain: &'static Domain) -> Answer {
    match request.copy.cmd {
        op::DESTROYDOMAIN => lifecycle::destroy(request, domain),
        op::PAUSEDOMAIN => lifecycle::pause(request, domain),
        op::UNPAUSEDOMAIN => lifecycle::unpause(domain),
        op::RESUMEDOMAIN => lifecycle::resume(request, domain),
        op::MAX_VCPUS => lifecycle::make_vcpus(request, domain),
        op::MAX_MEM => lifecycle::max_memory(request, domain),
        op::GETVCPUINFO => info::vcpu(request, domain),
        op::GETPAGEFRAMEINFO3 => info::frames(request, domain),
        op::SETVCPUCONTEXT => context::set(request, domain),
        op::GETVCPUCONTEXT => context::get(request, domain),
        op::SET_EXT_VCPUCONTEXT => extended::set_callbacks(request, domain),
        op::GET_EXT_VCPUCONTEXT => extended::get_callbacks(request, domain),
        op::SETVCPUEXTSTATE => extended::set_xstate(request, domain),
        op::GETVCPUEXTSTATE => extended::get_xstate(request, domain),
        op::GET_VCPU_MSRS => extended::get_msrs(request, domain),
        op::SET_VCPU_MSRS => extended::set_msrs(request, domain),
        op::GET_CPU_POLICY => policy::get(request, domain),
        op::SET_CPU_POLICY => policy::set(request, domain),
        op::SETVCPUAFFINITY => schedule::set_affinity(request, domain),
        op::GETVCPUAFFINITY => schedule::get_affinity(request, domain),
        op::SETNODEAFFINITY => schedule::set_nodes(request),
        op::GETNODEAFFINITY => schedule::get_nodes(request),
        op::SCHEDULER_OP => schedule::parameters(request, domain),
        op::IRQ_PERMISSION => permissions::irqs(request, domain),
        op::IOMEM_PERMISSION => permissions::iomem(request, domain),
        op::IOPORT_PERMISSION => permissions::ioports(request, domain),
        op::MEMORY_MAPPING => permissions::map_iomem(request, domain),
        op::ASSIGN_DEVICE
        | op::DEASSIGN_DEVICE
        | op::TEST_ASSIGN_DEVICE
        | op::GET_DEVICE_GROUP
        | op::IOPORT_MAPPING => no_passthrough(),
        // For domains with hardware help.
        op::BIND_PT_IRQ | op::UNBIND_PT_IRQ => Err(EINVAL.into()),
        op::SET_TARGET => Err(no_target(request, domain).into()),
        command => settings::change(request, domain, command),
    }
}

/// There is no IOMMU, so no device can be given away.
fn no_passthrough() -> Answer {
    Err(EOPNOTSUPP.into())
}

/// Why `domain` cannot be the device model of the domain that `request` names: those with hardware help have device models.
fn no_target(request: &Request<'_>, domain: &'static Domain) -> Errno {
    match request.part::<SetTarget>() {
        Err(errno) => errno,
        Ok(part) => match domain::find(part.target) {
            None => ESRCH,
            Some(target) if core::ptr::eq(target, domain) => EINVAL,
            Some(_) => EOPNOTSUPP,
        },
    }
}

/// The answer to a sub-call that does not exist.
fn unknown() -> Answer {
    Err(ENOSYS.into())
}
