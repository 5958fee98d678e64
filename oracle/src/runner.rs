//! Both sides, step by step: the same request to the engine and to the rules, and everything compared.

use std::fmt::{self, Display, Formatter};

use xenocryst_memory::MachineMemory;
use xenocryst_memory::seeded::Fault;

use crate::answer::Answer;
use crate::compare::{compare, compare_grants, lists};
use crate::layout::{CPUS, DOMAINS};
use crate::machine::Books;
use crate::model::Model;
use crate::request::Request;
use crate::subject::Subject;
use crate::tlb::Tlb;

/// How a step of a trace showed that engine and rules disagree.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The step, from 0.
    pub step: usize,
    /// What was asked.
    pub request: Request,
    /// What the engine answered.
    pub engine: Answer,
    /// What is wrong with that or with the state it left.
    pub what: String,
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "step {}: {}\n  engine: {}\n  {}",
            self.step, self.request, self.engine, self.what
        )
    }
}

/// How a runner checks.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// The engine's own audit is made after so many steps; 0 for never.
    pub audit_every: usize,
    /// A fault for the engine to commit.
    pub fault: Option<Fault>,
}

impl Checks {
    /// Everything after every step.
    pub const ALL: Self = Self {
        audit_every: 1,
        fault: None,
    };
}

/// The engine and the rules.
pub struct Runner<'m> {
    subject: Subject<'m>,
    model: Model,
    tlb: Tlb,
    checks: Checks,
    step: usize,
}

impl<'m> Runner<'m> {
    /// Both sides of a fresh machine, whose books the caller keeps.
    #[must_use]
    pub fn new(books: &'m Books, checks: Checks) -> Self {
        let engine = books.engine();
        engine.commit(checks.fault);
        Self {
            subject: Subject::new(engine),
            model: Model::new(),
            tlb: Tlb::default(),
            checks,
            step: 0,
        }
    }

    /// The state as the rules have it: what a generator looks at.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Makes one step. The answer is the one that both gave.
    pub fn step(&mut self, request: &Request) -> Result<Answer, Box<Difference>> {
        if !self.model.is_meant(request) {
            self.step += 1;
            return Ok(Answer::Void);
        }
        let engine = self.subject.perform(request);
        let result = self.judge(request, &engine);
        let step = self.step;
        self.step += 1;
        match result {
            Ok(()) => Ok(engine),
            Err(what) => Err(Box::new(Difference {
                step,
                request: *request,
                engine,
                what,
            })),
        }
    }

    fn judge(&mut self, request: &Request, engine: &Answer) -> Result<(), String> {
        self.follow(request, engine)?;
        self.switch_cpus(request);
        let written =
            self.subject.engine.machine().take_written() | std::mem::take(&mut self.model.written);
        compare(&self.model, &self.subject, written)?;
        compare_grants(&self.model, &self.subject, request)?;
        self.check_tlbs()?;
        if self.checks.audit_every != 0 && self.step.is_multiple_of(self.checks.audit_every) {
            self.subject
                .audit()
                .map_err(|error| format!("audit: {error}"))?;
        }
        Ok(())
    }

    /// Makes the step on the side of the rules.
    fn follow(&mut self, request: &Request, engine: &Answer) -> Result<(), String> {
        let dom = request.tables();
        if *engine == Answer::Preempted {
            if request.budget().is_none() {
                return Err("preempted with an unlimited budget".into());
            }
            let left = self.subject.interrupted(dom);
            if let Request::Relinquish { .. } = request {
                let reached = self.subject.torn_down(dom);
                let info = self.subject.info(reached as usize);
                return self
                    .model
                    .preempt_teardown(dom, reached, !info.pinned, &left);
            }
            return self.model.preempt(dom, &left);
        }
        self.model.told = (0..DOMAINS)
            .map(|dom| lists(&self.subject.grant_frames(dom)))
            .collect();
        let rules = self.model.perform(request, engine);
        if rules != *engine {
            return Err(format!("rules:  {rules}"));
        }
        if request.budget().is_some() {
            self.model.leave(dom, &self.subject.interrupted(dom))?;
        }
        Ok(())
    }

    fn switch_cpus(&mut self, request: &Request) {
        let machine = self.subject.engine.machine();
        match *request {
            Request::Switch { cpu, dom } => {
                self.subject.memory(dom as usize).set_cpu_dirty(cpu as u32);
                machine.tick();
                let old = self
                    .tlb
                    .switch(cpu as usize, Some(dom as usize), machine.tlb_clock());
                if let Some(old) = old.filter(|&old| old != dom as usize) {
                    self.subject.memory(old).clear_cpu_dirty(cpu as u32);
                }
            }
            Request::Birth { dom } => {
                for cpu in self.tlb.running(dom as usize).collect::<Vec<_>>() {
                    machine.tick();
                    self.tlb.switch(cpu, None, machine.tlb_clock());
                }
            }
            _ => {}
        }
    }

    fn check_tlbs(&mut self) -> Result<(), String> {
        let machine = self.subject.engine.machine();
        self.tlb.flush(&machine.take_flushes(), || {
            machine.tick();
            machine.tlb_clock()
        });
        self.tlb.check(&self.model)?;
        self.model.given = 0;
        self.model.released.clear();
        self.tlb.fill(&self.model);
        Ok(())
    }
}

const _: () = assert!(CPUS <= 64);

/// Runs a whole trace. The answers, or the first difference.
pub fn run(trace: &[Request], checks: Checks) -> Result<Vec<Answer>, Box<Difference>> {
    let books = Books::new();
    let mut runner = Runner::new(&books, checks);
    trace.iter().map(|request| runner.step(request)).collect()
}
