//! Tables above L1: what may become one, and what an entry may name (I9, I15, I20 to I22, I24).

use super::bits::*;
use super::state::{Model, Owner, Role};
use crate::layout::{HYPERVISOR_ENTRIES, HYPERVISOR_SLOTS, PER_DOMAIN_SLOT, per_domain_entry};
use crate::model::l1::Who;
use crate::no::{self, No};

impl Model {
    /// Lets a frame be used as a table of `level`, validating it if it is none.
    pub(super) fn use_as_table(&mut self, dom: usize, frame: u64, level: u8) -> Result<(), No> {
        let index = self.owned(dom, frame).ok_or(no::TABLE_NOT_OWNED)?;
        if self.is_full(index) {
            return Err(no::COUNT_FULL);
        }
        match self.frames[index].role {
            Role::Table(l) if l == level && self.is_type_full(index) => Err(no::TYPE_FULL),
            Role::Table(l) if l == level => Ok(()),
            Role::Idle => self.promote(dom, index, level, 0),
            Role::Partial(l, from) if l == level && !self.under_way.contains(&index) => {
                self.promote(dom, index, level, from)
            }
            _ => Err(no::TABLE_CONFLICT),
        }
    }

    /// Validates a table from a slot on. Refused, it stays partial (above L1) or is nothing again (L1); what the
    /// hypervisor changed in its entries stays changed.
    fn promote(&mut self, dom: usize, table: usize, level: u8, from: u16) -> Result<(), No> {
        self.under_way.push(table);
        let result = self.promote_entries(dom, table, level, from, 512);
        self.under_way.pop();
        match result {
            Ok(()) => {
                self.frames[table].role = Role::Table(level);
                if level == 4 {
                    self.write_hypervisor_slots(dom, table);
                }
            }
            Err(_) if level == 1 => self.frames[table].role = Role::Idle,
            Err(_) => {}
        }
        result
    }

    /// Validates the entries of a table from one slot to another.
    pub(super) fn promote_entries(
        &mut self,
        dom: usize,
        table: usize,
        level: u8,
        from: u16,
        to: u16,
    ) -> Result<(), No> {
        self.frames[table].role = Role::Partial(level, from);
        let words = self.frames[table].words.clone();
        for (slot, entry) in words.iter().filter(|(slot, _)| (from..to).contains(slot)) {
            if level == 4 && HYPERVISOR_SLOTS.contains(&slot) {
                continue;
            }
            self.frames[table].role = Role::Partial(level, slot);
            let entry = match level {
                1 => self.l1_entry(Who::own(dom), 0, entry)?,
                _ => self.upper_entry(dom, table, level, entry)?,
            };
            self.write(table, slot, entry);
        }
        Ok(())
    }

    fn upper_entry(&mut self, dom: usize, table: usize, level: u8, entry: u64) -> Result<u64, No> {
        if entry & PRESENT == 0 {
            return self.check_absent(dom, entry, level).map(|()| entry);
        }
        if entry & ILLEGAL_UPPER != 0 {
            return Err(no::FLAGS);
        }
        self.name_table(dom, table, level, entry)?;
        Ok(adjust_upper(entry, level))
    }

    /// Lets an entry of `table` name what it names: a table of the level below, or one of its own level to be read.
    fn name_table(&mut self, dom: usize, table: usize, level: u8, entry: u64) -> Result<(), No> {
        let named = target(entry);
        let same_level = self.owned(dom, named).filter(|&frame| {
            matches!(self.frames[frame].role, Role::Table(l) | Role::Partial(l, _) if l == level)
        });
        let Some(named_index) = same_level else {
            return self.use_as_table(dom, named, level - 1);
        };
        if entry & RW != 0 {
            return Err(no::LINEAR_WRITABLE);
        }
        if named_index == table {
            return Ok(());
        }
        if self.is_full(named_index) {
            return Err(no::COUNT_FULL);
        }
        if self.frames[named_index].role != Role::Table(level) {
            return Err(no::LINEAR_TARGET);
        }
        let chain = self.is_named_linearly(table) || self.holds_linear(named_index);
        if chain || self.is_type_full(named_index) {
            Err(no::LINEAR_DEPTH)
        } else {
            Ok(())
        }
    }

    fn holds_linear(&self, table: usize) -> bool {
        self.references(table).any(|(_, _, linear)| linear)
    }

    fn is_named_linearly(&self, table: usize) -> bool {
        (0..self.frames.len()).any(|other| {
            self.references(other)
                .any(|(named, _, linear)| linear && named == table)
        })
    }

    fn write_hypervisor_slots(&mut self, dom: usize, table: usize) {
        for (entry, slot) in HYPERVISOR_ENTRIES.into_iter().zip(HYPERVISOR_SLOTS) {
            let entry = if slot == PER_DOMAIN_SLOT {
                per_domain_entry(dom)
            } else {
                entry
            };
            self.write(table, slot, entry);
        }
    }

    /// A change of an entry of a validated table above L1. The answer: whether something was replaced.
    pub(super) fn change_upper(
        &mut self,
        who: Who,
        table: usize,
        slot: u16,
        value: u64,
        keep: u64,
    ) -> Result<bool, No> {
        let Role::Table(level) = self.frames[table].role else {
            return Err(no::NOT_A_TABLE);
        };
        if who.pages != who.tables {
            return Err(no::FOREIGN_UPPER);
        }
        if level == 4 && HYPERVISOR_SLOTS.contains(&slot) {
            return Err(no::HYPERVISOR_SLOT);
        }
        let old = self.frames[table].words.get(slot);
        let mut entry = value;
        if value & PRESENT == 0 {
            self.check_absent(who.tables, value, level)?;
        } else {
            if value & ILLEGAL_UPPER != 0 {
                return Err(no::FLAGS);
            }
            entry = adjust_upper(value, level);
            if (old ^ entry) & !HARMLESS != 0
                && let Err(no) = self.name_table(who.tables, table, level, entry)
            {
                self.give_up(who.tables, target(entry), level - 1);
                return Err(no);
            }
        }
        self.write(table, slot, entry | old & keep);
        Ok(old & PRESENT != 0)
    }

    /// A validation was refused: its outermost table is unwound, if it was left half-way.
    pub(super) fn give_up(&mut self, dom: usize, frame: u64, level: u8) {
        if let Some(index) = self.owned(dom, frame)
            && matches!(self.frames[index].role, Role::Partial(l, _) if l == level)
        {
            self.unwind(index);
        }
    }

    /// Undoes a partial table, and with it a partial table that the entry at its cursor names.
    pub(super) fn unwind(&mut self, table: usize) {
        let Role::Partial(level, cursor) = self.frames[table].role else {
            return;
        };
        self.frames[table].role = Role::Idle;
        let next = self.frames[table].words.get(cursor);
        if next & PRESENT == 0 || (level == 4 && HYPERVISOR_SLOTS.contains(&cursor)) {
            return;
        }
        let Some(frame) = self.frames.get(target(next) as usize) else {
            return;
        };
        let same_owner =
            frame.owner == self.frames[table].owner && matches!(frame.owner, Owner::Domain(_));
        if same_owner && matches!(frame.role, Role::Partial(l, _) if l <= level) {
            self.unwind(target(next) as usize);
        }
    }

    /// Carries an interrupted unwinding of a domain to its end. `false` if there is none.
    pub(super) fn settle(&mut self, dom: usize) -> bool {
        let Some(table) = self.domains[dom].doomed.take() else {
            return false;
        };
        self.unwind(table);
        self.collect();
        true
    }
}
