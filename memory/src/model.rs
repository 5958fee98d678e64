//! Random operations against the recount: whatever a guest does, in any order and at any budget, the counts in the
//! frame table are those that follow from the tables, and death gives everything back.

use crate::MachineMemory;
use crate::audit::Held;
use crate::emulate::PteStore;
use crate::frame::{FrameType, Level};
use crate::pte;
use crate::pte::{NX, PCD, PRESENT, RW, USER};
use crate::sim::{HOLE, domain};
use crate::testing::*;
use crate::{
    Actors, AddressLimit, Budget, DescriptorRef, DomainMemory, PageRef, Progress, RootRef,
    WritableRef,
};
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;
use xenocryst_abi::{DomId, Maddr, Mfn, Pfn, Vaddr};

/// A small generator of pseudo-random numbers (xorshift64*): the same seed, the same run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What a CPU may still hold of translations, in the worst case: everything since its last whole flush.
#[derive(Default)]
struct Tlb {
    /// Frames mapped, with their owner at that time.
    mapped: BTreeMap<Mfn, Option<DomId>>,
    /// Frames mapped writable.
    writable: BTreeSet<Mfn>,
    /// Tables walked, with their level (as a number, for order).
    walked: BTreeSet<(Mfn, u8)>,
    /// The TLB clock at the last whole flush.
    last_flush: u32,
}

impl Tlb {
    /// Does the flushes that the engine asked for, if the CPU has not been flushed since the time they name.
    fn flush_as_asked(&mut self, b: &Bench) {
        let asked = b.engine.machine().take_flushes();
        if asked
            .iter()
            .any(|flush| flush.cpus & 1 != 0 && flush.since >= self.last_flush)
        {
            self.flush(b);
        }
    }

    fn flush(&mut self, b: &Bench) {
        b.engine.machine().tick();
        *self = Self {
            last_flush: b.engine.machine().tlb_clock(),
            ..Self::default()
        };
    }

    /// Nothing that may be cached can do harm.
    fn check(&self, b: &Bench) {
        for (&mfn, &owner) in &self.mapped {
            let info = b.info(mfn);
            assert!(
                info.is_free || !info.is_ram || info.owner == owner,
                "{mfn} was given away, but is cached: {info:?}"
            );
        }
        for &mfn in &self.writable {
            let info = b.info(mfn);
            let is_table = matches!(
                info.frame_type,
                FrameType::Table(_) | FrameType::Descriptors
            );
            assert!(
                !(is_table && info.validated),
                "{mfn} is a table, but cached writable: {info:?}"
            );
        }
        for &(mfn, level) in &self.walked {
            let info = b.info(mfn);
            let same = matches!(info.frame_type, FrameType::Table(l) if l as u8 == level);
            assert!(
                !info.validated || same,
                "{mfn} may be walked as L{level}, but is: {info:?}"
            );
        }
    }

    /// Caches whatever the validated tables map now.
    fn fill(&mut self, b: &Bench) {
        for number in 0..crate::sim::FRAMES as u64 {
            let table = Mfn::new(number);
            let info = b.info(table);
            let FrameType::Table(level) = info.frame_type else {
                continue;
            };
            if !info.validated {
                continue;
            }
            self.walked.insert((table, level as u8));
            for slot in if level == Level::L1 { 0..512 } else { 0..0 } {
                let entry = b.peek(table, slot);
                let target = pte::target(entry);
                if entry & PRESENT != 0 && b.info(target).is_ram {
                    self.mapped.insert(target, b.info(target).owner);
                    if entry & RW != 0 {
                        self.writable.insert(target);
                    }
                }
            }
        }
    }
}

/// A guest that does anything it likes.
struct Guest {
    b: Bench,
    other: DomainMemory,
    random: Random,
    /// Frames it knows of: its own, another's, the hypervisor's, a hole, nonsense.
    frames: Vec<Mfn>,
    roots: Vec<RootRef>,
    pages: Vec<PageRef>,
    writable: Vec<WritableRef>,
    descriptors: Vec<DescriptorRef>,
}

/// Slots that the guest uses: few, so that things meet.
const SLOTS: [u64; 8] = [0, 1, 2, 255, 256, 260, 272, 511];

impl Guest {
    fn new(seed: u64) -> Self {
        let b = bench();
        let other = domain(2);
        let mut frames: Vec<Mfn> = (0..24).map(|_| b.page()).collect();
        let s = b.space();
        frames.extend([s.l4, s.l3, s.l2, s.l1, s.data, b.page_of(&other)]);
        frames.extend([0, 3, HOLE, 1023, 1024, 1 << 39].map(Mfn::new));
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (roots, pages, writable, descriptors) = Default::default();
        Self {
            b,
            other,
            random,
            frames,
            roots,
            pages,
            writable,
            descriptors,
        }
    }

    fn frame(&mut self) -> Mfn {
        let frames = &self.frames;
        self.random.pick(frames)
    }

    fn entry(&mut self) -> u64 {
        let flags = [
            0,
            PRESENT,
            PRESENT | USER,
            PRESENT | USER,
            T,
            T,
            T,
            T | NX,
            PRESENT | RW,
            T | PCD,
            T | 0x80,
            0x1000,
        ];
        match self.random.below(6) {
            0 => 0,
            _ => entry(self.frame(), self.random.pick(&flags)),
        }
    }

    fn budget(&mut self) -> Budget {
        Budget::new(self.random.pick(&[1, 2, 3, 17, 520, 1030, 100_000]))
    }

    fn held(&self) -> Vec<Held> {
        let mut held: Vec<Held> = self.pages.iter().map(|r| Held::General(r.mfn())).collect();
        held.extend(self.roots.iter().map(|r| Held::Typed(r.mfn())));
        held.extend(self.writable.iter().map(|r| Held::Typed(r.mfn())));
        held.extend(self.descriptors.iter().map(|r| Held::Typed(r.mfn())));
        held
    }

    /// One random operation; refusals are as good as successes.
    fn step(&mut self) {
        let (frame, entry, mut budget) = (self.frame(), self.entry(), self.budget());
        let slot = self.random.pick(&SLOTS);
        let vaddr = Vaddr::new(
            (slot << 39 | self.random.pick(&SLOTS) << 12)
                | if slot > 255 { 0xffff << 48 } else { 0 },
        );
        let root = self.roots.first().map_or(frame, RootRef::mfn);
        let level = self
            .random
            .pick(&[Level::L1, Level::L2, Level::L3, Level::L4]);
        let own = Actors::own(&self.b.d);
        let engine = &self.b.engine;
        match self.random.below(18) {
            0..=4 => {
                let kind = self.random.pick(&[0, 0, 0, 1, 2, 3, 5]);
                let _ = engine.mmu_update(&own, at(frame, slot) | kind, entry, &mut budget);
            }
            5 => {
                let actors = Actors {
                    pages: &self.other,
                    ..own
                };
                let _ = engine.mmu_update(&actors, at(frame, slot), entry, &mut budget);
            }
            6 => {
                let _ = engine.update_va_mapping(&own, root, vaddr, entry);
            }
            7 | 8 => {
                let _ = engine.pin_table(&self.b.d, frame, level, &mut budget);
            }
            9 => {
                let _ = engine.unpin_table(&self.b.d, frame, &mut budget);
            }
            10 => {
                if let Ok(Progress::Done(root)) = engine.get_root(&self.b.d, frame, &mut budget) {
                    self.roots.push(root);
                }
            }
            11 => {
                if let Some(root) = self.roots.pop() {
                    engine.put_root(&self.b.d, root, &mut budget);
                }
            }
            12 => {
                let store = match self.random.below(2) {
                    0 => PteStore::Plain {
                        width: self.random.pick(&[1, 2, 4, 8]),
                        value: entry,
                    },
                    _ => PteStore::CompareExchange {
                        width: 8,
                        expected: 0,
                        value: entry,
                    },
                };
                let _ = engine.emulate_pte_store(&self.b.d, root, vaddr, vaddr, store);
            }
            13 => self.memory_operation(frame),
            14 => self.take_or_put(frame),
            15 => {
                let _ = engine.update_descriptor(&self.b.d, Maddr::new(at(frame, slot)), entry);
            }
            16 => {
                let _ = engine.clear_page(&self.b.d, frame);
            }
            _ => self.store(frame, slot, entry),
        }
    }

    /// A store by the guest itself: only if some mapping could be writable.
    fn store(&self, frame: Mfn, slot: u64, value: u64) {
        let info = self.b.info(frame);
        let writable =
            matches!(info.frame_type, FrameType::None | FrameType::Writable) || !info.validated;
        if info.owner == Some(self.b.d.id()) && writable && info.partial.is_none() {
            self.b.poke(frame, slot, value);
        }
    }

    fn memory_operation(&mut self, frame: Mfn) {
        let engine = &self.b.engine;
        match self.random.below(3) {
            0 => {
                if engine.decrease_extent(&self.b.d, frame, 0).is_ok()
                    && let Ok(new) =
                        engine.populate_extent(&self.b.d, 0, AddressLimit::NONE, Some(Pfn::new(1)))
                {
                    self.frames.push(new);
                }
            }
            1 if self.frames.len() < 100 => {
                if let Ok(new) = engine.populate_extent(&self.b.d, 1, AddressLimit::bits(22), None)
                {
                    self.frames.extend([new, new.wrapping_add(1)]);
                }
            }
            _ => {
                let Ok(mut x) = engine.begin_exchange(&self.b.d, 1, 0, AddressLimit::NONE) else {
                    return;
                };
                if engine.exchange_in(&self.b.d, &mut x, frame, 0).is_err() {
                    return engine.abandon_exchange(&self.b.d, x);
                }
                let new = engine.exchange_out(&self.b.d, &mut x, Pfn::new(2));
                engine.finish_exchange(&self.b.d, x);
                self.frames.extend(new);
            }
        }
    }

    fn take_or_put(&mut self, frame: Mfn) {
        let engine = &self.b.engine;
        match self.random.below(6) {
            0 => self.pages.extend(engine.get_page(&self.b.d, frame)),
            1 => self
                .writable
                .extend(engine.get_writable_page(&self.b.d, frame)),
            2 => self
                .descriptors
                .extend(engine.get_descriptor_page(&self.b.d, frame)),
            3 => self
                .pages
                .pop()
                .into_iter()
                .for_each(|held| engine.put_page(held)),
            4 => self
                .writable
                .pop()
                .into_iter()
                .for_each(|held| engine.put_writable_page(held)),
            _ => self
                .descriptors
                .pop()
                .into_iter()
                .for_each(|held| engine.put_descriptor_page(&self.b.d, held)),
        }
    }

    fn check(&self) {
        self.b.check_with(&[&self.other], &self.held());
    }

    /// Gives back what is held outside tables, and dies.
    fn die(mut self) {
        self.b.d.set_dying();
        for root in self.roots.drain(..) {
            self.b.engine.put_root(
                &self.b.d,
                root,
                &mut Budget::new(self.random.below(2000) as u32),
            );
        }
        self.pages
            .drain(..)
            .for_each(|held| self.b.engine.put_page(held));
        self.writable
            .drain(..)
            .for_each(|held| self.b.engine.put_writable_page(held));
        self.descriptors
            .drain(..)
            .for_each(|held| self.b.engine.put_descriptor_page(&self.b.d, held));
        self.check();
        let mut cursor = Mfn::new(0);
        while self
            .b
            .engine
            .relinquish(&self.b.d, &mut cursor, &mut Budget::new(100))
            == Progress::Preempted
        {}
        self.check();
        assert_eq!(
            self.b.engine.owned_frames(self.b.d.id()),
            0,
            "a dead domain owns nothing"
        );
        assert_eq!(
            self.b.engine.free_frame_count() + 1,
            crate::sim::FRAMES as u64 - 32
        );
    }
}

#[test]
fn random_guests_leave_nothing_dangerous_in_a_tlb() {
    for seed in 100..115 {
        let mut guest = Guest::new(seed);
        let mut tlb = Tlb::default();
        guest.b.engine.machine().take_flushes();
        for _ in 0..300 {
            guest.step();
            tlb.flush_as_asked(&guest.b);
            tlb.check(&guest.b);
            tlb.fill(&guest.b);
            if guest.random.below(20) == 0 {
                tlb.flush(&guest.b);
            }
        }
    }
}

#[test]
fn random_guests_never_get_the_counts_wrong() {
    for seed in 1..60 {
        let mut guest = Guest::new(seed);
        for step in 0..400 {
            guest.step();
            if step % 8 == 0 {
                guest.check();
            }
        }
        guest.die();
    }
}

/// Several CPUs of one domain at once, with a real lock between them; afterwards the counts are right.
#[test]
fn racing_vcpus_never_get_the_counts_wrong() {
    let b = bench();
    let frames: Vec<Mfn> = (0..16).map(|_| b.page()).collect();
    let s = b.space();
    let engine = &b.engine;
    let d = &b.d;
    let (frames, s) = (&frames, &s);
    std::thread::scope(|scope| {
        for cpu in 0..4 {
            scope.spawn(move || {
                let mut random = Random(cpu * 77 + 1);
                for _ in 0..20_000 {
                    let frame = random.pick(frames);
                    let val = entry(frame, random.pick(&[T, PRESENT | USER, 0]));
                    let val = if val & PRESENT == 0 { 0 } else { val };
                    let budget = &mut Budget::new(600);
                    match random.below(6) {
                        0 => drop(engine.pin_table(d, frame, Level::L1, budget)),
                        1 => drop(engine.unpin_table(d, frame, budget)),
                        2 => drop(engine.mmu_update(
                            &Actors::own(d),
                            at(s.l2, random.below(4) + 1),
                            val,
                            budget,
                        )),
                        _ => drop(engine.mmu_update(
                            &Actors::own(d),
                            at(s.l1, random.below(64)),
                            val,
                            budget,
                        )),
                    }
                    if let Ok(held) = engine.get_writable_page(d, random.pick(frames)) {
                        engine.put_writable_page(held);
                    }
                }
            });
        }
    });
    b.finish(1);
    b.check();
}
