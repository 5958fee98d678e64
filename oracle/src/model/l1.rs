//! L1 entries: what a domain may map, and how (I2, I27 to I31).

use super::bits::*;
use super::state::{Model, Owner, Role};
use crate::layout::{IO, L1TF_SAFE, PHYSICAL_BITS, io_read_only};
use crate::no::{self, No};

/// References that a counter of 32 bits can stand for, less two values kept apart.
const MOST_REFERENCES: u64 = u32::MAX as u64 - 1;
/// Uses that a counter of 28 bits can stand for.
const MOST_USES: u64 = (1 << 28) - 1;

/// Who takes part in a change.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// The domain that asks.
    pub caller: usize,
    /// Whose tables.
    pub tables: usize,
    /// Whose frames.
    pub pages: usize,
}

impl Who {
    /// A domain for itself.
    #[must_use]
    pub const fn own(dom: usize) -> Self {
        Self {
            caller: dom,
            tables: dom,
            pages: dom,
        }
    }
}

impl Model {
    /// Whether no further reference to a frame can be counted. Only frames with a weight can be anywhere near.
    pub(super) fn is_full(&self, frame: usize) -> bool {
        self.frames[frame].weight.0 != 0 && self.count()[frame].general >= MOST_REFERENCES
    }

    /// Whether no further use of a frame as what it is can be counted.
    pub(super) fn is_type_full(&self, frame: usize) -> bool {
        self.frames[frame].weight.1 != 0 && self.count()[frame].typed >= MOST_USES
    }

    /// Lets a frame be written, if it is not used otherwise.
    pub(super) fn use_as_writable(&mut self, frame: usize) -> bool {
        match self.frames[frame].role {
            Role::Writable => !self.is_type_full(frame),
            Role::Idle => {
                self.frames[frame].role = Role::Writable;
                true
            }
            _ => false,
        }
    }

    /// An absent entry must not lead speculation to cacheable memory (I31).
    pub(super) fn check_absent(&self, dom: usize, entry: u64, level: u8) -> Result<(), No> {
        let address = entry & ADDRESS;
        let superpage = level > 1 && entry & BIT7 != 0;
        let safe = entry == 0 || (!superpage && (address == 0 || address >= L1TF_SAFE));
        if safe || !self.domains[dom].l1tf {
            Ok(())
        } else {
            Err(no::L1TF)
        }
    }

    /// What may be written where `old` stands in an L1 table, for the request to write `value`.
    pub(super) fn l1_entry(&mut self, who: Who, old: u64, value: u64) -> Result<u64, No> {
        if value & PRESENT == 0 {
            return self.check_absent(who.tables, value, 1).map(|()| value);
        }
        let may_choose_types = self.domains[who.tables].io.permits_something();
        if value & ILLEGAL_L1 != 0 && !may_choose_types {
            return Err(no::FLAGS);
        }
        let entry = adjust_l1(value);
        let difference = (old ^ entry) & !HARMLESS;
        if difference == 0 {
            return Ok(entry);
        }
        let own = self.owned(who.pages, target(entry));
        if difference == RW
            && let Some(frame) = own
        {
            // The reference that the old entry holds goes on; only the use for writing is new.
            return if entry & RW == 0 || self.use_as_writable(frame) {
                Ok(entry)
            } else {
                Err(no::NOT_WRITABLE)
            };
        }
        match own {
            Some(frame) if self.is_full(frame) => Err(no::COUNT_FULL),
            Some(frame) if entry & RW != 0 && !self.use_as_writable(frame) => Err(no::NOT_WRITABLE),
            Some(frame) if self.frames[frame].special && entry & MEMORY_TYPE != 0 => {
                Err(no::SPECIAL_CACHING)
            }
            Some(_) => Ok(entry),
            None => self.io_entry(who, entry),
        }
    }

    /// A mapping of something that is not the page owner's memory: it must be a device.
    fn io_entry(&self, who: Who, entry: u64) -> Result<u64, No> {
        let frame = target(entry);
        let ram = self
            .frames
            .get(frame as usize)
            .is_some_and(|frame| frame.owner != Owner::NoRam);
        let in_ranges =
            |ranges: &[(u64, u64)]| ranges.iter().any(|&(a, b)| a <= frame && frame <= b);
        let pages = if who.pages == IO {
            who.caller
        } else {
            who.pages
        };
        if ram {
            Err(no::TARGET_OWNER)
        } else if entry & ADDRESS == ADDRESS {
            Err(no::INVALID_FRAME)
        } else if frame >> (PHYSICAL_BITS - 12) != 0 {
            Err(no::TOO_WIDE)
        } else if !self.domains[pages].io.permits(frame)
            || !self.domains[who.tables].io.permits(frame)
        {
            Err(no::IO_FORBIDDEN)
        } else if in_ranges(io_read_only(who.tables)) {
            Ok(uncached(entry) & !RW)
        } else {
            Ok(uncached(entry))
        }
    }

    /// Changes an entry of a validated L1 table.
    pub(super) fn change_l1(
        &mut self,
        who: Who,
        table: usize,
        slot: u16,
        value: u64,
        keep: u64,
    ) -> Result<(), No> {
        let old = self.frames[table].words.get(slot);
        let entry = self.l1_entry(who, old, value)?;
        self.write(table, slot, entry | old & keep);
        Ok(())
    }

    /// The L1 table of `dom` that covers a linear address under a root, and the slot in it.
    pub(super) fn find_l1(&self, dom: usize, root: usize, address: u64) -> Option<(usize, u16)> {
        if !is_guests(address) || self.frames[root].role != Role::Table(4) {
            return None;
        }
        let index = |level: u64| (address >> (3 + 9 * level) & 511) as u16;
        let mut table = root;
        for level in [4, 3, 2] {
            let entry = self.frames[table].words.get(index(level));
            if entry & (PRESENT | BIT7) != PRESENT {
                return None;
            }
            table = usize::try_from(target(entry))
                .ok()
                .filter(|&t| t < self.frames.len())?;
        }
        let found = &self.frames[table];
        let is_own = found.owner == Owner::Domain(dom) && found.role == Role::Table(1);
        is_own.then_some((table, index(1)))
    }
}

/// Whether a linear address is canonical and not the hypervisor's: slots 256 to 271 of the root are.
pub(super) fn is_guests(address: u64) -> bool {
    let top = address >> 47;
    (top == 0 || top == 0x1_ffff)
        && !(0xffff_8000_0000_0000..0xffff_8800_0000_0000).contains(&address)
}
