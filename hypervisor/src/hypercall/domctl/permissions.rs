//! Which of the machine's frames of device memory a domain may map.
//!
//! Keeps true: the control domain gives only what it has.

use xenocryst_abi::Mfn;
use xenocryst_abi::domctl::IomemPermission;
use xenocryst_abi::hypercall::errno::{EINVAL, ENOMEM, EPERM};
use xenocryst_memory::IoRange;

use super::{Answer, Request};
use crate::domain::Domain;

/// `XEN_DOMCTL_iomem_permission`.
pub fn iomem(request: &Request<'_>, domain: &'static Domain) -> Answer {
    let part: IomemPermission = request.part()?;
    let first = part.first_mfn;
    let last = part
        .nr_mfns
        .checked_sub(1)
        .and_then(|more| first.raw().checked_add(more))
        .map(Mfn::new)
        .ok_or(EINVAL)?;
    let range = IoRange { first, last };
    let giver = &request.call.vcpu.domain.memory;
    if !giver.change_io_access(|io| io.permits_all(range)) {
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
