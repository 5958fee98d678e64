//! The single settings of a domain, and what PV guests have none of.

use core::sync::atomic::Ordering;

use xenocryst_abi::domctl::{
    AddressSize, HypercallInit, SendTrigger, SetDomainHandle, SetTimeOffset, SetVirqHandler,
    Subscribe, TscInfo, op, trigger,
};
use xenocryst_abi::hypercall::errno::{EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESRCH};
use xenocryst_abi::{Maddr, Mfn};

use super::{Answer, Request, unknown, vcpu_of};
use crate::arch::clock;
use crate::builder::hypercall_page;
use crate::domain::control::Tsc;
use crate::domain::{Domain, SPECIAL_NMI};
use crate::events;
use crate::mm::{direct_map, engine};
use crate::sched;
use crate::time;
use crate::time::counter::{self, Emulated};

/// Bits of an address of a guest: there are no 32-bit ones.
const ADDRESS_SIZE: u32 = 64;

/// Carries out `command`, one of those that are not long enough for a file of their own.
pub fn change(request: &Request<'_>, domain: &'static Domain, command: u32) -> Answer {
    match command {
        op::SETDOMAINHANDLE => {
            let part: SetDomainHandle = request.part()?;
            *domain.control.handle.lock() = part.handle;
            Ok(0)
        }
        op::SETDEBUGGING => set_debugging(request, domain),
        op::SET_ADDRESS_SIZE => {
            let part: AddressSize = request.part()?;
            match part.size {
                ADDRESS_SIZE => Ok(0),
                32 => Err(EOPNOTSUPP.into()),
                _ => Err(EINVAL.into()),
            }
        }
        op::GET_ADDRESS_SIZE => request.answer(&AddressSize { size: ADDRESS_SIZE }),
        op::HYPERCALL_INIT => write_hypercall_page(request, domain),
        op::SETTIMEOFFSET => {
            let part: SetTimeOffset = request.part()?;
            domain
                .control
                .time_offset
                .store(part.time_offset_seconds, Ordering::Relaxed);
            crate::time::show_wall_clock(domain);
            Ok(0)
        }
        op::SETTSCINFO => set_tsc(request, domain),
        op::GETTSCINFO => get_tsc(request, domain),
        op::SENDTRIGGER => send_trigger(request, domain),
        op::SUBSCRIBE => {
            let part: Subscribe = request.part()?;
            domain
                .control
                .suspend_port
                .store(part.port, Ordering::Relaxed);
            Ok(0)
        }
        op::SET_VIRQ_HANDLER => {
            let part: SetVirqHandler = request.part()?;
            events::set_global_handler(domain, part.virq)?;
            Ok(0)
        }
        // What Xen answers of a PV domain: its memory cannot be made that of a new kernel.
        op::SOFT_RESET => Err(EINVAL.into()),
        // As on a Xen built without shadow paging.
        op::SHADOW_OP => Err(EINVAL.into()),
        // HVM only.
        op::GETHVMCONTEXT
        | op::SETHVMCONTEXT
        | op::GETHVMCONTEXT_PARTIAL
        | op::SET_BROKEN_PAGE_P2M => Err(EINVAL.into()),
        _ => unknown(),
    }
}

/// `XEN_DOMCTL_setdebugging`. The first word says whether.
fn set_debugging(request: &Request<'_>, domain: &'static Domain) -> Answer {
    if request.is_own(domain) {
        return Err(EINVAL.into());
    }
    let enable: u8 = request.part()?;
    domain
        .control
        .debugged
        .store(enable != 0, Ordering::Relaxed);
    Ok(0)
}

/// `XEN_DOMCTL_hypercall_init`: fills a page of the domain with the ways into the hypervisor.
fn write_hypercall_page(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: HypercallInit = request.part()?;
    let frame = Mfn::new(part.gmfn.raw());
    let owned = engine().frame_info(frame).owner == Some(domain.id);
    let missing = if owned { EPERM } else { EINVAL };
    let held = engine()
        .get_writable_page(&domain.memory, frame)
        .map_err(|_| missing)?;
    write_frame(held.mfn().maddr(), &hypercall_page());
    engine().put_writable_page(held);
    Ok(0)
}

/// Fills the frame at `to`, which is held for writing.
fn write_frame(to: Maddr, page: &[u8; 4096]) {
    // SAFETY: a whole RAM frame in the direct map that is no table while it is held; the guest may write it at the same time,
    // which the string instruction tolerates.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rdi") direct_map(to) => _,
            inout("rsi") page.as_ptr() => _,
            inout("rcx") page.len() => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Kilohertz of the processor's counter.
fn processors_khz() -> u32 {
    (clock::tsc_hertz() / 1000) as u32
}

/// `XEN_DOMCTL_settscinfo`. The counter is the CPU's own unless it is always to be emulated.
fn set_tsc(request: &Request<'_>, domain: &'static Domain) -> Answer {
    const ALWAYS_EMULATED: u32 = 1;
    const MOST_MODE: u32 = 2;
    let part: TscInfo = request.part()?;
    if request.is_own(domain) || part.tsc_mode > MOST_MODE {
        return Err(EINVAL.into());
    }
    let khz = match part.gtsc_khz {
        0 => processors_khz(),
        khz => khz,
    };
    sched::pause(domain);
    domain.each_vcpu().for_each(sched::unload);
    *domain.control.tsc.lock() = Tsc {
        mode: part.tsc_mode,
        incarnation: part.incarnation,
        emulated: Emulated {
            khz,
            start_ns: clock::now_ns().wrapping_sub(part.elapsed_nsec),
        },
    };
    let emulated = part.tsc_mode == ALWAYS_EMULATED;
    domain
        .control
        .tsc_emulated
        .store(emulated, Ordering::Relaxed);
    domain.each_vcpu().for_each(time::outdated);
    sched::unpause(domain);
    Ok(0)
}

/// `XEN_DOMCTL_gettscinfo`.
fn get_tsc(request: &Request<'_>, domain: &'static Domain) -> Answer {
    if request.is_own(domain) {
        return Err(EINVAL.into());
    }
    let Tsc {
        mode,
        incarnation,
        emulated,
    } = *domain.control.tsc.lock();
    let now = clock::now_ns();
    let (gtsc_khz, elapsed_nsec) = if counter::is_emulated(domain) {
        (emulated.khz, now.wrapping_sub(emulated.start_ns))
    } else {
        (processors_khz(), now)
    };
    request.answer(&TscInfo {
        tsc_mode: mode,
        gtsc_khz,
        incarnation,
        pad: 0,
        elapsed_nsec,
    })
}

/// `XEN_DOMCTL_sendtrigger`: of all triggers a PV guest knows the NMI.
fn send_trigger(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: SendTrigger = request.part()?;
    let vcpu = vcpu_of(domain, part.vcpu, ESRCH)?;
    match part.trigger {
        trigger::NMI => {
            vcpu.pending_special.fetch_or(SPECIAL_NMI, Ordering::SeqCst);
            sched::kick(vcpu);
            Ok(0)
        }
        trigger::POWER | trigger::SLEEP => Err(EINVAL.into()),
        _ => Err(ENOSYS.into()),
    }
}
