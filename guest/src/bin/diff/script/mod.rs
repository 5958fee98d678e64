//! Scripted requests: each kind of memory request once or a few times, every line printed whole.
//!
//! What it keeps true: each section begins with the world reset, and its lines begin with `script` and its name.

use core::fmt::{self, Write};

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::{MmuUpdate, uvmf};
use xenocryst_guest::abi::{DomId, PAGE_SIZE};
use xenocryst_guest::trap::Fault;
use xenocryst_guest::{hypercall, mmu};

use crate::line::Line;
use crate::request::Memory;
use crate::world::{DATA_FLAGS, Frame, World, arena};

mod arguments;
mod descriptors;
mod questions;
mod reservation;
mod tables;
mod windows;

/// What scripted requests are made from and told with.
pub struct Script<'w, 'd> {
    world: &'w mut World<'d>,
    memory: &'w mut Memory,
    line: &'w mut Line,
    section: &'static str,
}

/// Runs every section.
pub fn run(world: &mut World<'_>, memory: &mut Memory, line: &mut Line) {
    let mut script = Script {
        world,
        memory,
        line,
        section: "",
    };
    for (name, section) in Script::sections() {
        script.section = name;
        script.line.clear();
        script.begin();
        let _ = script.line.write_str("reset");
        script.world.reset(script.line);
        script.line.print();
        // What a reset changes has been seen.
        script.line.clear();
        script.world.changes(script.line);
        section(&mut script);
    }
}

/// A section: its name and what it does.
type Section<S> = (&'static str, fn(&mut S));

impl Script<'_, '_> {
    /// Every section.
    fn sections() -> [Section<Self>; 13] {
        [
            ("tables", Self::tables),
            ("linear", Self::linear),
            ("roots", Self::roots),
            ("accessed-dirty", Self::accessed_dirty),
            ("windows", Self::windows),
            ("descriptors", Self::descriptors),
            ("reservation", Self::reservation),
            ("exchange", Self::exchange),
            ("bad-arguments", Self::bad_arguments),
            ("multicall", Self::multicalls),
            ("unknown", Self::unknown),
            ("memory-op", Self::memory_op),
            ("version", Self::version),
        ]
    }
}

impl Script<'_, '_> {
    fn begin(&mut self) {
        self.line.clear();
        self.memory.clear();
        let _ = write!(self.line, "script {}: ", self.section);
    }

    /// Prints a line: what was asked, what was answered, and what changed.
    fn tell(&mut self, what: fmt::Arguments<'_>, answer: impl fmt::Display) {
        self.begin();
        let _ = write!(self.line, "{what} -> {answer}");
        self.world.changes(self.line);
        self.line.print();
    }

    /// Makes a hypercall and prints its line.
    fn call(&mut self, what: fmt::Arguments<'_>, number: u64, arguments: [u64; 5]) -> i64 {
        // SAFETY: sections ask for nothing that this kernel needs.
        let answer = unsafe { hypercall::call(number, arguments) };
        self.tell(what, answer);
        answer
    }

    /// The number of a frame of the pool.
    fn pool(&self, n: u8) -> u64 {
        self.world.mfn(Frame::Pool(n))
    }

    /// An entry for a frame.
    fn entry(&self, frame: Frame, flags: u64) -> u64 {
        (self.world.mfn(frame) << 12) | flags
    }

    /// Removes the writable mappings of frames of the pool, without a word.
    fn unmap(&mut self, frames: &[u8]) {
        for n in frames {
            // SAFETY: nothing relies on the arena.
            unsafe { mmu::set_entry(arena(usize::from(*n)), xenocryst_guest::abi::Pte::EMPTY) };
        }
        self.begin();
        self.world.changes(self.line);
    }

    /// Writes an entry of a frame of the pool by `mmu_update` with `command`.
    fn update_with(&mut self, command: u64, frame: Frame, slot: u64, value: u64) -> i64 {
        let update = MmuUpdate {
            ptr: self.world.mfn(frame) * PAGE_SIZE + 8 * slot + command,
            val: value,
        };
        let arguments = [&raw const update as u64, 1, 0, u64::from(DomId::SELF.0), 0];
        let (name, word) = (
            self.world.name(self.world.mfn(frame)),
            self.world.word(value),
        );
        self.call(
            format_args!("update/{command} {name}[{slot}]={word}"),
            number::MMU_UPDATE,
            arguments,
        )
    }

    /// The same with the normal command.
    fn update(&mut self, frame: Frame, slot: u64, value: u64) -> i64 {
        self.update_with(0, frame, slot, value)
    }

    /// Makes an extended operation on a frame of the pool.
    fn extended(&mut self, command: u32, frame: Frame) -> i64 {
        let mfn = self.world.mfn(frame);
        // SAFETY: sections ask for nothing that this kernel needs.
        let answer = unsafe { mmu::extended(command, mfn, 0) };
        let name = self.world.name(mfn);
        self.tell(format_args!("mmuext/{command} {name}"), answer);
        answer
    }

    /// Maps a frame at address `n` of the arena.
    fn map(&mut self, n: usize, frame: Frame, flags: u64) -> i64 {
        let value = self.entry(frame, flags);
        let word = self.world.word(value);
        self.call(
            format_args!("map {n}={word}"),
            number::UPDATE_VA_MAPPING,
            [arena(n), value, uvmf::INVLPG | uvmf::ALL, 0, 0],
        )
    }

    /// Builds four levels of tables out of T0, T8, T14 and T19, which map T1 at address 0; none is pinned.
    fn four_levels(&mut self) {
        for (upper, lower) in [(19, 14), (14, 8), (8, 0), (0, 1)] {
            let value = self.entry(Frame::Pool(lower), DATA_FLAGS);
            self.update(Frame::Pool(upper), 0, value);
        }
        self.unmap(&[0, 8, 14, 19]);
    }
}

/// How an access ended, to be printed.
struct Ended(Result<(), Fault>);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(()) => f.write_str("done"),
            Err(fault) => write!(f, "fault {} error {:x}", fault.vector, fault.error),
        }
    }
}
