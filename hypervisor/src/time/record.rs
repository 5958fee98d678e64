//! The time record of a vCPU: how to turn its time-stamp counter into system time (`struct vcpu_time_info`).
//!
//! Keeps true: the version is odd while the record changes, and the record holds what [`clock`] itself computes with, so
//! that a guest's answer and ours agree. As the counter's rate does not change, a record once shown stays right.

use core::sync::atomic::{AtomicU32, Ordering, fence};

use xenocryst_abi::Vaddr;
use xenocryst_abi::hypercall::errno::{EFAULT, Errno};
use xenocryst_abi::shared_info::{PVCLOCK_TSC_STABLE, VcpuTimeInfo};
use zerocopy::IntoBytes;

use crate::arch::{clock, guest_access};
use crate::domain::{Domain, Vcpu};
use crate::sched;
use crate::time::counter;

/// Counts calibrations; never 0.
static CALIBRATION: AtomicU32 = AtomicU32::new(1);

/// What `vcpu`'s record says now, but for the version.
fn current(vcpu: &Vcpu) -> VcpuTimeInfo {
    if counter::is_emulated(vcpu.domain) {
        return of_emulated(vcpu.domain);
    }
    let scale = clock::scale();
    // Where all CPUs' counters agree, a guest need not order its readings on different vCPUs.
    let stable = crate::arch::cpu::features().invariant_tsc || crate::arch::smp::cpu_count() == 1;
    VcpuTimeInfo {
        version: 0,
        pad0: 0,
        tsc_timestamp: clock::tsc_start(),
        system_time: 0,
        tsc_to_system_mul: scale.multiplier,
        tsc_shift: scale.shift,
        flags: if stable { PVCLOCK_TSC_STABLE } else { 0 },
        pad1: [0; 2],
    }
}

/// What the records of a domain say whose counter is emulated: it is the same on all vCPUs.
fn of_emulated(domain: &Domain) -> VcpuTimeInfo {
    let emulated = domain.control.tsc.lock().emulated;
    let scale = emulated.scale();
    VcpuTimeInfo {
        version: 0,
        pad0: 0,
        tsc_timestamp: 0,
        system_time: emulated.start_ns,
        tsc_to_system_mul: scale.multiplier,
        tsc_shift: scale.shift,
        flags: PVCLOCK_TSC_STABLE,
        pad1: [0; 2],
    }
}

/// `vcpu`'s record is no longer right: it is written anew when a CPU next loads the vCPU, which none has loaded now.
pub fn outdated(vcpu: &Vcpu) {
    vcpu.time.shown.store(0, Ordering::Relaxed);
}

/// `vcpu` was loaded on this CPU: shows it what changed while it was away.
#[inline]
pub fn switched_in(vcpu: &'static Vcpu) {
    if vcpu.time.shown.load(Ordering::Relaxed) != CALIBRATION.load(Ordering::Relaxed) {
        update(vcpu);
        sched::with_kernel_tables(vcpu, || write_copy(vcpu));
    }
    sched::publish(vcpu);
}

/// Writes the record in `vcpu`'s `vcpu_info`. The vCPU is loaded on this CPU, or is down.
pub fn update(vcpu: &Vcpu) {
    let info = &vcpu.info;
    let record = current(vcpu);
    let version = info.time_half(0).load(Ordering::Relaxed) & !1;
    info.time_half(0)
        .store(version.wrapping_add(1), Ordering::Relaxed);
    fence(Ordering::Release);
    for (index, word) in record.as_bytes().chunks_exact(4).enumerate().skip(2) {
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        info.time_half(index).store(word, Ordering::Relaxed);
    }
    info.time_half(0)
        .store(version.wrapping_add(2), Ordering::Release);
    vcpu.time
        .shown
        .store(CALIBRATION.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// `VCPUOP_register_vcpu_time_memory_area`: a second copy of the record is kept at `at`, 0 for nowhere.
///
/// # Errors
/// `EFAULT` if that is no guest address.
pub fn register_area(vcpu: &Vcpu, at: Vaddr) -> Result<(), Errno> {
    if !guest_access::is_guest_range(at, size_of::<VcpuTimeInfo>() as u64) {
        return Err(EFAULT);
    }
    vcpu.time.area.store(at.raw(), Ordering::Relaxed);
    write_copy(vcpu);
    Ok(())
}

/// Writes the second copy. One that cannot be written is the guest's own loss.
fn write_copy(vcpu: &Vcpu) {
    let at = vcpu.time.area.load(Ordering::Relaxed);
    if at == 0 {
        return;
    }
    let at = Vaddr::new(at);
    let mut record = current(vcpu);
    // The guest's own number is its allegation; all that matters is that ours is odd first and then even and new.
    let old: u32 = guest_access::read(at).unwrap_or(0);
    record.version = (old & !1).wrapping_add(1);
    if guest_access::write(at, &record.version).is_err() {
        return;
    }
    fence(Ordering::Release);
    let _ = guest_access::write(at, &record);
    fence(Ordering::Release);
    record.version = record.version.wrapping_add(1);
    let _ = guest_access::write(at, &record.version);
}
