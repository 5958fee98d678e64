//! Facts about the machine: memory, CPUs, and how they hang together.
//!
//! Keeps true: there is one node and one socket as far as tools are told; arrays are written as far as the caller has room.

use xenocryst_abi::hypercall::errno::EINVAL;
use xenocryst_abi::physdev::PciDevice;
use xenocryst_abi::sysctl::{
    AvailHeap, CpuInfo, CpuTopo, CpuTopoInfo, GetCpuInfo, GetDomainInfoList, MemInfo, NumaInfo,
    PciTopoInfo, PhysInfo, physcap,
};
use xenocryst_abi::{PAGE_SIZE, Vaddr};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::Request;
use crate::arch::{clock, cpu, guest_access, smp};
use crate::domain;
use crate::hypercall::{Answer, Stop, domctl as domain_calls};
use crate::mm::engine;
use crate::sched;

/// `XEN_INVALID_DEV`: no such device is known.
const INVALID_DEVICE: u32 = u32::MAX - 1;
/// What a node's distance from itself is in ACPI.
const SAME_NODE: u32 = 10;
/// Devices looked at in one call.
const MOST_DEVICES: u32 = 64;

/// Writes element `index` of the array at `to`.
fn put<T: IntoBytes + Immutable>(to: Vaddr, index: u32, value: &T) -> Result<(), Stop> {
    let offset = u64::from(index) * size_of::<T>() as u64;
    Ok(guest_access::write(to.wrapping_add(offset), value)?)
}

pub fn physical_info(request: &Request) -> Answer {
    let cpus = smp::cpu_count();
    let mut info = PhysInfo::new_zeroed();
    (info.threads_per_core, info.cores_per_socket) = (1, cpus);
    (info.nr_cpus, info.max_cpu_id) = (cpus, cpus.saturating_sub(1));
    info.nr_nodes = 1;
    info.cpu_khz = (clock::tsc_hertz() / 1000) as u32;
    info.capabilities = physcap::PV | physcap::GNTTAB_V1 | physcap::GNTTAB_V2;
    info.total_pages = engine().ram_frames();
    info.free_pages = engine().free_frame_count();
    info.outstanding_pages = engine().claimed_frame_count();
    info.max_mfn = engine().maximum_ram_page().raw();
    let [_, _, c, d] = cpu::cpuid(1, 0);
    let [_, _, extended_c, extended_d] = cpu::cpuid(0x8000_0001, 0);
    for (slot, word) in info.hw_cap.iter_mut().zip([d, c, extended_d, extended_c]) {
        *slot = word;
    }
    request.answer(&info)
}

pub fn free_memory(request: &Request) -> Answer {
    let mut part: AvailHeap = request.part()?;
    part.avail_bytes = engine().free_frame_count() * PAGE_SIZE;
    request.answer(&part)
}

pub fn domain_list(request: &Request) -> Answer {
    let mut part: GetDomainInfoList = request.part()?;
    let mut count = 0;
    let mut next = u32::from(part.first_domain.0);
    while count < part.max_domains
        && let Some(found) = domain::first_from(next)
    {
        put(part.buffer, count, &domain_calls::describe(found))?;
        count += 1;
        next = u32::from(found.id.0) + 1;
    }
    part.num_domains = count;
    request.answer(&part)
}

pub fn idle_times(request: &Request) -> Answer {
    let mut part: GetCpuInfo = request.part()?;
    let count = part.max_cpus.min(smp::cpu_count());
    for cpu in 0..count {
        let info = CpuInfo {
            idletime: sched::idle_time(cpu),
        };
        put(part.info, cpu, &info)?;
    }
    part.nr_cpus = count;
    request.answer(&part)
}

pub fn cpu_topology(request: &Request) -> Answer {
    let mut part: CpuTopoInfo = request.part()?;
    let mut count = smp::cpu_count();
    if part.cputopo.raw() != 0 {
        count = count.min(part.num_cpus);
        for core in 0..count {
            let place = CpuTopo {
                core,
                socket: 0,
                node: 0,
            };
            put(part.cputopo, core, &place)?;
        }
    }
    part.num_cpus = count;
    request.answer(&part)
}

pub fn nodes(request: &Request) -> Answer {
    let mut part: NumaInfo = request.part()?;
    let asked = part.meminfo.raw() != 0 || part.distance.raw() != 0;
    let count = if asked { part.num_nodes.min(1) } else { 1 };
    if count == 1 && part.meminfo.raw() != 0 {
        let memory = MemInfo {
            memsize: engine().ram_frames() * PAGE_SIZE,
            memfree: engine().free_frame_count() * PAGE_SIZE,
        };
        put(part.meminfo, 0, &memory)?;
    }
    if count == 1 && part.distance.raw() != 0 {
        put(part.distance, 0, &SAME_NODE)?;
    }
    part.num_nodes = count;
    request.answer(&part)
}

/// Devices are not bound to nodes: each that is asked for is unknown here.
pub fn device_nodes(request: &Request) -> Answer {
    let mut part: PciTopoInfo = request.part()?;
    if part.devs.raw() == 0 || part.nodes.raw() == 0 {
        return Err(EINVAL.into());
    }
    let count = part.num_devs.min(MOST_DEVICES);
    for index in 0..count {
        let offset = u64::from(index) * size_of::<PciDevice>() as u64;
        let _: PciDevice = guest_access::read(part.devs.wrapping_add(offset))?;
        put(part.nodes, index, &INVALID_DEVICE)?;
    }
    part.num_devs = count;
    request.answer(&part)
}
