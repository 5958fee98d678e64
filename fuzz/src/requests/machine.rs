//! A small machine whose memory is used again for every input: making it anew would take longer than most inputs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use xenocryst_abi::{Maddr, Mfn};
use xenocryst_memory::sim::{self, FlushRequest};
use xenocryst_memory::{Engine, Frame, MachineMemory, Storage};

/// Frames of the machine.
pub const FRAMES: usize = 208;
/// Frames below this are the hypervisor's.
pub const OWN: u64 = 8;
/// First frame of a hole of [`HOLE_FRAMES`].
pub const HOLE: u64 = 96;
/// Frames that are no RAM.
pub const HOLE_FRAMES: u64 = 4;

/// Domain numbers that can own something.
const DOMAINS: usize = 4;

/// The memory, and what the engine keeps its state in.
pub struct Arena {
    words: Box<[AtomicU64]>,
    frames: Vec<Frame>,
    m2p: Vec<AtomicU64>,
    owned: Vec<AtomicU32>,
}

impl Arena {
    /// [`FRAMES`] frames.
    pub fn new() -> Self {
        Self {
            words: (0..FRAMES * 512).map(|_| AtomicU64::new(0)).collect(),
            frames: Vec::new(),
            m2p: Vec::new(),
            owned: Vec::new(),
        }
    }

    /// Makes all of it zero.
    pub fn clear(&mut self) {
        for word in &mut self.words {
            *word.get_mut() = 0;
        }
        self.frames = (0..FRAMES).map(|_| Frame::new()).collect();
        self.m2p = (0..FRAMES).map(|_| AtomicU64::new(0)).collect();
        self.owned = (0..DOMAINS).map(|_| AtomicU32::new(0)).collect();
    }

    /// An engine that knows the RAM.
    pub fn engine(&self) -> Engine<'_, Machine<'_>> {
        let storage = Storage {
            frames: &self.frames,
            m2p: &self.m2p,
            owned: &self.owned,
        };
        let engine = Engine::new(Machine::new(self), storage, sim::config());
        engine.claim(Mfn::new(0), OWN);
        engine.donate(Mfn::new(OWN), HOLE - OWN);
        let after = HOLE + HOLE_FRAMES;
        engine.donate(Mfn::new(after), FRAMES as u64 - after);
        engine
    }
}

/// The machine over it.
pub struct Machine<'a> {
    words: &'a [AtomicU64],
    clock: AtomicU32,
    flushes: Mutex<Vec<FlushRequest>>,
    racing_bits: AtomicU64,
}

impl<'a> Machine<'a> {
    /// With its clock at 1.
    pub fn new(arena: &'a Arena) -> Self {
        Self {
            words: &arena.words,
            clock: AtomicU32::new(1),
            flushes: Mutex::default(),
            racing_bits: AtomicU64::new(0),
        }
    }

    fn word(&self, at: Maddr) -> &AtomicU64 {
        assert!(at.raw().is_multiple_of(8), "misaligned access at {at}");
        &self.words[(at.raw() / 8) as usize]
    }

    /// The flushes asked for since the last call.
    pub fn take_flushes(&self) -> Vec<FlushRequest> {
        self.flushes
            .lock()
            .map(|mut flushes| std::mem::take(&mut *flushes))
            .unwrap_or_default()
    }

    /// Lets the TLB clock go on by one.
    pub fn tick(&self) {
        self.clock.fetch_add(1, Ordering::Relaxed);
    }

    /// The next compare-exchange finds that the CPU has set `bits` just before.
    pub fn race_with(&self, bits: u64) {
        self.racing_bits.store(bits, Ordering::Relaxed);
    }
}

fn frame_words(frame: Mfn) -> std::ops::Range<usize> {
    let first = frame.raw() as usize * 512;
    first..first + 512
}

impl MachineMemory for Machine<'_> {
    fn read_u64(&self, at: Maddr) -> u64 {
        self.word(at).load(Ordering::Relaxed)
    }

    fn write_u64(&self, at: Maddr, value: u64) {
        self.word(at).store(value, Ordering::Relaxed);
    }

    fn compare_exchange_u64(&self, at: Maddr, current: u64, new: u64) -> Result<u64, u64> {
        let word = self.word(at);
        let racing = self.racing_bits.swap(0, Ordering::Relaxed);
        // The CPU sets these bits only in entries that map something.
        if word.load(Ordering::Relaxed) & 1 != 0 {
            word.fetch_or(racing, Ordering::Relaxed);
        }
        word.compare_exchange(current, new, Ordering::Relaxed, Ordering::Relaxed)
    }

    fn zero_frame(&self, frame: Mfn) {
        for word in &self.words[frame_words(frame)] {
            word.store(0, Ordering::Relaxed);
        }
    }

    fn copy_frame(&self, to: Mfn, from: Mfn) {
        for (to, from) in self.words[frame_words(to)]
            .iter()
            .zip(&self.words[frame_words(from)])
        {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn tlb_clock(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    fn flush_tlb(&self, cpus: u64, since: u32) {
        if let Ok(mut flushes) = self.flushes.lock() {
            flushes.push(FlushRequest { cpus, since });
        }
    }
}
