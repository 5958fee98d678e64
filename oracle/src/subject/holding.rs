//! Requests that take or give back references of the hypervisor's own.

use xenocryst_abi::Mfn;
use xenocryst_memory::{Budget, Progress, sim};

use super::{Subject, answer, budget, no};
use crate::answer::Answer;
use crate::request::Request;

impl Subject<'_> {
    /// Requests that take or give back references of the hypervisor's own.
    pub(super) fn perform_holding(&mut self, request: &Request) -> Answer {
        match *request {
            Request::Window {
                dom,
                vcpu,
                slot,
                frame,
            } => {
                let d = &mut self.domains[dom as usize];
                match self.engine.get_descriptor_page(&d.memory, Mfn::new(frame)) {
                    Ok(new) => {
                        if let Some(old) = d.windows[vcpu as usize][slot as usize].replace(new) {
                            self.engine.put_descriptor_page(&d.memory, old);
                        }
                        Answer::Done
                    }
                    Err(refusal) => no(&refusal),
                }
            }
            Request::Unwindow { dom, vcpu, slot } => {
                let d = &mut self.domains[dom as usize];
                if let Some(old) = d.windows[vcpu as usize][slot as usize].take() {
                    self.engine.put_descriptor_page(&d.memory, old);
                }
                Answer::Done
            }
            Request::Hold {
                dom,
                frame,
                writable,
            } => self.hold(dom, frame, writable != 0),
            Request::Release {
                dom,
                frame,
                writable,
            } => self.release(dom, frame, writable != 0),
            Request::Weigh {
                frame,
                general,
                typed,
                ..
            } => {
                sim::weigh(&self.engine, Mfn::new(frame), general as i64, typed as i64);
                self.weights.push((frame, general, typed));
                Answer::Done
            }
            Request::Unweigh { frame } => {
                if let Some(at) = self.weights.iter().position(|weight| weight.0 == frame) {
                    let (_, general, typed) = self.weights.remove(at);
                    sim::weigh(
                        &self.engine,
                        Mfn::new(frame),
                        -(general as i64),
                        -(typed as i64),
                    );
                }
                Answer::Done
            }
            Request::Die { dom } => self.die(dom),
            _ => self.perform_on_roots(request),
        }
    }

    pub(super) fn hold(&mut self, dom: u64, frame: u64, writable: bool) -> Answer {
        let d = &mut self.domains[dom as usize];
        let frame = Mfn::new(frame);
        answer(if writable {
            self.engine
                .get_writable_page(&d.memory, frame)
                .map(|held| d.writables.push(held))
        } else {
            self.engine
                .get_page(&d.memory, frame)
                .map(|held| d.pages.push(held))
        })
    }

    pub(super) fn release(&mut self, dom: u64, frame: u64, writable: bool) -> Answer {
        let d = &mut self.domains[dom as usize];
        let frame = Mfn::new(frame);
        if writable {
            if let Some(at) = d.writables.iter().position(|held| held.mfn() == frame) {
                self.engine.put_writable_page(d.writables.remove(at));
            }
        } else if let Some(at) = d.pages.iter().position(|held| held.mfn() == frame) {
            self.engine.put_page(d.pages.remove(at));
        }
        Answer::Done
    }

    pub(super) fn die(&mut self, dom: u64) -> Answer {
        self.release_unmapped(dom as usize);
        let d = &mut self.domains[dom as usize];
        d.memory.set_dying();
        for root in std::mem::take(&mut d.roots).into_iter().flatten().flatten() {
            self.engine
                .put_root(&d.memory, root, &mut Budget::unlimited());
        }
        for window in std::mem::take(&mut d.windows)
            .into_iter()
            .flatten()
            .flatten()
        {
            self.engine.put_descriptor_page(&d.memory, window);
        }
        d.pages
            .drain(..)
            .for_each(|held| self.engine.put_page(held));
        d.writables
            .drain(..)
            .for_each(|held| self.engine.put_writable_page(held));
        Answer::Done
    }

    pub(super) fn perform_on_roots(&mut self, request: &Request) -> Answer {
        match *request {
            Request::Root {
                dom,
                vcpu,
                user,
                frame,
                budget: units,
            } => {
                let (d, budget) = (&mut self.domains[dom as usize], &mut budget(units));
                match self.engine.get_root(&d.memory, Mfn::new(frame), budget) {
                    Ok(Progress::Done(new)) => {
                        if let Some(old) = d.roots[vcpu as usize][user as usize].replace(new) {
                            self.engine.put_root(&d.memory, old, budget);
                        }
                        Answer::Done
                    }
                    Ok(Progress::Preempted) => Answer::Preempted,
                    Err(refusal) => no(&refusal),
                }
            }
            Request::DropRoot {
                dom,
                vcpu,
                user,
                budget: units,
            } => {
                let d = &mut self.domains[dom as usize];
                if let Some(old) = d.roots[vcpu as usize][user as usize].take() {
                    self.engine.put_root(&d.memory, old, &mut budget(units));
                }
                Answer::Done
            }
            _ => self.perform_memory(request),
        }
    }
}
