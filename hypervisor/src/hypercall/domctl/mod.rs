//! `HYPERVISOR_domctl`: what tools do to domains.
//!
//! Keeps true: only the control domain is heard, with the interface's own version; the request is copied once; one request
//! is carried out at a time, and whoever comes meanwhile comes again; what takes long is continued by the same call.
//! Neighbours: `domain::create`, `domain::destroy`, `domain::grave`; [`describe`] serves `sysctl` too.

mod context;
mod extended;
mod info;
mod lifecycle;
mod permissions;
mod policy;
mod schedule;
mod settings;

use xenocryst_abi::Vaddr;
use xenocryst_abi::domctl::{Domctl, INTERFACE_VERSION, op};
use xenocryst_abi::hypercall::errno::{EACCES, EINVAL, ENODEV, ENOSYS, EPERM, ESRCH, Errno};
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

/// `domctl(op)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    if !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    grave::sweep();
    let at = Vaddr::new(call.args[0]);
    let request = Request {
        call,
        at,
        copy: guest_access::read(at)?,
    };
    if request.copy.interface_version != INTERFACE_VERSION {
        return Err(EACCES.into());
    }
    let Some(_guard) = ONE_AT_A_TIME.try_lock() else {
        return request.again();
    };
    match request.copy.cmd {
        op::CREATEDOMAIN => lifecycle::create(&request),
        op::GETDOMAININFO => info::domain(&request),
        _ => {
            let domain = domain::find(request.copy.domain).ok_or(ESRCH)?;
            of_domain(&request, domain)
        }
    }
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
        op::IOMEM_PERMISSION => permissions::iomem(request, domain),
        // There is no IOMMU, so no device can be given away.
        op::ASSIGN_DEVICE | op::DEASSIGN_DEVICE | op::TEST_ASSIGN_DEVICE | op::GET_DEVICE_GROUP => {
            Err(ENODEV.into())
        }
        command => settings::change(request, domain, command),
    }
}

/// The answer to a sub-call that does not exist.
fn unknown() -> Answer {
    Err(ENOSYS.into())
}
