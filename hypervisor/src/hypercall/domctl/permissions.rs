//! Which of the machine's frames of device memory, ports and interrupt lines a domain may use.
//!
//! Keeps true: the control domain gives only what it has. Each looks at its argument before it looks at who asks, as Xen does.
//! Neighbours: `emulate::ports` (the sets of ports), `irq` (the lines), the engine's `IoAccess` (the frames).

use xenocryst_abi::Mfn;
use xenocryst_abi::domctl::{IomemPermission, IoportPermission, IrqPermission, MemoryMapping};
use xenocryst_abi::hypercall::errno::{EINVAL, ENOMEM, EPERM};
use xenocryst_memory::IoRange;

use super::{Answer, Request};
use crate::arch::cpu;
use crate::domain::Domain;
use crate::emulate::ports;
use crate::hypercall::owners;
use crate::irq;

/// Bits of an address inside a frame.
const FRAME_BITS: u32 = 12;

/// The range of `count` frames from `first`; none if it wraps. No frames at all are all there are but the last, as on Xen,
/// and only from frame 0.
fn frames(first: Mfn, count: u64) -> Option<IoRange> {
    let last = first.raw().wrapping_add(count).wrapping_sub(1);
    (last >= first.raw()).then(|| IoRange {
        first,
        last: Mfn::new(last),
    })
}

/// `XEN_DOMCTL_iomem_permission`.
pub fn iomem(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: IomemPermission = request.part()?;
    let range = frames(part.first_mfn, part.nr_mfns).ok_or(EINVAL)?;
    let caller = request.call.vcpu.domain;
    if !caller.privileged || !caller.memory.change_io_access(|io| io.permits_all(range)) {
        return Err(EPERM.into());
    }
    let changed = domain.memory.change_io_access(|io| {
        if part.allow_access != 0 {
            io.permit(range)
        } else {
            io.deny(range)
        }
    });
    if changed { Ok(0) } else { Err(ENOMEM.into()) }
}

/// `XEN_DOMCTL_ioport_permission`.
pub fn ioports(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: IoportPermission = request.part()?;
    let last = part
        .nr_ports
        .checked_sub(1)
        .and_then(|more| part.first_port.checked_add(more))
        .and_then(|last| u16::try_from(last).ok())
        .ok_or(EINVAL)?;
    owners::require_privilege(request.call.vcpu.domain)?;
    // Not above the last, which fits.
    let first = part.first_port as u16;
    ports::permit(domain, first, last, part.allow_access != 0)?;
    Ok(0)
}

/// `XEN_DOMCTL_irq_permission`: the interrupt is named by the caller's number of it.
pub fn irqs(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: IrqPermission = request.part()?;
    if !irq::is_in_range(part.pirq) {
        return Err(EINVAL.into());
    }
    owners::require_privilege(request.call.vcpu.domain)?;
    irq::permit(
        request.call.vcpu.domain,
        part.pirq,
        domain,
        part.allow_access != 0,
    )?;
    Ok(0)
}

/// `XEN_DOMCTL_memory_mapping`: who may use the frames maps them for itself, so there is nothing to do.
pub fn map_iomem(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: MemoryMapping = request.part()?;
    let range = frames(part.first_mfn, part.nr_mfns).ok_or(EINVAL)?;
    let beyond = cpu::features().physical_bits.saturating_sub(FRAME_BITS);
    frames(Mfn::new(part.first_gfn.raw()), part.nr_mfns).ok_or(EINVAL)?;
    if range.last.raw() >> beyond != 0 {
        return Err(EINVAL.into());
    }
    let may = |of: &Domain| of.memory.change_io_access(|io| io.permits_all(range));
    let caller = request.call.vcpu.domain;
    if caller.privileged && may(caller) && may(domain) {
        Ok(0)
    } else {
        Err(EPERM.into())
    }
}
