//! L1 entries: what they may map, and the references they hold.
//!
//! A present L1 entry holds one general reference on a RAM frame, and one writable type reference if it has RW.
//! I/O frames (frames that are no RAM) hold nothing; permission is checked instead.
//! Keeps true: invariants I2, I27 to I30.
//!
//! These are the hypervisor's hottest functions: a refusal travels as its bare [`Rule`], in a register, and becomes a
//! [`Refusal`] in [`Engine::explain_l1`] only.

use crate::domain::{Actors, DomainMemory};
use crate::engine::Engine;
use crate::frame::{FrameType, Level};
use crate::machine::MachineMemory;
use crate::mmu_update::UpdateKind;
use crate::pte;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use core::sync::atomic::Ordering;
use xenocryst_abi::{DomId, Maddr};

/// A part of the references that a present L1 entry holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    /// None of them.
    Nothing,
    /// The writable type reference.
    Writable,
    /// All.
    Whole,
}

/// A checked change of an L1 entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct L1Change {
    /// The entry as it must be written.
    pub(crate) entry: u64,
    /// What was taken for it.
    pub(crate) taken: Held,
    /// What the old entry no longer holds once the new one is written.
    pub(crate) released: Held,
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Changes the L1 entry at `at`, in a validated L1 table whose owner's page-table lock is held.
    #[inline(always)]
    pub(crate) fn update_l1(
        &self,
        actors: &Actors<'_>,
        at: Maddr,
        val: u64,
        kind: UpdateKind,
    ) -> Result<(), Rule> {
        let old = self.machine.read_u64(at);
        let change = self.plan_l1(actors, old, val)?;
        let old = self.write_entry(at, old, change.entry, kind);
        if !self.commits(Fault::L1Release) {
            self.release_l1(old, change.released);
        }
        Ok(())
    }

    /// Checks the change of an L1 entry from `old` to `val`, and takes the references that it needs. The caller writes
    /// the entry and releases what the old one held, or else releases what was taken for the new one.
    #[inline(always)]
    pub(crate) fn plan_l1(
        &self,
        actors: &Actors<'_>,
        old: u64,
        val: u64,
    ) -> Result<L1Change, Rule> {
        if val & pte::PRESENT == 0 {
            self.check_not_present(actors.tables, val, Level::L1)?;
            return Ok(L1Change {
                entry: val,
                taken: Held::Nothing,
                released: Held::Whole,
            });
        }
        let entry = self.checked_l1_flags(actors.tables, val)?;
        let mut difference = (old ^ entry) & !pte::FAST_PATH;
        if self.commits(Fault::FastPathRw) {
            difference &= !pte::RW;
        }
        if difference == 0 {
            return Ok(L1Change {
                entry,
                taken: Held::Nothing,
                released: Held::Nothing,
            });
        }
        // Only RW changes, of the same frame: the general reference stays.
        if difference == pte::RW
            && let Some(frame) = self.frame(pte::target(entry))
            && frame.owner_word().belongs_to(actors.pages.tag())
        {
            if entry & pte::RW == 0 {
                return Ok(L1Change {
                    entry,
                    taken: Held::Nothing,
                    released: Held::Writable,
                });
            }
            self.note_lending(actors);
            if !self.get_writable_type(actors.pages, frame) {
                return Err(Rule::L1TargetNotWritable);
            }
            return Ok(L1Change {
                entry,
                taken: Held::Writable,
                released: Held::Nothing,
            });
        }
        let entry = self.get_l1_target(actors, entry)?;
        Ok(L1Change {
            entry,
            taken: Held::Whole,
            released: Held::Whole,
        })
    }

    /// Gives back that part of what `entry` holds, or held, which `held` says.
    #[inline(always)]
    pub(crate) fn release_l1(&self, entry: u64, held: Held) {
        match held {
            Held::Whole if entry & pte::PRESENT != 0 => self.put_l1_entry(entry),
            Held::Writable => {
                if let Some(frame) = self.frame(pte::target(entry)) {
                    self.put_writable_type(frame);
                }
            }
            Held::Nothing | Held::Whole => {}
        }
    }

    /// Checks and takes the references of a present L1 entry. Returns the entry as it must be written.
    #[inline(always)]
    pub(crate) fn get_l1_entry(&self, actors: &Actors<'_>, entry: u64) -> Result<u64, Rule> {
        let adjusted = self.checked_l1_flags(actors.tables, entry)?;
        self.get_l1_target(actors, adjusted)
    }

    /// The entry with the flags that it must have, if those it has are legal.
    #[inline(always)]
    fn checked_l1_flags(&self, tables: &DomainMemory, entry: u64) -> Result<u64, Rule> {
        if pte::illegal_l1(entry, false) != 0
            && pte::illegal_l1(entry, tables.cache_control.load(Ordering::Relaxed)) != 0
        {
            return Err(Rule::IllegalFlags);
        }
        Ok(pte::adjusted_l1(entry))
    }

    /// Takes the references of an adjusted entry; may change its memory type and RW bit (I/O frames).
    #[inline(always)]
    fn get_l1_target(&self, actors: &Actors<'_>, entry: u64) -> Result<u64, Rule> {
        let mfn = pte::target(entry);
        let Some(frame) = self.frame(mfn) else {
            return self.check_io_entry(actors, entry);
        };
        if !frame.get(self.demanded(Fault::L1Owner, frame, actors.pages.tag())) {
            return self.check_io_entry(actors, entry);
        }
        if entry & pte::RW != 0 {
            self.note_lending(actors);
        }
        if entry & pte::RW != 0
            && !self.get_writable_type(actors.pages, frame)
            && !self.commits(Fault::L1Type)
        {
            return Err(self.give_back(entry & !pte::RW, Rule::L1TargetNotWritable));
        }
        if entry & pte::CACHE_BITS != 0 && frame.owner_word().is_special() {
            return Err(self.give_back(entry, Rule::SpecialCaching));
        }
        Ok(entry)
    }

    /// A writable mapping of another domain's frame stays in TLBs of CPUs that its owner never ran on. The owner must
    /// know, since its frames may become tables (I33).
    #[inline(always)]
    fn note_lending(&self, actors: &Actors<'_>) {
        if !core::ptr::eq(actors.pages, actors.tables) && !self.commits(Fault::Lending) {
            actors.pages.set_lent();
        }
    }

    /// Gives back what was taken for an entry that is refused after all.
    #[cold]
    #[inline(never)]
    fn give_back(&self, entry: u64, rule: Rule) -> Rule {
        self.put_l1_entry(entry);
        rule
    }

    /// Gives back what a present L1 entry holds.
    #[inline(always)]
    pub(crate) fn put_l1_entry(&self, entry: u64) {
        let mfn = pte::target(entry);
        let Some(frame) = self.frame(mfn) else { return };
        if !frame.owner_word().is_ram() {
            return;
        }
        if entry & pte::RW != 0 {
            self.put_writable_type(frame);
        }
        self.put_general(mfn, frame);
    }

    /// Checks a present L1 entry whose frame could not be taken: it must be no RAM at all. Forces its memory type and
    /// access.
    #[cold]
    #[inline(never)]
    fn check_io_entry(&self, actors: &Actors<'_>, entry: u64) -> Result<u64, Rule> {
        let mfn = pte::target(entry);
        if self
            .frame(mfn)
            .is_some_and(|frame| frame.owner_word().is_ram())
        {
            return Err(Rule::L1TargetOwner);
        }
        let pages = if actors.pages.id() == DomId::IO {
            actors.caller
        } else {
            actors.pages
        };
        if entry & pte::ADDRESS == pte::ADDRESS {
            return Err(Rule::IoInvalidFrame);
        }
        if mfn.raw() >> self.config.physical_bits.saturating_sub(12).min(52) != 0 {
            return Err(Rule::AddressTooWide);
        }
        let pages_may = pages.may_access_io(mfn);
        let tables_may = pages.id() == actors.tables.id() || actors.tables.may_access_io(mfn);
        if (!pages_may || !tables_may) && !self.commits(Fault::IoPermission) {
            return Err(Rule::IoNotPermitted);
        }
        let read_only = if actors.tables.io.lock().is_read_only(mfn) {
            pte::RW
        } else {
            0
        };
        Ok((entry ^ pte::io_cache_flip(entry)) & !read_only)
    }

    /// Makes a refusal of the entry `value` in slot `slot` of L1 table `table` out of its rule.
    #[cold]
    #[inline(never)]
    pub(crate) fn explain_l1(
        &self,
        rule: Rule,
        actors: &Actors<'_>,
        at: Maddr,
        value: u64,
    ) -> Refusal {
        let mut refusal =
            rule.refuse()
                .entry(Level::L1, at.mfn(), (at.offset() / 8) as usize, value);
        let target = pte::target(value);
        match rule {
            Rule::IllegalFlags | Rule::L1tf => return refusal,
            Rule::L1TargetNotWritable => refusal = refusal.wanted_type(FrameType::Writable),
            Rule::IoNotPermitted | Rule::L1TargetOwner => {
                refusal = refusal.wanted_owner(actors.pages.id())
            }
            _ => {}
        }
        let found = self.frame_info(target);
        if rule == Rule::L1TargetOwner && found.owner == Some(actors.pages.id()) {
            refusal.rule = Rule::FrameCountSaturated;
        }
        refusal.frame(target, Some(found))
    }

    /// Writes an entry, keeping Accessed and Dirty bits if asked. Returns the entry that was there.
    ///
    /// The CPU may set those two bits at any time; nothing else can change under the page-table lock.
    #[inline(always)]
    pub(crate) fn write_entry(&self, at: Maddr, old: u64, new: u64, kind: UpdateKind) -> u64 {
        match kind {
            UpdateKind::PreserveAccessedDirty if self.commits(Fault::AccessedDirty) => {
                self.machine.write_u64(at, new);
                old
            }
            UpdateKind::Normal => {
                self.machine.write_u64(at, new);
                old
            }
            UpdateKind::PreserveAccessedDirty => self.write_entry_preserving(at, old, new),
        }
    }

    #[inline(never)]
    fn write_entry_preserving(&self, at: Maddr, mut old: u64, new: u64) -> u64 {
        loop {
            match self.machine.compare_exchange_u64(
                at,
                old,
                new | old & (pte::ACCESSED | pte::DIRTY),
            ) {
                Ok(_) => return old,
                Err(found) => {
                    assert!(
                        (found ^ old) & !(pte::ACCESSED | pte::DIRTY) == 0,
                        "accounting error: a page-table entry changed under its lock"
                    );
                    old = found;
                }
            }
        }
    }

    /// Checks a not-present entry (invariant I31).
    #[inline]
    pub(crate) fn check_not_present(
        &self,
        domain: &DomainMemory,
        entry: u64,
        level: Level,
    ) -> Result<(), Rule> {
        if entry == 0
            || !domain.checks_l1tf()
            || self.commits(Fault::L1tf)
            || pte::is_l1tf_safe(entry, level, self.config.l1tf_safe)
        {
            Ok(())
        } else {
            Err(Rule::L1tf)
        }
    }
}

const _: () = {
    // The whole point of passing rules: a result that fits registers.
    assert!(core::mem::size_of::<Result<u64, Rule>>() == 16);
    assert!(core::mem::size_of::<Result<(), Rule>>() == 1);
};
