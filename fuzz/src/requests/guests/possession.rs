//! Who has which frame: reservations, exchanges, frames of the hypervisor that are shared, and deaths.

use super::*;

impl World<'_> {
    pub(super) fn reservation(&mut self, who: usize) -> bool {
        let (frame, order, what) = (self.frame(who), self.byte() % 4, self.byte());
        let limit = self.pick(&[
            AddressLimit::NONE,
            AddressLimit::bits(19),
            AddressLimit::bits(12),
        ]);
        let domain = &self.sides[who].domain;
        if what & 1 == 0 {
            return self.engine.decrease_extent(domain, frame, order).is_ok();
        }
        let pfn = (what & 2 != 0).then(|| Pfn::new(what.into()));
        let Ok(first) = self.engine.populate_extent(domain, order, limit, pfn) else {
            return false;
        };
        self.learn(first, order);
        true
    }

    fn learn(&mut self, first: Mfn, order: u8) {
        for frame in (0..1 << order).map(|i| first.wrapping_add(i)) {
            if !self.frames.contains(&frame) {
                self.frames.push(frame);
            }
        }
    }

    pub(super) fn exchange(&mut self, who: usize) -> bool {
        let (blocks, order) = (
            self.pick(&[1, 1, 1, 2, 2, 4, 0]),
            self.pick(&[0, 0, 0, 1, 2]),
        );
        let wanted = (blocks as usize) << order;
        let taken = self.pick(&[wanted, wanted, wanted, 0, 1, 3]);
        let frames: Vec<Mfn> = (0..taken).map(|_| self.frame(who)).collect();
        let in_order = self.pick(&[0, 0, 0, 0, 1]);
        let domain = &self.sides[who].domain;
        let Ok(mut exchange) =
            self.engine
                .begin_exchange(domain, blocks, order, AddressLimit::NONE)
        else {
            return false;
        };
        for frame in frames {
            if self
                .engine
                .exchange_in(domain, &mut exchange, frame, in_order)
                .is_err()
            {
                self.engine.abandon_exchange(domain, exchange);
                return false;
            }
        }
        let mut new = Vec::new();
        while let Some(first) = self.engine.exchange_out(domain, &mut exchange, Pfn::new(7)) {
            new.push(first);
        }
        self.engine.finish_exchange(domain, exchange);
        new.iter().for_each(|&first| self.learn(first, order));
        !new.is_empty()
    }

    /// The hypervisor shares a frame with the domain, or takes one back.
    pub(super) fn share(&mut self, who: usize) -> bool {
        let what = self.byte();
        if what & 1 == 0 && self.shared.len() < 4 {
            let Some(frame) = self.engine.allocate_frames(0, AddressLimit::NONE) else {
                return false;
            };
            self.engine.machine().zero_frame(frame);
            let done = self
                .engine
                .share_with(&self.sides[who].domain, frame, what & 2 != 0);
            assert!(done, "the hypervisor's own frame could not be shared");
            self.shared.push((who, frame));
            self.learn(frame, 0);
            return true;
        }
        let Some((owner, frame)) = self.shared.pop() else {
            return false;
        };
        if self.engine.unshare(&self.sides[owner].domain, frame) {
            self.engine.free_frames(frame, 0);
            return true;
        }
        self.shared.insert(0, (owner, frame));
        false
    }

    /// Lets a domain (not the control domain) die, one time in eight.
    pub(super) fn kill(&mut self, who: usize) -> bool {
        let really = who != 0 && self.byte() & 7 == 0;
        if really {
            self.stop(who);
        }
        really
    }

    /// What is done at once when a domain dies: its vCPU stops and lets go of what it holds.
    pub(super) fn stop(&mut self, who: usize) {
        let budget = self.pick(&BUDGETS);
        let Self { engine, sides, .. } = self;
        let side = &mut sides[who];
        side.domain.set_dying();
        side.death = Some(Mfn::new(0));
        side.tlb.flush(engine.machine());
        side.domain.clear_cpu_dirty(who as u32);
        for root in side.root.take().into_iter().chain(side.roots.drain(..)) {
            engine.put_root(&side.domain, root, &mut Budget::new(budget));
        }
        for held in side.descriptors.drain(..) {
            engine.put_descriptor_page(&side.domain, held);
        }
        self.release_mappings(who);
    }

    /// One slice of taking the memory of dying domains away.
    pub(super) fn take_away_a_little(&mut self) {
        for side in &mut self.sides {
            if let Some(cursor) = &mut side.death {
                let _ = self
                    .engine
                    .relinquish(&side.domain, cursor, &mut Budget::new(20));
            }
        }
    }
}
