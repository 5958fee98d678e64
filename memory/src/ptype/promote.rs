//! Promotion: validating a table entry by entry.
//!
//! Keeps true: invariants I10 (the type is published before contents are looked at; see `get_table`), I15 (the
//! cursor is exact), I16 (L1 promotion unwinds itself), I20 (hypervisor slots are overwritten), I24, I28, I31.

use super::{BLOCK, ENTRIES, Session, entry_address};
use crate::config::{HYPERVISOR_SLOTS, M2P_SLOT, PER_DOMAIN_SLOT};
use crate::domain::{Actors, DomainMemory};
use crate::engine::Engine;
use crate::frame::{Frame, FrameType, Level, TypeWord};
use crate::machine::MachineMemory;
use crate::progress::{Budget, Progress};
use crate::pte;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use core::sync::atomic::Ordering;
use xenocryst_abi::{Maddr, Mfn};

impl<M: MachineMemory> Engine<'_, M> {
    /// Carries a partial table on to its end. Done: the partial state's references are the caller's.
    pub(super) fn promote(
        &self,
        session: &mut Session<'_>,
        mfn: Mfn,
        frame: &Frame,
        level: Level,
        budget: &mut Budget,
    ) -> Result<Progress<()>, Refusal> {
        if level == Level::L1 {
            budget.spend(ENTRIES as u32);
            return self
                .promote_l1(session.domain, mfn, frame)
                .map(Progress::Done);
        }
        let Some(start) = frame.type_word().partial() else {
            return Ok(Progress::Done(()));
        };
        frame.set_type_word(frame.type_word().with_cursor(TypeWord::BUSY));
        let mut cursor = start;
        let result = self.promote_entries(session, mfn, level, &mut cursor, budget);
        let word = frame.type_word().with_cursor(cursor);
        match result {
            Ok(Progress::Done(())) => {
                if level == Level::L4 {
                    self.write_hypervisor_slots(session.domain, mfn);
                }
                frame.set_type_word(word.validated());
            }
            Ok(Progress::Preempted) | Err(_) => frame.set_type_word(word),
        }
        result
    }

    fn promote_entries(
        &self,
        session: &mut Session<'_>,
        mfn: Mfn,
        level: Level,
        cursor: &mut usize,
        budget: &mut Budget,
    ) -> Result<Progress<()>, Refusal> {
        while *cursor < ENTRIES {
            if level == Level::L4 && HYPERVISOR_SLOTS.contains(cursor) {
                *cursor = HYPERVISOR_SLOTS.end;
                continue;
            }
            if budget.is_exhausted() {
                return Ok(Progress::Preempted);
            }
            if cursor.is_multiple_of(BLOCK) && self.any_bits(mfn, *cursor) == 0 {
                budget.spend(1);
                *cursor += BLOCK;
                continue;
            }
            let at = entry_address(mfn, *cursor);
            let entry = self.machine.read_u64(at);
            if entry & pte::PRESENT == 0 {
                self.check_not_present(session.domain, entry, level)
                    .map_err(|rule| rule.refuse().entry(level, mfn, *cursor, entry))?;
            } else {
                if self.illegal_upper(entry) != 0 {
                    return Err(Rule::IllegalFlags
                        .refuse()
                        .entry(level, mfn, *cursor, entry));
                }
                match self.get_entry(session, mfn, level, entry, budget) {
                    Ok(Progress::Done(())) => {}
                    Ok(Progress::Preempted) => return Ok(Progress::Preempted),
                    Err(refusal) => return Err(refusal.entry(level, mfn, *cursor, entry)),
                }
                let adjusted = pte::adjusted_upper(entry, level);
                if adjusted != entry {
                    self.machine.write_u64(at, adjusted);
                }
            }
            // Paid when done: a slice that only finds its way down to where it stopped has done nothing yet.
            budget.spend(1);
            *cursor += 1;
        }
        Ok(Progress::Done(()))
    }

    /// The bits of a present entry above L1 that are not legal.
    #[inline(always)]
    pub(crate) fn illegal_upper(&self, entry: u64) -> u64 {
        let forgotten = if self.commits(Fault::PageSize) {
            pte::PAGE_SIZE_BIT
        } else {
            0
        };
        pte::illegal_upper(entry) & !forgotten
    }

    /// Takes the references for a present entry above L1 whose flags are legal.
    pub(crate) fn get_entry(
        &self,
        session: &mut Session<'_>,
        table: Mfn,
        level: Level,
        entry: u64,
        budget: &mut Budget,
    ) -> Result<Progress<()>, Refusal> {
        let target = pte::target(entry);
        let same_level = self.frame(target).is_some_and(|frame| {
            let word = frame.type_word();
            word.frame_type() == FrameType::Table(level)
                && !word.is_idle()
                && frame.owner_word().belongs_to(session.domain.tag())
        });
        match level.below() {
            _ if same_level => self
                .get_linear(session.domain, table, level, entry)
                .map(Progress::Done),
            Some(below) => self.get_table(session, target, below, budget),
            None => Err(self.refuse_frame(Rule::TargetTypeConflict, target)),
        }
    }

    /// Validates an L1 table at a stretch. On refusal it is unwound and idle again.
    fn promote_l1(&self, domain: &DomainMemory, mfn: Mfn, frame: &Frame) -> Result<(), Refusal> {
        let actors = Actors::own(domain);
        for block in (0..ENTRIES)
            .step_by(BLOCK)
            .filter(|&block| self.any_bits(mfn, block) != 0)
        {
            for slot in block..block + BLOCK {
                let at = entry_address(mfn, slot);
                let entry = self.machine.read_u64(at);
                if let Err(rule) = self.promote_l1_entry(&actors, at, entry) {
                    return Err(self.abandon_l1(&actors, frame, at, entry, rule));
                }
            }
        }
        frame.set_type_word(frame.type_word().validated());
        Ok(())
    }

    #[inline(always)]
    fn promote_l1_entry(&self, actors: &Actors<'_>, at: Maddr, entry: u64) -> Result<(), Rule> {
        if entry & pte::PRESENT == 0 {
            return self.check_not_present(actors.tables, entry, Level::L1);
        }
        let adjusted = self.get_l1_entry(actors, entry)?;
        if adjusted != entry {
            self.machine.write_u64(at, adjusted);
        }
        Ok(())
    }

    /// All bits that any of the [`BLOCK`] entries from `slot` on has: tables are mostly empty, and this finds out fast.
    #[inline(always)]
    pub(super) fn any_bits(&self, mfn: Mfn, slot: usize) -> u64 {
        (slot..slot + BLOCK).fold(0, |bits, slot| {
            bits | self.machine.read_u64(entry_address(mfn, slot))
        })
    }

    /// Undoes the promotion of an L1 table up to the entry at `at`, which was refused by `rule`.
    #[cold]
    fn abandon_l1(
        &self,
        actors: &Actors<'_>,
        frame: &Frame,
        at: Maddr,
        entry: u64,
        rule: Rule,
    ) -> Refusal {
        let mfn = at.mfn();
        let refusal = self.explain_l1(rule, actors, at, entry);
        if !self.commits(Fault::FailedL1Release) {
            self.put_l1_entries(mfn, (at.offset() / 8) as usize);
        }
        frame.set_type_word(TypeWord::idle(
            FrameType::Table(Level::L1),
            self.machine.tlb_clock(),
        ));
        self.put_general(mfn, frame);
        refusal
    }

    fn write_hypervisor_slots(&self, domain: &DomainMemory, mfn: Mfn) {
        for (entry, slot) in self.config.hypervisor_l4.iter().zip(HYPERVISOR_SLOTS) {
            let entry = match slot {
                PER_DOMAIN_SLOT => domain.per_domain_l4e.load(Ordering::Relaxed),
                M2P_SLOT if !domain.m2p_in_new_roots.load(Ordering::Relaxed) => 0,
                _ => *entry,
            };
            self.machine.write_u64(entry_address(mfn, slot), entry);
        }
    }
}
