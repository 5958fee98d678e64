//! What the domains ask about their page tables: updates, stores, pins, roots, descriptors, and what holds a page.

use super::*;

impl World<'_> {
    pub(super) fn update(&mut self, operation: usize, who: usize) -> bool {
        let (frame, slot, entry) = (self.frame(who), self.slot(), self.entry(who));
        let mut budget = self.budget();
        let more = self.byte();
        let kind = if operation == 0 {
            u64::from(more & 7)
        } else {
            0
        };
        if more & 0x80 != 0 {
            self.engine.machine().race_with(u64::from(more & 0x60));
        }
        // The control domain may name another's tables and frames, and frames that are no RAM.
        let (tables, pages) = match (operation, who) {
            (1, 0) => (self.below(SIDES), self.below(SIDES + 1)),
            _ => (who, who),
        };
        let side = |index: usize| self.sides.get(index).map_or(&self.io, |side| &side.domain);
        let actors = Actors {
            caller: side(who),
            tables: side(tables),
            pages: side(pages),
        };
        let pointer = at(frame, slot) | kind;
        let covered = self.engine.frame_info(frame).is_ram;
        let word = || covered.then(|| self.engine.machine().read_u64(Maddr::new(at(frame, slot))));
        let before = word();
        let result = self.engine.mmu_update(&actors, pointer, entry, &mut budget);
        self.engine.machine().race_with(0);
        if result.is_err() {
            assert_eq!(before, word(), "a refused update changed the entry");
        }
        matches!(result, Ok(Progress::Done(_)))
    }

    pub(super) fn update_by_address(&mut self, who: usize) -> bool {
        let (address, entry, deep) = (self.address(), self.entry(who), self.byte());
        let side = &self.sides[who];
        let Some(root) = &side.root else { return false };
        let root = if deep == 0xff {
            self.frame(who)
        } else {
            root.mfn()
        };
        let domain = &self.sides[who].domain;
        let actors = Actors::own(domain);
        let result = self.engine.update_va_mapping(&actors, root, address, entry);
        let read = self.engine.read_l1_entry(domain, root, address);
        assert!(
            result.is_err() || read.is_some(),
            "an entry was written that cannot be read"
        );
        let _ = self.engine.translate(domain, root, address);
        result.is_ok()
    }

    /// A store by the guest itself: only if some mapping could be writable.
    pub(super) fn store(&mut self, who: usize) -> bool {
        let (frame, slot, value) = (self.frame(who), self.slot(), self.entry(who));
        let info = self.engine.frame_info(frame);
        let plain =
            matches!(info.frame_type, FrameType::None | FrameType::Writable) || !info.validated;
        let may =
            info.owner == Some(self.sides[who].domain.id()) && plain && info.partial.is_none();
        if may {
            self.engine
                .machine()
                .write_u64(Maddr::new(at(frame, slot)), value);
        }
        may
    }

    pub(super) fn emulated_store(&mut self, who: usize) -> bool {
        let (offset, value) = (self.slot() * 8, self.entry(who));
        // Where its L1 table maps itself, most of the time.
        let page = match self.byte() {
            0..=200 => Vaddr::new(0x1000),
            _ => self.address(),
        };
        let kind = self.byte();
        let width = [8, 1, 2, 4][usize::from(kind & 3)];
        let expected = if kind & 8 != 0 { self.entry(who) } else { 0 };
        let store = if kind & 4 != 0 {
            PteStore::CompareExchange {
                width,
                expected,
                value,
            }
        } else {
            PteStore::Plain { width, value }
        };
        if kind & 0x10 != 0 {
            self.engine.machine().race_with(u64::from(kind & 0x60));
        }
        let side = &self.sides[who];
        let Some(root) = &side.root else { return false };
        let misaligned = if kind & 0x80 != 0 {
            u64::from(kind >> 4 & 7)
        } else {
            0
        };
        let address = Vaddr::new(page.raw() | offset | misaligned);
        let outcome = self
            .engine
            .emulate_pte_store(&side.domain, root.mfn(), page, address, store);
        self.engine.machine().race_with(0);
        outcome == PteStoreOutcome::Written
    }

    pub(super) fn pin(&mut self, operation: usize, who: usize) -> bool {
        let (frame, level, mut budget) = (self.frame(who), self.level(), self.budget());
        let domain = &self.sides[who].domain;
        let result = match operation {
            8 => self.engine.pin_table(domain, frame, level, &mut budget),
            _ => self.engine.unpin_table(domain, frame, &mut budget),
        };
        result == Ok(Progress::Done(()))
    }

    pub(super) fn change_root(&mut self, who: usize) -> bool {
        let (frame, mut budget, take) = (self.frame(who), self.budget(), self.byte() & 3 != 0);
        let side = &mut self.sides[who];
        if take {
            let result = self.engine.get_root(&side.domain, frame, &mut budget);
            return match result {
                Ok(Progress::Done(root)) => {
                    side.roots.push(root);
                    true
                }
                _ => false,
            };
        }
        let _ = self.engine.finish_unwinding(&side.domain, &mut budget);
        let Some(root) = side.roots.pop() else {
            return false;
        };
        self.engine.put_root(&side.domain, root, &mut budget);
        true
    }

    pub(super) fn descriptors(&mut self, who: usize) -> bool {
        let (frame, slot, entry, what) =
            (self.frame(who), self.slot(), self.entry(who), self.byte());
        let Self { engine, sides, .. } = self;
        let side = &mut sides[who];
        match what & 3 {
            0 | 1 => match engine.get_descriptor_page(&side.domain, frame) {
                Ok(held) => side.descriptors.push(held),
                Err(_) => return false,
            },
            2 => match side.descriptors.pop() {
                Some(held) => engine.put_descriptor_page(&side.domain, held),
                None => return false,
            },
            _ => {
                let descriptor = if what & 4 != 0 {
                    0x00cf_fa00_0000_ffff
                } else {
                    entry
                };
                let place = Maddr::new(at(frame, slot));
                return engine
                    .update_descriptor(&side.domain, place, descriptor)
                    .is_ok();
            }
        }
        true
    }

    /// The hypervisor takes a reference for something that `who` asked for.
    pub(super) fn hold(&mut self, who: usize) -> bool {
        let (frame, writable) = (self.frame(who), self.byte() & 1 != 0);
        let domain = &self.sides[who].domain;
        let before = self.pages.len() + self.writable.len();
        if writable {
            self.writable
                .extend(self.engine.get_writable_page(domain, frame));
        } else {
            self.pages.extend(self.engine.get_page(domain, frame));
        }
        self.pages.len() + self.writable.len() > before
    }

    pub(super) fn let_go(&mut self, _who: usize) -> bool {
        let page = self.pages.pop();
        let writable = self.writable.pop();
        let any = page.is_some() || writable.is_some();
        page.into_iter().for_each(|held| self.engine.put_page(held));
        writable
            .into_iter()
            .for_each(|held| self.engine.put_writable_page(held));
        any
    }

    pub(super) fn whole_page(&mut self, who: usize) -> bool {
        let (to, from, copy) = (self.frame(who), self.frame(who), self.byte() & 1 != 0);
        let domain = &self.sides[who].domain;
        if copy {
            self.engine.copy_page(domain, to, from).is_ok()
        } else {
            self.engine.clear_page(domain, to).is_ok()
        }
    }
}
