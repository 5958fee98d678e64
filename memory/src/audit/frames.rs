//! The passes over all frames: what tables hold, what each frame should say, whose it is.

use super::{Audit, Finding};
use crate::config::HYPERVISOR_SLOTS;
use crate::domain::DomainMemory;
use crate::frame::{FrameInfo, FrameType, Level};
use crate::machine::MachineMemory;
use crate::pte;
use crate::ptype::{ENTRIES, entry_address};
use xenocryst_abi::{DomId, Mfn};

/// Domains whose frames are counted in one pass.
const GROUP: usize = 64;

impl<M: MachineMemory> Audit<'_, '_, '_, '_, M> {
    fn each_frame(&self) -> impl Iterator<Item = Mfn> + use<M> {
        (0..self.engine.frames.len() as u64).map(Mfn::new)
    }

    fn info(&self, mfn: Mfn) -> FrameInfo {
        self.engine.frame_info(mfn)
    }

    /// Counts what the entries of all tables hold.
    pub(super) fn count_tables(&mut self) {
        for mfn in self.each_frame() {
            let info = self.info(mfn);
            let FrameType::Table(level) = info.frame_type else {
                continue;
            };
            let end = if info.validated {
                ENTRIES
            } else {
                info.partial.map_or(0, usize::from).min(ENTRIES)
            };
            if info.validated || info.partial.is_some() {
                self.totals.tables += 1;
            }
            for slot in 0..end {
                if level != Level::L4 || !HYPERVISOR_SLOTS.contains(&slot) {
                    self.count_entry(mfn, level, slot);
                }
            }
        }
    }

    fn count_entry(&mut self, table: Mfn, level: Level, slot: usize) {
        let entry = self.engine.machine.read_u64(entry_address(table, slot));
        let target = pte::target(entry);
        if entry & pte::PRESENT == 0 || (level != Level::L1 && target == table) {
            return;
        }
        let info = self.info(target);
        if !info.is_ram && level == Level::L1 {
            return;
        }
        let slot = slot as u16;
        let mut typed = 0;
        match (level, info.frame_type) {
            (Level::L1, used_as) if entry & pte::RW != 0 => {
                typed = 1;
                if used_as != FrameType::Writable {
                    self.found(&Finding::Writable {
                        table,
                        slot,
                        frame: target,
                        used_as,
                    });
                }
            }
            (Level::L1, _) => {}
            (_, FrameType::Table(l)) if l == level => {
                typed = 1;
                self.move_linear(target, -1);
                self.move_linear(table, 1);
            }
            (_, FrameType::Table(l)) if Some(l) == level.below() => typed = 1,
            (_, used_as) => self.found(&Finding::NoTable {
                level,
                table,
                slot,
                frame: target,
                used_as,
            }),
        }
        if let Some(tally) = self.tally(target) {
            tally.general = tally.general.wrapping_add(1);
            tally.typed = tally.typed.wrapping_add(typed);
        }
    }

    fn move_linear(&mut self, mfn: Mfn, by: i16) {
        if let Some(tally) = self.tally(mfn) {
            tally.linear = tally.linear.wrapping_add(by);
        }
    }

    /// Compares what was counted with what each frame says.
    pub(super) fn compare_frames(&mut self) {
        for mfn in self.each_frame() {
            let info = self.info(mfn);
            let Some(expected) = self.tally(mfn).copied() else {
                return self.found(&Finding::NotCovered { frame: mfn });
            };
            if !info.is_ram || info.is_free {
                if expected.general != 0 {
                    self.found(&Finding::Unused {
                        frame: mfn,
                        references: expected.general,
                    });
                }
            } else {
                self.compare_used(mfn, &info, expected);
            }
            self.totals.frames += u64::from(info.is_ram);
            if info.is_free || info.is_hypervisors {
                self.check_m2p(mfn);
            }
        }
    }

    fn compare_used(&mut self, frame: Mfn, info: &FrameInfo, mut expected: super::Tally) {
        if info.general_count == 0 {
            return self.found(&Finding::State {
                frame,
                what: "is in nobody's hands",
            });
        }
        let own = u32::from(info.pinned || info.partial.is_some());
        expected.general = expected
            .general
            .wrapping_add(own + u32::from(info.allocated));
        expected.typed = expected.typed.wrapping_add(own + u32::from(info.special));
        let typed = if info.partial.is_some() {
            1
        } else {
            info.type_count
        };
        if expected.general != info.general_count
            || expected.typed != typed
            || expected.linear != info.linear
        {
            self.found(&Finding::Counts {
                frame,
                expected,
                info: *info,
            });
        }
        if let Some(what) = contradiction(info) {
            self.found(&Finding::State { frame, what });
        }
    }

    fn check_m2p(&mut self, frame: Mfn) {
        if let Some(pfn) = self.engine.m2p(frame) {
            self.found(&Finding::M2p { frame, pfn });
        }
    }

    /// Every frame that has an owner has one there is; every domain's total is right.
    pub(super) fn check_owners(&mut self, domains: &[&DomainMemory]) {
        let mut known = None;
        for mfn in self.each_frame() {
            let Some(owner) = self.info(mfn).owner else {
                continue;
            };
            // Neighbouring frames mostly have the same owner.
            if known == Some(owner) {
                continue;
            }
            if domains.iter().any(|domain| domain.id() == owner) {
                known = Some(owner);
            } else {
                self.found(&Finding::UnknownOwner { frame: mfn, owner });
            }
        }
        for group in domains.chunks(GROUP) {
            self.check_totals(group);
        }
    }

    fn check_totals(&mut self, group: &[&DomainMemory]) {
        let mut totals = [0_u32; GROUP];
        let mut last: (Option<DomId>, Option<usize>) = (None, None);
        for mfn in self.each_frame() {
            let info = self.info(mfn);
            if info.owner.is_none() || info.special {
                continue;
            }
            if last.0 != info.owner {
                let found = |domain: &&DomainMemory| Some(domain.id()) == info.owner;
                last = (info.owner, group.iter().position(found));
            }
            if let Some(total) = last.1.and_then(|index| totals.get_mut(index)) {
                *total += 1;
            }
        }
        for (domain, &found) in group.iter().zip(&totals) {
            let counted = self.engine.owned_frames(domain.id());
            if found != counted {
                self.found(&Finding::Owned {
                    domain: domain.id(),
                    found,
                    counted,
                });
            }
        }
    }
}

/// What a frame's state must not say while nothing is under way.
fn contradiction(info: &FrameInfo) -> Option<&'static str> {
    let is_table = matches!(info.frame_type, FrameType::Table(_));
    if info.partial.is_some() && !is_table {
        return Some("is half validated, but no table");
    }
    if info
        .partial
        .is_some_and(|cursor| usize::from(cursor) > ENTRIES)
    {
        return Some("is being worked on by nobody");
    }
    if info.pinned && !(is_table && info.validated) {
        return Some("is pinned, but no validated table");
    }
    if info.validated != (info.type_count != 0) && info.partial.is_none() {
        return Some("is in use with no use counted, or out of use with some");
    }
    None
}
