//! A simulated machine for tests: memory as a vector of atomic words, with TLBs that remember what they were told.
//!
//! Keeps true: nothing here is reachable in the hypervisor's image. Neighbours: the tests of this crate, and of others
//! through the feature `sim`.

use crate::config::Config;
use crate::domain::{DomainMemory, IoAccess};
use crate::engine::{Engine, Storage};
use crate::frame::Frame;
use crate::machine::MachineMemory;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::boxed::Box;
use std::sync::{Arc, Barrier, Mutex};
use std::vec::Vec;
use xenocryst_abi::{DomId, Maddr, Mfn};

/// A flush that the engine asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlushRequest {
    /// CPUs, as a mask.
    pub cpus: u64,
    /// The TLB clock since which they may be stale.
    pub since: u32,
}

/// The words of one frame: filled at once, which in tests without optimisation takes a tenth of the time.
type Words = [AtomicU64; 512];

/// The machine: RAM from frame 0 on.
pub struct SimMachine {
    ram: Vec<Words>,
    clock: AtomicU32,
    flushes: Mutex<Vec<FlushRequest>>,
    /// A word that a guest rewrites after each read of it, and with what; address 0 for none.
    rewritten: AtomicU64,
    values: Mutex<Vec<u64>>,
    /// Makes the next compare-exchange find these bits set in the word: the CPU setting Accessed or Dirty.
    racing_bits: AtomicU64,
    /// A word at whose next read the reading thread stops; address 0 for none.
    stop: AtomicU64,
    barrier: Mutex<Option<Arc<Barrier>>>,
}

impl SimMachine {
    /// A machine of `frames` zeroed frames.
    pub fn new(frames: usize) -> Self {
        Self {
            ram: (0..frames)
                .map(|_| [const { AtomicU64::new(0) }; 512])
                .collect(),
            clock: AtomicU32::new(1),
            flushes: Mutex::new(Vec::new()),
            rewritten: AtomicU64::new(0),
            values: Mutex::new(Vec::new()),
            racing_bits: AtomicU64::new(0),
            stop: AtomicU64::new(0),
            barrier: Mutex::new(None),
        }
    }

    fn word(&self, at: Maddr) -> &AtomicU64 {
        assert!(
            at.raw().is_multiple_of(8),
            "the engine made a misaligned access at {at}"
        );
        let word = (at.raw() / 8) as usize;
        &self.ram[word / 512][word % 512]
    }

    /// The flushes asked for since the last call.
    pub fn take_flushes(&self) -> Vec<FlushRequest> {
        core::mem::take(&mut self.flushes.lock().unwrap())
    }

    /// Lets the TLB clock go on by one.
    pub fn tick(&self) {
        self.clock.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on the guest writes one of `values` to the word at `at` after each read of it, the last one first.
    pub fn rewrite_after_reads(&self, at: Maddr, values: Vec<u64>) {
        *self.values.lock().unwrap() = values;
        self.rewritten.store(at.raw(), Ordering::Relaxed);
    }

    /// The thread that next reads the word at `at` waits twice at the barrier before it does: between the two another
    /// thread can do whatever it likes.
    pub fn stop_at_read(&self, at: Maddr) -> Arc<Barrier> {
        let barrier = Arc::new(Barrier::new(2));
        *self.barrier.lock().unwrap() = Some(barrier.clone());
        self.stop.store(at.raw(), Ordering::SeqCst);
        barrier
    }

    fn stop(&self) {
        let barrier = self.barrier.lock().unwrap().take();
        if let Some(barrier) = barrier {
            self.stop.store(0, Ordering::SeqCst);
            barrier.wait();
            barrier.wait();
        }
    }

    /// The next compare-exchange finds that the CPU has set `bits` just before.
    pub fn race_with(&self, bits: u64) {
        self.racing_bits.store(bits, Ordering::Relaxed);
    }
}

impl MachineMemory for SimMachine {
    fn read_u64(&self, at: Maddr) -> u64 {
        if at.raw() == self.stop.load(Ordering::Relaxed) && at.raw() != 0 {
            self.stop();
        }
        let value = self.word(at).load(Ordering::Relaxed);
        if at.raw() == self.rewritten.load(Ordering::Relaxed)
            && at.raw() != 0
            && let Some(next) = self.values.lock().unwrap().pop()
        {
            self.word(at).store(next, Ordering::Relaxed);
        }
        value
    }

    fn write_u64(&self, at: Maddr, value: u64) {
        self.word(at).store(value, Ordering::Relaxed);
    }

    fn compare_exchange_u64(&self, at: Maddr, current: u64, new: u64) -> Result<u64, u64> {
        let racing = self.racing_bits.swap(0, Ordering::Relaxed);
        self.word(at).fetch_or(racing, Ordering::Relaxed);
        self.word(at)
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }

    fn zero_frame(&self, frame: Mfn) {
        for i in 0..512 {
            self.write_u64(Maddr::new(frame.maddr().raw() + i * 8), 0);
        }
    }

    fn copy_frame(&self, to: Mfn, from: Mfn) {
        for i in 0..512 {
            let word = self.read_u64(Maddr::new(from.maddr().raw() + i * 8));
            self.write_u64(Maddr::new(to.maddr().raw() + i * 8), word);
        }
    }

    fn tlb_clock(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    fn flush_tlb(&self, cpus: u64, since: u32) {
        self.flushes
            .lock()
            .unwrap()
            .push(FlushRequest { cpus, since });
    }
}

/// Frames of a [`world`].
pub const FRAMES: usize = 1024;
/// The first frame of a hole of 16 frames in its RAM.
pub const HOLE: u64 = 512;
/// The L1TF bound of its configuration.
pub const L1TF_SAFE: u64 = 1 << 39;

/// The configuration of a [`world`].
pub fn config() -> Config {
    Config {
        hypervisor_l4: core::array::from_fn(|i| 0x0bad_0000_0000 + i as u64),
        l1tf_safe: Maddr::new(L1TF_SAFE),
        physical_bits: 40,
        max_order_control: 18,
        max_order_guest: 9,
    }
}

/// An engine over a fresh machine of `frames` frames, none of them donated. Leaks its tables: tests only.
pub fn bare_engine(frames: usize) -> Engine<'static, SimMachine> {
    let storage = Storage {
        frames: Box::leak((0..frames).map(|_| Frame::new()).collect()),
        m2p: Box::leak((0..frames).map(|_| AtomicU64::new(0)).collect()),
        owned: Box::leak((0..8).map(|_| AtomicU32::new(0)).collect()),
    };
    Engine::new(SimMachine::new(frames), storage, config())
}

/// An engine with [`FRAMES`] frames of RAM (less the [`HOLE`]), frames below 16 the hypervisor's.
pub fn world() -> Engine<'static, SimMachine> {
    let engine = bare_engine(FRAMES);
    engine.claim(Mfn::new(0), 16);
    engine.donate(Mfn::new(16), HOLE - 16);
    engine.donate(Mfn::new(HOLE + 16), FRAMES as u64 - HOLE - 16);
    engine
}

/// A domain that may own 256 frames and has CPU 0 dirty. Domain 0 is the control domain, with all I/O permitted.
pub fn domain(id: u16) -> DomainMemory {
    let io = if id == 0 {
        IoAccess::all()
    } else {
        IoAccess::none()
    };
    let domain = DomainMemory::new(DomId(id), id == 0, 0x260 + u64::from(id), io);
    domain.set_max_pages(256);
    domain.set_cpu_dirty(0);
    domain
}

/// Adds to the counts of a frame as though `general` more references, and `typed` more uses of its type, were held by
/// somebody; negative numbers take them away again. The caller sees that neither count reaches 0 or its end by this,
/// and that the frame is in use as something if `typed` is not 0.
pub fn weigh<M: MachineMemory>(engine: &Engine<'_, M>, frame: Mfn, general: i64, typed: i64) {
    if let Some(state) = engine.frame(frame) {
        state.add_weight(general, typed);
    }
}

/// The table of `domain` whose unwinding was interrupted, if there is one.
pub fn left_to_unwind(domain: &DomainMemory) -> Option<Mfn> {
    domain.tables.lock().doomed
}
