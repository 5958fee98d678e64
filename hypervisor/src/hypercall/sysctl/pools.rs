//! CPU pools and the scheduler's settings: there is one pool, with every CPU in it.
//!
//! Keeps true: what tools cannot change is refused, not accepted and forgotten.

use xenocryst_abi::DomId;
use xenocryst_abi::domctl::scheduler::CREDIT2;
use xenocryst_abi::hypercall::errno::{EBUSY, EINVAL, ENODEV, ENOENT, ENOMEM, ENOSYS, ESRCH};
use xenocryst_abi::sysctl::{CpupoolOp, Credit2Schedule, SchedId, SchedulerOp, cpupool};
use xenocryst_vcpu::run_queue::MIN_RUN_NS;

use super::Request;
use crate::arch::smp;
use crate::domain;
use crate::hypercall::{Answer, bitmap};

/// The one pool.
const POOL: u32 = 0;
/// `XEN_SYSCTL_SCHEDOP_putinfo`.
const PUT: u32 = 0;
/// `XEN_SYSCTL_SCHEDOP_getinfo`.
const GET: u32 = 1;
/// How long a vCPU runs at least, in microseconds.
const RATE_LIMIT_US: u32 = (MIN_RUN_NS / 1000) as u32;

pub fn scheduler_id(request: &Request) -> Answer {
    request.answer(&SchedId { sched_id: CREDIT2 })
}

pub fn pools(request: &Request) -> Answer {
    let mut part: CpupoolOp = request.part()?;
    match part.op {
        cpupool::INFO if part.cpupool_id > POOL => Err(ENOENT.into()),
        cpupool::INFO => {
            part.cpupool_id = POOL;
            part.sched_id = CREDIT2;
            part.n_dom = domain::count();
            bitmap::write(&part.cpumap, smp::online_mask())?;
            request.answer(&part)
        }
        cpupool::FREEINFO => {
            bitmap::write(&part.cpumap, 0)?;
            Ok(0)
        }
        // There is memory for one pool.
        cpupool::CREATE => Err(ENOMEM.into()),
        cpupool::DESTROY | cpupool::RMCPU if part.cpupool_id == POOL => Err(EBUSY.into()),
        cpupool::ADDCPU if part.cpupool_id == POOL => Err(ENODEV.into()),
        cpupool::MOVEDOMAIN => {
            let id = u16::try_from(part.domid).map_err(|_| ESRCH)?;
            domain::find(DomId(id)).ok_or(ESRCH)?;
            let here = part.cpupool_id == POOL;
            if here { Ok(0) } else { Err(ENOENT.into()) }
        }
        cpupool::DESTROY | cpupool::RMCPU | cpupool::ADDCPU => Err(ENOENT.into()),
        _ => Err(ENOSYS.into()),
    }
}

pub fn settings(request: &Request) -> Answer {
    let mut part: SchedulerOp = request.part()?;
    if part.cmd != PUT && part.cmd != GET {
        return Err(EINVAL.into());
    }
    if part.cpupool_id != POOL {
        return Err(ESRCH.into());
    }
    if part.sched_id != CREDIT2 {
        return Err(EINVAL.into());
    }
    let in_force = Credit2Schedule {
        ratelimit_us: RATE_LIMIT_US,
    };
    let word = part.data[0] as u32;
    if part.cmd == PUT && word != in_force.ratelimit_us {
        return Err(EINVAL.into());
    }
    part.data[0] = u64::from(in_force.ratelimit_us);
    request.answer(&part)
}
