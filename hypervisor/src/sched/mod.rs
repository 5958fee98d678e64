//! The scheduler: which vCPU runs on which physical CPU, and how one waits and is woken.
//!
//! Keeps true: a vCPU is in at most one CPU's queue, or runs on one CPU, never both; a vCPU whose registers are loaded on
//! a CPU is only ever run by that CPU; whoever makes a vCPU runnable sees to it that its CPU looks at its queue. Waiting
//! cannot miss an event: the waiter first says that it waits and then looks, the waker first makes the event visible and
//! then looks for waiters, both with full barriers.
//! Queue locks are taken last, one at a time, and nothing is called while one is held.
//! Neighbours: `xenocryst_vcpu::run_queue` (the order), `traps::exit` (asks for a choice), `events` (wakes), `time`
//! (slices), `hypercall::sched_op`, `hypercall::vcpu_op`.

mod affinity;
mod idle;
mod lifecycle;
mod queues;
mod runstate;
mod shutdown;

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use xenocryst_vcpu::runstate::Account;

use crate::arch::apic;
use crate::domain::Vcpu;
use crate::percpu::{this_cpu, work};
use crate::sync::{Mutex, Rank};

pub use affinity::{
    hard_affinity, is_allowed_on, left_cpu, set_hard_affinity, set_parameters, set_soft_affinity,
    soft_affinity,
};
pub use idle::time as idle_time;
pub use lifecycle::{
    down, forget, hold, is_pinned, is_up, is_wanted_unloaded, pause, pin, register, release, reset,
    restart, stop_if_running, try_unload, unload, unpause, up,
};
pub use queues::{choose, each_queued, tell, yield_now};
pub use runstate::{current_runstate, publish, register_area, with_kernel_tables};
pub use shutdown::{domain_stopped, record_reason, shutdown};

/// Bits of [`RunState::flags`].
mod flag {
    /// It waits for an event.
    pub const BLOCKED: u32 = 1 << 0;
    /// It was never brought up, or went down.
    pub const DOWN: u32 = 1 << 1;
    /// It was brought up once.
    pub const STARTED: u32 = 1 << 2;
    /// Somebody looks at its registers.
    pub const HELD: u32 = 1 << 3;
    /// Those that keep it from running.
    pub const STOPPED: u32 = BLOCKED | DOWN | HELD;
}

/// What the scheduler keeps of one vCPU.
pub struct RunState {
    flags: AtomicU32,
    /// A CPU has chosen it. Changed under that CPU's queue lock.
    running: AtomicBool,
    /// Its state is to leave the CPU once that has nothing to run.
    unload: AtomicBool,
    /// It may not be taken over by another CPU.
    pinned: AtomicBool,
    /// CPUs that may run it, a bit each.
    hard_affinity: AtomicU64,
    /// CPUs that should run it rather than others, a bit each.
    soft_affinity: AtomicU64,
    /// The time its queue charges it with, in nanoseconds.
    charged: AtomicU64,
    account: Mutex<Account>,
    /// Where the guest wants a copy of the account, as a linear address; 0 for nowhere.
    area: AtomicU64,
}

impl RunState {
    /// Down, and in no queue.
    pub const fn new() -> Self {
        Self {
            flags: AtomicU32::new(flag::DOWN),
            running: AtomicBool::new(false),
            unload: AtomicBool::new(false),
            pinned: AtomicBool::new(false),
            hard_affinity: AtomicU64::new(u64::MAX),
            soft_affinity: AtomicU64::new(u64::MAX),
            charged: AtomicU64::new(0),
            account: Mutex::new(Rank::RunAccount, Account::new(0)),
            area: AtomicU64::new(0),
        }
    }
}

/// What `vcpu` does, in a word or two.
pub fn describe(vcpu: &Vcpu) -> &'static str {
    let flags = vcpu.run.flags.load(Ordering::SeqCst);
    if vcpu.run.running.load(Ordering::SeqCst) {
        "running"
    } else if flags & flag::DOWN != 0 {
        "down"
    } else if vcpu.domain.is_stopped() {
        "stopped"
    } else if vcpu.domain.pauses.load(Ordering::SeqCst) != 0 {
        "paused"
    } else if flags & flag::BLOCKED != 0 {
        "blocked"
    } else {
        "runnable"
    }
}

/// The time that `vcpu`'s queue charges it with, in nanoseconds.
pub fn charged_ns(vcpu: &Vcpu) -> u64 {
    vcpu.run.charged.load(Ordering::Relaxed)
}

/// Whether nothing keeps `vcpu` from running.
fn may_run(vcpu: &Vcpu) -> bool {
    let run = &vcpu.run;
    run.flags.load(Ordering::SeqCst) & flag::STOPPED == 0
        && vcpu.domain.pauses.load(Ordering::SeqCst) == 0
        && !vcpu.domain.is_stopped()
}

/// Whether `vcpu` has an event that it does not mask.
fn event_deliverable(vcpu: &Vcpu) -> bool {
    let info = &vcpu.info;
    info.upcall_pending().load(Ordering::SeqCst) != 0
        && info.upcall_mask().load(Ordering::SeqCst) == 0
}

/// `SCHEDOP_block` for the calling vCPU: unmasks events and waits for one. False if one is there already.
#[inline]
pub fn block(vcpu: &'static Vcpu) -> bool {
    vcpu.info.upcall_mask().store(0, Ordering::SeqCst);
    vcpu.run.flags.fetch_or(flag::BLOCKED, Ordering::SeqCst);
    if event_deliverable(vcpu) || vcpu.pending_special.load(Ordering::SeqCst) != 0 {
        vcpu.run.flags.fetch_and(!flag::BLOCKED, Ordering::SeqCst);
        return false;
    }
    this_cpu().raise(work::SCHEDULE);
    true
}

/// The calling vCPU waits from its next entry on. The caller holds its domain's event lock and has looked for what the
/// vCPU waits for.
pub fn begin_wait(vcpu: &'static Vcpu) {
    vcpu.run.flags.fetch_or(flag::BLOCKED, Ordering::SeqCst);
    this_cpu().raise(work::SCHEDULE);
}

/// `vcpu` need not wait any longer.
#[inline]
pub fn end_wait(vcpu: &'static Vcpu) {
    if vcpu.run.flags.fetch_and(!flag::BLOCKED, Ordering::SeqCst) & flag::BLOCKED != 0 {
        queues::wake(vcpu);
    }
}

/// Whether `vcpu` waits for an event.
pub fn is_blocked(vcpu: &Vcpu) -> bool {
    vcpu.run.flags.load(Ordering::Relaxed) & flag::BLOCKED != 0
}

/// Whether a CPU runs `vcpu`.
pub fn is_running(vcpu: &Vcpu) -> bool {
    vcpu.run.running.load(Ordering::Relaxed)
}

/// `vcpu` has just got an event: it is woken, or made to look if it runs on another CPU.
#[inline]
pub fn event_pending(vcpu: &'static Vcpu) {
    if vcpu.run.flags.load(Ordering::SeqCst) & flag::BLOCKED != 0 {
        end_wait(vcpu);
    } else if vcpu.run.running.load(Ordering::SeqCst) {
        let cpu = vcpu.processor.load(Ordering::SeqCst);
        // The running CPU itself looks for events before it enters a guest again.
        if cpu != this_cpu().cpu {
            apic::send_ipi(cpu, apic::EVENT_CHECK_VECTOR);
        }
    }
}

/// Makes `vcpu` leave its guest, if it runs, so that it looks at whatever the caller has changed.
pub fn kick(vcpu: &'static Vcpu) {
    end_wait(vcpu);
    if vcpu.run.running.load(Ordering::SeqCst) {
        queues::tell(vcpu.processor.load(Ordering::SeqCst), work::SCHEDULE);
    }
}
