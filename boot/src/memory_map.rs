//! The firmware's memory map, put in order.
//!
//! Keeps true: entries are half-open, non-empty, ascending and disjoint, and touching entries of one kind are joined. Where
//! the firmware's ranges overlap, the more restrictive kind wins: memory is RAM only if nothing else claims it.
//! Neighbours: [`crate::multiboot1`] and [`crate::multiboot2`] fill it; the hypervisor takes its RAM from it and shows it to dom0.

/// The most entries a map holds.
pub const MAX_ENTRIES: usize = 128;

/// What a range of physical addresses is, as the firmware says (the numbers are those of INT 15h/E820 and of Multiboot).
/// Later variants win over earlier ones where ranges overlap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum MemoryKind {
    /// 1: ordinary memory.
    #[default]
    Usable,
    /// 3: ordinary memory that holds ACPI tables; may be used once they have been read.
    AcpiReclaimable,
    /// 4: must be kept as it is, for the firmware's use while sleeping.
    AcpiNvs,
    /// 2, or any number not known here: not to be used.
    Reserved,
    /// 5: memory with faults.
    Unusable,
}

impl MemoryKind {
    /// The kind a firmware number stands for.
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Usable,
            3 => Self::AcpiReclaimable,
            4 => Self::AcpiNvs,
            5 => Self::Unusable,
            _ => Self::Reserved,
        }
    }

    /// The firmware's number for the kind.
    pub const fn raw(self) -> u32 {
        match self {
            Self::Usable => 1,
            Self::Reserved => 2,
            Self::AcpiReclaimable => 3,
            Self::AcpiNvs => 4,
            Self::Unusable => 5,
        }
    }
}

/// One range of the map.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MapEntry {
    /// First address.
    pub start: u64,
    /// First address after the range.
    pub end: u64,
    /// What it is.
    pub kind: MemoryKind,
}

/// The map is full: part of the range was left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapFull;

/// The map.
#[derive(Clone)]
pub struct MemoryMap {
    entries: [MapEntry; MAX_ENTRIES],
    len: usize,
}

impl Default for MemoryMap {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for MemoryMap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

impl MemoryMap {
    /// The empty map.
    pub const fn new() -> Self {
        let none = MapEntry {
            start: 0,
            end: 0,
            kind: MemoryKind::Usable,
        };
        Self {
            entries: [none; MAX_ENTRIES],
            len: 0,
        }
    }

    /// The ranges, ascending.
    pub fn entries(&self) -> &[MapEntry] {
        self.entries.get(..self.len).unwrap_or(&[])
    }

    /// Adds the range `start..end`; where it overlaps what is there, the more restrictive kind stays. Empty and inverted
    /// ranges add nothing.
    ///
    /// # Errors
    /// [`MapFull`] when there is no room for all its pieces. The map then errs to the safe side: what would not fit of a
    /// restrictive range is cut from the map rather than left usable.
    pub fn add(&mut self, start: u64, end: u64, kind: MemoryKind) -> Result<(), MapFull> {
        let mut at = start;
        let mut result = Ok(());
        while at < end {
            let index = self.entries().iter().position(|entry| entry.end > at);
            let next = index.and_then(|index| self.entries().get(index).copied());
            let (stop, piece) = match next {
                Some(entry) if entry.start <= at => (
                    end.min(entry.end),
                    self.restrict(index.unwrap_or(0), at, end, kind),
                ),
                Some(entry) if entry.start < end => (
                    entry.start,
                    self.insert(index.unwrap_or(0), at, entry.start, kind),
                ),
                _ => (end, self.insert(index.unwrap_or(self.len), at, end, kind)),
            };
            result = result.and(piece);
            at = stop;
        }
        self.join();
        result
    }

    /// Bytes of the given kind below `limit`.
    pub fn bytes_of(&self, kind: MemoryKind, limit: u64) -> u64 {
        self.entries()
            .iter()
            .filter(|entry| entry.kind == kind)
            .map(|entry| entry.end.min(limit).saturating_sub(entry.start))
            .fold(0, u64::saturating_add)
    }

    /// Gives the part `at..end` of entry `index` the kind `kind`, if that is the more restrictive one.
    fn restrict(
        &mut self,
        index: usize,
        at: u64,
        end: u64,
        kind: MemoryKind,
    ) -> Result<(), MapFull> {
        let Some(entry) = self.entries.get(index).copied() else {
            return Ok(());
        };
        if kind <= entry.kind {
            return Ok(());
        }
        let stop = end.min(entry.end);
        let pieces = [
            MapEntry { end: at, ..entry },
            MapEntry {
                start: at,
                end: stop,
                kind,
            },
            MapEntry {
                start: stop,
                ..entry
            },
        ];
        // The first piece that exists takes the old entry's place; the others go after it.
        self.take_out(index);
        let mut result = Ok(());
        let mut index = index;
        for piece in pieces {
            if piece.start < piece.end {
                let done = self.insert(index, piece.start, piece.end, piece.kind);
                index += usize::from(done.is_ok());
                result = result.and(done);
            }
        }
        result
    }

    /// Puts a range in place `index`.
    fn insert(
        &mut self,
        index: usize,
        start: u64,
        end: u64,
        kind: MemoryKind,
    ) -> Result<(), MapFull> {
        if self.len >= MAX_ENTRIES {
            self.join();
            // Joining may have moved the place: leave the piece out. The caller is told.
            return Err(MapFull);
        }
        self.entries.copy_within(index..self.len, index + 1);
        if let Some(slot) = self.entries.get_mut(index) {
            *slot = MapEntry { start, end, kind };
        }
        self.len += 1;
        Ok(())
    }

    /// Takes entry `index` out.
    fn take_out(&mut self, index: usize) {
        self.entries.copy_within(index + 1..self.len, index);
        self.len -= 1;
    }

    /// Joins touching entries of one kind.
    fn join(&mut self) {
        let mut kept = 0usize;
        for index in 0..self.len {
            let Some(entry) = self.entries.get(index).copied() else {
                break;
            };
            let last = kept
                .checked_sub(1)
                .and_then(|last| self.entries.get_mut(last));
            match last {
                Some(last) if last.end == entry.start && last.kind == entry.kind => {
                    last.end = entry.end
                }
                _ => {
                    if let Some(slot) = self.entries.get_mut(kept) {
                        *slot = entry;
                    }
                    kept += 1;
                }
            }
        }
        self.len = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemoryKind::{AcpiNvs, Reserved, Unusable, Usable};
    use alloc::vec::Vec;

    fn map(ranges: &[(u64, u64, MemoryKind)]) -> Vec<(u64, u64, MemoryKind)> {
        let mut map = MemoryMap::new();
        for &(start, end, kind) in ranges {
            map.add(start, end, kind).unwrap();
        }
        map.entries()
            .iter()
            .map(|entry| (entry.start, entry.end, entry.kind))
            .collect()
    }

    #[test]
    fn entries_are_sorted_and_touching_ones_joined() {
        assert_eq!(
            map(&[
                (50, 60, Usable),
                (0, 10, Usable),
                (10, 20, Usable),
                (20, 30, Reserved)
            ]),
            [(0, 20, Usable), (20, 30, Reserved), (50, 60, Usable)]
        );
    }

    #[test]
    fn the_restrictive_kind_wins_whatever_the_order() {
        let wanted = [(0, 40, Usable), (40, 60, Reserved), (60, 100, Usable)];
        assert_eq!(map(&[(0, 100, Usable), (40, 60, Reserved)]), wanted);
        assert_eq!(map(&[(40, 60, Reserved), (0, 100, Usable)]), wanted);
        assert_eq!(
            map(&[(0, 50, Reserved), (40, 60, AcpiNvs), (55, 70, Unusable)]),
            [(0, 50, Reserved), (50, 55, AcpiNvs), (55, 70, Unusable)]
        );
    }

    #[test]
    fn a_range_over_several_entries_fills_the_gaps_between_them() {
        assert_eq!(
            map(&[
                (10, 20, Usable),
                (30, 40, Reserved),
                (50, 60, Usable),
                (0, 70, Usable)
            ]),
            [(0, 30, Usable), (30, 40, Reserved), (40, 70, Usable)]
        );
    }

    #[test]
    fn empty_and_inverted_ranges_add_nothing() {
        assert_eq!(map(&[(5, 5, Usable), (9, 3, Reserved)]), []);
    }

    #[test]
    fn a_full_map_never_turns_reserved_memory_usable() {
        let mut map = MemoryMap::new();
        for n in 0..MAX_ENTRIES as u64 {
            map.add(n * 10, n * 10 + 5, Usable).unwrap();
        }
        assert_eq!(map.add(1, 2, Reserved), Err(MapFull));
        assert!(
            map.entries()
                .iter()
                .all(|entry| entry.kind != Usable || entry.end <= 1 || entry.start >= 2)
        );
        assert!(
            map.entries()
                .windows(2)
                .all(|pair| pair[0].end <= pair[1].start)
        );
    }

    #[test]
    fn random_maps_agree_with_a_byte_by_byte_model() {
        let mut seed = 0x1234_5678_9abc_def1u64;
        let mut next = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for _ in 0..500 {
            let mut map = MemoryMap::new();
            let mut model = [None; 64];
            for _ in 0..12 {
                let (start, len) = (next(60), next(20));
                let kind = MemoryKind::from_raw(1 + next(5) as u32);
                map.add(start, (start + len).min(64), kind).unwrap();
                for cell in &mut model[start as usize..(start + len).min(64) as usize] {
                    *cell = (*cell).max(Some(kind));
                }
            }
            for (at, cell) in model.iter().enumerate() {
                let found = map
                    .entries()
                    .iter()
                    .find(|entry| entry.start <= at as u64 && (at as u64) < entry.end)
                    .map(|entry| entry.kind);
                assert_eq!(found, *cell);
            }
            let entries = map.entries();
            assert!(entries.iter().all(|entry| entry.start < entry.end));
            assert!(entries.windows(2).all(|pair| pair[0].end < pair[1].start
                || (pair[0].end == pair[1].start && pair[0].kind != pair[1].kind)));
        }
    }
}
