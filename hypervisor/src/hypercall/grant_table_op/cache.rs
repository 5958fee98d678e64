//! `GNTTABOP_cache_flush`: writing a frame's bytes back from the caches, for devices that do not look there.
//!
//! Keeps true: only the owner of a frame, and who has it mapped by a grant, can have it flushed; one element is at most
//! one page of work and one look through one table.

use xenocryst_abi::grant_table::{CacheFlush, cache_flag};
use xenocryst_abi::hypercall::errno::{EINVAL, EOPNOTSUPP, EPERM, Errno};
use xenocryst_abi::{Maddr, PAGE_SIZE, Vaddr};

use crate::arch::guest_access;
use crate::domain;
use crate::grants::granter;
use crate::hypercall::Call;
use crate::mm::engine;
use crate::mm::machine::write_back_caches;

/// Bytes of an element.
pub const SIZE: u64 = size_of::<CacheFlush>() as u64;

/// Flushes one run of bytes.
pub fn flush(call: &Call, at: Vaddr) -> Result<(), Errno> {
    let request: CacheFlush = guest_access::read(at)?;
    let end = u64::from(request.offset) + u64::from(request.length);
    if u64::from(request.offset) >= PAGE_SIZE
        || end > PAGE_SIZE
        || request.op & !(cache_flag::CLEAN | cache_flag::INVAL) != 0
    {
        return Err(EINVAL);
    }
    if request.length == 0 || request.op == 0 {
        return Ok(());
    }
    let frame = Maddr::new(request.dev_bus_addr).mfn();
    if frame > engine().maximum_ram_page() {
        return Err(EINVAL);
    }
    let caller = &call.vcpu.domain.memory;
    let owner = engine()
        .frame_info(frame)
        .owner
        .and_then(domain::find)
        .ok_or(EPERM)?;
    // Held, so that it stays whose it is meanwhile.
    let held = engine().get_page(&owner.memory, frame).map_err(|_| EPERM)?;
    let permitted =
        owner.id == caller.id() || engine().uses_grant_of(caller, &granter(owner), frame);
    let result = match (permitted, request.op) {
        (false, _) => Err(EINVAL),
        // Throwing away what was written is not offered on x86.
        (true, cache_flag::INVAL) => Err(EOPNOTSUPP),
        (true, _) => {
            write_back_caches(&held, request.offset, request.length);
            Ok(())
        }
    };
    engine().put_page(held);
    result
}
