//! The account of run states, and the copy of it that a guest may ask for in its own memory.

use core::sync::atomic::Ordering;

use xenocryst_abi::Vaddr;
use xenocryst_abi::assist::kind::RUNSTATE_UPDATE_FLAG;
use xenocryst_abi::hypercall::errno::Errno;
use xenocryst_abi::vcpu_op::{RUNSTATE_UPDATE, RunstateInfo};
use xenocryst_vcpu::runstate::State;

use crate::arch::clock::now_ns;
use crate::arch::{control, guest_access};
use crate::domain::Vcpu;

/// Offset of `state_entry_time` in [`RunstateInfo`].
const ENTRY_TIME: u64 = 8;

/// Notes that `vcpu` is in `state` from `now` on. The queue of its CPU is locked.
pub fn enter(vcpu: &Vcpu, state: State, now: u64) {
    vcpu.run.account.lock().enter(state, now);
}

/// `vcpu`'s account up to now, as `VCPUOP_get_runstate_info` gives it.
pub fn current_runstate(vcpu: &Vcpu) -> RunstateInfo {
    let account = *vcpu.run.account.lock();
    RunstateInfo {
        state: account.state() as u32,
        pad: 0,
        state_entry_time: account.since(),
        time: account.spent_until(now_ns()),
    }
}

/// `VCPUOP_register_runstate_memory_area`: from now on a copy of the account is kept at `at`, 0 for nowhere.
///
/// # Errors
/// `EFAULT` if that is no guest address.
pub fn register_area(vcpu: &Vcpu, at: Vaddr) -> Result<(), Errno> {
    if !guest_access::is_guest_range(at, size_of::<RunstateInfo>() as u64) {
        return Err(xenocryst_abi::hypercall::errno::EFAULT);
    }
    vcpu.run.area.store(at.raw(), Ordering::Relaxed);
    if at.raw() != 0 {
        // As the guest may not have mapped it yet, failing to write is no failure to register.
        let _ = guest_access::write(at, &current_runstate(vcpu));
    }
    Ok(())
}

/// Brings the guest's copy of `vcpu`'s account up to date. The vCPU's address space is loaded on this CPU.
#[inline]
pub fn publish(vcpu: &Vcpu) {
    let at = vcpu.run.area.load(Ordering::Relaxed);
    if at != 0 {
        with_kernel_tables(vcpu, || write_copy(vcpu, at));
    }
}

/// Runs `work` in the address space of `vcpu`'s kernel, where what it registers is mapped. Its own address space, kernel's
/// or user mode's, is loaded before and after.
pub fn with_kernel_tables(vcpu: &Vcpu, work: impl FnOnce()) {
    if vcpu.in_kernel() {
        return work();
    }
    let (kernel, user) = (vcpu.kernel_cr3.get(), control::read_cr3());
    if kernel == 0 {
        return;
    }
    // SAFETY: both are roots that the vCPU holds validated references on, and both carry the hypervisor's slots.
    unsafe { control::write_cr3(kernel) };
    work();
    // SAFETY: as above.
    unsafe { control::write_cr3(user) };
}

/// Writes the copy. A guest that asked for it can tell from the mark in the entry time that an update goes on, and reads
/// again. A copy that cannot be written is the guest's own loss.
fn write_copy(vcpu: &Vcpu, at: u64) {
    let account = *vcpu.run.account.lock();
    let mut info = RunstateInfo {
        state: account.state() as u32,
        pad: 0,
        state_entry_time: account.since(),
        time: account.spent(),
    };
    let entry_time = Vaddr::new(at.wrapping_add(ENTRY_TIME));
    let marked = vcpu.domain.vm_assist.load(Ordering::Relaxed) & 1 << RUNSTATE_UPDATE_FLAG != 0;
    if marked {
        info.state_entry_time |= RUNSTATE_UPDATE;
        let _ = guest_access::write_u64(entry_time, info.state_entry_time);
        core::sync::atomic::fence(Ordering::Release);
    }
    let _ = guest_access::write(Vaddr::new(at), &info);
    if marked {
        core::sync::atomic::fence(Ordering::Release);
        let _ = guest_access::write_u64(entry_time, account.since());
    }
}
