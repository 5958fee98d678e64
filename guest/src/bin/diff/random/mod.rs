//! Requests that look random: mostly nearly right ones, since those are where the mistakes are.
//!
//! What it keeps true: what is asked for depends on the seed, the block and what was answered before in the block, and
//! never takes away what this kernel itself needs.

use core::fmt::Write;

use xenocryst_guest::rng::Rng;

use crate::line::Line;
use crate::request::{BAD_POINTERS, Call, Memory, multicall};
use crate::world::{ARENA, Frame, MACHINE_FRAMES, POOL, RESERVE, World};

mod access;
mod descriptors;
mod extended;
mod reservation;
mod tables;

/// What a request is made from and told with.
pub struct Random<'w, 'd> {
    pub world: &'w mut World<'d>,
    pub memory: &'w mut Memory,
    pub rng: Rng,
    pub line: &'w mut Line,
    /// The list of the last request about extents: where the new frames are.
    pub got_at: u64,
}

/// Hypercall numbers that mean nothing.
const UNKNOWN: [u64; 10] = [11, 43, 44, 47, 50, 54, 56, 63, 64, 0x8000_0000];

impl Random<'_, '_> {
    /// What a block begins with: some of the pool's frames lose their writable mapping, so that they can be tables.
    pub fn prepare(&mut self) {
        for n in 0..POOL {
            if self.rng.chance(75) {
                self.unmap(n);
            }
        }
    }

    /// Makes one request, and tells of it.
    pub fn step(&mut self) {
        self.memory.clear();
        match self.rng.below(100) {
            0..36 => self.single(Self::mmu_update),
            36..50 => self.single(Self::update_va_mapping),
            50..66 => self.single(Self::mmuext_op),
            66..72 => self.multicall(),
            72..80 => self.store(),
            80..86 => self.access(),
            86..91 => {
                self.reservation();
                self.world.check(self.line);
            }
            91..96 => self.single(Self::descriptor_call),
            96..98 => self.single(Self::vm_assist),
            98..99 => self.single(Self::unknown),
            _ => self.query(),
        }
        self.world.changes(self.line);
    }

    /// Makes one call.
    fn single(&mut self, prepare: fn(&mut Self) -> Call) {
        let call = prepare(self);
        // SAFETY: what is prepared is about the pool, the arena and the frames at the end of memory, or is refused.
        unsafe { call.make(self.line) };
    }

    /// Makes several as one.
    fn multicall(&mut self) {
        let count = 1 + self.rng.below(4) as usize;
        let mut calls = [Call::new(0, [0; 5]); 4];
        for call in &mut calls[..count] {
            *call = match self.rng.below(10) {
                0..5 => self.mmu_update(),
                5..7 => self.update_va_mapping(),
                7..9 => self.mmuext_op(),
                _ => self.unknown(),
            };
            let _ = self.line.write_str(";");
        }
        // SAFETY: as for single ones.
        unsafe { multicall(self.memory, &calls[..count], self.line) };
    }

    /// A hypercall that does not exist.
    fn unknown(&mut self) -> Call {
        let number = self.rng.pick(&UNKNOWN);
        let _ = write!(self.line, "unknown {number:x}");
        Call::new(number, [0; 5])
    }

    /// A pointer to `words`, sometimes none that can be read. Told only if it is a bad one.
    fn pointer(&mut self, words: &[u64]) -> u64 {
        if self.rng.chance(97) {
            return self.memory.put(words);
        }
        let (address, name) = self.rng.pick(&BAD_POINTERS);
        // Zeros at what can be read would be requests of their own.
        if matches!(name, "read-only" | "m2p") {
            return self.memory.put_at_edge(words);
        }
        let _ = write!(self.line, " at {name}");
        address
    }

    /// Any frame.
    fn frame(&mut self) -> Frame {
        match self.rng.below(100) {
            0..64 => Frame::Pool(self.rng.below(POOL as u64) as u8),
            64..74 => Frame::Data,
            74..82 => Frame::Reserve(self.rng.below(RESERVE as u64) as u8),
            82..92 => Frame::Machine(self.rng.pick(&MACHINE_FRAMES)),
            92..94 => Frame::View,
            94..96 => Frame::Arena,
            96..97 => Frame::Shared,
            97..98 => Frame::Root,
            _ => Frame::Hypervisor,
        }
    }

    /// A frame of the pool, of those that tables of `level` are made from more often than not.
    fn table(&mut self, level: u8) -> Frame {
        let (first, count) = match level {
            1 => (0, 8),
            2 => (8, 6),
            3 => (14, 5),
            _ => (19, 5),
        };
        Frame::Pool(first + self.rng.below(count) as u8)
    }

    /// The level that [`Self::table`] gives a frame for.
    fn level_of(frame: Frame) -> u8 {
        match frame {
            Frame::Pool(0..8) => 1,
            Frame::Pool(8..14) => 2,
            Frame::Pool(14..19) => 3,
            Frame::Pool(_) | Frame::Root => 4,
            _ => 1,
        }
    }

    /// An address of the arena.
    fn arena_page(&mut self) -> usize {
        self.rng.below(ARENA as u64) as usize
    }

    /// Removes mapping `n` of the arena.
    fn unmap(&mut self, n: usize) {
        // SAFETY: nothing relies on the arena.
        let answer = unsafe {
            xenocryst_guest::mmu::set_entry(
                crate::world::arena(n),
                xenocryst_guest::abi::Pte::EMPTY,
            )
        };
        if answer != 0 {
            let _ = write!(self.line, " unmap {n} -> {answer}");
        }
    }
}
