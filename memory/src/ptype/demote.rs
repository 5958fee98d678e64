//! Demotion: giving back what the entries of a table hold.
//!
//! Keeps true: only these functions drop the last type reference of a table (invariant I13); a table's stamp is
//! written when the last use really ended (I34).

use super::{BLOCK, ENTRIES, Session, entry_address};
use crate::config::HYPERVISOR_SLOTS;
use crate::engine::Engine;
use crate::frame::{Frame, FrameType, Level, TypeWord};
use crate::machine::MachineMemory;
use crate::progress::{Budget, Progress};
use crate::pte;
use crate::seeded::Fault;
use xenocryst_abi::Mfn;

impl<M: MachineMemory> Engine<'_, M> {
    /// Gives back one general and one type reference on a table. Preempted: the references are gone all the same,
    /// but the table is left partial, and the caller must see that it is unwound.
    pub(crate) fn put_table(
        &self,
        session: &mut Session<'_>,
        mfn: Mfn,
        budget: &mut Budget,
    ) -> Progress<()> {
        let Some(frame) = self.frame(mfn) else {
            return Progress::Done(());
        };
        let word = frame.type_word();
        let FrameType::Table(level) = word.frame_type() else {
            panic!(
                "accounting error: a table reference was given back on frame {mfn}, which is no table"
            );
        };
        assert!(
            word.is_validated() && word.count() > u32::from(word.is_pinned() && word.count() == 1),
            "accounting error: a table reference was given back on frame {mfn} that nobody held"
        );
        if word.count() > 1 {
            frame.set_type_word(word.one_less());
            self.put_general(mfn, frame);
            return Progress::Done(());
        }
        if level == Level::L1 {
            budget.spend(ENTRIES as u32);
            frame.set_type_word(word.with_cursor(TypeWord::BUSY));
            self.put_l1_entries(mfn, ENTRIES);
            frame.set_type_word(TypeWord::idle(
                FrameType::Table(level),
                self.machine.tlb_clock(),
            ));
            self.put_general(mfn, frame);
            return Progress::Done(());
        }
        frame.set_type_word(word.with_cursor(ENTRIES));
        self.unwind(session, mfn, frame, budget)
    }

    /// Unwinds a partial table to idle.
    pub(super) fn unwind(
        &self,
        session: &mut Session<'_>,
        mfn: Mfn,
        frame: &Frame,
        budget: &mut Budget,
    ) -> Progress<()> {
        let word = frame.type_word();
        let (FrameType::Table(level), Some(mut cursor)) = (word.frame_type(), word.partial())
        else {
            return Progress::Done(());
        };
        frame.set_type_word(word.with_cursor(TypeWord::BUSY));
        let result = self.unwind_entries(session, mfn, level, &mut cursor, budget);
        match result {
            Progress::Preempted => frame.set_type_word(frame.type_word().with_cursor(cursor)),
            Progress::Done(()) => {
                debug_assert_eq!(frame.type_word().linear(), 0);
                frame.set_type_word(TypeWord::idle(
                    FrameType::Table(level),
                    self.machine.tlb_clock(),
                ));
                self.put_general(mfn, frame);
            }
        }
        result
    }

    fn unwind_entries(
        &self,
        session: &mut Session<'_>,
        mfn: Mfn,
        level: Level,
        cursor: &mut usize,
        budget: &mut Budget,
    ) -> Progress<()> {
        if *cursor < ENTRIES
            && !self.commits(Fault::UnwindingNested)
            && self.unwind_leftover(session, mfn, level, *cursor, budget) == Progress::Preempted
        {
            return Progress::Preempted;
        }
        while *cursor > 0 {
            if level == Level::L4 && *cursor == HYPERVISOR_SLOTS.end {
                *cursor = HYPERVISOR_SLOTS.start;
                continue;
            }
            if budget.is_exhausted() {
                return Progress::Preempted;
            }
            budget.spend(1);
            if let Some(below) = cursor.checked_sub(BLOCK)
                && cursor.is_multiple_of(BLOCK)
                && self.any_bits(mfn, below) & pte::PRESENT == 0
            {
                *cursor = below;
                continue;
            }
            *cursor -= 1;
            let entry = self.machine.read_u64(entry_address(mfn, *cursor));
            if self.put_entry(session, mfn, level, entry, budget) == Progress::Preempted {
                return Progress::Preempted;
            }
        }
        Progress::Done(())
    }

    /// Unwinds the partial table, if there is one, that the entry at the cursor names: a walk through this entry was
    /// interrupted or refused below it.
    fn unwind_leftover(
        &self,
        session: &mut Session<'_>,
        mfn: Mfn,
        level: Level,
        slot: usize,
        budget: &mut Budget,
    ) -> Progress<()> {
        if level == Level::L4 && HYPERVISOR_SLOTS.contains(&slot) {
            return Progress::Done(());
        }
        let entry = self.machine.read_u64(entry_address(mfn, slot));
        if entry & pte::PRESENT == 0 {
            return Progress::Done(());
        }
        let target = pte::target(entry);
        let Some(frame) = self.frame(target) else {
            return Progress::Done(());
        };
        let word = frame.type_word();
        let left_over = frame.owner_word().belongs_to(session.domain.tag())
            && matches!(word.frame_type(), FrameType::Table(l) if l <= level)
            && word.partial().is_some_and(|cursor| cursor <= ENTRIES);
        if left_over {
            self.unwind(session, target, frame, budget)
        } else {
            Progress::Done(())
        }
    }

    /// Gives back what an entry above L1 holds. Preempted as for [`Engine::put_table`].
    pub(crate) fn put_entry(
        &self,
        session: &mut Session<'_>,
        table: Mfn,
        level: Level,
        entry: u64,
        budget: &mut Budget,
    ) -> Progress<()> {
        let target = pte::target(entry);
        if entry & pte::PRESENT == 0 || target == table {
            return Progress::Done(());
        }
        let is_linear = self
            .frame(target)
            .is_some_and(|f| f.type_word().frame_type() == FrameType::Table(level));
        if is_linear {
            self.put_linear(table, target);
        }
        self.put_table(session, target, budget)
    }

    /// Gives back what the L1 entries below `end` hold.
    pub(super) fn put_l1_entries(&self, mfn: Mfn, end: usize) {
        let blocks = (0..end).step_by(BLOCK);
        for block in blocks.filter(|&block| self.any_bits(mfn, block) & pte::PRESENT != 0) {
            for slot in block..(block + BLOCK).min(end) {
                let entry = self.machine.read_u64(entry_address(mfn, slot));
                if entry & pte::PRESENT != 0 {
                    self.put_l1_entry(entry);
                }
            }
        }
    }
}
