//! `HYPERVISOR_mca`: machine checks. There are never any to report; the CPUs can be listed.

use xenocryst_abi::Vaddr;
use xenocryst_abi::hypercall::errno::{EACCES, EINVAL, EPERM};
use xenocryst_abi::mca::{
    ACK, Fetch, INTERFACE_VERSION, LogicalCpu, McHeader, NODATA, NONURGENT, OK, PhysCpuInfo,
    URGENT, op,
};
use zerocopy::FromZeros;

use super::{Answer, Call};
use crate::arch::{apic, cpu, guest_access, smp};

/// Bytes of `struct xen_mc` before the operation's own part.
const HEADER: u64 = 8;

/// `mca(arg)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    if !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    let at = Vaddr::new(call.args[0]);
    let header: McHeader = guest_access::read(at)?;
    if header.interface_version != INTERFACE_VERSION {
        return Err(EACCES.into());
    }
    let at = at.wrapping_add(HEADER);
    match header.cmd {
        op::FETCH => fetch(at),
        op::PHYSCPUINFO => physical_cpus(at),
        _ => Err(EINVAL.into()),
    }
}

fn fetch(at: Vaddr) -> Answer {
    let mut request: Fetch = guest_access::read(at)?;
    match request.flags & (NONURGENT | URGENT) {
        NONURGENT | URGENT => {}
        _ => return Err(EINVAL.into()),
    }
    if request.flags & ACK != 0 {
        return Ok(0);
    }
    if request.data.raw() == 0 {
        return Err(EINVAL.into());
    }
    request.flags = OK | NODATA;
    request.fetch_id = 0;
    guest_access::write(at, &request)?;
    Ok(0)
}

fn physical_cpus(at: Vaddr) -> Answer {
    let mut request: PhysCpuInfo = guest_access::read(at)?;
    let mut count = smp::cpu_count();
    if request.info.raw() != 0 {
        if request.ncpus == 0 {
            return Err(EINVAL.into());
        }
        count = count.min(request.ncpus);
        for number in 0..count {
            let to = request
                .info
                .wrapping_add(u64::from(number) * size_of::<LogicalCpu>() as u64);
            guest_access::write(to, &describe(number))?;
        }
    }
    request.ncpus = count;
    guest_access::write(at, &request)?;
    Ok(0)
}

/// CPU `number`, each a chip of its own: topology is not looked at.
fn describe(number: u32) -> LogicalCpu {
    let features = cpu::features();
    let mut info = LogicalCpu::new_zeroed();
    info.cpunr = number;
    info.chipid = number;
    info.apicid = apic::id_of(number).unwrap_or(0);
    (info.ncores, info.ncores_active, info.nthreads) = (1, 1, 1);
    info.cpuid_level = features.max_leaf as i32;
    info.family = features.family;
    info.model = features.model;
    info.step = features.stepping;
    for (to, from) in info.vendorid.iter_mut().zip(features.vendor) {
        *to = from;
    }
    let [_, _, c, d] = cpu::cpuid(1, 0);
    (info.cpu_caps[0], info.cpu_caps[4]) = (d, c);
    info
}
