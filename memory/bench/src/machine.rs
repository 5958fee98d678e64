//! A machine with more frames than memory: the low ones hold tables and have words, the last ones too (the hypervisor's
//! own records come from there), the others are only ever named.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use xenocryst_abi::{Maddr, Mfn};
use xenocryst_memory::{Engine, Frame, MachineMemory, Storage, sim};

/// Frames that have words: 2^12 of them, the smallest power of two with room for a tree of 512 L1 tables.
pub const TABLES: u64 = 1 << 12;
/// Frames in all: room for a block of 2^18, which is what 512 L1 tables map.
pub const FRAMES: u64 = 1 << 20;
/// Frames at the end that have words.
const LAST: u64 = 2048;
/// Domain numbers that can own frames.
const DOMAINS: usize = 8;

/// Where the words of a frame are, if it has any: the last frames come after the low ones.
fn place(frame: Mfn) -> u64 {
    match frame.raw().checked_sub(FRAMES - LAST) {
        Some(last) => TABLES + last,
        None if frame.raw() < TABLES => frame.raw(),
        None => FRAMES,
    }
}

/// Words of the low frames.
pub struct Machine {
    words: Vec<AtomicU64>,
    clock: AtomicU32,
}

impl Machine {
    fn new() -> Self {
        Self {
            words: (0..(TABLES + LAST) * 512)
                .map(|_| AtomicU64::new(0))
                .collect(),
            clock: AtomicU32::new(1),
        }
    }

    fn word(&self, at: Maddr) -> &AtomicU64 {
        let frame = place(at.mfn());
        &self.words[(frame * 512 + at.offset() / 8) as usize]
    }
}

impl MachineMemory for Machine {
    fn read_u64(&self, at: Maddr) -> u64 {
        self.word(at).load(Ordering::Relaxed)
    }

    fn write_u64(&self, at: Maddr, value: u64) {
        self.word(at).store(value, Ordering::Relaxed);
    }

    fn compare_exchange_u64(&self, at: Maddr, current: u64, new: u64) -> Result<u64, u64> {
        self.word(at)
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }

    fn zero_frame(&self, frame: Mfn) {
        let first = place(frame) as usize * 512;
        for word in self.words.get(first..first + 512).unwrap_or(&[]) {
            word.store(0, Ordering::Relaxed);
        }
    }

    fn copy_frame(&self, to: Mfn, from: Mfn) {
        for offset in (0..4096).step_by(8) {
            let word = self.read_u64(Maddr::new(from.maddr().raw() + offset));
            self.write_u64(Maddr::new(to.maddr().raw() + offset), word);
        }
    }

    fn tlb_clock(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Costs nothing, since the price of a flush is the machine's and not the engine's.
    fn flush_tlb(&self, _cpus: u64, _since: u32) {}

    fn relax(&self) {
        std::thread::yield_now();
    }
}

/// An engine over a fresh machine; its tables are never freed.
pub fn engine() -> Engine<'static, Machine> {
    let frames = FRAMES as usize;
    let storage = Storage {
        frames: Box::leak((0..frames).map(|_| Frame::new()).collect()),
        m2p: Box::leak((0..frames).map(|_| AtomicU64::new(0)).collect()),
        owned: Box::leak((0..DOMAINS).map(|_| AtomicU32::new(0)).collect()),
    };
    let engine = Engine::new(Machine::new(), storage, sim::config());
    engine.claim(Mfn::new(0), 16);
    engine.donate(Mfn::new(16), FRAMES - 16);
    engine
}

/// Bytes that the engine keeps for each frame of RAM, the M2P's word included.
pub const BYTES_A_FRAME: usize = size_of::<Frame>() + size_of::<AtomicU64>();
