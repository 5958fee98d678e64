//! What each request answers, and what it changes.

use super::l1::Who;
use super::memory::Exchange;
use super::pages::Store;
use super::state::Model;
use crate::answer::Answer;
use crate::no::No;
use crate::request::Request;

impl Model {
    /// Carries out a request that was not preempted. `engine` is the other answer, for what the rules leave open: which
    /// free frames are given. The second value is the domain whose tables may be left half unwound.
    pub fn perform(&mut self, request: &Request, engine: &Answer) -> Answer {
        let answer = self.decide(request, engine).unwrap_or_else(Answer::Refused);
        self.collect_unless_interrupted(request);
        answer
    }

    /// With a limited budget, what an operation let go may still be there: see `interrupted`.
    fn collect_unless_interrupted(&mut self, request: &Request) {
        if request.budget().is_none() {
            self.collect();
        }
    }

    fn decide(&mut self, request: &Request, engine: &Answer) -> Result<Answer, No> {
        match *request {
            Request::Update {
                dom,
                tables,
                pages,
                at,
                value,
                ..
            } => {
                let who = Who {
                    caller: dom as usize,
                    tables: tables as usize,
                    pages: pages as usize,
                };
                self.update(who, at, value)
            }
            Request::Va {
                dom,
                vcpu,
                pages,
                address,
                value,
            } => {
                let who = Who {
                    pages: pages as usize,
                    ..Who::own(dom as usize)
                };
                self.va(who, vcpu as usize, address, value)
            }
            Request::Pin {
                dom, frame, level, ..
            } => self.pin(dom as usize, frame, level as u8),
            Request::Unpin { dom, frame, .. } => self.unpin(dom as usize, frame),
            Request::Root {
                dom,
                vcpu,
                user,
                frame,
                ..
            } => self.root(dom as usize, vcpu as usize, user as usize, frame),
            Request::DropRoot {
                dom, vcpu, user, ..
            } => {
                // With a limited budget, what was to be unwound before may still be.
                if request.budget().is_none() {
                    self.settle(dom as usize);
                }
                self.domains[dom as usize].roots[vcpu as usize][user as usize] = None;
                Ok(Answer::Done)
            }
            Request::Finish { dom, .. } => {
                self.settle(dom as usize);
                Ok(Answer::Done)
            }
            _ => self.decide_pages(request, engine),
        }
    }

    fn decide_pages(&mut self, request: &Request, engine: &Answer) -> Result<Answer, No> {
        match *request {
            Request::Clear { dom, frame } => self.clear(dom as usize, frame),
            Request::Copy { dom, to, from } => self.copy(dom as usize, to, from),
            Request::Store {
                dom,
                vcpu,
                fault,
                address,
                width,
                value,
            } => {
                let (dom, vcpu) = (dom as usize, vcpu as usize);
                self.store(&Store {
                    dom,
                    vcpu,
                    fault,
                    address,
                    width,
                    expected: None,
                    value,
                })
            }
            Request::Exchange8 {
                dom,
                vcpu,
                fault,
                address,
                width,
                expected,
                value,
            } => {
                let (dom, vcpu, expected) = (dom as usize, vcpu as usize, Some(expected));
                self.store(&Store {
                    dom,
                    vcpu,
                    fault,
                    address,
                    width,
                    expected,
                    value,
                })
            }
            _ => self.decide_rest(request, engine),
        }
    }

    fn decide_rest(&mut self, request: &Request, engine: &Answer) -> Result<Answer, No> {
        match *request {
            Request::Window {
                dom,
                vcpu,
                slot,
                frame,
            } => {
                let index = self.use_as_descriptors(dom as usize, frame)?;
                self.domains[dom as usize].windows[vcpu as usize][slot as usize] = Some(index);
                Ok(Answer::Done)
            }
            Request::Unwindow { dom, vcpu, slot } => {
                self.domains[dom as usize].windows[vcpu as usize][slot as usize] = None;
                Ok(Answer::Done)
            }
            Request::Descriptor { dom, at, value } => self.descriptor(dom as usize, at, value),
            Request::Hold {
                dom,
                frame,
                writable,
            } => {
                let index = self.take_page(dom as usize, frame, writable != 0)?;
                self.domains[dom as usize]
                    .holds
                    .push((index, writable != 0));
                Ok(Answer::Done)
            }
            Request::Release {
                dom,
                frame,
                writable,
            } => {
                let holds = &mut self.domains[dom as usize].holds;
                let wanted = (frame as usize, writable != 0);
                if let Some(at) = holds.iter().position(|&hold| hold == wanted) {
                    holds.remove(at);
                }
                Ok(Answer::Done)
            }
            Request::Weigh {
                frame,
                general,
                typed,
                ..
            } => {
                self.frames[frame as usize].weight = (general, typed);
                Ok(Answer::Done)
            }
            Request::Unweigh { frame } => {
                self.frames[frame as usize].weight = (0, 0);
                Ok(Answer::Done)
            }
            Request::Write {
                frame, slot, value, ..
            } => {
                self.write(frame as usize, slot as u16, value);
                Ok(Answer::Done)
            }
            Request::Mark { frame, slot, bits } => {
                let old = self.frames[frame as usize].words.get(slot as u16);
                self.write(frame as usize, slot as u16, old | bits);
                Ok(Answer::Done)
            }
            _ => self.decide_memory(request, engine),
        }
    }

    fn decide_memory(&mut self, request: &Request, engine: &Answer) -> Result<Answer, No> {
        match *request {
            Request::Populate {
                dom,
                order,
                bits,
                pfn,
            } => self.populate(dom as usize, order, bits, pfn, engine),
            Request::Decrease { dom, frame, order } => self
                .decrease(dom as usize, frame, order)
                .map(|()| Answer::Done),
            Request::Exchange {
                dom,
                first,
                inputs,
                in_order,
                blocks,
                order,
                bits,
                pfn,
                end,
            } => {
                let dom = dom as usize;
                self.exchange(
                    &Exchange {
                        dom,
                        first,
                        inputs,
                        in_order,
                        blocks,
                        order,
                        bits,
                        pfn,
                        end,
                    },
                    engine,
                )
            }
            Request::Limit { dom, frames } => {
                self.domains[dom as usize].limit = frames & 0xffff_ffff;
                Ok(Answer::Done)
            }
            Request::L1tf { dom, on } => {
                self.domains[dom as usize].l1tf = on != 0;
                Ok(Answer::Done)
            }
            Request::Io {
                dom,
                frame,
                last,
                allow,
            } => Ok(self.change_io(dom as usize, (frame, last), allow != 0, engine)),
            Request::Share { dom, writable } => self.share(dom as usize, writable != 0, engine),
            Request::Unshare { dom, frame } => Ok(match self.unshare(dom as usize, frame) {
                true => Answer::Done,
                false => Answer::False,
            }),
            Request::Die { dom } => {
                self.die(dom as usize);
                Ok(Answer::Done)
            }
            Request::Relinquish { dom, .. } => {
                self.settle(dom as usize);
                self.tear_down(dom as usize, self.frames.len() as u64, false);
                Ok(Answer::Done)
            }
            Request::Birth { dom } => Ok(if self.birth(dom as usize) {
                Answer::Done
            } else {
                Answer::False
            }),
            _ => self.decide_grants(request, engine),
        }
    }

    fn die(&mut self, dom: usize) {
        self.grant_release(dom);
        if self.domains[dom]
            .roots
            .iter()
            .flatten()
            .any(Option::is_some)
        {
            self.settle(dom);
        }
        let domain = &mut self.domains[dom];
        domain.dying = true;
        domain.roots = Default::default();
        domain.windows = Default::default();
        domain.holds.clear();
    }

    /// Asks a question whose answer may depend on tables that are still to be unwound: if it is no, they are unwound
    /// and it is asked again.
    pub(super) fn ask_twice<T>(
        &mut self,
        dom: usize,
        ask: impl Fn(&mut Self) -> Result<T, No>,
    ) -> Result<T, No> {
        match ask(self) {
            Err(_) if self.settle(dom) => ask(self),
            answer => answer,
        }
    }
}
