//! A machine whose CPUs hold, at any moment, every translation that they could hold: and a watch on what those may do.
//!
//! Each CPU of the domain is taken to walk all its tables all the time. What it found it keeps until it is flushed
//! whole: the tables that it walked through (paging-structure caches), and the frames that it found mapped. It goes on
//! walking a table that it knows, whatever that frame has become since.
//!
//! After every step it must hold that no CPU could
//! * write to a frame that is in use as a table or descriptor page,
//! * walk, as a table, a frame that a guest may write,
//! * reach a frame of another owner than when it found it.

use super::{point, undisturbed};
use crate::frame::{Frame, FrameType, Level};
use crate::machine::MachineMemory;
use crate::pte;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::vec::Vec;
use xenocryst_abi::{DomId, Maddr, Mfn};

/// Frames of the machine.
pub const FRAMES: usize = 48;
/// CPUs of the machine.
pub const CPUS: usize = 2;
/// Slots of tables that are used in these tests; the rest is empty.
pub const SLOTS: u64 = 4;

#[derive(Default)]
struct Tlb {
    /// Tables known, with their level.
    walked: BTreeSet<(u64, u8)>,
    /// Frames found mapped, with their owner then.
    mapped: BTreeMap<u64, Option<DomId>>,
    /// Those found mapped writable.
    writable: BTreeSet<u64>,
    /// The clock at the last whole flush.
    flushed: u32,
}

/// The machine.
pub struct Cpus<'f> {
    frames: &'f [Frame],
    words: Vec<AtomicU64>,
    clock: AtomicU32,
    tlbs: Mutex<[Tlb; CPUS]>,
}

impl<'f> Cpus<'f> {
    pub fn new(frames: &'f [Frame]) -> Self {
        Self {
            frames,
            words: (0..FRAMES * 512).map(|_| AtomicU64::new(0)).collect(),
            clock: AtomicU32::new(1),
            tlbs: Mutex::default(),
        }
    }

    fn word(&self, at: Maddr) -> &AtomicU64 {
        &self.words[(at.raw() / 8) as usize]
    }

    /// Writes to guest memory as a guest does that has some CPU which knows `frame` writable. False if there is none.
    pub fn guest_store(&self, frame: Mfn, slot: u64, value: u64) -> bool {
        point();
        let may = self
            .tlbs
            .lock()
            .unwrap()
            .iter()
            .any(|tlb| tlb.writable.contains(&frame.raw()));
        if may {
            let at = Maddr::new(frame.maddr().raw() + slot * 8);
            self.word(at).store(value, Ordering::Relaxed);
            self.step();
        }
        may
    }

    /// A CPU flushes everything for reasons of its own.
    pub fn flush_by_itself(&self, cpu: usize) {
        point();
        let now = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        self.tlbs.lock().unwrap()[cpu] = Tlb {
            flushed: now,
            ..Tlb::default()
        };
        self.step();
    }

    /// Lets all CPUs find what they can, and looks at what they could do.
    pub fn step(&self) {
        undisturbed(|| {
            let mut tlbs = self.tlbs.lock().unwrap();
            for tlb in tlbs.iter_mut() {
                self.walk(tlb);
                self.watch(tlb);
            }
        });
    }

    fn walk(&self, tlb: &mut Tlb) {
        for (number, frame) in (0..).zip(self.frames) {
            let word = frame.type_word();
            if let FrameType::Table(level) = word.frame_type()
                && word.is_validated()
            {
                tlb.walked.insert((number, level as u8));
            }
        }
        for &(table, level) in &tlb.walked {
            for slot in (0..SLOTS).filter(|_| level == Level::L1 as u8) {
                let entry = self.word(Maddr::new(table * 4096 + slot * 8));
                let entry = entry.load(Ordering::Relaxed);
                let target = pte::target(entry).raw();
                let Some(frame) = self.frames.get(target as usize) else {
                    continue;
                };
                if entry & pte::PRESENT != 0 {
                    tlb.mapped.entry(target).or_insert(frame.info().owner);
                    if entry & pte::RW != 0 {
                        tlb.writable.insert(target);
                    }
                }
            }
        }
    }

    fn watch(&self, tlb: &Tlb) {
        for &number in &tlb.writable {
            let word = self.frames[number as usize].type_word();
            let used = word.frame_type();
            assert!(
                !(word.is_validated()
                    && matches!(used, FrameType::Table(_) | FrameType::Descriptors)),
                "frame {number:#x} is {used}, and a CPU can write to it"
            );
        }
        for &(number, level) in &tlb.walked {
            let word = self.frames[number as usize].type_word();
            assert!(
                !(word.is_validated() && word.frame_type() == FrameType::Writable),
                "frame {number:#x} may be written, and a CPU takes it for a table of level {level}"
            );
        }
        for (&number, &owner) in &tlb.mapped {
            let info = self.frames[number as usize].info();
            let free = info.is_free || info.general_count == 0;
            assert!(
                free || info.owner == owner && !info.is_hypervisors,
                "frame {number:#x} is another's than when a CPU found it mapped: {info:?}, {owner:?}"
            );
        }
    }
}

impl MachineMemory for Cpus<'_> {
    fn read_u64(&self, at: Maddr) -> u64 {
        let value = self.word(at).load(Ordering::Relaxed);
        // An empty word is of no interest to anyone: most of a table is empty.
        if value == 0 {
            return 0;
        }
        point();
        self.word(at).load(Ordering::Relaxed)
    }

    fn write_u64(&self, at: Maddr, value: u64) {
        point();
        self.word(at).store(value, Ordering::Relaxed);
        self.step();
    }

    fn compare_exchange_u64(&self, at: Maddr, current: u64, new: u64) -> Result<u64, u64> {
        point();
        let word = self.word(at);
        let result = word.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire);
        self.step();
        result
    }

    fn zero_frame(&self, frame: Mfn) {
        point();
        for slot in 0..512 {
            let at = Maddr::new(frame.maddr().raw() + slot * 8);
            self.word(at).store(0, Ordering::Relaxed);
        }
        self.step();
    }

    fn copy_frame(&self, to: Mfn, from: Mfn) {
        point();
        for slot in 0..512 {
            let [to, from] = [to, from].map(|mfn| Maddr::new(mfn.maddr().raw() + slot * 8));
            let word = self.word(from).load(Ordering::Relaxed);
            self.word(to).store(word, Ordering::Relaxed);
        }
        self.step();
    }

    fn tlb_clock(&self) -> u32 {
        point();
        self.clock.load(Ordering::Relaxed)
    }

    fn flush_tlb(&self, cpus: u64, since: u32) {
        self.step();
        for cpu in (0..CPUS).filter(|cpu| cpus & 1 << cpu != 0) {
            point();
            let flushed = self.tlbs.lock().unwrap()[cpu].flushed;
            if flushed <= since {
                self.flush_by_itself(cpu);
            }
        }
    }

    fn relax(&self) {
        shuttle::hint::spin_loop();
    }
}
