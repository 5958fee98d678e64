//! `HYPERVISOR_sysctl`: what tools ask of the host. So far: console ring, facts about the machine, list of domains.
//!
//! Keeps true: only the control domain is heard, with the interface's own version; lists are bounded by what there is.

use xenocryst_abi::hypercall::errno::{EACCES, EINVAL, ENOSYS, EPERM, Errno};
use xenocryst_abi::sysctl::{
    AvailHeap, GetDomainInfoList, INTERFACE_VERSION, PhysInfo, ReadConsole, SchedId, Sysctl, op,
    physcap,
};
use xenocryst_abi::{PAGE_SIZE, Vaddr};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::{Answer, Call, domctl};
use crate::arch::{clock, cpu, guest_access, smp};
use crate::console;
use crate::domain;
use crate::mm::engine;

/// Bytes before the union.
const HEADER: u64 = 8;
/// Bytes of the console ring copied at once.
const PIECE: usize = 512;
/// `XEN_SCHEDULER_CREDIT`: the one whose interface ours is closest to.
const SCHEDULER_CREDIT: u32 = 5;

struct Request {
    at: Vaddr,
    copy: Sysctl,
}

impl Request {
    fn part<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<T, Errno> {
        T::read_from_prefix(self.copy.data.as_bytes())
            .map(|(part, _)| part)
            .map_err(|_| EINVAL)
    }

    fn answer<T: IntoBytes + Immutable>(&self, part: &T) -> Answer {
        guest_access::write(self.at.wrapping_add(HEADER), part)?;
        Ok(0)
    }
}

/// `sysctl(op)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    if !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    let at = Vaddr::new(call.args[0]);
    let request = Request {
        at,
        copy: guest_access::read(at)?,
    };
    if request.copy.interface_version != INTERFACE_VERSION {
        return Err(EACCES.into());
    }
    match request.copy.cmd {
        op::READCONSOLE => read_console(&request),
        op::PHYSINFO => request.answer(&physical_info()),
        op::SCHED_ID => request.answer(&SchedId {
            sched_id: SCHEDULER_CREDIT,
        }),
        op::GETDOMAININFOLIST => domain_list(&request),
        op::AVAILHEAP => {
            let mut part: AvailHeap = request.part()?;
            part.avail_bytes = engine().free_frame_count() * PAGE_SIZE;
            request.answer(&part)
        }
        _ => Err(ENOSYS.into()),
    }
}

fn read_console(request: &Request) -> Answer {
    let mut part: ReadConsole = request.part()?;
    let mut from = (part.incremental != 0).then_some(part.index);
    let mut done = 0;
    let mut text = [0; PIECE];
    while done < part.count {
        let room = (part.count - done).min(PIECE as u32) as usize;
        let read = console::read_ring(from, text.get_mut(..room).unwrap_or(&mut []));
        if read.count == 0 {
            break;
        }
        let piece = text.get(..read.count).unwrap_or(&[]);
        guest_access::copy_to(part.buffer.wrapping_add(u64::from(done)), piece)?;
        done += read.count as u32;
        part.index = read.next;
        from = Some(read.next);
    }
    if part.clear != 0 {
        console::clear_ring();
    }
    part.count = done;
    request.answer(&part)
}

fn physical_info() -> PhysInfo {
    let cpus = smp::cpu_count();
    let mut info = PhysInfo::new_zeroed();
    (info.threads_per_core, info.cores_per_socket) = (1, cpus);
    (info.nr_cpus, info.max_cpu_id) = (cpus, cpus.saturating_sub(1));
    info.nr_nodes = 1;
    info.cpu_khz = (clock::tsc_hertz() / 1000) as u32;
    info.capabilities = physcap::PV | physcap::GNTTAB_V1;
    info.total_pages = engine().ram_frames();
    info.free_pages = engine().free_frame_count();
    info.max_mfn = engine().maximum_ram_page().raw();
    let [_, _, c, d] = cpu::cpuid(1, 0);
    let [_, _, extended_c, extended_d] = cpu::cpuid(0x8000_0001, 0);
    for (slot, word) in info.hw_cap.iter_mut().zip([d, c, extended_d, extended_c]) {
        *slot = word;
    }
    info
}

fn domain_list(request: &Request) -> Answer {
    let mut part: GetDomainInfoList = request.part()?;
    let mut count = 0;
    let mut next = u32::from(part.first_domain.0);
    while count < part.max_domains
        && let Some(found) = domain::first_from(next)
    {
        let info = domctl::describe(found);
        let to = part
            .buffer
            .wrapping_add(u64::from(count) * size_of_val(&info) as u64);
        guest_access::write(to, &info)?;
        count += 1;
        next = u32::from(found.id.0) + 1;
    }
    part.num_domains = count;
    request.answer(&part)
}
