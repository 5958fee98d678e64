//! Shared pieces of this crate's tests: building guest tables, and checking that nothing was lost.

use crate::frame::{FrameInfo, Level};
use crate::progress::{Budget, Progress};
use crate::pte::{PRESENT, RW, USER};
use crate::refusal::{Refusal, Rule};
use crate::sim::{SimMachine, domain, world};
use crate::{Actors, AddressLimit, DomainMemory, Engine, Flush, MachineMemory, audit};
use core::cell::Cell;
use std::vec::Vec;
use xenocryst_abi::{Maddr, Mfn, Vaddr};

/// Flags of an ordinary table entry.
pub const T: u64 = PRESENT | RW | USER;

pub struct Bench {
    pub engine: Engine<'static, SimMachine>,
    pub d: DomainMemory,
    pub turn: Cell<u32>,
}

/// One address space: an L4, L3, L2, L1 and a data frame mapped at address 0, read-write.
pub struct Space {
    pub l4: Mfn,
    pub l3: Mfn,
    pub l2: Mfn,
    pub l1: Mfn,
    pub data: Mfn,
}

pub fn bench() -> Bench {
    bench_of(1)
}

pub fn bench_of(id: u16) -> Bench {
    Bench {
        engine: world(),
        d: domain(id),
        turn: Cell::new(0),
    }
}

pub fn entry(mfn: Mfn, flags: u64) -> u64 {
    mfn.maddr().raw() | flags
}

pub fn at(table: Mfn, slot: u64) -> u64 {
    table.maddr().raw() + slot * 8
}

impl Bench {
    pub fn page(&self) -> Mfn {
        self.page_of(&self.d)
    }

    pub fn page_of(&self, d: &DomainMemory) -> Mfn {
        self.engine
            .populate_extent(d, 0, AddressLimit::NONE, None)
            .unwrap()
    }

    /// Writes a word of guest memory as the guest (or builder) would, without asking anyone.
    pub fn poke(&self, table: Mfn, slot: u64, value: u64) {
        self.engine
            .machine()
            .write_u64(Maddr::new(at(table, slot)), value);
    }

    pub fn peek(&self, table: Mfn, slot: u64) -> u64 {
        self.engine.machine().read_u64(Maddr::new(at(table, slot)))
    }

    pub fn info(&self, mfn: Mfn) -> FrameInfo {
        self.engine.frame_info(mfn)
    }

    /// Tables that nobody has validated yet.
    pub fn raw_space(&self) -> Space {
        let s = Space {
            l4: self.page(),
            l3: self.page(),
            l2: self.page(),
            l1: self.page(),
            data: self.page(),
        };
        self.poke(s.l4, 0, entry(s.l3, T));
        self.poke(s.l3, 0, entry(s.l2, T));
        self.poke(s.l2, 0, entry(s.l1, T));
        self.poke(s.l1, 0, entry(s.data, T));
        s
    }

    /// Tables pinned from the top.
    pub fn space(&self) -> Space {
        let s = self.raw_space();
        self.pin(s.l4, Level::L4).unwrap();
        s
    }

    pub fn pin(&self, mfn: Mfn, level: Level) -> Result<(), Refusal> {
        self.pin_with(mfn, level, u32::MAX)
    }

    /// Pins with a budget of `units` for each call, as often as it takes.
    pub fn pin_with(&self, mfn: Mfn, level: Level, units: u32) -> Result<(), Refusal> {
        loop {
            match self
                .engine
                .pin_table(&self.d, mfn, level, &mut Budget::new(units))?
            {
                Progress::Done(()) => return Ok(()),
                Progress::Preempted => self.check_now_and_then(),
            }
        }
    }

    pub fn unpin(&self, mfn: Mfn) -> Result<(), Refusal> {
        self.unpin_with(mfn, u32::MAX)
    }

    pub fn unpin_with(&self, mfn: Mfn, units: u32) -> Result<(), Refusal> {
        while self
            .engine
            .unpin_table(&self.d, mfn, &mut Budget::new(units))?
            == Progress::Preempted
        {
            self.check_now_and_then();
        }
        self.finish(units);
        Ok(())
    }

    /// Finishes what an operation left over.
    pub fn finish(&self, units: u32) {
        while self
            .engine
            .finish_unwinding(&self.d, &mut Budget::new(units))
            == Progress::Preempted
        {
            self.check_now_and_then();
        }
    }

    /// The domain, changing its own tables to name pages of `pages`.
    pub fn actors_on<'a>(&'a self, pages: &'a DomainMemory) -> Actors<'a> {
        Actors {
            caller: &self.d,
            tables: &self.d,
            pages,
        }
    }

    pub fn update(&self, ptr: u64, val: u64) -> Result<(), Refusal> {
        self.update_with(ptr, val, u32::MAX)
    }

    pub fn update_with(&self, ptr: u64, val: u64, units: u32) -> Result<(), Refusal> {
        self.flush_after(ptr, val, units).map(|_| ())
    }

    /// Updates an entry with a budget of `units` for each call; says what flush is owed.
    pub fn flush_after(&self, ptr: u64, val: u64, units: u32) -> Result<Flush, Refusal> {
        loop {
            match self.engine.mmu_update(
                &Actors::own(&self.d),
                ptr,
                val,
                &mut Budget::new(units),
            )? {
                Progress::Done(flush) => return Ok(flush),
                Progress::Preempted => self.check_now_and_then(),
            }
        }
    }

    pub fn map(&self, s: &Space, va: u64, val: u64) -> Result<(), Refusal> {
        self.engine
            .update_va_mapping(&Actors::own(&self.d), s.l4, Vaddr::new(va), val)
    }

    /// Recounts everything at some of the many preemption points.
    fn check_now_and_then(&self) {
        let turn = self.turn.get();
        self.turn.set(turn + 1);
        if turn % 61 < 4 {
            self.check();
        }
    }

    /// Recounts everything.
    pub fn check(&self) {
        self.check_with(&[], &[]);
    }

    /// Recounts everything, other domains included, with references held outside tables.
    pub fn check_with(&self, others: &[&DomainMemory], held: &[audit::Held]) {
        let mut domains: Vec<&DomainMemory> = std::vec![&self.d];
        domains.extend(others);
        if let Err(error) = audit::recount(&self.engine, &domains, held) {
            panic!("audit: {error}");
        }
    }
}

/// Asserts that `result` is a refusal by `rule`.
#[track_caller]
pub fn refused<T: core::fmt::Debug>(result: Result<T, Refusal>, rule: Rule) -> Refusal {
    match result {
        Err(refusal) => {
            assert_eq!(refusal.rule, rule, "{refusal}");
            refusal
        }
        Ok(value) => panic!("{} was not applied: {value:?}", rule.code()),
    }
}
