//! Requests about who owns what, and what a guest or the hardware does to memory by itself.

use xenocryst_abi::{Maddr, Mfn, Pfn};
use xenocryst_memory::{AddressLimit, IoRange, MachineMemory, Refusal};

use super::{Domain, Subject, answer, budget, narrow, no, progress};
use crate::answer::Answer;
use crate::machine::address_limit;
use crate::request::{NO_PFN, Request};

impl Subject<'_> {
    /// Requests about who owns what.
    pub(super) fn perform_memory(&mut self, request: &Request) -> Answer {
        match *request {
            Request::Finish { dom, budget: units } => progress(Ok(self
                .engine
                .finish_unwinding(self.memory(dom as usize), &mut budget(units)))),
            Request::Populate {
                dom,
                order,
                bits,
                pfn,
            } => {
                let pfn = (pfn != NO_PFN).then_some(Pfn::new(pfn));
                let limit = address_limit(bits);
                match self.engine.populate_extent(
                    self.memory(dom as usize),
                    narrow(order),
                    limit,
                    pfn,
                ) {
                    Ok(first) => Answer::Frame(first.raw()),
                    Err(refusal) => no(&refusal),
                }
            }
            Request::Decrease { dom, frame, order } => {
                let memory = self.memory(dom as usize);
                answer(
                    self.engine
                        .decrease_extent(memory, Mfn::new(frame), narrow(order)),
                )
            }
            Request::Exchange { .. } => self
                .exchange(request)
                .unwrap_or_else(|refusal| no(&refusal)),
            Request::Limit { dom, frames } => {
                self.memory(dom as usize).set_max_pages(frames as u32);
                Answer::Done
            }
            Request::Io {
                dom,
                frame,
                last,
                allow,
            } => {
                let range = IoRange {
                    first: Mfn::new(frame),
                    last: Mfn::new(last),
                };
                let changed = self
                    .memory(dom as usize)
                    .change_io_access(|io| match allow {
                        0 => io.deny(range),
                        _ => io.permit(range),
                    });
                if changed { Answer::Done } else { Answer::False }
            }
            Request::L1tf { dom, on } => {
                self.memory(dom as usize).set_checks_l1tf(on != 0);
                Answer::Done
            }
            Request::Relinquish { dom, budget: units } => {
                let d = &mut self.domains[dom as usize];
                let done = self
                    .engine
                    .relinquish(&d.memory, &mut d.torn_down, &mut budget(units));
                progress(Ok(done))
            }
            Request::Birth { dom } => {
                self.domains[dom as usize] = Domain::new(dom as usize);
                Answer::Done
            }
            Request::Write {
                frame, slot, value, ..
            } => {
                self.engine
                    .machine()
                    .write_u64(Maddr::new(frame << 12 | slot << 3), value);
                Answer::Done
            }
            Request::Mark { frame, slot, bits } => {
                let (machine, at) = (self.engine.machine(), Maddr::new(frame << 12 | slot << 3));
                machine.write_u64(at, machine.read_u64(at) | bits);
                Answer::Done
            }
            _ => self.perform_sharing(request),
        }
    }

    pub(super) fn exchange(&self, request: &Request) -> Result<Answer, Refusal> {
        let Request::Exchange {
            dom,
            first,
            inputs,
            in_order,
            blocks,
            order,
            bits,
            pfn,
            end,
        } = *request
        else {
            return Ok(Answer::Void);
        };
        let (engine, memory) = (&self.engine, self.memory(dom as usize));
        let limit = address_limit(bits);
        let mut x = engine.begin_exchange(memory, blocks as u32, narrow(order), limit)?;
        let mut result = Ok(());
        for extent in 0..inputs {
            let frame = Mfn::new(first.wrapping_add(extent << in_order.min(16)));
            result = engine.exchange_in(memory, &mut x, frame, narrow(in_order));
            if result.is_err() {
                break;
            }
        }
        if end == 2 {
            memory.set_dying();
        }
        if result.is_err() || end != 0 {
            engine.abandon_exchange(memory, x);
            return result.map(|()| Answer::Frames(Vec::new()));
        }
        let given = (0..blocks).map_while(|block| {
            let pfn = Pfn::new(pfn.wrapping_add(block << order));
            engine
                .exchange_out(memory, &mut x, pfn)
                .map(|first| first.raw())
        });
        let given = given.collect();
        engine.finish_exchange(memory, x);
        Ok(Answer::Frames(given))
    }

    pub(super) fn perform_sharing(&mut self, request: &Request) -> Answer {
        match *request {
            Request::Share { dom, writable } => {
                let Some(frame) = self.engine.allocate_frames(0, AddressLimit::NONE) else {
                    return Answer::Refused(crate::no::OUT_OF_MEMORY);
                };
                self.engine.machine().zero_frame(frame);
                match self
                    .engine
                    .share_with(self.memory(dom as usize), frame, writable != 0)
                {
                    true => Answer::Frame(frame.raw()),
                    false => Answer::False,
                }
            }
            Request::Unshare { dom, frame } => {
                if !self
                    .engine
                    .unshare(self.memory(dom as usize), Mfn::new(frame))
                {
                    return Answer::False;
                }
                self.engine.free_frames(Mfn::new(frame), 0);
                Answer::Done
            }
            _ => self.perform_on_grants(request),
        }
    }
}
