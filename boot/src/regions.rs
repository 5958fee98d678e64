//! A set of physical address ranges, kept sorted and disjoint: the machine's RAM, and what is still free of it.
//!
//! Keeps true: ranges are half-open, never empty, never overlap or touch, and ascend. The capacity is fixed, as the set is
//! used before there is a heap; a firmware map that needs more is refused, range by range, without damage to the rest.
//! Neighbours: the hypervisor's `mm`, which fills it from the firmware's memory map and takes its first memory from it.

/// The most ranges a set holds.
pub const MAX_REGIONS: usize = 128;

/// Addresses from `start` up to and not including `end`, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
}

impl Region {
    /// Bytes in it.
    pub const fn bytes(self) -> u64 {
        self.end - self.start
    }
}

/// Which end of memory to take from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The lowest addresses.
    Low,
    /// The highest addresses.
    High,
}

/// The set is full: the range was left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// A set of ranges.
#[derive(Clone)]
pub struct Regions {
    ranges: [Region; MAX_REGIONS],
    len: usize,
}

impl Default for Regions {
    fn default() -> Self {
        Self::new()
    }
}

impl Regions {
    /// The empty set.
    pub const fn new() -> Self {
        Self {
            ranges: [Region { start: 0, end: 0 }; MAX_REGIONS],
            len: 0,
        }
    }

    /// The ranges, ascending.
    pub fn as_slice(&self) -> &[Region] {
        self.ranges.get(..self.len).unwrap_or(&[])
    }

    /// Bytes in all ranges together.
    pub fn total(&self) -> u64 {
        self.as_slice()
            .iter()
            .fold(0, |sum, region| sum + region.bytes())
    }

    /// The first address after the highest range; 0 for the empty set.
    pub fn top(&self) -> u64 {
        self.as_slice().last().map_or(0, |region| region.end)
    }

    /// Whether every address of `start..end` is in the set.
    pub fn contains(&self, start: u64, end: u64) -> bool {
        self.as_slice()
            .iter()
            .any(|region| region.start <= start && end <= region.end)
    }

    /// Adds `start..end`, joining it with what it overlaps or touches. Empty or inverted ranges add nothing.
    ///
    /// # Errors
    /// [`Full`] when no slot is left; the set is then unchanged.
    pub fn add(&mut self, start: u64, end: u64) -> Result<(), Full> {
        if start >= end {
            return Ok(());
        }
        let first = self
            .as_slice()
            .iter()
            .position(|region| region.end >= start)
            .unwrap_or(self.len);
        let after = self
            .as_slice()
            .iter()
            .position(|region| region.start > end)
            .unwrap_or(self.len);
        let mut joined = Region { start, end };
        for region in self.ranges.get(first..after).unwrap_or(&[]) {
            joined.start = joined.start.min(region.start);
            joined.end = joined.end.max(region.end);
        }
        self.replace(first, after, &[joined])
    }

    /// Takes `start..end` out.
    ///
    /// # Errors
    /// [`Full`] when a range would have to be split and no slot is left; the set is then unchanged.
    pub fn remove(&mut self, start: u64, end: u64) -> Result<(), Full> {
        if start >= end {
            return Ok(());
        }
        let first = self
            .as_slice()
            .iter()
            .position(|region| region.end > start)
            .unwrap_or(self.len);
        let after = self
            .as_slice()
            .iter()
            .position(|region| region.start >= end)
            .unwrap_or(self.len);
        let Some((head, tail)) = self
            .ranges
            .get(first..after)
            .and_then(|cut| Some((cut.first()?, cut.last()?)))
        else {
            return Ok(());
        };
        let below = Region {
            start: head.start,
            end: start,
        };
        let above = Region {
            start: end,
            end: tail.end,
        };
        match (below.start < below.end, above.start < above.end) {
            (true, true) => self.replace(first, after, &[below, above]),
            (true, false) => self.replace(first, after, &[below]),
            (false, true) => self.replace(first, after, &[above]),
            (false, false) => self.replace(first, after, &[]),
        }
    }

    /// Takes `bytes` bytes out, at a multiple of `align` (a power of two) and wholly below `limit`, and returns where they
    /// start. `None` when no range has that much, or when the set is full.
    pub fn take(&mut self, bytes: u64, align: u64, limit: u64, side: Side) -> Option<u64> {
        let place = |region: &Region| {
            let end = region.end.min(limit);
            let start = match side {
                Side::Low => region.start.checked_next_multiple_of(align)?,
                Side::High => end.checked_sub(bytes)? & !(align - 1),
            };
            (start >= region.start && start.checked_add(bytes)? <= end).then_some(start)
        };
        let start = match side {
            Side::Low => self.as_slice().iter().find_map(place),
            Side::High => self.as_slice().iter().rev().find_map(place),
        }?;
        self.remove(start, start + bytes).ok()?;
        Some(start)
    }

    /// Puts `with` (at most two) in the place of the ranges `first..after`.
    fn replace(&mut self, first: usize, after: usize, with: &[Region]) -> Result<(), Full> {
        let len = self.len - (after - first) + with.len();
        if len > MAX_REGIONS {
            return Err(Full);
        }
        self.ranges.copy_within(after..self.len, first + with.len());
        for (slot, region) in self.ranges.iter_mut().skip(first).zip(with) {
            *slot = *region;
        }
        self.len = len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u64, u64)]) -> Regions {
        let mut set = Regions::new();
        for &(start, end) in ranges {
            set.add(start, end).unwrap();
        }
        set
    }

    fn list(set: &Regions) -> std::vec::Vec<(u64, u64)> {
        set.as_slice()
            .iter()
            .map(|region| (region.start, region.end))
            .collect()
    }

    #[test]
    fn ranges_come_out_sorted_and_touching_ones_joined() {
        assert_eq!(
            list(&set(&[(40, 50), (0, 10), (20, 30), (10, 20)])),
            [(0, 30), (40, 50)]
        );
        assert_eq!(
            list(&set(&[(0, 10), (20, 30), (40, 50), (5, 45)])),
            [(0, 50)]
        );
    }

    #[test]
    fn empty_and_inverted_ranges_add_nothing() {
        assert_eq!(list(&set(&[(5, 5), (9, 3)])), []);
    }

    #[test]
    fn removing_splits_trims_and_deletes() {
        let mut ranges = set(&[(0, 100), (200, 300), (400, 500)]);
        ranges.remove(40, 60).unwrap();
        assert_eq!(list(&ranges), [(0, 40), (60, 100), (200, 300), (400, 500)]);
        ranges.remove(90, 450).unwrap();
        assert_eq!(list(&ranges), [(0, 40), (60, 90), (450, 500)]);
        ranges.remove(100, 440).unwrap();
        assert_eq!(list(&ranges), [(0, 40), (60, 90), (450, 500)]);
    }

    #[test]
    fn taking_honours_alignment_limit_and_side() {
        let mut ranges = set(&[(0x1000, 0x9000), (0x10000, 0x20000)]);
        assert_eq!(
            ranges.take(0x1000, 0x4000, u64::MAX, Side::Low),
            Some(0x4000)
        );
        assert_eq!(
            ranges.take(0x1000, 0x1000, 0x9000, Side::High),
            Some(0x8000)
        );
        assert_eq!(
            ranges.take(0x4000, 0x4000, u64::MAX, Side::High),
            Some(0x1c000)
        );
        assert_eq!(ranges.take(0x20000, 0x1000, u64::MAX, Side::Low), None);
        assert_eq!(ranges.take(0x1000, 0x1000, 0x1800, Side::Low), None);
    }

    #[test]
    fn a_full_set_refuses_and_stays_as_it_was() {
        let mut ranges = Regions::new();
        for n in 0..MAX_REGIONS as u64 {
            ranges.add(n * 10, n * 10 + 4).unwrap();
        }
        assert_eq!(ranges.add(5, 6), Err(Full));
        assert_eq!(ranges.remove(1, 2), Err(Full));
        assert_eq!(ranges.as_slice().len(), MAX_REGIONS);
        assert_eq!(ranges.total(), 4 * MAX_REGIONS as u64);
        ranges.add(0, 5000).unwrap();
        assert_eq!(list(&ranges), [(0, 5000)]);
    }
}
