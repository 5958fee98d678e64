//! Pairs and triples of operations on the same frame, from every state that it can be in.

use super::machine::{CPUS, Cpus, FRAMES};
use super::{Preempting, disturbed, undisturbed};
use crate::audit;
use crate::config::AddressLimit;
use crate::domain::{Actors, DomainMemory, IoAccess};
use crate::engine::{Engine, Storage};
use crate::frame::{Frame, Level};
use crate::progress::{Budget, Progress};
use crate::pte::{PRESENT, USER};
use crate::sim::config;
use crate::testing::{Space, T, at, entry};
use core::sync::atomic::{AtomicU32, AtomicU64};
use shuttle::{Config, Runner};
use std::vec::Vec;
use xenocryst_abi::{DomId, Maddr, Mfn, Pfn};

/// What the operations work on: a domain with one address space and the frame that it is all about, and another domain.
struct World<'m> {
    engine: Engine<'m, Cpus<'m>>,
    d: DomainMemory,
    other: DomainMemory,
    s: Space,
    frame: Mfn,
}

fn domain(id: u16) -> DomainMemory {
    let domain = DomainMemory::new(DomId(id), false, 0, IoAccess::none());
    domain.set_max_pages(32);
    (0..CPUS as u32).for_each(|cpu| domain.set_cpu_dirty(cpu));
    domain
}

impl World<'_> {
    fn page(&self, of: &DomainMemory) -> Mfn {
        self.engine
            .populate_extent(of, 0, AddressLimit::NONE, None)
            .unwrap()
    }

    fn poke(&self, table: Mfn, slot: u64, value: u64) {
        use crate::machine::MachineMemory;
        let machine = self.engine.machine();
        machine.write_u64(Maddr::new(at(table, slot)), value);
    }

    fn update(&self, table: Mfn, slot: u64, value: u64) {
        let own = Actors::own(&self.d);
        loop {
            let budget = &mut Budget::new(3);
            match self.engine.mmu_update(&own, at(table, slot), value, budget) {
                Ok(Progress::Preempted) => {}
                _ => return,
            }
        }
    }

    fn pin(&self, level: Level) {
        while self
            .engine
            .pin_table(&self.d, self.frame, level, &mut Budget::new(3))
            == Ok(Progress::Preempted)
        {}
    }

    /// Every count follows from the tables; and when all is taken down, every frame is free again.
    fn end(&self) {
        self.engine.machine().step();
        let counted = audit::recount(&self.engine, &[&self.d, &self.other], &[]);
        assert_eq!(counted, Ok(()));
        for domain in [&self.d, &self.other] {
            domain.set_dying();
            let mut cursor = Mfn::new(0);
            while self
                .engine
                .relinquish(domain, &mut cursor, &mut Budget::new(5))
                == Progress::Preempted
            {}
            assert_eq!(self.engine.owned_frames(domain.id()), 0);
        }
        assert_eq!(self.engine.free_frame_count(), FRAMES as u64 - 4);
    }
}

type Operation = (&'static str, fn(&World<'_>));

/// What a vCPU does. Refusals are as good as successes.
const OPERATIONS: [Operation; 16] = [
    ("pin as L1", |w| w.pin(Level::L1)),
    ("pin as L2", |w| w.pin(Level::L2)),
    ("unpin", |w| {
        let _ = w
            .engine
            .unpin_table(&w.d, w.frame, &mut Budget::unlimited());
    }),
    ("map writable", |w| w.update(w.s.l1, 1, entry(w.frame, T))),
    ("map read-only", |w| {
        w.update(w.s.l1, 1, entry(w.frame, PRESENT | USER))
    }),
    ("unmap", |w| w.update(w.s.l1, 1, 0)),
    ("link as L1", |w| w.update(w.s.l2, 1, entry(w.frame, T))),
    ("unlink", |w| w.update(w.s.l2, 1, 0)),
    ("change an entry of it", |w| {
        w.update(w.frame, 2, entry(w.s.data, T));
        w.update(w.frame, 2, 0);
    }),
    ("clear by hypercall", |w| {
        let _ = w.engine.clear_page(&w.d, w.frame);
    }),
    ("forge by hypercall", |w| {
        // What a copy writes is an entry that no check has seen: for a frame of the hypervisor.
        let _ = w.engine.copy_page(&w.d, w.frame, w.s.data);
    }),
    ("hold for writing", |w| {
        if let Ok(held) = w.engine.get_writable_page(&w.d, w.frame) {
            w.engine.machine().step();
            w.engine.put_writable_page(held);
        }
    }),
    ("use as descriptor page", |w| {
        if let Ok(held) = w.engine.get_descriptor_page(&w.d, w.frame) {
            w.engine.machine().step();
            w.engine.put_descriptor_page(&w.d, held);
        }
    }),
    ("give back, and let another have it", |w| {
        let _ = w.engine.decrease_extent(&w.d, w.frame, 0);
        w.page(&w.other);
    }),
    ("exchange", |w| {
        let Ok(mut x) = w.engine.begin_exchange(&w.d, 1, 0, AddressLimit::NONE) else {
            return;
        };
        if w.engine.exchange_in(&w.d, &mut x, w.frame, 0).is_err() {
            return w.engine.abandon_exchange(&w.d, x);
        }
        let _ = w.engine.exchange_out(&w.d, &mut x, Pfn::new(3));
        w.engine.finish_exchange(&w.d, x);
    }),
    ("store where a CPU can, and flush", |w| {
        let machine = w.engine.machine();
        let forged = entry(Mfn::new(1), T);
        machine.guest_store(w.frame, 3, forged);
        machine.flush_by_itself(1);
    }),
];

/// The states that the frame is in at first.
const STATES: [Operation; 6] = [
    ("never used", |_| {}),
    ("known writable", |w| {
        w.update(w.s.l1, 1, entry(w.frame, T));
        w.update(w.s.l1, 1, 0);
    }),
    ("known as a table", |w| {
        w.update(w.s.l2, 1, entry(w.frame, T));
        w.update(w.s.l2, 1, 0);
    }),
    ("mapped writable", |w| {
        w.update(w.s.l1, 1, entry(w.frame, T))
    }),
    ("linked", |w| w.update(w.s.l2, 1, entry(w.frame, T))),
    ("pinned", |w| w.pin(Level::L1)),
];

/// One execution: the frame in a state, and each vCPU with its operation.
fn run(state: Operation, operations: &[Operation]) {
    let frames: Vec<Frame> = (0..FRAMES).map(|_| Frame::new()).collect();
    let m2p: Vec<AtomicU64> = (0..FRAMES).map(|_| AtomicU64::new(0)).collect();
    let owned: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    let storage = Storage {
        frames: &frames,
        m2p: &m2p,
        owned: &owned,
    };
    let world = undisturbed(|| {
        let engine = Engine::new(Cpus::new(&frames), storage, config());
        engine.claim(Mfn::new(0), 4);
        engine.donate(Mfn::new(4), FRAMES as u64 - 4);
        let d = domain(1);
        let page = || {
            engine
                .populate_extent(&d, 0, AddressLimit::NONE, None)
                .unwrap()
        };
        let [l4, l3, l2, l1, data, frame] = core::array::from_fn(|_| page());
        let s = Space {
            l4,
            l3,
            l2,
            l1,
            data,
        };
        let other = domain(2);
        let world = World {
            engine,
            d,
            other,
            s,
            frame,
        };
        let (s, forged) = (&world.s, entry(Mfn::new(1), T));
        world.poke(s.l4, 0, entry(s.l3, T));
        world.poke(s.l3, 0, entry(s.l2, T));
        world.poke(s.l2, 0, entry(s.l1, T));
        world.poke(s.data, 3, forged);
        let pinned = world
            .engine
            .pin_table(&world.d, s.l4, Level::L4, &mut Budget::unlimited());
        assert_eq!(pinned, Ok(Progress::Done(())));
        state.1(&world);
        world
    });
    shuttle::thread::scope(|scope| {
        for &(_, operation) in operations {
            let world = &world;
            scope.spawn(move || disturbed(|| operation(world)));
        }
    });
    undisturbed(|| world.end());
}

/// Explores one combination: in `singles` schedules with one switch, and `pairs` with two.
fn explore(state: Operation, operations: Vec<Operation>, (singles, pairs): (usize, usize)) {
    use core::sync::atomic::Ordering;
    static SEED: AtomicU32 = AtomicU32::new(0);
    let seed = SEED.fetch_add(1, Ordering::Relaxed) as usize;
    let named = (state.0, operations.iter().map(|o| o.0).collect::<Vec<_>>());
    let result = std::panic::catch_unwind(move || {
        let mut config = Config::new();
        config.failure_persistence = shuttle::FailurePersistence::None;
        let schedule = Preempting::new(singles, pairs, seed);
        Runner::new(schedule, config).run(move || run(state, &operations));
    });
    if let Err(panic) = result {
        std::eprintln!("frame {}; vCPUs: {:?}", named.0, named.1);
        std::panic::resume_unwind(panic);
    }
}

/// How many schedules are explored, with one switch and with two: a few here, all with one switch in a long run.
fn effort(few: (usize, usize)) -> (usize, usize) {
    std::env::var("XENOCRYST_LONG").map_or(few, |_| (usize::MAX, few.1 * 40))
}

#[test]
fn two_vcpus_on_one_frame_leave_no_stale_translation_and_no_reference() {
    for state in STATES {
        for (i, &first) in OPERATIONS.iter().enumerate() {
            for &second in &OPERATIONS[i..] {
                explore(state, std::vec![first, second], effort((8, 2)));
            }
        }
    }
}

/// What history was about: changes of type, from both sides. Every single point.
#[test]
fn xsa_401_a_frame_that_changes_its_type_is_nobodys_until_it_was_flushed() {
    for state in [STATES[1], STATES[2]] {
        for first in [OPERATIONS[0], OPERATIONS[3]] {
            for second in [OPERATIONS[10], OPERATIONS[11], OPERATIONS[15]] {
                explore(state, std::vec![first, second], (usize::MAX, 8));
            }
        }
    }
}

#[test]
fn three_vcpus_on_one_frame_leave_no_stale_translation_and_no_reference() {
    let take_or_leave = [0, 2, 3, 5, 6, 7, 10, 13, 15].map(|index: usize| OPERATIONS[index]);
    let mut turn = 0;
    for (i, &first) in take_or_leave.iter().enumerate() {
        for (j, &second) in take_or_leave.iter().enumerate().skip(i) {
            for &third in &take_or_leave[j..] {
                // Each triple from one of the states here, from all in a long run.
                turn += 1;
                let long = effort((0, 0)).0 != 0;
                for (k, &state) in STATES.iter().enumerate() {
                    if long || k == turn % STATES.len() {
                        explore(state, std::vec![first, second, third], effort((4, 4)));
                    }
                }
            }
        }
    }
}
