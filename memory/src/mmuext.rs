//! The table operations of `mmuext_op`: pinning, roots, clearing and copying; and references for the hypervisor.
//!
//! Keeps true: invariants I18 (pinned at most once; a pin owns one reference pair; never pinned and partial),
//! I41, I43, I44.

use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::frame::{Frame, FrameType, Level};
use crate::machine::MachineMemory;
use crate::progress::{Budget, Progress};
use crate::ptype::Session;
use crate::refs::{PageRef, RootRef, WritableRef};
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use xenocryst_abi::Mfn;

#[cfg(test)]
mod tests;

impl<M: MachineMemory> Engine<'_, M> {
    /// `MMUEXT_PIN_Ln_TABLE` on a frame of `domain`.
    pub fn pin_table(
        &self,
        domain: &DomainMemory,
        frame: Mfn,
        level: Level,
        budget: &mut Budget,
    ) -> Result<Progress<()>, Refusal> {
        let mut session = self.session(domain);
        if self.unwind_doomed(&mut session, budget) == Progress::Preempted {
            return Ok(Progress::Preempted);
        }
        if domain.is_dying() {
            return Err(self.refuse_frame(Rule::DyingDomain, frame));
        }
        if self.is_pinned(frame, domain) && !self.commits(Fault::PinTwice) {
            return Err(self
                .refuse_frame(Rule::AlreadyPinned, frame)
                .wanted_type(FrameType::Table(level)));
        }
        match self.get_table(&mut session, frame, level, budget) {
            Ok(Progress::Preempted) => Ok(Progress::Preempted),
            Ok(Progress::Done(())) => {
                if let Some(state) = self.frame(frame) {
                    state.set_type_word(state.type_word().with_pin(true));
                }
                Ok(Progress::Done(()))
            }
            Err(refusal) => {
                self.doom(&mut session, frame, level, budget);
                Err(refusal)
            }
        }
    }

    fn is_pinned(&self, mfn: Mfn, domain: &DomainMemory) -> bool {
        self.frame(mfn)
            .is_some_and(|f| f.owner_word().belongs_to(domain.tag()) && f.type_word().is_pinned())
    }

    /// `MMUEXT_UNPIN_TABLE`. What is left to unwind when the budget runs out is done before the domain's next operation.
    pub fn unpin_table(
        &self,
        domain: &DomainMemory,
        frame: Mfn,
        budget: &mut Budget,
    ) -> Result<Progress<()>, Refusal> {
        let mut session = self.session(domain);
        if self.unwind_doomed(&mut session, budget) == Progress::Preempted {
            return Ok(Progress::Preempted);
        }
        let state = match self.frame(frame) {
            Some(state) if state.owner_word().belongs_to(domain.tag()) => state,
            _ => return Err(self.refuse_owner(Rule::FrameNotOwned, frame, domain)),
        };
        if !state.type_word().is_pinned() {
            return Err(self.refuse_frame(Rule::NotPinned, frame));
        }
        self.drop_pin(&mut session, frame, state, budget);
        Ok(Progress::Done(()))
    }

    /// Removes the pin of a pinned table and gives back its references.
    pub(crate) fn drop_pin(
        &self,
        session: &mut Session<'_>,
        mfn: Mfn,
        frame: &Frame,
        budget: &mut Budget,
    ) {
        frame.set_type_word(frame.type_word().with_pin(false));
        if !self.commits(Fault::UnpinRelease)
            && self.put_table(session, mfn, budget) == Progress::Preempted
        {
            session.tables.doomed = Some(mfn);
        }
    }

    /// Takes `frame` as a root for a vCPU of `domain` (`MMUEXT_NEW_BASEPTR`, `MMUEXT_NEW_USER_BASEPTR`, start of day).
    /// Load it, then give the old one back with [`Engine::put_root`].
    pub fn get_root(
        &self,
        domain: &DomainMemory,
        frame: Mfn,
        budget: &mut Budget,
    ) -> Result<Progress<RootRef>, Refusal> {
        let mut session = self.session(domain);
        if self.unwind_doomed(&mut session, budget) == Progress::Preempted {
            return Ok(Progress::Preempted);
        }
        if domain.is_dying() {
            return Err(self.refuse_frame(Rule::DyingDomain, frame));
        }
        match self.get_table(&mut session, frame, Level::L4, budget) {
            Ok(Progress::Done(())) => Ok(Progress::Done(RootRef(frame))),
            Ok(Progress::Preempted) => Ok(Progress::Preempted),
            Err(mut refusal) => {
                self.doom(&mut session, frame, Level::L4, budget);
                if refusal.context.level.is_none() {
                    refusal.rule = Rule::RootType;
                }
                Err(refusal)
            }
        }
    }

    /// Gives a root back that no CPU has loaded any more. Never fails; leftover work is done before the domain's next
    /// operation.
    pub fn put_root(&self, domain: &DomainMemory, root: RootRef, budget: &mut Budget) {
        let mut session = self.session(domain);
        // There is room for one interrupted unwinding. A second one cannot be left over: its budget is not limited.
        let pending = self.unwind_doomed(&mut session, budget) == Progress::Preempted;
        let mut unlimited = Budget::unlimited();
        let budget = if pending { &mut unlimited } else { budget };
        if self.put_table(&mut session, root.0, budget) == Progress::Preempted {
            session.tables.doomed = Some(root.0);
        }
    }

    /// Carries on an interrupted unwinding, if there is one. Every operation does this by itself when it must; a
    /// hypercall should end with it and continue itself while it is preempted, since operations that cannot be
    /// preempted (`update_va_mapping`, PTE stores) would otherwise have to do the rest at a stretch.
    pub fn finish_unwinding(&self, domain: &DomainMemory, budget: &mut Budget) -> Progress<()> {
        self.unwind_doomed(&mut self.session(domain), budget)
    }

    /// `MMUEXT_CLEAR_PAGE` on a frame of `pages`.
    pub fn clear_page(&self, pages: &DomainMemory, frame: Mfn) -> Result<(), Refusal> {
        let held = self.get_writable_page(pages, frame)?;
        self.machine.zero_frame(frame);
        self.put_writable_page(held);
        Ok(())
    }

    /// `MMUEXT_COPY_PAGE` between frames of `pages`.
    pub fn copy_page(&self, pages: &DomainMemory, to: Mfn, from: Mfn) -> Result<(), Refusal> {
        let source = self.get_page(pages, from)?;
        let result = self.get_writable_page(pages, to).map(|held| {
            self.machine.copy_frame(to, from);
            self.put_writable_page(held);
        });
        self.put_page(source);
        result
    }

    /// Takes a general reference on a frame of `owner`.
    pub fn get_page(&self, owner: &DomainMemory, frame: Mfn) -> Result<PageRef, Refusal> {
        match self.frame(frame) {
            Some(state) if state.get(self.demanded(Fault::PageOwner, state, owner.tag())) => {
                Ok(PageRef(frame))
            }
            _ => Err(self.refuse_owner(Rule::FrameNotOwned, frame, owner)),
        }
    }

    /// Gives it back.
    pub fn put_page(&self, held: PageRef) {
        if let Some(state) = self.frame(held.0) {
            self.put_general(held.0, state);
        }
    }

    /// Takes a frame of `owner` for writing: it can be no table while this is held.
    pub fn get_writable_page(
        &self,
        owner: &DomainMemory,
        frame: Mfn,
    ) -> Result<WritableRef, Refusal> {
        let page = self.get_page(owner, frame)?;
        match self.frame(frame) {
            Some(state) if self.get_writable_type(owner, state) => Ok(WritableRef(frame)),
            // What holds it as a table may be gone but for an interrupted unwinding.
            Some(state)
                if self.unwind_doomed_wholly(&mut self.session(owner))
                    && self.get_writable_type(owner, state) =>
            {
                Ok(WritableRef(frame))
            }
            _ => {
                let refusal = self
                    .refuse_frame(Rule::FrameTypeConflict, frame)
                    .wanted_type(FrameType::Writable);
                self.put_page(page);
                Err(refusal)
            }
        }
    }

    /// Gives it back.
    pub fn put_writable_page(&self, held: WritableRef) {
        if let Some(state) = self.frame(held.0) {
            self.put_writable_type(state);
            self.put_general(held.0, state);
        }
    }
}
