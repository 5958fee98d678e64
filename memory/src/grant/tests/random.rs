//! Random maps, unmaps, copies, transfers, version changes and guest writes, recounted after each step.

use super::*;
use crate::pte;
use crate::{Budget, Progress};
use std::vec::Vec;

/// A small generator of pseudo-random numbers: the same seed, the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A mapping as the guest remembers it.
#[derive(Clone, Copy)]
struct Known {
    handle: u32,
    slot: u64,
    flags: u32,
    bus_address: u64,
}

struct Run {
    p: Pair,
    random: Random,
    /// The granter's frames.
    theirs: Vec<Mfn>,
    own: Vec<Mfn>,
    known: Vec<Known>,
    /// How often mapping, unmapping, copying and transferring went well.
    done: [u32; 4],
}

impl Run {
    fn new(seed: u64) -> Self {
        let p = pair();
        let theirs: Vec<Mfn> = (0..6).map(|_| p.b.page_of(&p.g)).collect();
        for (reference, &frame) in (0..).zip(&theirs) {
            p.grant(reference, 0, frame);
        }
        let own = (0..4).map(|_| p.b.page()).collect();
        Self {
            p,
            random: Random(seed),
            theirs,
            own,
            known: Vec::new(),
            done: [0; 4],
        }
    }

    fn address(&self, known: &Known) -> u64 {
        if known.flags & PTE != 0 {
            at(self.p.s.l1, known.slot)
        } else {
            known.slot << 12
        }
    }

    fn map(&mut self) {
        let mut flags = self.random.pick(&[1, 2, 3, 0, 2, 2]) | self.random.pick(&[0, m::READONLY]);
        flags |= self.random.pick(&[0, PTE]);
        let mut known = Known {
            handle: 0,
            slot: 4 + self.random.below(8),
            flags,
            bus_address: 0,
        };
        let reference = self.random.below(8) as u32;
        if let Ok(mapping) = self.p.map(reference, flags, self.address(&known)) {
            self.done[0] += 1;
            known.handle = mapping.handle;
            known.bus_address = mapping.bus_address;
            self.known.push(known);
        }
    }

    fn unmap(&mut self) {
        if self.known.is_empty() {
            return;
        }
        // Kept even if gone: stale handles are worth trying too.
        let i = self.random.below(self.known.len() as u64) as usize;
        let known = self.known[i];
        let address = self.address(&known);
        let host = self.random.pick(&[address, address, 0]);
        let bus = self.random.pick(&[known.bus_address, 0, 4096]);
        let replacement = Some((4 + self.random.below(8)) << 12);
        let new = self.random.pick(&[None, None, None, replacement]);
        let result = self.p.unmap_with(known.handle, host, bus, new);
        self.done[1] += u32::from(result.is_ok());
        if self.random.below(2) == 0 {
            self.known.swap_remove(i);
        }
    }

    fn copy(&mut self) {
        let ends: [CopyEnd<'_>; 2] = [(); 2].map(|()| match self.random.below(2) {
            0 => CopyEnd::Own(self.random.pick(&self.own)),
            _ => CopyEnd::Grant(self.p.granter(), self.random.below(8) as u32),
        });
        let request = GrantCopy {
            from: ends[0],
            from_offset: self.random.below(4200) as u16,
            to: ends[1],
            to_offset: self.random.below(4200) as u16,
            length: self.random.below(600) as u16,
        };
        let result = self.p.b.engine.copy_grant(&self.p.b.d, &request);
        self.done[2] += u32::from(result.is_ok());
    }

    /// The granting guest writes an entry, or uses a frame otherwise.
    fn granter_acts(&mut self) {
        let frame = self.random.pick(&self.theirs);
        match self.random.below(5) {
            0 => {
                let _ = self.p.pin_granters(frame);
            }
            1 => {
                let _ = self
                    .p
                    .b
                    .engine
                    .unpin_table(&self.p.g, frame, &mut Budget::unlimited());
            }
            _ => {
                let kind = self.random.pick(&[
                    f::PERMIT_ACCESS,
                    f::PERMIT_ACCESS,
                    f::PERMIT_ACCESS,
                    f::ACCEPT_TRANSFER,
                    f::PERMIT_ACCESS | f::READONLY,
                    f::ACCEPT_TRANSFER,
                    f::PERMIT_ACCESS | f::SUB_PAGE,
                    f::INVALID,
                ]);
                let reference = self.random.below(8) as u32;
                self.p.grant_to(reference, kind, self.p.b.d.id(), frame);
            }
        }
    }

    /// The mapping guest changes its entries without a word, or gives memory.
    fn mapper_acts(&mut self) {
        let slot = 4 + self.random.below(8);
        match self.random.below(4) {
            0 => {
                let _ = self.p.b.update(at(self.p.s.l1, slot), 0);
            }
            1 => {
                let value =
                    self.p.b.peek(self.p.s.l1, slot) ^ self.random.pick(&[pte::RW, pte::AVAILABLE]);
                let _ = self.p.b.update(at(self.p.s.l1, slot), value);
            }
            2 => {
                let value = entry(self.random.pick(&self.own), T);
                let _ = self.p.b.update(at(self.p.s.l1, slot), value);
            }
            _ => {
                let frame = self.p.b.page();
                let reference = self.random.below(8) as u32;
                let e = &self.p.b.engine;
                if e.transfer_grant(&self.p.b.d, frame, &self.p.granter(), reference)
                    .is_err()
                {
                    e.decrease_extent(&self.p.b.d, frame, 0).unwrap();
                } else {
                    self.done[3] += 1;
                }
            }
        }
    }

    fn table_acts(&mut self) {
        let e = &self.p.b.engine;
        let granter = self.p.granter();
        let _ = match self.random.below(3) {
            0 => e.set_grant_version(&granter, 1 + self.random.below(2) as u32),
            1 => e.grow_grant_table(&granter, self.random.below(5) as u32),
            _ => {
                let (a, b) = (self.random.below(8), self.random.below(8));
                e.swap_grants(&self.p.table, a as u32, b as u32)
            }
        };
    }

    /// What L1 entries map of the granter's is vouched for by pins: nobody got a mapping out of nothing.
    fn check_entries_have_pins(&self) {
        let state = self.p.table.state.lock();
        for &frame in &self.theirs {
            let entries = (0..512)
                .map(|slot| self.p.b.peek(self.p.s.l1, slot))
                .filter(|&e| e & pte::PRESENT != 0 && pte::target(e) == frame)
                .count();
            let pins: usize = (0..state.entries().min(12))
                .map(|reference| state.active(self.p.b.engine.machine(), reference))
                .filter(|active| active.frame == frame)
                .map(|active| active.pins.host_count())
                .sum();
            assert!(entries <= pins, "{entries} entries, {pins} pins of {frame}");
        }
    }

    fn end(self) {
        let Self { p, .. } = self;
        let e = &p.b.engine;
        p.g.set_dying();
        p.b.d.set_dying();
        while let Some((handle, _)) = e.next_grant_mapping(&p.track, 0..u32::MAX) {
            e.release_grant_mapping(&p.mapper(), &p.granter(), handle);
        }
        for domain in [&p.g, &p.b.d] {
            let mut cursor = Mfn::new(0);
            while e.relinquish(domain, &mut cursor, &mut Budget::new(50)) == Progress::Preempted {}
        }
        assert!(e.destroy_maptrack(&p.track));
        assert!(e.destroy_grant_table(&p.granter()) && e.destroy_grant_table(&p.own_granter()));
        assert_eq!(e.owned_frames(p.g.id()) + e.owned_frames(p.b.d.id()), 0);
        // All RAM but the 16 frames that the simulated machine keeps.
        assert_eq!(e.free_frame_count() + 16, e.ram_frames());
        p.check_with(false);
    }
}

#[test]
fn whatever_both_guests_do_the_counts_are_right_and_death_gives_all_back() {
    let mut done = [0; 4];
    for seed in 1..=6 {
        let mut run = Run::new(0x9e37_79b9_7f4a_7c15_u64.rotate_left(seed * 7));
        for _ in 0..300 {
            match run.random.below(12) {
                0..=3 => run.map(),
                4..=6 => run.unmap(),
                7 => run.copy(),
                8 | 9 => run.granter_acts(),
                10 => run.mapper_acts(),
                _ => run.table_acts(),
            }
            run.p.check_with(false);
            run.check_entries_have_pins();
        }
        for (sum, more) in done.iter_mut().zip(run.done) {
            *sum += more;
        }
        run.end();
    }
    // The run is worth something only if requests of every kind were granted.
    assert!(done.iter().all(|&times| times >= 5), "{done:?}");
}
