//! Moving a vCPU's `struct vcpu_info` to a place of the guest's choice.

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::{EINVAL, ENXIO, Errno};
use xenocryst_abi::{Mfn, PAGE_SIZE, Vaddr};

use super::{GuestPage, delivery};
use crate::domain::{VCPU_INFO_SIZE, Vcpu, VcpuInfo};

/// `VCPUOP_register_vcpu_info`: from now on `vcpu`'s information is in `frame` at `offset`. The vCPU is the caller or is
/// down. All its events are then marked pending: one upcall too many, but none lost.
///
/// # Errors
/// `ENXIO` for an unaligned or crossing offset; `EINVAL` if it was moved before or the frame cannot be held.
pub fn register_vcpu_info(vcpu: &'static Vcpu, frame: Mfn, offset: u32) -> Result<(), Errno> {
    if u64::from(offset) > PAGE_SIZE - VCPU_INFO_SIZE || !offset.is_multiple_of(8) {
        return Err(ENXIO);
    }
    // Holding a frame may wait for other CPUs, which may wait for the lock: so it comes first.
    let page = GuestPage::hold(vcpu.domain, frame)?;
    let events = vcpu.domain.events.lock();
    let mut moved = vcpu.events.moved_info.lock();
    if moved.is_some() {
        drop((moved, events));
        page.release();
        return Err(EINVAL);
    }
    let old = vcpu.info.address();
    let new = Vaddr::new(page.address().raw() + u64::from(offset));
    let target = VcpuInfo::new(new);
    for index in 0..(VCPU_INFO_SIZE / 8) as usize {
        target.word(index).store(
            vcpu.info.word(index).load(Ordering::SeqCst),
            Ordering::SeqCst,
        );
    }
    vcpu.info.relocate(new);
    *moved = Some((page, old));
    vcpu.info.pending_sel().store(u64::MAX, Ordering::SeqCst);
    delivery::notify(vcpu);
    Ok(())
}

/// Undoes [`register_vcpu_info`] for a vCPU that runs no more.
pub fn move_back(vcpu: &'static Vcpu) {
    let events = vcpu.domain.events.lock();
    let moved = vcpu.events.moved_info.lock().take();
    if let Some((page, old)) = moved {
        vcpu.info.relocate(old);
        drop(events);
        page.release();
    }
}
