//! Linear (same-level) entries: a table that names a table of its own level, so that a guest can read its tables.
//!
//! Keeps true: invariants I21 and I22. Read-only; the target is validated and has the same owner; one level deep: a
//! table holds linear entries or is the target of them, never both. One signed counter a table says which: positive
//! counts entries, negative counts uses.

use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::frame::{Frame, FrameType, Level};
use crate::machine::MachineMemory;
use crate::pte;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use xenocryst_abi::Mfn;

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes the references for a linear entry: a general and a type reference on its target, unless that is the
    /// table itself.
    pub(super) fn get_linear(
        &self,
        domain: &DomainMemory,
        table: Mfn,
        level: Level,
        entry: u64,
    ) -> Result<(), Refusal> {
        let target = pte::target(entry);
        if entry & pte::RW != 0 && !self.commits(Fault::LinearWritable) {
            return Err(self.refuse_frame(Rule::LinearWritable, target));
        }
        if target == table {
            return Ok(());
        }
        let (Some(table_frame), Some(frame)) = (self.frame(table), self.frame(target)) else {
            return Err(self.refuse_frame(Rule::LinearTarget, target));
        };
        if !frame.get(domain.tag()) {
            return Err(self.refuse_owner(Rule::LinearTarget, target, domain));
        }
        let taken = self.link(table_frame, frame, level);
        if let Err(rule) = taken {
            let refusal = self.refuse_frame(rule, target);
            self.put_general(target, frame);
            return Err(refusal.wanted_type(FrameType::Table(level)));
        }
        Ok(())
    }

    fn link(&self, table: &Frame, target: &Frame, level: Level) -> Result<(), Rule> {
        if !target.type_word().is_live(FrameType::Table(level))
            && !self.commits(Fault::LinearTarget)
        {
            return Err(Rule::LinearTarget);
        }
        let entries = |by: i16| {
            self.update_type_word(table, |word| {
                (word.linear() >= 0)
                    .then(|| word.with_linear_moved(by))
                    .flatten()
                    .filter(|w| w.linear() >= 0)
            })
        };
        if !entries(1) {
            return Err(Rule::LinearDepth);
        }
        let used = self.update_type_word(target, |word| {
            let less = (word.linear() <= 0 || self.commits(Fault::LinearDepth))
                .then(|| word.with_linear_moved(-1))
                .flatten()?;
            less.one_more()
        });
        if !used {
            entries(-1);
            return Err(Rule::LinearDepth);
        }
        Ok(())
    }

    /// Takes back the counting of a linear entry; the references on `target` are put by the caller.
    pub(super) fn put_linear(&self, table: Mfn, target: Mfn) {
        let (Some(table), Some(target)) = (self.frame(table), self.frame(target)) else {
            return;
        };
        let fewer_entries = self.update_type_word(table, |w| {
            if w.linear() > 0 {
                w.with_linear_moved(-1)
            } else {
                None
            }
        });
        let fewer_uses = self.update_type_word(target, |w| {
            if w.linear() < 0 {
                w.with_linear_moved(1)
            } else {
                None
            }
        });
        assert!(
            fewer_entries && fewer_uses,
            "accounting error: a linear entry was given back that was never counted"
        );
    }
}
