//! Whom a memory hypercall is about: the domain numbers in its arguments, checked against who calls.
//!
//! Keeps true: another domain's memory is reached only by the control domain (or through the two system owners, whose
//! frames carry permissions of their own).

use spin::Once;
use xenocryst_abi::DomId;
use xenocryst_abi::hypercall::errno::{EPERM, ESRCH, Errno};
use xenocryst_memory::{DomainMemory, IoAccess};

use crate::domain::{self, Domain};
use crate::mm::engine;

static IO: Once<DomainMemory> = Once::new();
static XEN: Once<DomainMemory> = Once::new();

/// The memory of the domain that `caller` names as `id`, as owner of frames to be mapped. Frames of devices
/// (`DOMID_IO`) carry permissions of their own.
///
/// # Errors
/// `ESRCH` for a domain that is not there, and for the caller's own number: it is `DOMID_SELF` here. `EPERM` for one that
/// the caller may not touch.
#[inline]
pub fn page_owner(caller: &'static Domain, id: DomId) -> Result<&'static DomainMemory, Errno> {
    if id == DomId::SELF {
        return Ok(&caller.memory);
    }
    foreign_page_owner(caller, id)
}

/// As [`page_owner`], where only the control domain may name another than itself, `DOMID_IO` included.
///
/// # Errors
/// As [`page_owner`].
pub fn governed_page_owner(
    caller: &'static Domain,
    id: DomId,
) -> Result<&'static DomainMemory, Errno> {
    if id == DomId::IO && !caller.privileged {
        return Err(EPERM);
    }
    page_owner(caller, id)
}

/// The owner of the frames that the hypervisor shows to whoever is privileged.
pub fn xen() -> &'static DomainMemory {
    XEN.call_once(|| DomainMemory::new(DomId::XEN, false, 0, IoAccess::none()))
}

/// Lets the control domain map the frames of the M2P, to read: its tools look up other domains' frames there.
pub fn share_m2p() {
    /// Frames in a piece.
    const PIECE: u64 = 512;
    for &first in crate::mm::storage::m2p_pieces() {
        for frame in 0..PIECE {
            // A piece without RAM repeats the one before, which is shared already.
            let _ = engine().share_with(xen(), first.wrapping_add(frame), false);
        }
    }
}

#[cold]
fn foreign_page_owner(caller: &'static Domain, id: DomId) -> Result<&'static DomainMemory, Errno> {
    if id == caller.id {
        return Err(ESRCH);
    }
    match id {
        DomId::IO => Ok(IO.call_once(|| DomainMemory::new(DomId::IO, false, 0, IoAccess::none()))),
        DomId::XEN if caller.privileged => Ok(xen()),
        DomId::XEN => Err(EPERM),
        _ => Ok(&other(caller, id)?.memory),
    }
}

/// The domain that `caller` names as `id`: itself, or any other if it is the control domain.
///
/// # Errors
/// As [`page_owner`].
pub fn other(caller: &'static Domain, id: DomId) -> Result<&'static Domain, Errno> {
    if id == DomId::SELF || id == caller.id {
        return Ok(caller);
    }
    let found = domain::find(id).ok_or(ESRCH)?;
    if caller.privileged {
        Ok(found)
    } else {
        Err(EPERM)
    }
}

/// That `caller` may do what only the control domain may.
///
/// # Errors
/// `EPERM`.
pub fn require_privilege(caller: &Domain) -> Result<(), Errno> {
    if caller.privileged {
        Ok(())
    } else {
        Err(EPERM)
    }
}
