//! Mapping and unmapping (I33, I39, I51 to I56).

use super::entries::Access;
use super::{APPLICATION, CONTAINS_PTE, DEVICE, HANDLES, HOST, Mapping, READ_ONLY};
use crate::answer::Answer;
use crate::layout::TRACK_FRAMES;
use crate::model::bits::{ACCESSED, DIRTY, NO_EXECUTE, PRESENT, RW, USER, adjust_l1, target};
use crate::model::state::{Model, Role};
use crate::no::{self, No};

/// Most uses of a grant in one way.
const MOST_PINS: u8 = 128;

/// A request to map; see `Request::GrantMap`.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Map {
    pub(in crate::model) dom: usize,
    pub(in crate::model) vcpu: usize,
    pub(in crate::model) granter: usize,
    pub(in crate::model) reference: u64,
    pub(in crate::model) flags: u64,
    pub(in crate::model) host: u64,
}

/// A request to unmap; see `Request::GrantUnmap`.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Unmap {
    pub(in crate::model) dom: usize,
    pub(in crate::model) vcpu: usize,
    pub(in crate::model) handle: u64,
    pub(in crate::model) host: u64,
    pub(in crate::model) bus: u64,
    pub(in crate::model) new: u64,
}

impl Model {
    /// The entry that a host address means.
    fn grant_slot(
        &self,
        dom: usize,
        vcpu: usize,
        host: u64,
        flags: u64,
    ) -> Result<(usize, u16), No> {
        let place = if flags & CONTAINS_PTE != 0 {
            self.owned(dom, host >> 12)
                .filter(|&table| {
                    self.frames[table].role == Role::Table(1) && host.is_multiple_of(8)
                })
                .map(|table| (table, (host >> 3 & 511) as u16))
        } else {
            self.domains[dom].roots[vcpu][0].and_then(|root| self.find_l1(dom, root, host))
        };
        place.ok_or(no::GRANT_ADDRESS)
    }

    pub(in crate::model) fn grant_map(&mut self, map: &Map, engine: &Answer) -> Result<Answer, No> {
        let mapping = Mapping {
            handle: 0,
            granter: map.granter,
            reference: map.reference,
            frame: 0,
            flags: map.flags & 0xffff,
            host: map.host,
        };
        if !mapping.is_left() {
            return Err(no::GRANT_KIND);
        }
        let handle = self.free_handle(map.dom, engine)?;
        let frame = self.map_with(map, &mapping)?;
        let mapping = Mapping {
            handle,
            frame,
            ..mapping
        };
        self.domains[map.dom].grants.maps.push(mapping);
        Ok(Answer::Mapped {
            handle,
            frame: frame as u64,
        })
    }

    /// A handle that is not in use: the engine's, if it is one.
    fn free_handle(&mut self, dom: usize, engine: &Answer) -> Result<u64, No> {
        let maps = &self.domains[dom].grants.maps;
        let is_used = |handle: u64| maps.iter().any(|mapping| mapping.handle == handle);
        let end = HANDLES * TRACK_FRAMES;
        let free = match *engine {
            Answer::Mapped { handle, .. } if handle < end && !is_used(handle) => Some(handle),
            _ => (0..end).find(|&handle| !is_used(handle)),
        };
        let has_records = self.have_records(dom, |lists| &mut lists.track, 1);
        free.filter(|_| has_records).ok_or(no::GRANT_HANDLES)
    }

    fn map_with(&mut self, map: &Map, mapping: &Mapping) -> Result<usize, No> {
        let write = mapping.is_writable();
        let access = Access {
            user: map.dom,
            write,
            map: true,
        };
        let mut used = self.claim(map.granter, map.reference, access)?;
        let mut held = 0;
        let mut result = Ok(());
        for pin in mapping.pins() {
            if used.pins[pin] >= MOST_PINS {
                result = Err(no::GRANT_PINS);
            }
            used.pins[pin] += 1;
        }
        for _ in mapping.pins() {
            if result.is_ok() {
                result = self.hold_granted(map.granter, used.frame, write).map(drop);
                held += usize::from(result.is_ok());
            }
        }
        if result.is_ok() && map.flags & HOST != 0 {
            result = self
                .grant_slot(map.dom, map.vcpu, map.host, map.flags)
                .map(|(table, slot)| self.write(table, slot, entry_for(used.frame, map.flags)));
        }
        // From here on the entry, and the mapping for devices, are what holds the frame.
        (0..held).for_each(|_| self.let_go(map.granter));
        match result {
            Ok(()) => {
                let uses = &mut self.domains[map.granter].grants.uses;
                uses.insert(map.reference, used);
                Ok(used.frame as usize)
            }
            Err(no) => {
                self.settle_marks(map.granter, map.reference);
                Err(no)
            }
        }
    }

    pub(in crate::model) fn grant_unmap(&mut self, unmap: &Unmap) -> Result<Answer, No> {
        let maps = &self.domains[unmap.dom].grants.maps;
        let at = maps
            .iter()
            .position(|mapping| mapping.handle == unmap.handle)
            .ok_or(no::GRANT_HANDLE)?;
        let mapping = maps[at];
        let mut parts = 0;
        if unmap.bus != 0 && mapping.flags & DEVICE != 0 {
            if unmap.bus != (mapping.frame as u64) << 12 {
                return Err(no::GRANT_BUS);
            }
            parts |= DEVICE;
        }
        if unmap.host != 0 && mapping.flags & HOST != 0 {
            self.remove_entry(unmap, &mapping)?;
            parts |= HOST;
        }
        if parts == 0 {
            return Ok(Answer::Done);
        }
        let grants = &mut self.domains[unmap.dom].grants;
        grants.maps[at].flags &= !parts;
        if !grants.maps[at].is_left() {
            grants.maps.remove(at);
        }
        grants.unmapped.push(Mapping {
            flags: mapping.flags & !(HOST | DEVICE) | parts,
            ..mapping
        });
        Ok(Answer::Done)
    }

    /// Removes the entry of a mapping, or moves another there.
    fn remove_entry(&mut self, unmap: &Unmap, mapping: &Mapping) -> Result<(), No> {
        let Unmap { dom, vcpu, .. } = *unmap;
        if unmap.new != 0 && mapping.flags & CONTAINS_PTE != 0 {
            return Err(no::GRANT_REPLACE);
        }
        let place = self.grant_slot(dom, vcpu, unmap.host, mapping.flags)?;
        let live = self.frames[place.0].words.get(place.1);
        let access = PRESENT | if mapping.is_writable() { RW } else { 0 };
        if target(live) != mapping.frame as u64 || live & (PRESENT | RW) != access {
            return Err(no::GRANT_ENTRY);
        }
        let mut entry = 0;
        if unmap.new != 0 {
            let from = self.grant_slot(dom, vcpu, unmap.new, mapping.flags)?;
            if from == place {
                return Err(no::GRANT_ENTRY);
            }
            entry = self.frames[from.0].words.get(from.1);
            self.write(from.0, from.1, 0);
        }
        self.write(place.0, place.1, entry);
        Ok(())
    }

    /// Lets go of all that was unmapped.
    pub(in crate::model) fn grant_release(&mut self, dom: usize) {
        for mapping in std::mem::take(&mut self.domains[dom].grants.unmapped) {
            self.drop_pins(&mapping);
            self.released.push((dom, mapping.frame));
        }
    }

    /// Lets go of the first mappings of a dying domain. Entries stay, and hold what they hold.
    pub(in crate::model) fn grant_let_go(&mut self, dom: usize, mappings: u64) {
        for _ in 0..mappings {
            let maps = &mut self.domains[dom].grants.maps;
            let Some(first) = (0..maps.len()).min_by_key(|&at| maps[at].handle) else {
                return;
            };
            let mapping = maps.remove(first);
            self.drop_pins(&mapping);
        }
    }
}

/// The entry of a mapping.
fn entry_for(frame: u64, flags: u64) -> u64 {
    let mut entry = frame << 12 | PRESENT | ACCESSED | DIRTY | NO_EXECUTE;
    if flags & READ_ONLY == 0 {
        entry |= RW;
    }
    if flags & APPLICATION != 0 {
        entry |= USER;
    }
    adjust_l1(entry | (flags >> 16 & 7) << 9)
}
