//! `memory_op`: giving frames back, getting new ones, exchanging them, and what can be asked; `xen_version`.

use core::fmt::Write;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::memory_op::op;
use xenocryst_guest::abi::{DomId, Mfn};

use super::Random;
use crate::request::{After, Call, word};
use crate::world::{Frame, RESERVE};

/// Extents that one request names at most.
const MOST: usize = 6;

impl Random<'_, '_> {
    /// A change of the domain's reservation.
    pub(super) fn reservation(&mut self) {
        match self.rng.below(10) {
            0..4 => self.decrease(),
            4..7 => self.populate(),
            7..8 => self.increase(),
            _ => self.exchange(),
        }
    }

    /// Whose reservation: almost always the domain's own.
    fn whose(&mut self) -> u64 {
        if self.rng.chance(92) {
            return u64::from(DomId::SELF.0);
        }
        let domain = self.rng.pick(&[
            0,
            1,
            u64::from(DomId::IO.0),
            u64::from(DomId::XEN.0),
            0xffff,
        ]);
        let _ = write!(self.line, " for {domain:x}");
        domain
    }

    /// A number of extents, or much too many.
    fn count(&mut self) -> (usize, u64) {
        let count = 1 + self.rng.below(MOST as u64) as usize;
        if self.rng.chance(97) {
            return (count, count as u64);
        }
        let asked = self.rng.pick(&[0, 1 << 52, u64::MAX, u64::MAX >> 6]);
        (count, asked)
    }

    /// Frames to be given back: those at the end of memory mostly, each once (Xen takes one twice while it is mapped).
    fn decrease(&mut self) {
        let (count, asked) = self.count();
        let order = self.rng.pick(&[0, 0, 0, 0, 0, 1, 21, 255]);
        let mut list = [0; MOST];
        let mut pfns = [None; MOST];
        let _ = write!(self.line, "decrease {asked:x} of order {order}");
        for at in 0..count {
            let n = self.rng.below(RESERVE as u64) as u8;
            let frame = if self.rng.chance(92) && !pfns.contains(&Some(n)) {
                pfns[at] = Some(n);
                Frame::Reserve(n)
            } else {
                // The others are mapped, and would stay until they are not: told apart in the script.
                Frame::Machine(self.rng.pick(&crate::world::MACHINE_FRAMES))
            };
            list[at] = self.world.mfn(frame);
            let _ = write!(self.line, " {}", self.world.name(list[at]));
        }
        // A frame next to one that is named cannot be told by name.
        if order != 0 {
            list = [0xff_ffff_ff00; MOST];
        }
        let words = [0, asked, order, 0];
        let answer = self.request(op::DECREASE_RESERVATION, words, &list[..count]);
        for n in pfns.into_iter().take(answer).flatten() {
            self.world.gave(self.world.reserve_pfn(n));
        }
    }

    /// Frames to be got for PFNs.
    fn populate(&mut self) {
        let (count, asked) = self.count();
        let order = self.rng.pick(&[0, 0, 0, 21, 63]);
        let flags = self.rng.pick(&[0, 0, 0, 32, 64, 1 << 16, 1 << 17, 1 << 18]);
        let mut list = [0; MOST];
        let mut chosen = [0; MOST];
        let _ = write!(
            self.line,
            "populate {asked:x} of order {order} flags {flags:x}"
        );
        let mut used = 0;
        for _ in 0..count {
            let n = self.rng.below(RESERVE as u64) as u8;
            if self.world.domain.mfn(self.world.reserve_pfn(n)) != Mfn::INVALID
                || chosen[..used].contains(&n)
            {
                continue;
            }
            chosen[used] = n;
            list[used] = self.world.reserve_pfn(n).raw();
            used += 1;
            let _ = write!(self.line, " R{n}");
        }
        let asked = if asked == count as u64 {
            used as u64
        } else {
            asked
        };
        if used == 0 && asked != 0 {
            return;
        }
        let words = [0, asked, order | flags << 32, 0];
        let answer = self.request(op::POPULATE_PHYSMAP, words, &list[..used]);
        self.got(answer.min(used), &chosen);
    }

    /// Frames to be got without PFNs.
    fn increase(&mut self) {
        let mut chosen = [0; MOST];
        let mut used = 0;
        let wanted = 1 + self.rng.below(3) as usize;
        for n in 0..RESERVE as u8 {
            if used < wanted && self.world.domain.mfn(self.world.reserve_pfn(n)) == Mfn::INVALID {
                chosen[used] = n;
                used += 1;
            }
        }
        let _ = write!(self.line, "increase {used}");
        let answer = self.request(
            op::INCREASE_RESERVATION,
            [0, used as u64, 0, 0],
            &[0; MOST][..used],
        );
        self.got(answer.min(used), &chosen);
    }

    /// Makes a request about extents; how many were done.
    fn request(&mut self, operation: u32, mut words: [u64; 4], list: &[u64]) -> usize {
        words[3] = self.whose();
        let list = self.memory.put(list);
        words[0] = list;
        let request = self.pointer(&words);
        let call = Call::new(number::MEMORY_OP, [u64::from(operation), request, 0, 0, 0]);
        // SAFETY: the frames at the end of memory are used by nothing.
        let answer = unsafe { call.make(self.line) };
        self.got_at = list;
        answer.clamp(0, MOST as i64) as usize
    }

    /// Records the first `count` new frames.
    fn got(&mut self, count: usize, chosen: &[u8; MOST]) {
        for (n, reserve) in chosen.iter().take(count).enumerate() {
            let mfn = word(self.got_at + 8 * n as u64);
            self.world.got(self.world.reserve_pfn(*reserve), mfn);
        }
    }

    /// Frames to be exchanged for others, one for one.
    fn exchange(&mut self) {
        let count = 1 + self.rng.below(3) as usize;
        let mut inputs = [0; MOST];
        let mut outputs = [0; MOST];
        let mut chosen = [0; MOST];
        let _ = write!(self.line, "exchange");
        // Each but once: a frame that was exchanged may come back as the new one of another.
        let first = self.rng.below(RESERVE as u64);
        for place in 0..count {
            let n = ((first + 7 * place as u64) % RESERVE as u64) as u8;
            let frame = if self.rng.chance(90) {
                Frame::Reserve(n)
            } else {
                match self.frame() {
                    Frame::Root | Frame::Shared | Frame::Reserve(_) => Frame::Data,
                    frame => frame,
                }
            };
            chosen[place] = n;
            inputs[place] = self.world.mfn(frame);
            outputs[place] = self.world.reserve_pfn(n).raw();
            let _ = write!(self.line, " {}", self.world.name(inputs[place]));
        }
        // No input of more than one frame: what lies beside a frame is not the same everywhere.
        let (in_order, out_order) =
            self.rng
                .pick(&[(0, 0), (0, 0), (0, 0), (0, 0), (0, 1), (0, 64), (64, 0)]);
        let (in_count, out_count) = match self.rng.below(12) {
            0 => (count as u64, count as u64 + 1),
            1 => (0, 0),
            2 => (u64::MAX, u64::MAX),
            _ => (count as u64, count as u64),
        };
        let done = self.rng.pick(&[0, 0, 0, 0, 0, 0, 1, u64::MAX]);
        let _ = write!(
            self.line,
            " {in_count:x}/{in_order} for {out_count:x}/{out_order} done {done:x}"
        );
        let whose = self.whose();
        let input = self.memory.put(&inputs[..count]);
        let output = self.memory.put(&outputs[..count]);
        let words = [
            input, in_count, in_order, whose, output, out_count, out_order, whose, done,
        ];
        let request = self.memory.put(&words);
        let call = Call::new(
            number::MEMORY_OP,
            [u64::from(op::EXCHANGE), request, 0, 0, 0],
        );
        // SAFETY: the frames at the end of memory are used by nothing; those of the pool are mapped, which is refused.
        let answer = unsafe { call.make(self.line) };
        let exchanged = word(request + 64);
        let _ = write!(self.line, " exchanged {exchanged:x}");
        if answer < 0 && exchanged == done {
            return;
        }
        let first = done.min(count as u64) as usize;
        let last = exchanged.min(count as u64) as usize;
        for (place, n) in chosen.iter().enumerate().take(last).skip(first) {
            let pfn = self.world.reserve_pfn(*n);
            self.world.gave(pfn);
            self.world.got(pfn, word(output + 8 * place as u64));
        }
    }

    /// A question.
    pub(super) fn query(&mut self) {
        let domain = self
            .rng
            .pick(&[u64::from(DomId::SELF.0), 0, 1, u64::from(DomId::IO.0)]);
        let operation = self.rng.pick(&[op::CURRENT_RESERVATION, op::MAXIMUM_GPFN]);
        let _ = write!(self.line, "memory_op {operation} of {domain:x}");
        let request = self.pointer(&[domain]);
        let call = Call {
            number: number::MEMORY_OP,
            arguments: [u64::from(operation), request, 0, 0, 0],
            after: After::Nothing,
        };
        // SAFETY: a question changes nothing.
        unsafe { call.make(self.line) };
    }
}
