//! The parts of a vCPU's state that came to the interface later: 32-bit entry points, extended registers, MSRs.
//!
//! Keeps true: what is set here is checked as what the guest itself sets; a state area that could make the CPU fault when it is
//! loaded is refused.

use xenocryst_abi::Vaddr;
use xenocryst_abi::domctl::{ExtVcpuContext, VcpuExtState, VcpuMsr, VcpuMsrs};
use xenocryst_abi::hypercall::errno::{EFAULT, EINVAL, ENOBUFS, EOPNOTSUPP, ESRCH, Errno};
use xenocryst_emulate::msr::TSC_AUX;

use super::{Answer, Request, vcpu_of};
use crate::arch::{fpu, guest_access};
use crate::cpuid;
use crate::domain::{Callback, Domain, Vcpu};
use crate::sched;

/// Bytes of an [`ExtVcpuContext`] before the machine check part, the least that may be given.
const LEAST_EXTENDED: u32 = 32;
/// Bytes before the save area in the extended state: XCR0 as it is, and every state it ever had.
const XSTATE_HEADER: u64 = 16;
/// Bytes of the legacy region of a save area.
const LEGACY: usize = 512;
/// Bytes of the legacy region and header of a save area.
const LEAST_XSAVE: u64 = 576;

/// Runs `work` while `vcpu` is loaded nowhere.
///
/// # Errors
/// `EINVAL` if it is of the caller's own domain; those of `work`.
fn with_stopped<R>(
    request: &Request<'_>,
    vcpu: &'static Vcpu,
    work: impl FnOnce() -> Result<R, Errno>,
) -> Result<R, Errno> {
    if request.is_own(vcpu.domain) {
        return Err(EINVAL);
    }
    sched::pause(vcpu.domain);
    sched::unload(vcpu);
    let result = work();
    sched::unpause(vcpu.domain);
    result
}

/// `XEN_DOMCTL_get_ext_vcpucontext`.
pub fn get_callbacks(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let mut part: ExtVcpuContext = request.part()?;
    let vcpu = vcpu_of(domain, part.vcpu, ESRCH)?;
    with_stopped(request, vcpu, || {
        let (compat, sysenter) = (vcpu.syscall32.get(), vcpu.sysenter.get());
        part.size = size_of::<ExtVcpuContext>() as u32;
        part.syscall32_callback_eip = compat.address;
        part.syscall32_disables_events = u8::from(compat.mask_events);
        part.sysenter_callback_eip = sysenter.address;
        part.sysenter_disables_events = u8::from(sysenter.mask_events);
        // Segments of 64-bit guests are always the flat ones, and their machine check banks are empty.
        (part.syscall32_callback_cs, part.sysenter_callback_cs) = (0, 0);
        part.vmce = [0; 4];
        Ok(())
    })?;
    request.answer(&part)
}

/// `XEN_DOMCTL_set_ext_vcpucontext`.
pub fn set_callbacks(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: ExtVcpuContext = request.part()?;
    let vcpu = vcpu_of(domain, part.vcpu, ESRCH)?;
    let canonical = |address: u64| Vaddr::new(address).is_canonical();
    if part.size < LEAST_EXTENDED
        || !canonical(part.syscall32_callback_eip)
        || !canonical(part.sysenter_callback_eip)
    {
        return Err(EINVAL.into());
    }
    with_stopped(request, vcpu, || {
        vcpu.syscall32.set(Callback {
            address: part.syscall32_callback_eip,
            mask_events: part.syscall32_disables_events != 0,
        });
        vcpu.sysenter.set(Callback {
            address: part.sysenter_callback_eip,
            mask_events: part.sysenter_disables_events != 0,
        });
        Ok(())
    })?;
    Ok(0)
}

/// Bytes of the extended state with the states `mask`.
fn xstate_size(mask: u64) -> u64 {
    XSTATE_HEADER + u64::from(cpuid::policy().save_area_size(mask))
}

/// The states that the hypervisor saves; those of FXSAVE where there is no XSAVE.
fn all_states() -> u64 {
    fpu::components()
}

/// `XEN_DOMCTL_getvcpuextstate`.
pub fn get_xstate(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let mut part: VcpuExtState = request.part()?;
    let vcpu = vcpu_of(domain, part.vcpu, ESRCH)?;
    let states = all_states();
    if (part.size == 0 && part.xfeature_mask == 0) || part.buffer.raw() == 0 {
        part.xfeature_mask = states;
        part.size = xstate_size(states);
        return request.answer(&part);
    }
    with_stopped(request, vcpu, || {
        let accumulated = if states == 0 { 0 } else { vcpu.xcr0.get() | 3 };
        let size = xstate_size(accumulated);
        let area = (size - XSTATE_HEADER) as usize;
        if part.size < size || part.xfeature_mask != states || area > fpu::AREA_SIZE {
            return Err(EINVAL);
        }
        let current = if states == 0 { 0 } else { vcpu.xcr0.get() };
        guest_access::write(part.buffer, &[current, accumulated])?;
        if states != 0 {
            // SAFETY: the vCPU's own area of that many bytes at least; nobody has the vCPU loaded.
            let bytes = unsafe { core::slice::from_raw_parts(vcpu.fpu, area) };
            guest_access::copy_to(part.buffer.wrapping_add(XSTATE_HEADER), bytes)?;
            part.size = size;
        } else {
            part.size = XSTATE_HEADER;
        }
        Ok(())
    })?;
    request.answer(&part)
}

/// `XEN_DOMCTL_setvcpuextstate`.
pub fn set_xstate(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: VcpuExtState = request.part()?;
    let vcpu = vcpu_of(domain, part.vcpu, ESRCH)?;
    let states = all_states();
    if part.size < XSTATE_HEADER || part.size > xstate_size(part.xfeature_mask & states) {
        return Err(EINVAL.into());
    }
    let [current, accumulated]: [u64; 2] = guest_access::read(part.buffer)?;
    if accumulated == 0 && current == 0 {
        return Ok(0);
    }
    let allowed = cpuid::policy().xcr0();
    if current & !accumulated != 0 || accumulated & !allowed != 0 || current & 1 == 0 {
        return Err(EINVAL.into());
    }
    if part.size != XSTATE_HEADER && part.size < XSTATE_HEADER + LEAST_XSAVE {
        return Err(EINVAL.into());
    }
    if part.size != XSTATE_HEADER && part.size != xstate_size(accumulated) {
        return Err(EINVAL.into());
    }
    let mut area = [0_u8; fpu::AREA_SIZE];
    let length = (part.size - XSTATE_HEADER) as usize;
    let bytes = area.get_mut(..length).ok_or(EINVAL)?;
    guest_access::copy_from(bytes, part.buffer.wrapping_add(XSTATE_HEADER))?;
    if length != 0 {
        check_header(bytes, accumulated)?;
    }
    with_stopped(request, vcpu, || {
        vcpu.xcr0.set(current);
        if length != 0 {
            // SAFETY: the vCPU's own area of `AREA_SIZE` bytes; nobody has the vCPU loaded.
            unsafe { core::ptr::copy_nonoverlapping(area.as_ptr(), vcpu.fpu, area.len()) };
            crate::domain::guest_context::mask_mxcsr(vcpu);
        }
        Ok(())
    })?;
    Ok(0)
}

/// Whether the header of a save area says only what XRSTOR takes: known states, standard form, zeros elsewhere.
fn check_header(area: &[u8], accumulated: u64) -> Result<(), Errno> {
    let word = |index: usize| {
        let at = LEGACY + index * 8;
        let bytes = area.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let (Some(used), Some(form)) = (word(0), word(1)) else {
        return Err(EINVAL);
    };
    if form != 0 {
        return Err(EOPNOTSUPP);
    }
    let rest = (2..8).all(|index| word(index) == Some(0));
    if used & !accumulated == 0 && rest {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// `XEN_DOMCTL_get_vcpu_msrs`: those that have a value of the guest's own. Of all that Xen knows only one exists here.
pub fn get_msrs(request: &Request<'_>, domain: &'static Domain) -> Answer {
    const MOST: u32 = 7;
    let mut part: VcpuMsrs = request.part()?;
    let vcpu = vcpu_of(domain, part.vcpu, ESRCH)?;
    if part.msrs.raw() == 0 {
        part.msr_count = MOST;
        return request.answer(&part);
    }
    let value = with_stopped(request, vcpu, || Ok(u64::from(vcpu.tsc_aux.get())))?;
    let count = u32::from(value != 0);
    if count > part.msr_count {
        part.msr_count = count;
        request.answer(&part)?;
        return Err(ENOBUFS.into());
    }
    if count != 0 {
        let msr = VcpuMsr {
            index: TSC_AUX,
            reserved: 0,
            value,
        };
        guest_access::write(part.msrs, &msr)?;
    }
    part.msr_count = count;
    request.answer(&part)
}

/// `XEN_DOMCTL_set_vcpu_msrs`.
pub fn set_msrs(request: &Request<'_>, domain: &'static Domain) -> Answer {
    const MOST: u32 = 7;
    let mut part: VcpuMsrs = request.part()?;
    let vcpu = vcpu_of(domain, part.vcpu, ESRCH)?;
    if part.msr_count > MOST {
        return Err(EINVAL.into());
    }
    for index in 0..part.msr_count {
        let at = part
            .msrs
            .wrapping_add(u64::from(index) * size_of::<VcpuMsr>() as u64);
        let set = guest_access::read(at)
            .map_err(|_| EFAULT)
            .and_then(|msr: VcpuMsr| set_msr(request, vcpu, &msr));
        if let Err(errno) = set {
            part.msr_count = index;
            request.answer(&part)?;
            return Err(errno.into());
        }
    }
    Ok(0)
}

fn set_msr(request: &Request<'_>, vcpu: &'static Vcpu, msr: &VcpuMsr) -> Result<(), Errno> {
    let value = u32::try_from(msr.value).map_err(|_| EINVAL)?;
    if msr.reserved != 0 || msr.index != TSC_AUX || !cpuid::policy().has_tsc_aux() {
        return Err(EINVAL);
    }
    with_stopped(request, vcpu, || {
        vcpu.tsc_aux.set(value);
        Ok(())
    })
}
