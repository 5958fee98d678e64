//! Several CPUs at once: what an update costs each of them, by the CPU time of its thread.

use crate::machine::{Machine, engine};
use crate::world::{READABLE, WRITABLE, World, at};
use cpu_time::ThreadTime;
use std::rc::Rc;
use std::sync::Barrier;
use std::thread;
use xenocryst_abi::Mfn;
use xenocryst_memory::{Actors, Budget, DomainMemory, Engine};

/// Updates that each thread makes in one round.
const UPDATES: u64 = 200_000;
/// Rounds, of which the middle one counts.
const ROUNDS: usize = 21;

/// How threads share domains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Each thread has a domain of its own.
    Different,
    /// All are vCPUs of one domain, each with an L1 table of its own.
    Same,
}

/// What a thread works on.
struct Work<'a> {
    engine: &'a Engine<'static, Machine>,
    domain: &'a DomainMemory,
    table: Mfn,
    first_leaf: Mfn,
}

impl Work<'_> {
    /// Changes entries between read-only and writable; returns nanoseconds of CPU time an update.
    fn measure(&self, barrier: &Barrier) -> f64 {
        let actors = Actors::own(self.domain);
        barrier.wait();
        let start = ThreadTime::now();
        for turn in 0..UPDATES {
            let slot = turn % 512;
            let flags = if turn / 512 % 2 == 0 {
                READABLE
            } else {
                WRITABLE
            };
            let value = self.first_leaf.wrapping_add(slot).maddr().raw() | flags;
            let budget = &mut Budget::hypercall();
            let result = self
                .engine
                .mmu_update(&actors, at(self.table, slot), value, budget);
            assert!(result.is_ok());
        }
        start.elapsed().as_nanos() as f64 / UPDATES as f64
    }
}

/// Nanoseconds of CPU time an update costs a thread (the median of all threads and rounds), when `threads` do it at once.
pub fn nanoseconds(threads: u16, sharing: Sharing) -> f64 {
    let engine = Rc::new(engine());
    let worlds: Vec<World> = match sharing {
        Sharing::Different => (1..=threads)
            .map(|id| World::within(Rc::clone(&engine), id, 1))
            .collect(),
        Sharing::Same => vec![World::within(Rc::clone(&engine), 1, threads.into())],
    };
    worlds.iter().for_each(World::pin);
    let work: Vec<Work<'_>> = worlds
        .iter()
        .flat_map(|world| {
            (0..).zip(&world.l1).map(|(index, &table)| Work {
                engine: &engine,
                domain: &world.domain,
                table,
                first_leaf: world.first_leaf.wrapping_add(index * 512),
            })
        })
        .collect();
    let barrier = Barrier::new(work.len());
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        thread::scope(|scope| {
            let running: Vec<_> = work
                .iter()
                .map(|work| scope.spawn(|| work.measure(&barrier)))
                .collect();
            times.extend(running.into_iter().filter_map(|thread| thread.join().ok()));
        });
    }
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
