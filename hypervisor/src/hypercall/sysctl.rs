//! `HYPERVISOR_sysctl`: what tools ask of the host: console ring, facts about the machine, CPU policies, list of domains.
//!
//! Keeps true: only the control domain is heard, with the interface's own version; lists are bounded by what there is.

mod console;
mod machine;
mod policies;
mod pools;

use xenocryst_abi::Vaddr;
use xenocryst_abi::hypercall::errno::{EACCES, EINVAL, ENOSYS, Errno};
use xenocryst_abi::sysctl::{INTERFACE_VERSION, Sysctl, op};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Answer, Call, owners};
use crate::arch::guest_access;
use crate::domain;

/// Bytes before the union.
const HEADER: u64 = 8;

/// One call as it was fetched, and where its answer goes.
struct Request {
    at: Vaddr,
    copy: Sysctl,
}

impl Request {
    /// The member of the union that belongs to the call.
    fn part<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<T, Errno> {
        T::read_from_prefix(self.copy.data.as_bytes())
            .map(|(part, _)| part)
            .map_err(|_| EINVAL)
    }

    /// Writes the member back.
    fn answer<T: IntoBytes + Immutable>(&self, part: &T) -> Answer {
        guest_access::write(self.at.wrapping_add(HEADER), part)?;
        Ok(0)
    }
}

/// `sysctl(op)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let at = Vaddr::new(call.args[0]);
    let request = Request {
        at,
        copy: guest_access::read(at)?,
    };
    if request.copy.interface_version != INTERFACE_VERSION {
        return Err(EACCES.into());
    }
    owners::require_privilege(call.vcpu.domain)?;
    domain::grave::sweep();
    match request.copy.cmd {
        op::READCONSOLE => console::read_console(&request),
        op::DEBUG_KEYS => console::debug_keys(&request),
        op::PHYSINFO => machine::physical_info(&request),
        op::SCHED_ID => pools::scheduler_id(&request),
        op::GETDOMAININFOLIST => machine::domain_list(&request),
        op::GETCPUINFO => machine::idle_times(&request),
        op::AVAILHEAP => machine::free_memory(&request),
        op::CPUTOPOINFO => machine::cpu_topology(&request),
        op::NUMAINFO => machine::nodes(&request),
        op::PCITOPOINFO => machine::device_nodes(&request),
        op::CPUPOOL_OP => pools::pools(&request),
        op::SCHEDULER_OP => pools::settings(&request),
        op::GET_CPU_FEATURESET => policies::featureset(&request),
        op::GET_CPU_POLICY => policies::cpu_policy(&request),
        _ => Err(ENOSYS.into()),
    }
}
