//! What frames are used as: taking and giving back type references, validation of tables, and its undoing.
//!
//! # Promotion and demotion
//!
//! The first use of a frame as a table validates it entry by entry (promotion), taking one general and one type
//! reference on everything an entry names; the last use gives all of it back (demotion). Above L1 both can stop
//! anywhere, and what is left stands in the frame's own type word: *partial*, with a cursor `n` meaning "exactly the
//! entries below `n` hold references".
//!
//! **A partial table belongs to nobody.** The partial state itself owns one general and one type reference. Whoever
//! holds the domain's page-table lock may carry it on (another try to use it at that level) or unwind it. So an
//! operation that was preempted keeps nothing in mind: repeating the same call finds the tables as they are.
//!
//! * Promotion that succeeds turns the partial state's references into the taker's.
//! * Promotion that is refused leaves partial tables along its path; the outermost one becomes the domain's *doomed*
//!   table and is unwound, at once or, if the budget ends, before the domain's next table operation.
//! * Demotion that runs out of budget likewise leaves the outermost table doomed.
//! * Unwinding looks first at the entry *at* the cursor: a partial table named there was left by the same walk.
//!
//! While a promotion or demotion runs, its table's cursor reads *busy*, so that nothing met in recursion touches it.
//! Recursion goes down levels, plus one linear step: at most seven deep.
//!
//! Every function that changes the type of a table takes the [`Session`]: the owner's page-table lock.

mod demote;
mod linear;
mod promote;
#[cfg(test)]
mod tests;

use crate::domain::{DomainMemory, Tables};
use crate::engine::Engine;
use crate::frame::{Frame, FrameType, Level, TypeWord};
use crate::machine::MachineMemory;
use crate::progress::{Budget, Progress};
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use spin::MutexGuard;
use xenocryst_abi::{Maddr, Mfn};

/// Entries in a table.
pub(crate) const ENTRIES: usize = xenocryst_abi::pte::TABLE_ENTRIES;

/// Entries of a table that are looked at together, to skip them if they are empty. Divides [`ENTRIES`].
const BLOCK: usize = 8;

/// The page-table lock of a domain, held.
pub(crate) struct Session<'a> {
    pub(crate) domain: &'a DomainMemory,
    pub(crate) tables: MutexGuard<'a, Tables>,
}

/// The machine address of an entry.
#[inline]
pub(crate) fn entry_address(table: Mfn, slot: usize) -> Maddr {
    Maddr::new(table.maddr().raw() + slot as u64 * 8)
}

/// Whether an idle frame that becomes `new` leaves another type, of which CPUs may still know something.
fn leaves_type(old: TypeWord, new: FrameType) -> bool {
    old.frame_type() != FrameType::None && old.frame_type() != new
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes the page-table lock of `domain`.
    #[inline(always)]
    pub(crate) fn session<'a>(&self, domain: &'a DomainMemory) -> Session<'a> {
        match domain.tables.try_lock() {
            Some(tables) => Session { domain, tables },
            None => self.session_after_waiting(domain),
        }
    }

    #[cold]
    #[inline(never)]
    fn session_after_waiting<'a>(&self, domain: &'a DomainMemory) -> Session<'a> {
        loop {
            self.machine.relax();
            if let Some(tables) = domain.tables.try_lock() {
                return Session { domain, tables };
            }
        }
    }

    /// Flushes what CPUs may still hold of a frame of `domain` whose type is being left.
    pub(crate) fn flush_left_type(&self, domain: &DomainMemory, old: TypeWord, new: FrameType) {
        if !leaves_type(old, new) {
            return;
        }
        let forgotten = match new {
            FrameType::Table(_) => self.commits(Fault::FlushOnPromotion),
            FrameType::Writable => self.commits(Fault::FlushOnWritable),
            FrameType::Descriptors => self.commits(Fault::FlushOnDescriptors),
            FrameType::None | FrameType::Shared => false,
        };
        let cpus = domain.knowing_cpus();
        if cpus != 0 && !forgotten {
            self.machine.flush_tlb(cpus, old.stamp());
        }
    }

    /// Takes one writable type reference on a frame of `owner` that the caller holds. `false`: it is used otherwise.
    #[inline(always)]
    pub(crate) fn get_writable_type(&self, owner: &DomainMemory, frame: &Frame) -> bool {
        let word = frame.type_word();
        if word.is_live(FrameType::Writable)
            && let Some(more) = word.one_more()
            && frame.exchange_type(word, more).is_ok()
        {
            return true;
        }
        self.get_writable_type_slowly(owner, frame)
    }

    /// As [`Engine::get_writable_type`], for the first use and for meeting another CPU.
    ///
    /// A frame that comes from another type is nobody's until it was flushed (I10, XSA-401): whoever wrote to it before
    /// would write to what a CPU may still take for a table. So others wait meanwhile.
    #[inline(never)]
    fn get_writable_type_slowly(&self, owner: &DomainMemory, frame: &Frame) -> bool {
        let mut word = frame.type_word();
        loop {
            let flush = word.is_idle() && leaves_type(word, FrameType::Writable);
            let new = if word.is_live(FrameType::Writable) {
                word.one_more()
            } else if flush {
                Some(TypeWord::BECOMING_WRITABLE)
            } else if word == TypeWord::BECOMING_WRITABLE {
                self.machine.relax();
                word = frame.type_word();
                continue;
            } else {
                word.is_idle()
                    .then_some(TypeWord::live_once(FrameType::Writable))
            };
            let Some(new) = new else { return false };
            match frame.exchange_type(word, new) {
                Ok(()) if flush => {
                    self.flush_left_type(owner, word, FrameType::Writable);
                    frame.set_type_word(TypeWord::live_once(FrameType::Writable));
                    return true;
                }
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Gives one writable type reference back.
    #[inline(always)]
    pub(crate) fn put_writable_type(&self, frame: &Frame) {
        let word = frame.type_word();
        if word.is_live(FrameType::Writable)
            && word.count() > 1
            && frame.exchange_type(word, word.one_less()).is_ok()
        {
            return;
        }
        self.put_writable_type_slowly(frame);
    }

    /// As [`Engine::put_writable_type`], for the last use and for meeting another CPU.
    #[inline(never)]
    fn put_writable_type_slowly(&self, frame: &Frame) {
        let mut word = frame.type_word();
        loop {
            assert!(
                word.is_live(FrameType::Writable) && word.count() != 0,
                "accounting error: a writable reference was given back that nobody held"
            );
            let less = if word.count() > 1 {
                word.one_less()
            } else {
                TypeWord::idle(FrameType::Writable, self.machine.tlb_clock())
            };
            match frame.exchange_type(word, less) {
                Ok(()) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Gives a general reference back, freeing the frame if it was the last.
    #[inline(always)]
    pub(crate) fn put_general(&self, mfn: Mfn, frame: &Frame) {
        if let Some(last) = frame.put() {
            self.free_owned_frame(mfn, frame, last);
        }
    }

    /// Takes a general and a type reference on `mfn` as a table of `level` of the session's domain.
    pub(crate) fn get_table(
        &self,
        session: &mut Session<'_>,
        mfn: Mfn,
        level: Level,
        budget: &mut Budget,
    ) -> Result<Progress<()>, Refusal> {
        let owner = session.domain.tag();
        let taken = |frame: &&Frame| frame.get(self.demanded(Fault::TableOwner, frame, owner));
        let Some(frame) = self.frame(mfn).filter(taken) else {
            return Err(self.refuse_owner(Rule::TargetNotOwned, mfn, session.domain));
        };
        let wanted = FrameType::Table(level);
        loop {
            let word = frame.type_word();
            if word.is_live(wanted) {
                let Some(more) = word.one_more() else {
                    self.put_general(mfn, frame);
                    return Err(self.refuse_frame(Rule::TypeCountSaturated, mfn));
                };
                if frame.exchange_type(word, more).is_ok() {
                    return Ok(Progress::Done(()));
                }
                continue;
            }
            if word.is_idle() {
                if frame
                    .exchange_type(word, TypeWord::started(wanted))
                    .is_err()
                {
                    continue;
                }
                // From here on the partial state owns the reference just taken.
                self.flush_left_type(session.domain, word, wanted);
                return self.promote(session, mfn, frame, level, budget);
            }
            if self.commits(Fault::TableType) && word.is_validated() {
                return Ok(Progress::Done(()));
            }
            // Live as something else, or partial. The extra reference isn't needed for a table that is carried on.
            self.put_general(mfn, frame);
            if word.frame_type() == wanted && word.partial().is_some_and(|cursor| cursor <= ENTRIES)
            {
                return self.promote(session, mfn, frame, level, budget);
            }
            return Err(self
                .refuse_frame(Rule::TargetTypeConflict, mfn)
                .wanted_type(wanted));
        }
    }

    /// Replaces a frame's type word by what `change` makes of it. `false` if `change` refuses it.
    pub(crate) fn update_type_word(
        &self,
        frame: &Frame,
        change: impl Fn(TypeWord) -> Option<TypeWord>,
    ) -> bool {
        let mut word = frame.type_word();
        loop {
            let Some(new) = change(word) else {
                return false;
            };
            match frame.exchange_type(word, new) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Makes the outermost table of a refused promotion the domain's doomed table, and unwinds what the budget allows.
    #[cold]
    pub(crate) fn doom(
        &self,
        session: &mut Session<'_>,
        mfn: Mfn,
        level: Level,
        budget: &mut Budget,
    ) {
        let left_partial = self.frame(mfn).is_some_and(|frame| {
            let word = frame.type_word();
            frame.owner_word().belongs_to(session.domain.tag())
                && word.frame_type() == FrameType::Table(level)
                && word.partial().is_some_and(|cursor| cursor <= ENTRIES)
        });
        if left_partial && !self.commits(Fault::FailedPromotionRelease) {
            debug_assert!(session.tables.doomed.is_none());
            session.tables.doomed = Some(mfn);
            let _ = self.unwind_doomed(session, budget);
        }
    }

    /// Unwinds the doomed table, if there is one.
    #[inline]
    pub(crate) fn unwind_doomed(
        &self,
        session: &mut Session<'_>,
        budget: &mut Budget,
    ) -> Progress<()> {
        match session.tables.doomed {
            None => Progress::Done(()),
            Some(mfn) => self.unwind_doomed_table(session, mfn, budget),
        }
    }

    /// Unwinds the doomed table to the end. `false` if there is none.
    #[cold]
    pub(crate) fn unwind_doomed_wholly(&self, session: &mut Session<'_>) -> bool {
        session.tables.doomed.is_some()
            && self.unwind_doomed(session, &mut Budget::unlimited()) == Progress::Done(())
    }

    #[cold]
    fn unwind_doomed_table(
        &self,
        session: &mut Session<'_>,
        mfn: Mfn,
        budget: &mut Budget,
    ) -> Progress<()> {
        let Some(frame) = self.frame(mfn) else {
            return Progress::Done(());
        };
        if frame.type_word().partial().is_some()
            && self.unwind(session, mfn, frame, budget) == Progress::Preempted
        {
            return Progress::Preempted;
        }
        session.tables.doomed = None;
        Progress::Done(())
    }

    #[cold]
    pub(crate) fn refuse_frame(&self, rule: Rule, mfn: Mfn) -> Refusal {
        rule.refuse().frame(mfn, Some(self.frame_info(mfn)))
    }

    #[cold]
    pub(crate) fn refuse_owner(&self, rule: Rule, mfn: Mfn, wanted: &DomainMemory) -> Refusal {
        let info = self.frame_info(mfn);
        let rule = if info.owner == Some(wanted.id()) {
            Rule::FrameCountSaturated
        } else {
            rule
        };
        rule.refuse()
            .frame(mfn, Some(info))
            .wanted_owner(wanted.id())
    }
}
