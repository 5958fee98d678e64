//! What domains can do with grants.

use super::guests::{SIDES, World, at};
use xenocryst_abi::grant_table::{entry_flag as f, map_flag as m};
use xenocryst_abi::{DomId, Maddr, Mfn};
use xenocryst_memory::MachineMemory;
use xenocryst_memory::grant::{CopyEnd, GrantCopy, GrantMap, GrantUnmap, UnmapBatch};

/// Grant references that are used: few, so that things meet. The first six are of use at the start.
const REFERENCES: usize = 10;

impl World<'_> {
    fn place(&mut self, who: usize, by_entry: bool) -> u64 {
        match by_entry {
            true => {
                let table = if self.byte() & 7 == 0 {
                    self.frame(who)
                } else {
                    self.sides[who].l1
                };
                at(table, self.slot())
            }
            false => self.address().raw(),
        }
    }

    /// Maps a grant of another domain.
    pub fn map_grant(&mut self, who: usize) -> bool {
        let granter = self.below(SIDES);
        let kinds = [
            m::HOST_MAP,
            m::HOST_MAP,
            m::DEVICE_MAP,
            m::HOST_MAP | m::DEVICE_MAP,
            0,
        ];
        let mut flags = self.pick(&kinds) | self.pick(&[0, m::READONLY]);
        flags |= self.pick(&[0, m::CONTAINS_PTE, m::CONTAINS_PTE, m::APPLICATION_MAP]);
        let reference = self.below(REFERENCES) as u32;
        let host_addr = self.place(who, flags & m::CONTAINS_PTE != 0);
        let request = GrantMap {
            host_addr,
            flags,
            reference,
        };
        let Some(mapper) = self.mapper(who) else {
            return false;
        };
        let result = self
            .engine
            .map_grant(&mapper, &self.granter(granter), &request);
        let done = result.ok();
        let known = done.map(|mapping| (mapping.handle, host_addr, mapping.bus_address));
        self.sides[who].mapped.extend(known);
        done.is_some()
    }

    /// Unmaps one, by whatever handle and address.
    pub fn unmap_grant(&mut self, who: usize) -> bool {
        let what = self.byte();
        let known = &self.sides[who].mapped;
        let (handle, host, bus) = match known.get(usize::from(what >> 4) % known.len().max(1)) {
            // Gone or not: stale handles are worth trying, too.
            Some(&known) if what & 3 != 0 => known,
            _ => (
                u32::from(what >> 4),
                self.place(who, what & 8 != 0),
                self.frame(who).maddr().raw(),
            ),
        };
        let (host_addr, bus_address) = match self.byte() & 7 {
            0 => (0, bus),
            1 => (self.place(who, true), bus),
            2 | 3 => (host, bus),
            _ => (host, 0),
        };
        let new_addr = (self.byte() & 7 == 0).then(|| self.address().raw());
        let request = GrantUnmap {
            handle,
            host_addr,
            bus_address,
            new_addr,
        };
        let Some(mapper) = self.mapper(who) else {
            return false;
        };
        let Ok(granter) = self.engine.granter_of(mapper.track, handle) else {
            return false;
        };
        let granter = self.granter(usize::from(granter.0));
        let mut batch = UnmapBatch::new();
        let done = self
            .engine
            .unmap_grant(&mapper, &granter, &request, &mut batch)
            .is_ok();
        for flushed in self.engine.flush_unmapped(mapper.domain, batch) {
            let granter = self.granter(usize::from(flushed.granter().0));
            self.engine.release_unmapped(&granter, flushed);
        }
        done
    }

    /// Copies between frames and grants.
    pub fn copy_grant(&mut self, who: usize) -> bool {
        let ends: [(u8, Mfn, usize, u32); 2] = std::array::from_fn(|_| {
            (
                self.byte(),
                self.frame(who),
                self.below(SIDES),
                self.below(REFERENCES) as u32,
            )
        });
        let [from, to] = ends.map(|(kind, frame, granter, reference)| match kind & 1 {
            0 => CopyEnd::Own(frame),
            _ => CopyEnd::Grant(self.granter(granter), reference),
        });
        // What is worth copying are entries and less than one.
        let offsets = ends.map(|(kind, ..)| u16::from(kind >> 1) * 33);
        let request = GrantCopy {
            from,
            from_offset: offsets[0],
            to,
            to_offset: offsets[1],
            length: offsets[0] % 97 + offsets[1] % 1000,
        };
        self.engine
            .copy_grant(&self.sides[who].domain, &request)
            .is_ok()
    }

    /// Gives a frame away.
    pub fn transfer_grant(&mut self, who: usize) -> bool {
        let (frame, receiver) = (self.frame(who), self.below(SIDES));
        let reference = self.below(REFERENCES) as u32;
        let giver = &self.sides[who].domain;
        self.engine
            .transfer_grant(giver, frame, &self.granter(receiver), reference)
            .is_ok()
    }

    /// Writes entries of its own table, or has it grown, changed or sorted.
    pub fn change_grant_table(&mut self, who: usize) -> bool {
        let (what, first, second) = (
            self.byte(),
            self.below(REFERENCES) as u32,
            self.below(REFERENCES) as u32,
        );
        match what % 8 {
            0 => self
                .engine
                .set_grant_version(&self.granter(who), first)
                .is_ok(),
            1 => self
                .engine
                .grow_grant_table(&self.granter(who), first)
                .is_ok(),
            2 => self
                .engine
                .swap_grants(&self.sides[who].table, first, second)
                .is_ok(),
            _ => self.grant(who, first),
        }
    }

    fn grant(&mut self, who: usize, reference: u32) -> bool {
        let flags = self.pick(&[
            f::PERMIT_ACCESS,
            f::PERMIT_ACCESS,
            f::PERMIT_ACCESS | f::READONLY,
            f::ACCEPT_TRANSFER,
            f::PERMIT_ACCESS | f::SUB_PAGE,
            f::INVALID,
            u16::MAX,
        ]);
        let peer = DomId(self.below(SIDES) as u16);
        let (frame, more) = (self.frame(who), self.byte());
        let table = &self.sides[who].table;
        let Some(shared) = self.engine.grant_frame(table, 0) else {
            return false;
        };
        let header = u64::from(flags) | u64::from(peer.0) << 16;
        let slot = u64::from(reference);
        let write = |slot, value| {
            self.engine
                .machine()
                .write_u64(Maddr::new(at(shared, slot)), value)
        };
        if self.engine.grant_version(table) == 1 {
            write(slot, header | frame.raw() << 32);
        } else {
            write(slot * 2, header | u64::from(more) << 36 | 64 << 48);
            write(slot * 2 + 1, frame.raw());
        }
        true
    }

    /// Takes the mappings of a domain that has just died away.
    pub fn release_mappings(&mut self, who: usize) {
        let side = &self.sides[who];
        // Its roots are gone: the address is not looked at.
        let mapper = xenocryst_memory::grant::Mapper {
            domain: &side.domain,
            track: &side.track,
            root: Mfn::new(0),
        };
        while let Some((handle, granter)) = self.engine.next_grant_mapping(&side.track, 0..u32::MAX)
        {
            self.engine.release_grant_mapping(
                &mapper,
                &self.granter(usize::from(granter.0)),
                handle,
            );
        }
    }
}
