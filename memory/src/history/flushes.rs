//! The order of things that only a TLB, or another CPU, can tell apart.

use crate::engine::Storage;
use crate::frame::{Frame, FrameInfo, FrameType, Level::*};
use crate::machine::MachineMemory;
use crate::refusal::Rule;
use crate::sim::{SimMachine, config, domain};
use crate::testing::*;
use crate::{Actors, AddressLimit, Budget, DomainMemory, Engine, Progress};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::boxed::Box;
use std::sync::Mutex;
use std::vec::Vec;
use xenocryst_abi::{Maddr, Mfn};

const FRAMES: usize = 64;

/// What the engine did to the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    /// A flush; the watched frame was in this state then.
    Flush(FrameInfo),
    /// A word of the watched frame was read.
    Read,
    /// The watched frame was cleared.
    Zero,
}

/// A machine that writes down what is done about one frame, and when.
struct Witness {
    memory: SimMachine,
    frames: &'static [Frame],
    watched: AtomicU64,
    reads: AtomicU64,
    events: Mutex<Vec<Event>>,
}

impl Witness {
    fn watch(&self, mfn: Mfn) {
        self.watched.store(mfn.raw(), Ordering::Relaxed);
        self.events.lock().unwrap().clear();
    }

    fn events(&self) -> Vec<Event> {
        core::mem::take(&mut self.events.lock().unwrap())
    }

    fn note(&self, mfn: Mfn, event: Event) {
        let mut events = self.events.lock().unwrap();
        if mfn.raw() == self.watched.load(Ordering::Relaxed) && events.last() != Some(&event) {
            events.push(event);
        }
    }
}

impl MachineMemory for Witness {
    fn read_u64(&self, at: Maddr) -> u64 {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.note(at.mfn(), Event::Read);
        self.memory.read_u64(at)
    }
    fn write_u64(&self, at: Maddr, value: u64) {
        self.memory.write_u64(at, value);
    }
    fn compare_exchange_u64(&self, at: Maddr, current: u64, new: u64) -> Result<u64, u64> {
        self.memory.compare_exchange_u64(at, current, new)
    }
    fn zero_frame(&self, frame: Mfn) {
        self.note(frame, Event::Zero);
        self.memory.zero_frame(frame);
    }
    fn copy_frame(&self, to: Mfn, from: Mfn) {
        self.memory.copy_frame(to, from);
    }
    fn tlb_clock(&self) -> u32 {
        self.memory.tlb_clock()
    }
    fn flush_tlb(&self, _cpus: u64, _since: u32) {
        let watched = Mfn::new(self.watched.load(Ordering::Relaxed));
        let info = self.frames[watched.raw() as usize].info();
        self.note(watched, Event::Flush(info));
    }
}

fn witnessed() -> (Engine<'static, Witness>, DomainMemory) {
    let frames: &'static [Frame] = Box::leak((0..FRAMES).map(|_| Frame::new()).collect());
    let storage = Storage {
        frames,
        m2p: Box::leak((0..FRAMES).map(|_| AtomicU64::new(0)).collect()),
        owned: Box::leak((0..8).map(|_| AtomicU32::new(0)).collect()),
    };
    let machine = Witness {
        memory: SimMachine::new(FRAMES),
        frames,
        watched: AtomicU64::new(0),
        reads: AtomicU64::new(0),
        events: Mutex::new(Vec::new()),
    };
    let engine = Engine::new(machine, storage, config());
    engine.donate(Mfn::new(1), FRAMES as u64 - 1);
    (engine, domain(1))
}

fn page(engine: &Engine<'_, Witness>, d: &DomainMemory) -> Mfn {
    engine
        .populate_extent(d, 0, AddressLimit::NONE, None)
        .unwrap()
}

#[test]
fn xsa_401_the_new_type_stands_before_the_flush_and_the_flush_before_the_look() {
    let (engine, d) = witnessed();
    let frame = page(&engine, &d);
    let held = engine.get_writable_page(&d, frame).unwrap();
    engine.put_writable_page(held);
    engine.machine().watch(frame);
    let pinned = engine.pin_table(&d, frame, L1, &mut Budget::unlimited());
    assert_eq!(pinned, Ok(Progress::Done(())));
    let events = engine.machine().events();
    let [Event::Flush(then), Event::Read] = events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(then.frame_type, FrameType::Table(L1));
    assert_eq!((then.type_count, then.validated), (1, false));
}

#[test]
fn xsa_285_descriptor_pages_follow_the_same_order() {
    let (engine, d) = witnessed();
    let frame = page(&engine, &d);
    let held = engine.get_writable_page(&d, frame).unwrap();
    engine.put_writable_page(held);
    engine.machine().watch(frame);
    let held = engine.get_descriptor_page(&d, frame).unwrap();
    let events = engine.machine().events();
    let [Event::Flush(then), Event::Read] = events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(then.frame_type, FrameType::Descriptors);
    assert!(!then.validated);
    engine.put_descriptor_page(&d, held);
}

#[test]
fn xsa_511_a_frame_is_flushed_before_it_is_cleared_for_the_next_owner() {
    let (engine, d) = witnessed();
    let next = domain(2);
    let frame = page(&engine, &d);
    engine.machine().watch(frame);
    engine.decrease_extent(&d, frame, 0).unwrap();
    while engine.frame_info(frame).is_free {
        page(&engine, &next);
    }
    let events = engine.machine().events();
    assert!(
        matches!(events[..], [Event::Flush(then), Event::Zero] if then.owner.is_none()),
        "{events:?}"
    );
}

#[test]
fn xsa_408_flushes_follow_from_the_type_that_is_left() {
    type Use = fn(&Bench, &Space, Mfn);
    let uses: [Use; 4] = [
        |b, s, mfn| {
            b.map(s, 0x1000, entry(mfn, T)).unwrap();
            b.map(s, 0x1000, 0).unwrap();
        },
        |b, _, mfn| b.pin(mfn, L1).and_then(|()| b.unpin(mfn)).unwrap(),
        |b, _, mfn| b.pin(mfn, L3).and_then(|()| b.unpin(mfn)).unwrap(),
        |b, _, mfn| {
            let held = b.engine.get_descriptor_page(&b.d, mfn).unwrap();
            b.engine.put_descriptor_page(&b.d, held);
        },
    ];
    for (i, old) in uses.iter().enumerate() {
        for (j, new) in uses.iter().enumerate() {
            let b = bench();
            let s = b.space();
            let mfn = b.page();
            b.engine.machine().take_flushes();
            old(&b, &s, mfn);
            assert_eq!(b.engine.machine().take_flushes(), [], "from no type: {i}");
            new(&b, &s, mfn);
            let flushes = b.engine.machine().take_flushes().len();
            assert_eq!(flushes, usize::from(i != j), "from {i} to {j}");
            b.check();
        }
    }
}

/// A tree in which every entry names a table: with the smallest budget, no slice does more than about two L1 tables'
/// worth of reading, up or down.
#[test]
fn xsa_45_every_slice_of_a_wide_tree_is_short() {
    let (engine, d) = witnessed();
    let [l4, l3, l2, l1] = core::array::from_fn(|_| page(&engine, &d));
    for slot in 0..512 {
        let machine = engine.machine();
        machine.write_u64(Maddr::new(at(l3, slot)), entry(l2, T));
        machine.write_u64(Maddr::new(at(l2, slot)), entry(l1, T));
        machine.write_u64(Maddr::new(at(l4, slot)), entry(l3, T));
    }
    let slice = |run: &mut dyn FnMut() -> Progress<()>| {
        let before = engine.machine().reads.load(Ordering::Relaxed);
        let progress = run();
        let reads = engine.machine().reads.load(Ordering::Relaxed) - before;
        assert!(reads <= 2048, "{reads} words read in one slice");
        progress
    };
    let pin = &mut || engine.pin_table(&d, l4, L4, &mut Budget::new(1)).unwrap();
    while slice(pin) == Progress::Preempted {}
    let unpin = &mut || engine.unpin_table(&d, l4, &mut Budget::new(1)).unwrap();
    while slice(unpin) == Progress::Preempted {}
    let finish = &mut || engine.finish_unwinding(&d, &mut Budget::new(1));
    while slice(finish) == Progress::Preempted {}
    assert_eq!(engine.frame_info(l1).type_count, 0);
}

/// Tables that are reached along many ways are read once, however many: the time of an audit is linear.
#[test]
fn an_audit_reads_each_entry_once() {
    let (engine, d) = witnessed();
    let [l4, l3, l2, l1] = core::array::from_fn(|_| page(&engine, &d));
    for slot in 0..512 {
        let machine = engine.machine();
        machine.write_u64(Maddr::new(at(l3, slot)), entry(l2, T));
        machine.write_u64(Maddr::new(at(l2, slot)), entry(l1, T));
        machine.write_u64(Maddr::new(at(l4, slot)), entry(l3, T));
    }
    let pinned = engine.pin_table(&d, l4, L4, &mut Budget::unlimited());
    assert_eq!(pinned, Ok(Progress::Done(())));
    let before = engine.machine().reads.load(Ordering::Relaxed);
    assert_eq!(crate::audit::recount(&engine, &[&d], &[]), Ok(()));
    let reads = engine.machine().reads.load(Ordering::Relaxed) - before;
    assert_eq!(reads, 4 * 512 - 16);
}

/// The window that was open: between the flush and the new type, another CPU could map the frame writable again.
#[test]
fn xsa_401_and_408_a_mapping_that_is_gone_is_flushed_and_one_that_stays_refuses() {
    let b = bench();
    let s = b.space();
    let mfn = b.page();
    b.map(&s, 0x1000, entry(mfn, T)).unwrap();
    refused(b.pin(mfn, L1), Rule::TargetTypeConflict);
    b.map(&s, 0x1000, 0).unwrap();
    b.engine.machine().take_flushes();
    assert_eq!(
        b.engine.pin_table(&b.d, mfn, L2, &mut Budget::new(1)),
        Ok(Progress::Preempted)
    );
    assert_eq!(b.engine.machine().take_flushes().len(), 1);
    // Half validated, it is already a table to everyone else.
    refused(b.map(&s, 0x1000, entry(mfn, T)), Rule::L1TargetNotWritable);
    assert!(b.engine.get_writable_page(&b.d, mfn).is_err());
    let foreign = domain(2);
    let actors = Actors {
        caller: &foreign,
        tables: &b.d,
        pages: &b.d,
    };
    refused(
        b.engine.update_va_mapping(
            &actors,
            s.l4,
            xenocryst_abi::Vaddr::new(0x1000),
            entry(mfn, T),
        ),
        Rule::L1TargetNotWritable,
    );
    b.check();
}

#[test]
fn a_frame_that_another_domain_could_write_becomes_a_table_only_after_a_flush_of_every_cpu() {
    let b = bench();
    let other = domain(0);
    let mfn = b.page();
    let table = b.page_of(&other);
    let budget = &mut Budget::unlimited();
    let pinned = b.engine.pin_table(&other, table, L1, budget);
    assert_eq!(pinned, Ok(Progress::Done(())));
    let actors = Actors {
        pages: &b.d,
        ..Actors::own(&other)
    };
    for value in [entry(mfn, T), 0] {
        let done = b.engine.mmu_update(&actors, at(table, 0), value, budget);
        assert!(matches!(done, Ok(Progress::Done(_))), "{done:?}");
    }
    b.engine.machine().take_flushes();
    b.pin(mfn, L1).unwrap();
    let flushes = b.engine.machine().take_flushes();
    assert_eq!(flushes.len(), 1);
    assert_eq!(flushes[0].cpus, u64::MAX, "whoever mapped it ran elsewhere");
    b.check_with(&[&other], &[]);
}
