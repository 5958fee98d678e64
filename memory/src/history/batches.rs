//! Long requests that are made of parts: extents, chunks of an exchange, elements of grant-table batches. Between any two
//! parts no lock is held, so anything can happen there: others come in between, the caller asks for the same part again,
//! or a domain dies. Always the same end, and no reference lost.

use crate::audit::Held;
use crate::frame::Level;
use crate::grant::{
    BATCH, CopyEnd, Flushed, GrantCopy, GrantMap, GrantTable, GrantUnmap, Granter, Mapper,
    Maptrack, UnmapBatch,
};
use crate::pte::{PRESENT, USER};
use crate::sim::{bare_engine, domain};
use crate::testing::*;
use crate::{AddressLimit, Budget, DomainMemory, Exchange, Progress, Rule};
use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::format;
use std::string::String;
use std::vec::Vec;
use xenocryst_abi::grant_table::{entry_flag as f, map_flag as m};
use xenocryst_abi::{Mfn, Pfn};

const FRAMES: u64 = 96;
/// Frames granted, by references 8 and on.
const GRANTED: u32 = 5;
/// How each of them is mapped, in slot 8 and on.
const MAPPED: [u32; GRANTED as usize] = [
    m::HOST_MAP,
    m::HOST_MAP | m::READONLY,
    m::HOST_MAP | m::DEVICE_MAP,
    m::DEVICE_MAP,
    m::HOST_MAP | m::DEVICE_MAP | m::READONLY,
];

/// Domain 1 asks; domain 2 grants, and may die meanwhile.
struct Scene {
    b: Bench,
    s: Space,
    /// Four frames in a row: two that nothing uses, one mapped, one that is a pinned table.
    row: Mfn,
    g: DomainMemory,
    table: GrantTable,
    track: Maptrack,
    granted: Vec<Mfn>,
    handles: RefCell<Vec<u32>>,
    /// Parts of mappings that are removed, but not let go of; and mappings for devices.
    held: RefCell<Vec<Held>>,
    batch: RefCell<UnmapBatch>,
    flushed: RefCell<VecDeque<Flushed>>,
    /// The frames of mappings that are removed and not let go of, in the order of the batch.
    removed: RefCell<VecDeque<Mfn>>,
    exchange: RefCell<Option<Exchange>>,
    /// Answers to parts that may be refused without harm.
    refused: Cell<usize>,
}

fn scene() -> Scene {
    let engine = bare_engine(FRAMES as usize);
    engine.donate(Mfn::new(0), FRAMES);
    let b = Bench {
        engine,
        d: domain(1),
        turn: Cell::new(0),
    };
    let s = b.space();
    let row = b
        .engine
        .populate_extent(&b.d, 2, AddressLimit::NONE, None)
        .unwrap();
    b.update(at(s.l1, 1), entry(row.wrapping_add(2), T))
        .unwrap();
    b.pin(row.wrapping_add(3), Level::L2).unwrap();
    let (g, table) = (domain(2), GrantTable::new(1, 1));
    let granter = Granter {
        domain: &g,
        table: &table,
    };
    b.engine.grow_grant_table(&granter, 1).unwrap();
    let entries = b.engine.grant_frame(&table, 0).unwrap();
    let granted: Vec<Mfn> = (0..GRANTED).map(|_| b.page_of(&g)).collect();
    for (reference, &frame) in (8..).zip(&granted) {
        let header = u64::from(f::PERMIT_ACCESS) | u64::from(b.d.id().0) << 16;
        b.poke(entries, reference, header | frame.raw() << 32);
    }
    let track = Maptrack::new(1);
    assert!(b.engine.prepare_maptrack(&track));
    Scene {
        b,
        s,
        row,
        g,
        table,
        track,
        granted,
        handles: RefCell::default(),
        held: RefCell::default(),
        batch: RefCell::default(),
        flushed: RefCell::default(),
        removed: RefCell::default(),
        exchange: RefCell::default(),
        refused: Cell::new(0),
    }
}

impl Scene {
    fn granter(&self) -> Granter<'_> {
        Granter {
            domain: &self.g,
            table: &self.table,
        }
    }

    fn mapper(&self) -> Mapper<'_> {
        Mapper {
            domain: &self.b.d,
            track: &self.track,
            root: self.s.l4,
        }
    }

    /// The references of the parts of mapping `i` that `parts` names.
    fn references(&self, i: usize, parts: u32) -> Vec<Held> {
        let frame = self.granted[i];
        let count = (MAPPED[i] & parts).count_ones();
        let one = if MAPPED[i] & m::READONLY == 0 {
            Held::Typed(frame)
        } else {
            Held::General(frame)
        };
        (0..count).map(|_| one).collect()
    }

    fn map(&self, i: usize) {
        let request = GrantMap {
            host_addr: at(self.s.l1, 8 + i as u64),
            flags: MAPPED[i] | m::CONTAINS_PTE,
            reference: 8 + i as u32,
        };
        match self
            .b
            .engine
            .map_grant(&self.mapper(), &self.granter(), &request)
        {
            Ok(mapping) => {
                self.handles.borrow_mut().push(mapping.handle);
                let devices = self.references(i, m::DEVICE_MAP);
                self.held.borrow_mut().extend(devices);
            }
            Err(refusal) => self.refuse(refusal.rule, &[Rule::GrantDying]),
        }
    }

    fn refuse(&self, rule: Rule, expected: &[Rule]) {
        assert!(expected.contains(&rule), "{rule:?}");
        self.refused.set(self.refused.get() + 1);
    }

    fn unmap(&self, i: usize) {
        let request = GrantUnmap {
            handle: self.handles.borrow()[i],
            host_addr: at(self.s.l1, 8 + i as u64),
            bus_address: self.granted[i].maddr().raw(),
            new_addr: None,
        };
        let (e, batch) = (&self.b.engine, &mut *self.batch.borrow_mut());
        match e.unmap_grant(&self.mapper(), &self.granter(), &request, batch) {
            Ok(()) => {
                // That of the entry is held by the batch from now on, as those for devices are.
                let entry = self.references(i, m::HOST_MAP);
                self.held.borrow_mut().extend(entry);
                self.removed.borrow_mut().push_back(self.granted[i]);
            }
            Err(refusal) => self.refuse(refusal.rule, &[Rule::GrantHandle]),
        }
    }

    fn flush(&self) {
        let batch = core::mem::take(&mut *self.batch.borrow_mut());
        let flushed = self.b.engine.flush_unmapped(&self.b.d, batch);
        self.flushed.borrow_mut().extend(flushed);
    }

    fn release(&self) {
        let Some(flushed) = self.flushed.borrow_mut().pop_front() else {
            return;
        };
        self.b.engine.release_unmapped(&self.granter(), flushed);
        if let Some(frame) = self.removed.borrow_mut().pop_front() {
            self.held.borrow_mut().retain(|held| match held {
                Held::General(of) | Held::Typed(of) => *of != frame,
            });
        }
    }

    fn copy(&self, i: usize) {
        let own = CopyEnd::Own(self.row);
        let grant = CopyEnd::Grant(self.granter(), 8 + i as u32);
        let (from, to) = if i.is_multiple_of(2) {
            (own, grant)
        } else {
            (grant, own)
        };
        let request = GrantCopy {
            from,
            from_offset: 100,
            to,
            to_offset: 200 + 300 * i as u16,
            length: 300,
        };
        if let Err(refusal) = self.b.engine.copy_grant(&self.b.d, &request) {
            self.refuse(refusal.rule, &[Rule::GrantDying]);
        }
    }

    fn populate(&self, i: usize) {
        let (order, pfn) = ([0, 1, 0, 2][i], Pfn::new(40 + 4 * i as u64));
        self.b
            .engine
            .populate_extent(&self.b.d, order, AddressLimit::NONE, Some(pfn))
            .unwrap();
    }

    fn decrease(&self, i: usize) {
        let frame = self.row.wrapping_add(i as u64);
        if let Err(refusal) = self.b.engine.decrease_extent(&self.b.d, frame, 0) {
            self.refuse(refusal.rule, &[Rule::FrameNotOwned, Rule::NotAllocated]);
        }
    }

    /// One chunk: two frames given, one block of two taken.
    fn exchange(&self, part: usize) {
        let (e, d) = (&self.b.engine, &self.b.d);
        let mut under_way = self.exchange.borrow_mut();
        match (part, under_way.take()) {
            (0, None) => *under_way = e.begin_exchange(d, 1, 1, AddressLimit::NONE).ok(),
            (1 | 2, Some(mut exchange)) => {
                let frame = self.row.wrapping_add(part as u64 - 1);
                e.exchange_in(d, &mut exchange, frame, 0).unwrap();
                *under_way = Some(exchange);
            }
            (3, Some(mut exchange)) => {
                let given = e.exchange_out(d, &mut exchange, Pfn::new(60));
                assert!(given.is_some());
                *under_way = Some(exchange);
            }
            (_, Some(exchange)) => e.finish_exchange(d, exchange),
            (_, None) => panic!("no exchange is under way"),
        }
    }

    /// What the hypervisor does with a call whose domain has died: what is under way is ended, the rest not begun.
    fn break_off(&self) {
        if let Some(exchange) = self.exchange.borrow_mut().take() {
            self.b.engine.abandon_exchange(&self.b.d, exchange);
        }
        if !self.batch.borrow().is_empty() {
            self.flush();
        }
        while !self.flushed.borrow().is_empty() {
            self.release();
        }
    }

    fn check(&self) {
        // Frames that an exchange has taken are nobody's meanwhile.
        if self.exchange.borrow().is_none() {
            self.b.check_with(&[&self.g], &self.held.borrow());
        }
    }
}

/// A request, and how many parts it has.
struct Request {
    name: &'static str,
    parts: usize,
    prepare: fn(&Scene),
    part: fn(&Scene, usize),
    /// Whether a part that is asked for again changes nothing.
    again: bool,
}

const N: usize = GRANTED as usize;

const REQUESTS: [Request; 6] = [
    Request {
        name: "populate",
        parts: 4,
        prepare: |_| {},
        part: Scene::populate,
        again: false,
    },
    Request {
        name: "decrease",
        parts: 4,
        prepare: |_| {},
        part: Scene::decrease,
        again: true,
    },
    Request {
        name: "exchange",
        parts: 5,
        prepare: |_| {},
        part: Scene::exchange,
        again: false,
    },
    Request {
        name: "map grants",
        parts: N,
        prepare: |_| {},
        part: Scene::map,
        again: false,
    },
    Request {
        name: "unmap grants",
        parts: 2 * N + 1,
        prepare: |x| (0..N).for_each(|i| x.map(i)),
        part: |x, part| match part {
            part if part < N => x.unmap(part),
            N => x.flush(),
            _ => x.release(),
        },
        again: true,
    },
    Request {
        name: "copy by grants",
        parts: N,
        prepare: |_| {},
        part: Scene::copy,
        again: true,
    },
];

/// Whether part `part` of a request can be asked for again: not the flush and the release of a batch.
fn can_repeat(request: &Request, part: usize) -> bool {
    request.again && part < N
}

/// The state that must be the same however it was come to: which free frames were given does not matter, nor when a frame
/// was last used, nor as what.
fn state(x: &Scene) -> Vec<String> {
    let settled = |mfn: Mfn| {
        let mut info = x.b.info(mfn);
        if info.type_count == 0 {
            info.frame_type = crate::FrameType::None;
        }
        format!("{info:?}, PFN {:?}", x.b.engine.m2p(mfn))
    };
    let mut state: Vec<String> = (0..FRAMES).map(|n| settled(Mfn::new(n))).collect();
    state.sort();
    state
}

/// Makes a request, with `between` before part `stop`.
fn run(request: &Request, stop: usize, between: impl FnOnce(&Scene)) -> Scene {
    let x = scene();
    (request.prepare)(&x);
    let mut between = Some(between);
    for part in 0..request.parts {
        if part == stop
            && let Some(between) = between.take()
        {
            between(&x);
        }
        (request.part)(&x, part);
        x.check();
    }
    x
}

/// Another vCPU uses, moves and gives back memory; the granter has its frames as tables where nobody else uses them.
fn others_act(x: &Scene) {
    let e = &x.b.engine;
    let page = x.b.page();
    x.b.update(at(x.s.l1, 100), entry(page, T)).unwrap();
    x.b.update(at(x.s.l1, 100), entry(page, PRESENT | USER))
        .unwrap();
    e.decrease_extent(&x.b.d, page, 0).unwrap();
    x.b.update(at(x.s.l1, 100), 0).unwrap();
    for &frame in &x.granted {
        let budget = &mut Budget::unlimited();
        if e.pin_table(&x.g, frame, Level::L1, budget).is_ok() {
            let _ = e.unpin_table(&x.g, frame, budget).unwrap();
        }
    }
    let request = GrantMap {
        host_addr: at(x.s.l1, 101),
        flags: m::HOST_MAP | m::READONLY | m::CONTAINS_PTE,
        reference: 8,
    };
    let mapping = e.map_grant(&x.mapper(), &x.granter(), &request).unwrap();
    let mut batch = UnmapBatch::new();
    let request = GrantUnmap {
        handle: mapping.handle,
        host_addr: at(x.s.l1, 101),
        bus_address: 0,
        new_addr: None,
    };
    e.unmap_grant(&x.mapper(), &x.granter(), &request, &mut batch)
        .unwrap();
    for flushed in e.flush_unmapped(&x.b.d, batch) {
        e.release_unmapped(&x.granter(), flushed);
    }
    x.check();
}

fn relinquish(x: &Scene, domain: &DomainMemory) {
    domain.set_dying();
    let mut cursor = Mfn::new(0);
    while x
        .b
        .engine
        .relinquish(domain, &mut cursor, &mut Budget::new(3))
        == Progress::Preempted
    {}
}

/// The caller dies, then the granter; nothing is left of either.
fn die(x: &Scene) {
    let e = &x.b.engine;
    x.b.d.set_dying();
    x.break_off();
    while let Some((handle, _)) = e.next_grant_mapping(&x.track, 0..u32::MAX) {
        e.release_grant_mapping(&x.mapper(), &x.granter(), handle);
    }
    relinquish(x, &x.b.d);
    assert_eq!(e.owned_frames(x.b.d.id()), 0);
    relinquish(x, &x.g);
    assert!(e.destroy_maptrack(&x.track) && e.destroy_grant_table(&x.granter()));
    x.b.check_with(&[&x.g], &[]);
    assert_eq!(e.free_frame_count(), FRAMES - 1);
}

#[test]
fn a_request_of_many_parts_ends_alike_whoever_comes_in_between() {
    const { assert!(N <= BATCH) };
    for request in &REQUESTS {
        let wanted = run(request, usize::MAX, |_| {});
        assert_eq!(wanted.refused.get(), 0, "{}", request.name);
        for stop in 0..request.parts {
            let x = run(request, stop, others_act);
            assert_eq!(state(&x), state(&wanted), "{} at {stop}", request.name);
            assert_eq!(x.refused.get(), 0);
            die(&x);
        }
    }
}

#[test]
fn a_part_that_is_asked_for_again_is_refused_or_changes_nothing() {
    for request in REQUESTS.iter().filter(|request| request.again) {
        let wanted = run(request, usize::MAX, |_| {});
        for stop in (1..=request.parts).filter(|stop| can_repeat(request, stop - 1)) {
            let x = run(request, stop, |x| {
                let before = state(x);
                (request.part)(x, stop - 1);
                assert_eq!(state(x), before, "{} at {stop}", request.name);
            });
            assert_eq!(state(&x), state(&wanted), "{} at {stop}", request.name);
            die(&x);
        }
    }
}

#[test]
fn a_request_of_many_parts_can_be_abandoned_by_the_callers_death_between_any_two() {
    for request in &REQUESTS {
        for stop in 0..=request.parts {
            let x = scene();
            (request.prepare)(&x);
            (0..stop).for_each(|part| (request.part)(&x, part));
            die(&x);
        }
    }
}

/// What was begun is ended as if the granter lived; nothing new is begun.
#[test]
fn the_granter_can_die_between_any_two_parts() {
    for request in &REQUESTS {
        for stop in 0..request.parts {
            let x = run(request, stop, |x| relinquish(x, &x.g));
            let refused = match request.name {
                "map grants" | "copy by grants" => request.parts - stop,
                _ => 0,
            };
            assert_eq!(x.refused.get(), refused, "{} at {stop}", request.name);
            die(&x);
        }
    }
}
