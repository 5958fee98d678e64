//! The machine under the engine: words of memory, a TLB clock, and a note of every frame written and flush asked for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use xenocryst_abi::{Maddr, Mfn};
use xenocryst_memory::{AddressLimit, Config, Engine, Frame, MachineMemory, Storage};

use crate::layout::{FRAMES, HOLE, HYPERVISOR_ENTRIES, HYPERVISOR_FRAMES, L1TF_SAFE};

/// A flush that the engine asked for: CPUs as a mask, and the clock since which they may be stale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlushRequest {
    /// CPUs, as a mask.
    pub cpus: u64,
    /// TLB clock.
    pub since: u32,
}

/// RAM from frame 0 on.
pub struct Machine {
    words: Vec<AtomicU64>,
    written: [AtomicU64; FRAMES.div_ceil(64)],
    clock: AtomicU32,
    flushes: Mutex<Vec<FlushRequest>>,
}

impl Machine {
    fn new() -> Self {
        Self {
            words: (0..FRAMES * 512).map(|_| AtomicU64::new(0)).collect(),
            written: Default::default(),
            clock: AtomicU32::new(1),
            flushes: Mutex::new(Vec::new()),
        }
    }

    fn word(&self, at: Maddr) -> &AtomicU64 {
        assert!(
            at.raw().is_multiple_of(8),
            "the engine made a misaligned access at {at}"
        );
        &self.words[(at.raw() / 8) as usize]
    }

    fn note_written(&self, frame: u64) {
        let word = &self.written[(frame / 64) as usize];
        let now = word.load(Ordering::Relaxed);
        word.store(now | 1 << (frame % 64), Ordering::Relaxed);
    }

    /// The frames written since the last call, as a bit mask.
    pub fn take_written(&self) -> u128 {
        let [low, high] = &self.written;
        let halves = [low, high].map(|word| u128::from(word.swap(0, Ordering::Relaxed)));
        halves[0] | halves[1] << 64
    }

    /// The flushes asked for since the last call.
    pub fn take_flushes(&self) -> Vec<FlushRequest> {
        std::mem::take(&mut self.flushes.lock().expect("nobody panics holding it"))
    }

    /// Lets the TLB clock go on by one.
    pub fn tick(&self) {
        self.clock.fetch_add(1, Ordering::Relaxed);
    }
}

impl MachineMemory for Machine {
    fn read_u64(&self, at: Maddr) -> u64 {
        self.word(at).load(Ordering::Relaxed)
    }

    fn write_u64(&self, at: Maddr, value: u64) {
        self.note_written(at.raw() >> 12);
        self.word(at).store(value, Ordering::Relaxed);
    }

    fn compare_exchange_u64(&self, at: Maddr, current: u64, new: u64) -> Result<u64, u64> {
        self.note_written(at.raw() >> 12);
        self.word(at)
            .compare_exchange(current, new, Ordering::Relaxed, Ordering::Relaxed)
    }

    fn zero_frame(&self, frame: Mfn) {
        self.note_written(frame.raw());
        for word in &self.words[frame.raw() as usize * 512..][..512] {
            word.store(0, Ordering::Relaxed);
        }
    }

    fn copy_frame(&self, to: Mfn, from: Mfn) {
        self.note_written(to.raw());
        for i in 0..512 {
            let word = self.words[from.raw() as usize * 512 + i].load(Ordering::Relaxed);
            self.words[to.raw() as usize * 512 + i].store(word, Ordering::Relaxed);
        }
    }

    /// As if the bytes were all read before the first is written.
    fn copy_bytes(&self, to: Maddr, from: Maddr, length: u16) {
        let bytes: Vec<u8> = (0..u64::from(length))
            .map(|i| {
                let at = from.raw() + i;
                (self.read_u64(Maddr::new(at & !7)) >> (at % 8 * 8)) as u8
            })
            .collect();
        for (at, byte) in (to.raw()..).zip(bytes) {
            let (word, shift) = (Maddr::new(at & !7), at % 8 * 8);
            let kept = self.read_u64(word) & !(0xff << shift);
            self.write_u64(word, kept | u64::from(byte) << shift);
        }
    }

    fn tlb_clock(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    fn flush_tlb(&self, cpus: u64, since: u32) {
        let mut flushes = self.flushes.lock().expect("nobody panics holding it");
        flushes.push(FlushRequest { cpus, since });
    }
}

/// The memory that an engine keeps its books in.
pub struct Books {
    frames: Vec<Frame>,
    m2p: Vec<AtomicU64>,
    owned: Vec<AtomicU32>,
}

impl Books {
    /// Empty books.
    #[must_use]
    pub fn new() -> Self {
        Self {
            frames: (0..FRAMES).map(|_| Frame::new()).collect(),
            m2p: (0..FRAMES).map(|_| AtomicU64::new(0)).collect(),
            owned: (0..8).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// An engine over a fresh machine.
    #[must_use]
    pub fn engine(&self) -> Engine<'_, Machine> {
        let storage = Storage {
            frames: &self.frames,
            m2p: &self.m2p,
            owned: &self.owned,
        };
        let config = Config {
            hypervisor_l4: HYPERVISOR_ENTRIES,
            l1tf_safe: Maddr::new(L1TF_SAFE),
            physical_bits: crate::layout::PHYSICAL_BITS,
            max_order_control: crate::layout::MAX_ORDER_CONTROL,
            max_order_guest: crate::layout::MAX_ORDER_GUEST,
        };
        let engine = Engine::new(Machine::new(), storage, config);
        engine.claim(Mfn::new(0), HYPERVISOR_FRAMES);
        engine.donate(Mfn::new(HYPERVISOR_FRAMES), HOLE.start - HYPERVISOR_FRAMES);
        engine.donate(Mfn::new(HOLE.end), FRAMES as u64 - HOLE.end);
        engine
    }
}

impl Default for Books {
    fn default() -> Self {
        Self::new()
    }
}

/// An address limit as requests give it.
#[must_use]
pub fn address_limit(bits: u64) -> AddressLimit {
    AddressLimit::bits(u8::try_from(bits).unwrap_or(0))
}
