//! Locks for code that runs with interrupts off, and the order in which they are taken.
//!
//! Keeps true: a CPU that waits for a lock still answers what other CPUs ask of it (a TLB flush, a small call), since the holder
//! of that very lock may be waiting for the answer. Hence every lock of the hypervisor is this one. Locks are waited for in the
//! order of their [`Rank`]s only, and none is held where a guest is entered or a CPU idles (I45, I49): builds with debug
//! assertions check both and stop the host where it is not so. The engine's own locks come after all of these: it calls
//! nothing that takes one.
//! Neighbours: `arch::tlb` and `arch::smp` (the requests), `xenocryst_vcpu::lock_order` (what is allowed).

use core::ops::{Deref, DerefMut};

use spin::RelaxStrategy;

/// What a CPU does while it waits.
pub struct ServeOthers;

impl RelaxStrategy for ServeOthers {
    #[inline(always)]
    fn relax() {
        crate::arch::smp::serve();
        core::hint::spin_loop();
    }
}

/// What a lock is for, in the order in which locks are taken: whoever holds one may wait for those below it in this list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Rank {
    /// A `domctl` request is carried out.
    Domctl,
    /// A domain is taken down.
    Destruction,
    /// The dead domains are gone through.
    Graves,
    /// The memory map of a domain.
    MemoryMap,
    /// The CPUs come together.
    Meeting,
    /// The descriptor pages of a vCPU.
    Descriptors,
    /// The roots of a vCPU.
    Roots,
    /// A domain's numbers of physical interrupts.
    Pirqs,
    /// The page in which it looks which of them to end.
    PirqPage,
    /// Message-signalled interrupts.
    Messages,
    /// Interrupt lines and vectors.
    Lines,
    /// The registers of the I/O APICs.
    IoApic,
    /// The configuration space of PCI.
    Pci,
    /// A domain's event channels.
    Events,
    /// Those of a second domain, whose number is higher.
    PeerEvents,
    /// Where a vCPU moved its information to.
    MovedInfo,
    /// A vCPU's timers.
    VcpuTimers,
    /// What waits to run on a CPU.
    RunQueue,
    /// How long a vCPU was in which state.
    RunAccount,
    /// The timers due on a CPU.
    CpuTimers,
    /// One CPU calls the others.
    Call,
    /// The time of day in the shared pages.
    WallClock,
    /// The clock chip.
    ClockChip,
    /// What a domain is told of itself: nothing is taken under these.
    Settings,
    /// The table of domains.
    Domains,
    /// The domains that CPUs still have to forget.
    Withdrawn,
    /// What was typed.
    Input,
    /// How much guests may say.
    MessageLimit,
    /// Everything printed.
    Console,
    /// Firmware tables that are mapped.
    Firmware,
    /// Addresses for mappings of devices, and for large buffers.
    Addresses,
    /// The hypervisor's own page tables.
    OwnTables,
    /// The heap.
    Heap,
    /// What is free before the engine is there.
    EarlyFrames,
}

/// A lock whose waiters answer other CPUs.
pub struct Mutex<T> {
    #[cfg(debug_assertions)]
    rank: Rank,
    inner: spin::mutex::Mutex<T, ServeOthers>,
}

/// A lock, held.
pub struct MutexGuard<'a, T> {
    inner: spin::MutexGuard<'a, T>,
    // Let go of after the lock itself.
    #[cfg(debug_assertions)]
    _order: order::Held,
}

impl<T> Mutex<T> {
    /// A free lock.
    pub const fn new(rank: Rank, value: T) -> Self {
        #[cfg(not(debug_assertions))]
        let _ = rank;
        Self {
            #[cfg(debug_assertions)]
            rank,
            inner: spin::mutex::Mutex::new(value),
        }
    }

    /// Waits for the lock and takes it.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        #[cfg(debug_assertions)]
        let order = order::wait_for(self.rank);
        MutexGuard {
            inner: self.inner.lock(),
            #[cfg(debug_assertions)]
            _order: order,
        }
    }

    /// Waits for the lock and takes it as one of `rank`, where one of its own rank is held.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock_as(&self, rank: Rank) -> MutexGuard<'_, T> {
        #[cfg(not(debug_assertions))]
        let _ = rank;
        #[cfg(debug_assertions)]
        let order = order::wait_for(rank);
        MutexGuard {
            inner: self.inner.lock(),
            #[cfg(debug_assertions)]
            _order: order,
        }
    }

    /// Takes the lock if it is free.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let inner = self.inner.try_lock()?;
        Some(MutexGuard {
            inner,
            #[cfg(debug_assertions)]
            _order: order::found_free(self.rank),
        })
    }

    /// Frees the lock whoever holds it.
    ///
    /// # Safety
    /// The holder will never use what it guards again.
    pub unsafe fn force_unlock(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.inner.force_unlock() };
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// In builds with debug assertions: stops the host if this CPU holds a lock.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub fn assert_nothing_held() {
    #[cfg(debug_assertions)]
    order::assert_nothing_held();
}

/// In builds with debug assertions: stops the host if this CPU holds no lock of `rank`.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub fn assert_held(rank: Rank) {
    #[cfg(debug_assertions)]
    order::assert_held(rank);
    #[cfg(not(debug_assertions))]
    let _ = rank;
}

/// In builds with debug assertions: nothing is checked any more, as the host is going down.
pub fn stop_checking() {
    #[cfg(debug_assertions)]
    order::stop();
}

/// Which locks each CPU holds.
#[cfg(debug_assertions)]
mod order {
    use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use xenocryst_vcpu::lock_order::{HeldRanks, OutOfOrder};

    use super::Rank;
    use crate::percpu::{MAX_CPUS, this_cpu};

    static HELD: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
    static STOPPED: AtomicBool = AtomicBool::new(false);

    /// A rank that this CPU holds.
    pub struct Held(Rank);

    impl Drop for Held {
        fn drop(&mut self) {
            let word = word();
            word.store(held(word).let_go(self.0 as u8).raw(), Ordering::Relaxed);
        }
    }

    /// Only this CPU uses its word, and is not interrupted meanwhile.
    fn word() -> &'static AtomicU64 {
        &HELD[this_cpu().cpu as usize % MAX_CPUS]
    }

    fn held(word: &AtomicU64) -> HeldRanks {
        HeldRanks::from_raw(word.load(Ordering::Relaxed))
    }

    #[track_caller]
    pub fn wait_for(rank: Rank) -> Held {
        take(rank, HeldRanks::wait_for)
    }

    #[track_caller]
    pub fn found_free(rank: Rank) -> Held {
        take(rank, HeldRanks::find_free)
    }

    #[track_caller]
    fn take(rank: Rank, how: fn(HeldRanks, u8) -> Result<HeldRanks, OutOfOrder>) -> Held {
        let word = word();
        match how(held(word), rank as u8) {
            Ok(now) => word.store(now.raw(), Ordering::Relaxed),
            Err(_) if STOPPED.load(Ordering::Relaxed) => {}
            Err(wrong) => panic!(
                "locks out of order: {rank:?} is wanted where one of rank {} is held",
                wrong.held
            ),
        }
        Held(rank)
    }

    #[track_caller]
    pub fn assert_nothing_held() {
        let held = held(word()).raw();
        assert!(
            held == 0 || STOPPED.load(Ordering::Relaxed),
            "locks are still held, of ranks {held:x}"
        );
    }

    #[track_caller]
    pub fn assert_held(rank: Rank) {
        assert!(
            held(word()).has(rank as u8) || STOPPED.load(Ordering::Relaxed),
            "no lock of rank {rank:?} is held"
        );
    }

    pub fn stop() {
        STOPPED.store(true, Ordering::Relaxed);
    }
}
