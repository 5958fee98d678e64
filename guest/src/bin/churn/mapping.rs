//! Mapping what others grant: in the arena, by address or by entry, and in tables that are in no use.
//!
//! What it keeps true: every mapping that succeeded is known until it is unmapped; what others granted holds their marks
//! whenever it is looked at; an unmapping of what is mapped succeeds, one of anything else does not.

use xenocryst_guest::abi::DomId;
use xenocryst_guest::abi::grant_table::{
    MapGrantRef, UnmapAndReplace, UnmapGrantRef, map_flag, op, status,
};
use xenocryst_guest::access;

use crate::Churn;
use crate::arena::{self, Arena, EMPTY, GRANT_SLOTS, GRANTS, OPEN_PART, SPARE};
use crate::table::{Meaning, PER_BLOCK, call, reference};
use crate::tally::Kind;

/// Elements of a batch at most.
const BATCH: usize = 64;
/// Steps after which a mapping is given up, so that nobody's end waits for long.
const OLD: u64 = 300;

/// A grant that is mapped.
#[derive(Clone, Copy)]
pub struct Mapping {
    handle: u32,
    /// The address by which it was mapped, and is unmapped.
    host: u64,
    /// Its bus address, where it is mapped for devices too.
    bus: u64,
    granter: u16,
    meaning: Meaning,
    flags: u32,
    since: u64,
}

/// What each slot of the arena holds.
pub type Slots = [Option<Mapping>; GRANT_SLOTS];

/// A grant to try: whose, which, and what it is for.
#[derive(Clone, Copy)]
pub struct Target {
    pub granter: u16,
    pub block: u32,
    pub n: u32,
}

impl Target {
    /// The reference.
    pub fn reference(self) -> u32 {
        reference(self.block, self.n)
    }

    /// What it is for.
    pub fn meaning(self) -> Meaning {
        Meaning::of(self.n)
    }
}

impl Churn<'_> {
    /// A grant to try.
    pub fn target(&mut self) -> Target {
        Target {
            granter: self.peers.pick(&mut self.rng),
            block: self.peers.block(&mut self.rng),
            n: self.rng.below(u64::from(PER_BLOCK)) as u32,
        }
    }

    /// Learns from a status whether the granter exists, and that a grant for somebody else was not given.
    pub fn judge(&mut self, target: Target, status: i16) {
        if status == status::OKAY {
            assert!(
                !self.peers.is_foreign(target.block),
                "reference {} of domain {} is for another",
                target.reference(),
                target.granter
            );
        }
        if status != status::BAD_DOMAIN && self.peers.exists(target.granter) {
            self.stale = true;
        }
    }

    /// How many elements a batch has: mostly few, sometimes so many that it takes a while.
    pub fn batch(&mut self, most: usize) -> usize {
        let limit = match self.rng.below(10) {
            0..6 => 2,
            6..9 => 9,
            _ => most as u64 + 1,
        };
        1 + self.rng.below(limit - 1) as usize
    }

    /// Maps grants of others in the arena.
    pub fn map(&mut self) {
        let count = self.batch(BATCH);
        let mut slots = [0; BATCH];
        let mut targets = [Target {
            granter: 0,
            block: 0,
            n: 0,
        }; BATCH];
        let mut list = [map_request(0, 0, 0, 0); BATCH];
        let mut used = 0;
        let first = self.rng.below(GRANT_SLOTS as u64) as usize;
        for slot in (0..GRANT_SLOTS).map(|n| (first + n) % GRANT_SLOTS) {
            if used == count {
                break;
            }
            if self.slots[slot].is_some() {
                continue;
            }
            let target = self.target();
            let by_entry = self.rng.chance(25);
            let host = if by_entry {
                self.arena.entry(GRANTS + slot).raw()
            } else {
                Arena::address(GRANTS + slot)
            };
            let mut flags = map_flag::HOST_MAP;
            for (flag, percent) in [
                (map_flag::READONLY, 50),
                (map_flag::APPLICATION_MAP, 10),
                (map_flag::DEVICE_MAP, 5),
            ] {
                if self.rng.chance(percent) {
                    flags |= flag;
                }
            }
            if by_entry {
                flags |= map_flag::CONTAINS_PTE;
            }
            list[used] = map_request(host, flags, target.reference(), target.granter);
            slots[used] = slot;
            targets[used] = target;
            used += 1;
        }
        if used == 0 {
            return;
        }
        let answer = call(op::MAP_GRANT_REF, &mut list[..used]);
        assert_eq!(answer, 0, "mapping {used} grants");
        for ((request, slot), target) in list.into_iter().zip(slots).zip(targets).take(used) {
            self.mapped(&request, slot, target);
        }
    }

    /// Records how one mapping went, and looks at what is there.
    fn mapped(&mut self, request: &MapGrantRef, slot: usize, target: Target) {
        let done = request.status == status::OKAY;
        let kind = if request.flags & map_flag::CONTAINS_PTE != 0 {
            Kind::MapEntry
        } else {
            Kind::Map
        };
        self.tally.one(kind, done);
        self.judge(target, request.status);
        if !done {
            return;
        }
        let mapping = Mapping::made(request, target, self.steps);
        mapping.check_allowed();
        self.slots[slot] = Some(mapping);
        self.look(slot, mapping);
    }

    /// Looks at a mapped page, and writes to it where that is allowed.
    fn look(&mut self, slot: usize, mapping: Mapping) {
        let address = Arena::address(GRANTS + slot);
        let word = arena::load(address);
        match mapping.meaning {
            Meaning::Read(page) | Meaning::Write(page) => {
                arena::check(word, mapping.granter, page as u64);
            }
            _ => self.check_passing(word, mapping.granter),
        }
        if mapping.flags & map_flag::READONLY == 0 {
            let offset = u64::from(OPEN_PART) + 8 * self.rng.below(255);
            arena::store(address + offset, word);
        } else if self.rng.chance(5) {
            // SAFETY: no Rust object is there.
            let written = unsafe { access::write_u64(address + u64::from(OPEN_PART), word) };
            assert!(written.is_err(), "a grant mapped read-only is writable");
        }
    }

    /// A frame that comes and goes holds nothing but what these guests put there.
    pub fn check_passing(&self, word: u64, granter: u16) {
        assert!(
            !self.strict || arena::is_ours(word),
            "a frame of domain {granter} begins with {word:#x}"
        );
    }

    /// Unmaps some of what is mapped; everything old if `old`.
    pub fn unmap(&mut self, old: bool) {
        let count = if old { BATCH } else { self.batch(BATCH) };
        let mut slots = [0; BATCH];
        let mut list = [unmap_request(0, 0, 0); BATCH];
        let mut used = 0;
        let first = self.rng.below(GRANT_SLOTS as u64) as usize;
        for slot in (0..GRANT_SLOTS).map(|n| (first + n) % GRANT_SLOTS) {
            let Some(mapping) = self.slots[slot] else {
                continue;
            };
            if used == count {
                break;
            }
            if old && self.steps - mapping.since < OLD {
                continue;
            }
            if self.rng.chance(20) {
                self.look(slot, mapping);
            }
            list[used] = unmap_request(mapping.host, mapping.bus, mapping.handle);
            slots[used] = slot;
            used += 1;
        }
        // At times one that is wrong among them: nothing is mapped there, or nothing has the handle.
        let wrong = !old && used > 0 && self.rng.chance(10);
        if wrong {
            let at = self.rng.below(used as u64) as usize;
            if self.rng.chance(50) {
                list[at].host_addr = Arena::address(EMPTY);
            } else {
                list[at].handle |= 1 << 24;
            }
            self.unmap_all(&mut list[at..=at], &[]);
            return;
        }
        self.unmap_all(&mut list[..used], &slots[..used]);
    }

    /// Unmaps a list: those of `slots`, or such as cannot be unmapped where there are none.
    fn unmap_all(&mut self, list: &mut [UnmapGrantRef], slots: &[usize]) {
        if list.is_empty() {
            return;
        }
        let answer = call(op::UNMAP_GRANT_REF, list);
        assert_eq!(answer, 0, "unmapping {} grants", list.len());
        for (n, request) in list.iter().enumerate() {
            let done = request.status == status::OKAY;
            self.tally.one(Kind::Unmap, done);
            match slots.get(n) {
                Some(slot) => {
                    assert!(
                        done,
                        "unmapping handle {}: {}",
                        request.handle, request.status
                    );
                    self.slots[*slot] = None;
                }
                None => assert!(!done, "what is not mapped was unmapped"),
            }
        }
    }

    /// Puts a page of the domain's own in the place of a grant.
    pub fn replace(&mut self) {
        let first = self.rng.below(GRANT_SLOTS as u64) as usize;
        let found = (0..GRANT_SLOTS)
            .map(|n| (first + n) % GRANT_SLOTS)
            .find_map(|slot| self.slots[slot].map(|mapping| (slot, mapping)));
        let Some((slot, mapping)) = found else {
            return;
        };
        assert_eq!(self.arena.map(SPARE, self.arena.shared(0), false), 0);
        let mut list = [UnmapAndReplace {
            host_addr: mapping.host,
            new_addr: Arena::address(SPARE),
            handle: mapping.handle,
            status: -1,
            pad: 0,
        }];
        let answer = call(op::UNMAP_AND_REPLACE, &mut list);
        assert_eq!(answer, 0, "replacing a grant");
        let done = list[0].status == status::OKAY;
        self.tally.one(Kind::Replace, done);
        if done {
            arena::check(arena::load(Arena::address(GRANTS + slot)), self.peers.me, 0);
            self.arena.clear(GRANTS + slot);
            self.slots[slot] = None;
            if mapping.bus != 0 {
                // The devices' half is still there.
                let mut rest = [unmap_request(0, mapping.bus, mapping.handle)];
                call(op::UNMAP_GRANT_REF, &mut rest);
            }
        }
        self.arena.clear(SPARE);
    }

    /// Maps a grant of another's in the entry `entry` of a table; the mapping if it was made.
    pub fn map_in_table(&mut self, entry: u64) -> Option<Mapping> {
        let target = self.target();
        let mut flags = map_flag::HOST_MAP | map_flag::CONTAINS_PTE;
        if self.rng.chance(50) {
            flags |= map_flag::READONLY;
        }
        let mut list = [map_request(
            entry,
            flags,
            target.reference(),
            target.granter,
        )];
        let answer = call(op::MAP_GRANT_REF, &mut list);
        assert_eq!(answer, 0, "mapping a grant in a table");
        let done = list[0].status == status::OKAY;
        self.tally.one(Kind::MapEntry, done);
        self.judge(target, list[0].status);
        done.then(|| Mapping::made(&list[0], target, self.steps))
    }

    /// Unmaps what was mapped in a table.
    pub fn unmap_in_table(&mut self, mapping: Mapping) {
        let mut list = [unmap_request(mapping.host, mapping.bus, mapping.handle)];
        let answer = call(op::UNMAP_GRANT_REF, &mut list);
        let status = list[0].status;
        assert_eq!((answer, status), (0, 0), "unmapping in a table");
        self.tally.one(Kind::Unmap, true);
    }

    /// Maps as many grants of its own as there are slots and unmaps them: the records have all the frames then that they
    /// will have.
    pub fn fill_records(&mut self) {
        for slot in 0..GRANT_SLOTS {
            let target = Target {
                granter: self.peers.me,
                block: u32::from(self.peers.me) % crate::peers::BLOCKS,
                n: 0,
            };
            let flags = map_flag::HOST_MAP | map_flag::READONLY;
            let host = Arena::address(GRANTS + slot);
            let mut list = [map_request(host, flags, target.reference(), target.granter)];
            call(op::MAP_GRANT_REF, &mut list);
            self.mapped(&list[0], slot, target);
        }
        while self.slots.iter().any(Option::is_some) {
            self.unmap(false);
        }
    }
}

impl Mapping {
    /// The mapping that a request made.
    fn made(request: &MapGrantRef, target: Target, since: u64) -> Self {
        Self {
            handle: request.handle,
            host: request.host_addr,
            bus: if request.flags & map_flag::DEVICE_MAP != 0 {
                request.dev_bus_addr
            } else {
                0
            },
            granter: target.granter,
            meaning: target.meaning(),
            flags: request.flags,
            since,
        }
    }

    /// A grant for reading is not mapped writable, nor one that is no page, or only a part of one.
    fn check_allowed(&self) {
        let allowed = match self.meaning {
            Meaning::Read(_) => self.flags & map_flag::READONLY != 0,
            Meaning::Write(_) | Meaning::Passing => true,
            Meaning::Part(_) | Meaning::Accept => false,
        };
        assert!(
            allowed,
            "domain {} granted no such access: flags {:#x}",
            self.granter, self.flags
        );
    }
}

fn map_request(host_addr: u64, flags: u32, gref: u32, granter: u16) -> MapGrantRef {
    MapGrantRef {
        host_addr,
        flags,
        gref,
        dom: DomId(granter),
        status: -1,
        handle: 0,
        dev_bus_addr: 0,
    }
}

fn unmap_request(host_addr: u64, dev_bus_addr: u64, handle: u32) -> UnmapGrantRef {
    UnmapGrantRef {
        host_addr,
        dev_bus_addr,
        handle,
        status: -1,
        pad: 0,
    }
}
