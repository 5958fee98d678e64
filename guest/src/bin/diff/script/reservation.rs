//! The reservation: frames given back, got, exchanged; frames that are still mapped when they are given back.

use core::fmt::Write;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::memory_op::op;
use xenocryst_guest::abi::{DomId, Pfn};
use xenocryst_guest::domain::Domain;

use super::Script;
use crate::request::word;
use crate::world::{DATA_FLAGS, Frame, RESERVE};

/// The domain itself, in the word of a request where it stands.
const SELF: u64 = DomId::SELF.0 as u64;

impl Script<'_, '_> {
    /// Giving back and getting.
    pub(super) fn reservation(&mut self) {
        self.current();
        let frames = [0, 1, 2].map(|n| self.world.mfn(Frame::Reserve(n)));
        self.extents(
            op::DECREASE_RESERVATION,
            "decrease R0 R1",
            &frames[..2],
            0,
            0,
        );
        self.gave(&[0, 1]);
        self.current();
        self.extents(
            op::DECREASE_RESERVATION,
            "decrease R0 again",
            &frames[..1],
            0,
            0,
        );
        let again = [frames[2], frames[2]];
        self.extents(op::DECREASE_RESERVATION, "decrease R2 twice", &again, 0, 0);
        self.gave(&[2]);
        self.populate(&[0, 1, 2]);
        self.current();
        self.still_mapped();
        for flags in [
            1,
            12,
            13,
            20,
            31,
            32,
            64,
            1 << 8,
            2 << 8,
            0x4100,
            1 << 16,
            1 << 17,
            0x2_0100,
            0x2_0200,
            1 << 18,
        ] {
            let n = 3;
            let frame = [self.world.mfn(Frame::Reserve(n))];
            let given = self.extents(op::DECREASE_RESERVATION, "decrease R3", &frame, 0, flags);
            if given == 1 {
                self.gave(&[n]);
            }
            let pfn = [self.world.reserve_pfn(n).raw()];
            let got = self.extents(op::POPULATE_PHYSMAP, "populate R3", &pfn, 0, flags);
            if got == 1 {
                self.got(&[n]);
            }
        }
        self.blocks();
        for (operation, name) in [
            (op::INCREASE_RESERVATION, "increase"),
            (op::POPULATE_PHYSMAP, "populate"),
        ] {
            for order in [19, 32, 63, u32::MAX as u64] {
                self.extents(operation, name, &[1], order, 0);
            }
        }
        self.current();
    }

    /// A frame that is given back while it is mapped, stays until it is not.
    fn still_mapped(&mut self) {
        self.map(26, Frame::Reserve(4), DATA_FLAGS);
        let frame = [self.world.mfn(Frame::Reserve(4))];
        self.extents(
            op::DECREASE_RESERVATION,
            "decrease R4, mapped",
            &frame,
            0,
            0,
        );
        self.current();
        self.extents(op::DECREASE_RESERVATION, "decrease R4 again", &frame, 0, 0);
        self.map(27, Frame::Reserve(4), DATA_FLAGS);
        self.map(26, Frame::Data, 0x65);
        self.map(27, Frame::Data, 0x65);
        self.current();
        self.gave(&[4]);
        self.populate(&[4]);
        self.current();
    }

    /// Extents of several frames.
    fn blocks(&mut self) {
        let frames = [8, 9, 10, 11].map(|n| self.world.mfn(Frame::Reserve(n)));
        self.extents(
            op::DECREASE_RESERVATION,
            "decrease R8 to R11",
            &frames,
            0,
            0,
        );
        self.gave(&[8, 9, 10, 11]);
        let pfn = [self.world.reserve_pfn(8).raw()];
        if self.extents(
            op::POPULATE_PHYSMAP,
            "populate R8 to R11 as one",
            &pfn,
            2,
            0,
        ) == 1
        {
            let first = word(self.got_at());
            for n in 0..4 {
                self.world
                    .got(self.world.reserve_pfn(8 + n), first + u64::from(n));
            }
        }
        self.names(&[8, 9, 10, 11]);
        let frame = [self.world.mfn(Frame::Reserve(8))];
        self.extents(
            op::DECREASE_RESERVATION,
            "decrease R8 to R11 as one",
            &frame,
            2,
            0,
        );
        self.gave(&[8, 9, 10, 11]);
        if self.extents(op::INCREASE_RESERVATION, "increase by four", &[0], 2, 0) == 1 {
            let first = word(self.got_at());
            for n in 0..4 {
                self.world
                    .got(self.world.reserve_pfn(8 + n), first + u64::from(n));
            }
        }
        self.current();
    }

    /// Exchanges: single frames for a block, a block for single frames, and what cannot be exchanged.
    pub(super) fn exchange(&mut self) {
        let singles = [8, 9, 10, 11].map(|n| self.world.mfn(Frame::Reserve(n)));
        let pfn = [self.world.reserve_pfn(8).raw()];
        if let Some(first) = self.exchanged("four for a block", (&singles, 0), (&pfn, 2), 0) {
            for n in 0..4 {
                self.renamed(8 + n, word(first) + u64::from(n));
            }
        }
        self.names(&[8, 9, 10, 11]);
        let block = [self.world.mfn(Frame::Reserve(8))];
        let pfns = [8, 9, 10, 11].map(|n| self.world.reserve_pfn(n).raw());
        if let Some(first) = self.exchanged("a block for four", (&block, 2), (&pfns, 0), 0) {
            for n in 0..4 {
                self.renamed(8 + n, word(first + 8 * u64::from(n)));
            }
        }
        self.names(&[8, 9, 10, 11]);
        let pfn = [self.world.reserve_pfn(12).raw()];
        for (frame, name) in [
            (Frame::Data, "a mapped frame"),
            (Frame::Root, "the root"),
            (Frame::Shared, "the shared page"),
            (Frame::Hypervisor, "the hypervisor's"),
            (Frame::Machine(0xa0), "a device"),
            (Frame::Machine(0x100_0000), "nothing"),
        ] {
            let frame = [self.world.mfn(frame)];
            self.exchanged(name, (&frame, 0), (&pfn, 0), 0);
        }
        let frame = [self.world.mfn(Frame::Reserve(12))];
        for (in_order, out_order, done) in [
            (0, 1, 0),
            (19, 0, 0),
            (0, 19, 0),
            (0, 0, 1),
            (0, 0, 2),
            (63, 63, 0),
        ] {
            let name = "of odd orders";
            self.exchanged(name, (&frame, in_order), (&pfn, out_order), done);
        }
        self.names(&[12]);
        self.current();
    }

    /// Makes an exchange; where the new frames are, if all was exchanged.
    fn exchanged(
        &mut self,
        name: &str,
        input: (&[u64], u64),
        output: (&[u64], u64),
        done: u64,
    ) -> Option<u64> {
        self.memory.clear();
        let inputs = self.memory.put(input.0);
        let outputs = self.memory.put(output.0);
        let words = [
            inputs,
            input.0.len() as u64,
            input.1,
            SELF,
            outputs,
            output.0.len() as u64,
            output.1,
            SELF,
            done,
        ];
        let request = self.memory.put(&words);
        let (in_order, out_order) = (input.1, output.1);
        let answer = self.call(
            format_args!("exchange {name} {in_order} {out_order} {done}"),
            number::MEMORY_OP,
            [u64::from(op::EXCHANGE), request, 0, 0, 0],
        );
        let now = word(request + 64);
        self.tell(format_args!("exchanged"), now);
        (answer == 0 && now != done).then_some(outputs)
    }

    /// Makes a request about extents.
    fn extents(&mut self, operation: u32, name: &str, list: &[u64], order: u64, flags: u64) -> i64 {
        self.memory.clear();
        let count = list.len() as u64;
        let list = self.memory.put(list);
        let request = self.memory.put(&[list, count, order | flags << 32, SELF]);
        self.call(
            format_args!("{name} order {order} flags {flags:x}"),
            number::MEMORY_OP,
            [u64::from(operation), request, 0, 0, 0],
        )
    }

    /// Where the list of the last request about extents is.
    fn got_at(&mut self) -> u64 {
        self.memory.clear();
        self.memory.first()
    }

    /// Gets frames for PFNs, one for each.
    fn populate(&mut self, frames: &[u8]) {
        let mut pfns = [0; 8];
        for (pfn, n) in pfns.iter_mut().zip(frames) {
            *pfn = self.world.reserve_pfn(*n).raw();
        }
        let answer = self.extents(
            op::POPULATE_PHYSMAP,
            "populate",
            &pfns[..frames.len()],
            0,
            0,
        );
        if answer == frames.len() as i64 {
            self.got(frames);
        }
    }

    /// Records the new frames of the last request.
    fn got(&mut self, frames: &[u8]) {
        let list = self.got_at();
        for (place, n) in frames.iter().enumerate() {
            let mfn = word(list + 8 * place as u64);
            self.world.got(self.world.reserve_pfn(*n), mfn);
        }
        self.names(frames);
    }

    /// Records another frame for a PFN.
    fn renamed(&mut self, n: u8, mfn: u64) {
        let pfn = self.world.reserve_pfn(n);
        self.world.gave(pfn);
        self.world.got(pfn, mfn);
    }

    fn gave(&mut self, frames: &[u8]) {
        for n in frames {
            self.world.gave(self.world.reserve_pfn(*n));
        }
    }

    /// Tells what the M2P says of frames: how far it is from what it should be.
    fn names(&mut self, frames: &[u8]) {
        self.begin();
        let _ = self.line.write_str("m2p");
        for n in frames.iter().filter(|n| usize::from(**n) < RESERVE) {
            let pfn = self.world.reserve_pfn(*n);
            let said = Domain::m2p(self.world.domain.mfn(pfn)).map_or(u64::MAX, Pfn::raw);
            let _ = write!(self.line, " {:+}", said.wrapping_sub(pfn.raw()) as i64);
        }
        self.line.print();
    }

    /// Tells how many frames the domain has.
    fn current(&mut self) {
        self.memory.clear();
        let request = self.memory.put(&[SELF]);
        self.call(
            format_args!("current reservation"),
            number::MEMORY_OP,
            [u64::from(op::CURRENT_RESERVATION), request, 0, 0, 0],
        );
    }
}
