//! What becomes of a domain that was destroyed.
//!
//! Keeps true: a dead domain keeps its number and its structures while anybody holds a frame of it (a mapping by grant or by
//! the control domain). When the last is let go, nobody can find it any more; and once every CPU has looked for work since
//! then, nobody who found it before still uses it, and its memory is given back. So a reference to a domain or vCPU may
//! be used without counting, by whoever has not looked for work since finding it.
//! Neighbours: `domain::destroy`, `traps::exit` (where CPUs look for work), `hypercall` (which looks for the dead).

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use xenocryst_abi::virq;

use super::table::MAX_DOMAINS;
use super::{Domain, Vcpu, for_each, withdraw};
use crate::arch::smp;
use crate::mm::{engine, frames};
use crate::percpu::work;
use crate::sync::{Mutex, Rank};
use crate::{audit, events, grants, sched};

/// Dead domains of which somebody may hold a frame.
static HELD: AtomicU32 = AtomicU32::new(0);
/// Only one CPU looks for those that are held no more.
static SWEEP: Mutex<()> = Mutex::new(Rank::Graves, ());
/// Domains that nobody can find, but some CPU may know.
static WITHDRAWN: Mutex<[Option<&'static Domain>; MAX_DOMAINS]> =
    Mutex::new(Rank::Withdrawn, [None; MAX_DOMAINS]);

/// `domain` was taken down: it goes when nobody holds anything of it.
pub fn bury(domain: &'static Domain) {
    debug_assert!(domain.control.dead.load(Ordering::SeqCst));
    HELD.fetch_add(1, Ordering::SeqCst);
    sweep();
}

/// Looks whether dead domains are held no more. Cheap while there are none.
#[inline]
pub fn sweep() {
    if HELD.load(Ordering::Relaxed) != 0 {
        sweep_held();
    }
}

#[cold]
fn sweep_held() {
    let Some(_guard) = SWEEP.try_lock() else {
        return;
    };
    for_each(|domain| {
        if domain.control.dead.load(Ordering::SeqCst) && is_let_go(domain) {
            HELD.fetch_sub(1, Ordering::SeqCst);
            withdraw(domain);
            events::send_dom0_virq(virq::DOM_EXC);
            audit::after_destruction(domain.id);
            wait_for_cpus(domain);
        }
    });
}

/// Whether nobody holds a frame of `domain`; the frames that the hypervisor shared with it are then the hypervisor's again.
fn is_let_go(domain: &'static Domain) -> bool {
    if engine().owned_frames(domain.id) != 0 || !grants::destroy(domain) {
        return false;
    }
    let unshared = &domain.control.unshared;
    if !unshared.load(Ordering::Relaxed)
        && engine().unshare(&domain.memory, domain.shared_info_mfn())
    {
        unshared.store(true, Ordering::Relaxed);
    }
    unshared.load(Ordering::Relaxed)
}

/// Has every CPU look for work, the last of which frees `domain`.
fn wait_for_cpus(domain: &'static Domain) {
    let online = smp::online_mask();
    domain.control.remembering.store(online, Ordering::SeqCst);
    if let Some(slot) = WITHDRAWN.lock().iter_mut().find(|slot| slot.is_none()) {
        *slot = Some(domain);
    }
    let mut left = online;
    while left != 0 {
        sched::tell(left.trailing_zeros(), work::FORGET);
        left &= left - 1;
    }
}

/// The calling CPU, `cpu`, uses no domain that it found earlier but through the vCPU it has loaded.
pub fn forgotten_by(cpu: u32) {
    while let Some(domain) = take_forgotten(cpu) {
        // SAFETY: no queue, timer, port or CPU has kept the domain since it was taken down, nobody finds it since it was
        // withdrawn, and every CPU has since come to where it knows no domain but that of the vCPU it has loaded.
        unsafe { free(domain) };
    }
}

fn take_forgotten(cpu: u32) -> Option<&'static Domain> {
    let mut withdrawn = WITHDRAWN.lock();
    for domain in withdrawn.iter().flatten() {
        let bit = 1_u64 << (cpu & 63);
        domain.control.remembering.fetch_and(!bit, Ordering::SeqCst);
    }
    let slot = withdrawn.iter_mut().find(|slot| {
        slot.is_some_and(|domain| domain.control.remembering.load(Ordering::SeqCst) == 0)
    })?;
    slot.take()
}

/// Gives back a new domain without memory that was not published.
pub fn discard(domain: &'static Domain) {
    // Nobody can have mapped a page of it yet.
    let let_go = is_let_go(domain);
    debug_assert!(let_go);
    // SAFETY: only its maker knows it, who gives it up with this call.
    unsafe { free(domain) };
}

/// Gives back everything of `domain` and its vCPUs.
///
/// # Safety
/// Nobody uses the domain, nor will.
unsafe fn free(domain: &'static Domain) {
    for vcpu in domain.each_vcpu() {
        // SAFETY: the caller's contract covers the vCPUs.
        unsafe { free_vcpu(vcpu) };
    }
    let shared = domain.shared_info_mfn();
    if let Some(place) = NonNull::new(domain.place.load(Ordering::Relaxed)) {
        // SAFETY: where `create::domain` placed it; the caller's contract.
        unsafe { frames::drop_value(place) };
    }
    frames::free_page(shared);
}

/// # Safety
/// As [`free`].
unsafe fn free_vcpu(vcpu: &'static Vcpu) {
    let own_frames = vcpu.own_frames;
    if let Some(place) = NonNull::new(vcpu.place.load(Ordering::Relaxed)) {
        // SAFETY: where `create::vcpu` placed it; the caller's contract.
        unsafe { frames::drop_value(place) };
    }
    own_frames.into_iter().flatten().for_each(frames::free_page);
}
