//! `mmu_update` and `update_va_mapping`: changing entries of validated tables.
//!
//! The L1 case is the hypervisor's hottest path: no preemption, no recursion, refusals built out of line.
//! Above L1, a change promotes the table newly named and may demote the one named before.
//! Keeps true: invariants I20 to I28, I35; a refusal leaves the entry and all counts as they were.

use crate::config::HYPERVISOR_SLOTS;
use crate::domain::Actors;
use crate::engine::Engine;
use crate::frame::{Frame, FrameType, Level};
use crate::machine::MachineMemory;
use crate::progress::{Budget, Flush, Progress};
use crate::pte;
use crate::ptype::Session;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use xenocryst_abi::{Maddr, Mfn, Pfn, Vaddr};

#[cfg(test)]
mod details;
#[cfg(test)]
mod leftovers;
#[cfg(test)]
mod tests;

/// The two ways to write an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpdateKind {
    /// Write the entry as given.
    Normal,
    /// Keep Accessed and Dirty bits that the CPU has set in the old entry.
    PreserveAccessedDirty,
}

/// One decoded element of a `mmu_update` batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MmuUpdate {
    /// Change the entry at a machine address.
    Entry(UpdateKind, Maddr, u64),
    /// Set the M2P entry of a frame.
    Machphys(Mfn, Pfn),
}

impl MmuUpdate {
    /// Decodes `struct mmu_update { ptr, val }` (`public/xen.h`): the command is in the low bits of `ptr`.
    #[inline]
    pub fn decode(ptr: u64, val: u64) -> Result<Self, Refusal> {
        let at = Maddr::new(ptr & !7);
        match ptr & 7 {
            0 | 3 => Ok(Self::Entry(UpdateKind::Normal, at, val)),
            2 => Ok(Self::Entry(UpdateKind::PreserveAccessedDirty, at, val)),
            1 => Ok(Self::Machphys(at.mfn(), Pfn::new(val))),
            _ => Err(Rule::UnknownCommand.refuse().value(ptr)),
        }
    }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// One element of `HYPERVISOR_mmu_update`, given as its two raw words. Preempted: call again with the same element.
    #[inline]
    pub fn mmu_update(
        &self,
        actors: &Actors<'_>,
        ptr: u64,
        val: u64,
        budget: &mut Budget,
    ) -> Result<Progress<Flush>, Refusal> {
        if ptr & 7 == 0 {
            return self.update_entry(actors, Maddr::new(ptr), val, UpdateKind::Normal, budget);
        }
        self.mmu_update_rarely(actors, ptr, val, budget)
    }

    /// The commands other than `MMU_NORMAL_PT_UPDATE`.
    #[inline(never)]
    fn mmu_update_rarely(
        &self,
        actors: &Actors<'_>,
        ptr: u64,
        val: u64,
        budget: &mut Budget,
    ) -> Result<Progress<Flush>, Refusal> {
        match MmuUpdate::decode(ptr, val)? {
            MmuUpdate::Entry(kind, at, val) => self.update_entry(actors, at, val, kind, budget),
            MmuUpdate::Machphys(mfn, pfn) => {
                if actors.tables.id() != actors.caller.id() {
                    return Err(Rule::MachphysForeignTables.refuse());
                }
                self.set_m2p(actors.pages, mfn, pfn)
                    .map(|()| Progress::Done(Flush::None))
            }
        }
    }

    #[inline]
    fn update_entry(
        &self,
        actors: &Actors<'_>,
        at: Maddr,
        val: u64,
        kind: UpdateKind,
        budget: &mut Budget,
    ) -> Result<Progress<Flush>, Refusal> {
        let mfn = at.mfn();
        let session = self.session(actors.tables);
        let Some(frame) = self
            .frame(mfn)
            .filter(|f| f.owner_word().belongs_to(actors.tables.tag()))
        else {
            return Err(self.refuse_owner(Rule::FrameNotOwned, mfn, actors.tables));
        };
        if frame.type_word().is_live(FrameType::Table(Level::L1)) {
            match self.update_l1(actors, at, val, kind) {
                Ok(()) => return Ok(Progress::Done(Flush::None)),
                Err(rule) if session.tables.doomed.is_none() => {
                    return Err(self.explain_l1(rule, actors, at, val));
                }
                Err(_) => {}
            }
        }
        self.update_entry_slowly(session, actors, frame, at, val, kind, budget)
    }

    /// Everything but the L1 case that succeeds at once.
    #[cold]
    #[allow(clippy::too_many_arguments)] // the continuation of the function above, split off to keep that one small
    fn update_entry_slowly(
        &self,
        mut session: Session<'_>,
        actors: &Actors<'_>,
        frame: &Frame,
        at: Maddr,
        val: u64,
        kind: UpdateKind,
        budget: &mut Budget,
    ) -> Result<Progress<Flush>, Refusal> {
        if self.unwind_doomed(&mut session, budget) == Progress::Preempted {
            return Ok(Progress::Preempted);
        }
        // It may have been the domain's for no other reason than what has just been unwound. A free frame's second word is
        // no type.
        if !frame.owner_word().belongs_to(actors.tables.tag()) {
            return Err(self.refuse_owner(Rule::FrameNotOwned, at.mfn(), actors.tables));
        }
        let word = frame.type_word();
        match word.frame_type() {
            FrameType::Table(Level::L1) if word.is_validated() => self
                .update_l1(actors, at, val, kind)
                .map(|()| Progress::Done(Flush::None))
                .map_err(|rule| self.explain_l1(rule, actors, at, val)),
            FrameType::Table(level) if word.is_validated() => {
                let request = UpperUpdate {
                    table: at.mfn(),
                    level,
                    at,
                    val,
                    kind,
                };
                if actors.pages.id() != actors.tables.id() {
                    return Err(request.refuse(Rule::ForeignUpperEntry));
                }
                self.update_upper(&mut session, &request, budget)
            }
            _ => self
                .write_plain(&session, frame, at, val)
                .map(|()| Progress::Done(Flush::None)),
        }
    }

    /// Writes a word of a frame that is no table, which needs the frame to be writable.
    fn write_plain(
        &self,
        session: &Session<'_>,
        frame: &Frame,
        at: Maddr,
        val: u64,
    ) -> Result<(), Refusal> {
        let mfn = at.mfn();
        if !frame.get(session.domain.tag()) {
            return Err(self.refuse_owner(Rule::FrameNotOwned, mfn, session.domain));
        }
        let result = if self.get_writable_type(session.domain, frame) {
            self.machine.write_u64(at, val);
            self.put_writable_type(frame);
            Ok(())
        } else {
            Err(self
                .refuse_frame(Rule::TableNotWritable, mfn)
                .value(val)
                .wanted_type(FrameType::Writable))
        };
        self.put_general(mfn, frame);
        result
    }

    fn update_upper(
        &self,
        session: &mut Session<'_>,
        request: &UpperUpdate,
        budget: &mut Budget,
    ) -> Result<Progress<Flush>, Refusal> {
        let UpperUpdate {
            table,
            level,
            at,
            val,
            kind,
        } = *request;
        if level == Level::L4
            && HYPERVISOR_SLOTS.contains(&request.slot())
            && !self.commits(Fault::HypervisorSlot)
        {
            return Err(request.refuse(Rule::HypervisorSlot));
        }
        let old = self.machine.read_u64(at);
        let mut new = val;
        if val & pte::PRESENT != 0 {
            if self.illegal_upper(val) != 0 {
                return Err(request.refuse(Rule::IllegalFlags));
            }
            new = pte::adjusted_upper(val, level);
            if (old ^ new) & !pte::FAST_PATH == 0 {
                self.write_entry(at, old, new, kind);
                return Ok(Progress::Done(Flush::Local));
            }
            match self.get_entry(session, table, level, new, budget) {
                Ok(Progress::Done(())) => {}
                Ok(Progress::Preempted) => return Ok(Progress::Preempted),
                Err(refusal) => {
                    if let Some(below) = level.below() {
                        self.doom(session, pte::target(new), below, budget);
                    }
                    return Err(refusal.entry(level, table, request.slot(), val));
                }
            }
        } else {
            self.check_not_present(session.domain, val, level)
                .map_err(|rule| request.refuse(rule))?;
        }
        let old = self.write_entry(at, old, new, kind);
        if !self.commits(Fault::UpperRelease)
            && self.put_entry(session, table, level, old, budget) == Progress::Preempted
        {
            session.tables.doomed = Some(pte::target(old));
        }
        Ok(Progress::Done(
            if old & pte::PRESENT != 0 && !self.commits(Fault::FlushOwed) {
                Flush::Local
            } else {
                Flush::None
            },
        ))
    }

    /// `HYPERVISOR_update_va_mapping(_otherdomain)` of the caller's own tables under `root` (the L4 its kernel runs on).
    /// The flush that the guest asked for is the caller's business, and only after success.
    ///
    /// Not preemptible: a hypercall that may leave unwinding behind ends with [`Engine::finish_unwinding`].
    #[inline]
    pub fn update_va_mapping(
        &self,
        actors: &Actors<'_>,
        root: Mfn,
        vaddr: Vaddr,
        val: u64,
    ) -> Result<(), Refusal> {
        let session = self.session(actors.tables);
        let at = match self.find_l1_entry(actors.tables, root, vaddr) {
            Some(at) => at,
            None => return Err(refuse_address(vaddr)),
        };
        match self.update_l1(actors, at, val, UpdateKind::Normal) {
            Ok(()) => Ok(()),
            Err(rule) => self.retry_va_mapping(session, actors, at, val, rule),
        }
    }

    /// A refusal may be due to tables that are still to be unwound: then that is finished first.
    #[cold]
    fn retry_va_mapping(
        &self,
        mut session: Session<'_>,
        actors: &Actors<'_>,
        at: Maddr,
        val: u64,
        rule: Rule,
    ) -> Result<(), Refusal> {
        if !self.unwind_doomed_wholly(&mut session) {
            return Err(self.explain_l1(rule, actors, at, val));
        }
        self.update_l1(actors, at, val, UpdateKind::Normal)
            .map_err(|rule| self.explain_l1(rule, actors, at, val))
    }
}

/// A change of one entry above L1.
struct UpperUpdate {
    table: Mfn,
    level: Level,
    at: Maddr,
    val: u64,
    kind: UpdateKind,
}

impl UpperUpdate {
    fn slot(&self) -> usize {
        (self.at.offset() / 8) as usize
    }

    #[cold]
    fn refuse(&self, rule: Rule) -> Refusal {
        rule.refuse()
            .entry(self.level, self.table, self.slot(), self.val)
    }
}

#[cold]
fn refuse_address(vaddr: Vaddr) -> Refusal {
    let rule = if crate::walk::is_guest_address(vaddr) {
        Rule::NoL1Table
    } else {
        Rule::AddressOutOfRange
    };
    rule.refuse().value(vaddr.raw())
}
