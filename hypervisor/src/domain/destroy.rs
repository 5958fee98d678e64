//! Taking a domain down, in steps that can be interrupted between any two.
//!
//! Keeps true: a step is taken when nothing can use any more what it takes away: first the vCPUs stop and leave the CPUs,
//! then timers and channels end, then what the domain maps of others, then roots and descriptor pages, then its frames
//! (I19, I48). What others hold of it keeps its number in use until they let go; see [`super::grave`].
//! Neighbours: `hypercall::domctl` (who asks), `memory::teardown` (the frames).

use core::sync::atomic::Ordering;

use xenocryst_abi::{Mfn, virq};
use xenocryst_memory::{Budget, Progress};

use super::{Domain, Vcpu, descriptors, grave};
use crate::mm::machine::engine;
use crate::{events, grants, irq, sched, time};

/// What is done next to destroy a domain.
#[derive(Clone, Copy)]
pub enum Phase {
    /// Nothing was asked yet.
    Alive,
    /// Its vCPUs are being stopped.
    Stopping,
    /// Its channels are being closed.
    Channels,
    /// What it maps of others is being unmapped.
    Mappings,
    /// Its vCPUs give up what they hold.
    Registers,
    /// Its frames are being taken away, from this one on.
    Frames(Mfn),
    /// Nothing is left to be done.
    Dead,
}

/// Destroys `domain`, which is not the caller's, as far as is decent at a stretch. True when nothing is left to be done; false
/// if this must be called again.
pub fn destroy(domain: &'static Domain) -> bool {
    let mut phase = domain.control.phase.lock();
    while let Some(next) = step(domain, *phase) {
        *phase = next;
        if matches!(next, Phase::Dead) {
            return true;
        }
        if let Phase::Frames(from) = next
            && from != Mfn::new(0)
        {
            return false;
        }
    }
    matches!(*phase, Phase::Dead)
}

/// Does what `phase` names. The answer is what comes next; `None` for the same again, later.
fn step(domain: &'static Domain, phase: Phase) -> Option<Phase> {
    let done = |done: bool, next| done.then_some(next);
    match phase {
        Phase::Alive => {
            domain.dying.store(true, Ordering::SeqCst);
            domain.memory.set_dying();
            Some(Phase::Stopping)
        }
        Phase::Stopping => done(has_stopped(domain), Phase::Channels),
        Phase::Channels => {
            // The domain is dying, so this cannot be refused.
            let closed = events::destroy(domain).unwrap_or(true);
            if closed {
                irq::release_all(domain);
            }
            done(closed, Phase::Mappings)
        }
        Phase::Mappings => done(grants::release_mappings(domain), Phase::Registers),
        Phase::Registers => {
            domain.each_vcpu().for_each(give_up);
            Some(Phase::Frames(Mfn::new(0)))
        }
        Phase::Frames(mut cursor) => {
            let mut budget = Budget::hypercall();
            match engine().relinquish(&domain.memory, &mut cursor, &mut budget) {
                Progress::Preempted => Some(Phase::Frames(cursor)),
                Progress::Done(()) => {
                    end(domain);
                    Some(Phase::Dead)
                }
            }
        }
        Phase::Dead => None,
    }
}

/// Whether every vCPU has left the CPUs; those that have are forgotten by queues and timers.
fn has_stopped(domain: &'static Domain) -> bool {
    let mut all = true;
    for vcpu in domain.each_vcpu() {
        sched::stop_if_running(vcpu);
        all &= sched::try_unload(vcpu);
    }
    if all {
        for vcpu in domain.each_vcpu() {
            sched::forget(vcpu);
            time::stop_all(vcpu);
        }
    }
    all
}

/// Gives back the roots and descriptor pages of `vcpu`, which is loaded nowhere and will not run again before it has others.
pub fn give_up(vcpu: &'static Vcpu) {
    descriptors::release_all(vcpu);
    let roots = core::mem::take(&mut *vcpu.roots.lock());
    vcpu.kernel_cr3.set(0);
    vcpu.user_cr3.set(0);
    let mut budget = Budget::hypercall();
    for root in [roots.user, roots.kernel].into_iter().flatten() {
        engine().put_root(&vcpu.domain.memory, root, &mut budget);
    }
}

fn end(domain: &'static Domain) {
    domain.control.dead.store(true, Ordering::SeqCst);
    events::send_dom0_virq(virq::DOM_EXC);
    grave::bury(domain);
}
