//! The queues of the physical CPUs, and the choice of what runs.

use core::sync::atomic::{AtomicU64, Ordering};

use xenocryst_vcpu::deadline::NEVER;
use xenocryst_vcpu::run_queue::{self, RunQueue};
use xenocryst_vcpu::runstate::State;

use super::{flag, hard_affinity, idle, is_allowed_on, may_run, runstate};
use crate::arch::clock::now_ns;
use crate::arch::cpu_block::cpu_info;
use crate::arch::{apic, smp};
use crate::domain::Vcpu;
use crate::percpu::{MAX_CPUS, this_cpu, work};
use crate::sync::{Mutex, Rank};
use crate::time;

/// A vCPU as an entry of a queue: the same if it is the same place in memory.
#[derive(Clone, Copy)]
pub struct Entry(pub &'static Vcpu);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }
}

impl run_queue::Entry for Entry {
    #[inline]
    fn charged(&self) -> &AtomicU64 {
        &self.0.run.charged
    }

    #[inline]
    fn weight(&self) -> u32 {
        self.0.domain.control.weight.load(Ordering::Relaxed)
    }
}

static QUEUES: [Mutex<RunQueue<Entry>>; MAX_CPUS] =
    [const { Mutex::new(Rank::RunQueue, RunQueue::new()) }; MAX_CPUS];

/// How long a vCPU runs alone on its CPU before that looks for one that waits elsewhere, in nanoseconds.
const RELIEF_NS: u64 = 30_000_000;

/// When each CPU looks for such a vCPU, in nanoseconds of system time.
static RELIEF: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// Makes room in every queue for `vcpus` vCPUs. False if there is no memory.
pub fn reserve(vcpus: usize) -> bool {
    QUEUES
        .iter()
        .all(|queue| queue.lock().reserve(vcpus).is_ok())
}

/// Asks `cpu` to do `bits` of work before it enters a guest again, and makes it look.
pub fn tell(cpu: u32, bits: u32) {
    let here = this_cpu();
    if cpu == here.cpu {
        here.raise(bits);
    } else if let Some(there) = cpu_info(cpu) {
        there.raise(bits);
        apic::send_ipi(cpu, apic::EVENT_CHECK_VECTOR);
    }
}

/// Puts `vcpu` in its CPU's queue if it may run and is in none, and makes that CPU look.
pub fn wake(vcpu: &'static Vcpu) {
    let now = now_ns();
    let cpu = loop {
        let cpu = vcpu.processor.load(Ordering::SeqCst);
        let Some(queue) = QUEUES.get(cpu as usize) else {
            return;
        };
        let mut queue = queue.lock();
        // It may just have been taken over by another CPU.
        if vcpu.processor.load(Ordering::SeqCst) != cpu {
            continue;
        }
        if !may_run(vcpu) || !queue.wake(Entry(vcpu), now) {
            return;
        }
        runstate::enter(vcpu, State::Runnable, now);
        break cpu;
    };
    tell(cpu, work::SCHEDULE);
    offer(vcpu, cpu);
}

/// If `cpu` is busy, lets an idle CPU have a look at `vcpu`, which waits there.
fn offer(vcpu: &Vcpu, cpu: u32) {
    let idle = idle::mask() & smp::online_mask() & hard_affinity(vcpu);
    if idle != 0 && idle & 1 << cpu == 0 && may_move(vcpu) {
        tell(idle.trailing_zeros(), work::SCHEDULE);
    }
}

/// Whether another CPU than the present one could run `vcpu`: no CPU has its registers, and it is not pinned.
fn may_move(vcpu: &Vcpu) -> bool {
    !vcpu.loaded.load(Ordering::Acquire) && !vcpu.run.pinned.load(Ordering::Relaxed)
}

/// Tells `tell` of every vCPU in the queue of `cpu`, and whether it runs.
pub fn each_queued(cpu: u32, mut tell: impl FnMut(&'static Vcpu, bool)) {
    let Some(queue) = QUEUES.get(cpu as usize) else {
        return;
    };
    let queue = queue.lock();
    if let Some(Entry(vcpu)) = queue.running() {
        tell(vcpu, true);
    }
    queue.entries().for_each(|Entry(vcpu)| tell(vcpu, false));
}

/// Lets the vCPU that runs on this CPU pass over its turn.
pub fn yield_now() {
    let cpu = this_cpu();
    if let Some(queue) = QUEUES.get(cpu.cpu as usize) {
        queue.lock().yield_now();
    }
    cpu.raise(work::SCHEDULE);
    // What spins until another CPU has done something leaves it the core that they may share.
    core::hint::spin_loop();
}

/// Takes `vcpu`, which is down, to the queue of another CPU from now on.
pub fn move_home(vcpu: &'static Vcpu, cpu: u32) {
    let old = vcpu.processor.load(Ordering::SeqCst);
    if let Some(queue) = QUEUES.get(old as usize) {
        let mut queue = queue.lock();
        queue.remove(Entry(vcpu));
        // Charges of different queues cannot be compared.
        vcpu.run.charged.store(0, Ordering::Relaxed);
        vcpu.processor.store(cpu, Ordering::SeqCst);
    }
}

/// Takes `vcpu` out of every queue. It may not run any more, so it comes back to none.
pub fn forget(vcpu: &'static Vcpu) {
    for queue in &QUEUES {
        queue.lock().remove(Entry(vcpu));
    }
}

/// Chooses what `cpu`, the calling CPU, runs next: `None` for nothing.
pub fn choose(cpu: u32) -> Option<&'static Vcpu> {
    let now = now_ns();
    relieve(cpu, now);
    loop {
        let mut next = choose_queued(cpu, now)?;
        if next.is_none() && take_over(cpu, now) {
            next = choose_queued(cpu, now)?;
        }
        let Some(vcpu) = next else {
            idle::enter(cpu, now);
            return None;
        };
        // Whoever stopped it just now has seen that it runs and waits for it, or is seen here.
        if may_run(vcpu) {
            idle::leave(cpu, now);
            return Some(vcpu);
        }
    }
}

/// The choice among those in the queue of `cpu`: outside, whether there is such a CPU; inside, whether it has one to run.
fn choose_queued(cpu: u32, now: u64) -> Option<Option<&'static Vcpu>> {
    let mut queue = QUEUES.get(cpu as usize)?.lock();
    let previous = queue.running();
    let next = queue.choose(now, |entry| may_run(entry.0) && is_allowed_on(entry.0, cpu));
    let left = previous.filter(|_| next != previous);
    if let Some(Entry(old)) = left {
        old.run.running.store(false, Ordering::SeqCst);
        runstate::enter(old, reason_not_running(old), now);
    }
    if let Some(Entry(vcpu)) = next
        && next != previous
    {
        set_running(vcpu, now);
    }
    time::set_slice(cpu, end_of_slice(cpu, &queue, now));
    drop(queue);
    if let Some(Entry(old)) = left {
        runstate::publish(old);
    }
    let next = next.map(|Entry(vcpu)| vcpu);
    if let Some(vcpu) = next
        && previous != Some(Entry(vcpu))
        && this_cpu()
            .current
            .get()
            .is_some_and(|loaded| core::ptr::eq(loaded, vcpu))
    {
        // Its state never left the CPU, so nobody will tell it of its return.
        time::switched_in(vcpu);
    }
    Some(next)
}

/// When `cpu` chooses again without being asked to: when the turn of what runs ends, or, with nothing else to run, when it
/// looks after other CPUs.
fn end_of_slice(cpu: u32, queue: &RunQueue<Entry>, now: u64) -> u64 {
    let turn = queue.deadline();
    if turn != NEVER || queue.running().is_none() || is_alone(cpu) {
        return turn;
    }
    let relief = &RELIEF[cpu as usize % MAX_CPUS];
    if relief.load(Ordering::Relaxed) <= now {
        relief.store(now + RELIEF_NS, Ordering::Relaxed);
    }
    relief.load(Ordering::Relaxed)
}

/// Whether no other CPU than `cpu` runs guests.
fn is_alone(cpu: u32) -> bool {
    smp::online_mask() & !(1 << cpu) == 0
}

/// Takes over a vCPU that waits for another CPU, if this one runs a single vCPU which has yielded, or has not had to share
/// for a while. So what yields to somebody who waits elsewhere yields to him, and three that compute on two CPUs
/// each get two thirds of one in the long run.
fn relieve(cpu: u32, now: u64) {
    let Some(queue) = QUEUES.get(cpu as usize) else {
        return;
    };
    if is_alone(cpu) {
        return;
    }
    let due = {
        let queue = queue.lock();
        let long = RELIEF[cpu as usize % MAX_CPUS].load(Ordering::Relaxed) <= now;
        queue.running().is_some() && queue.waiting() == 0 && (queue.is_yielding() || long)
    };
    if due {
        take_over(cpu, now);
    }
}

/// Marks `vcpu` as running. Its CPU's queue is locked.
fn set_running(vcpu: &'static Vcpu, now: u64) {
    // A full barrier: an event raised from now on finds it running, one raised before is seen on the way out.
    vcpu.run.running.swap(true, Ordering::SeqCst);
    runstate::enter(vcpu, State::Running, now);
}

fn reason_not_running(vcpu: &Vcpu) -> State {
    if may_run(vcpu) {
        State::Runnable
    } else if vcpu.run.flags.load(Ordering::SeqCst) & flag::STOPPED == flag::BLOCKED
        && !vcpu.domain.is_stopped()
    {
        State::Blocked
    } else {
        State::Offline
    }
}

/// Takes a vCPU that waits for another CPU into the queue of `cpu`, the calling one. False if there is none.
fn take_over(cpu: u32, now: u64) -> bool {
    let mut others = smp::online_mask() & !(1 << cpu);
    while others != 0 {
        let other = others.trailing_zeros();
        others &= others - 1;
        let Some(mut victim) = QUEUES.get(other as usize).and_then(Mutex::try_lock) else {
            continue;
        };
        let found = victim
            .steal(|entry| may_run(entry.0) && may_move(entry.0) && is_allowed_on(entry.0, cpu));
        let Some(entry) = found else { continue };
        entry.0.processor.store(cpu, Ordering::SeqCst);
        drop(victim);
        QUEUES[cpu as usize % MAX_CPUS].lock().adopt(entry, now);
        return true;
    }
    false
}
