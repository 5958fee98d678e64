//! `mmuext_op`, every command of it.

use core::fmt::Write;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::mmuext;

use super::Random;
use crate::request::{After, BAD_POINTERS, Call};
use crate::world::{Frame, arena};

/// Operations that one call asks for at most.
const MOST: usize = 4;

impl Random<'_, '_> {
    /// Extended operations, one or a few.
    pub(super) fn mmuext_op(&mut self) -> Call {
        let count = if self.rng.chance(80) {
            1
        } else {
            self.rng.below(MOST as u64 + 1) as usize
        };
        let mut words = [0; 3 * MOST];
        let _ = write!(self.line, "mmuext_op");
        for operation in words.chunks_exact_mut(3).take(count) {
            operation.copy_from_slice(&self.operation());
        }
        let list = self.pointer(&words[..3 * count]);
        let domain = self.domains();
        if self.rng.chance(10) {
            return Call::new(number::MMUEXT_OP, [list, count as u64, 0, domain, 0]);
        }
        let done = self.memory.put(&[0xeeee_eeee]);
        Call {
            number: number::MMUEXT_OP,
            arguments: [list, count as u64, done, domain, 0],
            after: After::Done(done),
        }
    }

    /// One operation: command, first and second argument.
    fn operation(&mut self) -> [u64; 3] {
        let command = match self.rng.below(100) {
            0..55 => self.rng.below(5) as u32,
            _ => self.rng.below(23) as u32,
        };
        let (arg1, arg2) = match command {
            mmuext::PIN_L1_TABLE..=mmuext::PIN_L4_TABLE => {
                let frame = if self.rng.chance(75) {
                    self.table(command as u8 + 1)
                } else {
                    self.pinnable()
                };
                (self.named(command, frame), 0)
            }
            mmuext::UNPIN_TABLE => {
                let frame = self.pinnable();
                (self.named(command, frame), 0)
            }
            mmuext::NEW_USER_BASEPTR => {
                let frame = if self.rng.chance(60) {
                    self.table(4)
                } else {
                    self.frame()
                };
                if self.rng.chance(15) {
                    let _ = write!(self.line, " {command}(0)");
                    (0, 0)
                } else {
                    (self.named(command, frame), 0)
                }
            }
            // A root without this kernel in it would be the end of it: only what cannot be one.
            mmuext::NEW_BASEPTR => {
                let frame = match self.rng.below(4) {
                    0 => Frame::Data,
                    1 => Frame::Arena,
                    2 => Frame::Shared,
                    _ => Frame::Root,
                };
                (self.named(command, frame), 0)
            }
            mmuext::INVLPG_LOCAL | mmuext::INVLPG_ALL => {
                let n = self.arena_page();
                let (address, name) = match self.rng.below(6) {
                    0 => self.rng.pick(&BAD_POINTERS),
                    _ => (arena(n), "arena"),
                };
                let _ = write!(self.line, " {command}({name})");
                (address, 0)
            }
            mmuext::TLB_FLUSH_MULTI | mmuext::INVLPG_MULTI => {
                let _ = write!(self.line, " {command}");
                let mask = self.pointer(&[1]);
                (arena(0), mask)
            }
            mmuext::SET_LDT => self.set_ldt(),
            mmuext::CLEAR_PAGE => {
                let frame = self.plain();
                (self.named(command, frame), 0)
            }
            mmuext::COPY_PAGE => {
                let (to, from) = (self.plain(), self.plain());
                (self.named(command, to), self.named(command, from))
            }
            _ => {
                let _ = write!(self.line, " {command}");
                (0, 0)
            }
        };
        [u64::from(command), arg1, arg2]
    }

    /// The LDT to be set: an address and a number of entries.
    fn set_ldt(&mut self) -> (u64, u64) {
        let n = self.arena_page();
        let (address, name) = match self.rng.below(8) {
            0 => self.rng.pick(&BAD_POINTERS),
            1 => (arena(n) + 8, "inside"),
            _ => (arena(n), "arena"),
        };
        let entries = self
            .rng
            .pick(&[0, 1, 512, 513, 8192, 8193, u64::from(u32::MAX)]);
        let _ = write!(self.line, " 13({name} {n}, {entries})");
        (address, entries)
    }

    /// A frame whose pin this kernel does not need.
    fn pinnable(&mut self) -> Frame {
        match self.frame() {
            // A pin of a frame that is given back could not be taken away again.
            Frame::Root | Frame::View | Frame::Arena | Frame::Reserve(_) => Frame::Pool(0),
            frame => frame,
        }
    }

    /// A frame that may be overwritten: writing to devices is left out.
    fn plain(&mut self) -> Frame {
        match self.frame() {
            Frame::Machine(number) if number < 0x100_0000 => Frame::Machine(0x100_0000),
            // What the loader's tables hold is not the same everywhere.
            Frame::Root => Frame::Arena,
            // Nor what the time is.
            Frame::Shared => Frame::Data,
            frame => frame,
        }
    }

    /// The number of a frame, told with the command.
    fn named(&mut self, command: u32, frame: Frame) -> u64 {
        let mfn = self.world.mfn(frame);
        let _ = write!(self.line, " {command}({})", self.world.name(mfn));
        mfn
    }
}
