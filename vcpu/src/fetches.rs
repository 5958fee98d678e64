//! What was read of a guest's memory for one request: no byte of it may be read a second time, since the guest may have
//! changed it after it was checked (I47).
//!
//! Keeps true: the last [`REMEMBERED`] readings are known; older ones are forgotten, not mixed up.
//! Neighbours: `hypervisor::arch::guest_access` asks here in builds with debug assertions.

/// Readings that are remembered.
pub const REMEMBERED: usize = 32;

/// The readings of one request.
#[derive(Clone, Debug)]
pub struct Fetches {
    /// First address and first address behind.
    seen: [(u64, u64); REMEMBERED],
    next: usize,
}

impl Default for Fetches {
    fn default() -> Self {
        Self::new()
    }
}

impl Fetches {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            seen: [(0, 0); REMEMBERED],
            next: 0,
        }
    }

    /// Another request begins.
    pub fn begin(&mut self) {
        *self = Self::new();
    }

    /// `bytes` bytes at `at`, which do not wrap, are read. False if any of them was read before.
    #[must_use]
    pub fn read(&mut self, at: u64, bytes: u64) -> bool {
        let end = at.saturating_add(bytes);
        let first_time = self
            .seen
            .iter()
            .all(|(begin, stop)| end <= *begin || at >= *stop);
        if let Some(slot) = self.seen.get_mut(self.next) {
            *slot = (at, end);
        }
        self.next = (self.next + 1) % REMEMBERED;
        first_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_read_again_is_found_wherever_it_lies() {
        let mut fetches = Fetches::new();
        assert!(fetches.read(0x1000, 16));
        assert!(fetches.read(0x1010, 8), "what follows is new");
        assert!(fetches.read(0xff8, 8), "what goes before is new");
        for (at, bytes) in [(0x1000, 16), (0x1008, 1), (0xfff, 2), (0x1017, 100)] {
            assert!(!fetches.read(at, bytes), "{at:x}, {bytes}");
        }
    }

    #[test]
    fn another_request_may_read_the_same() {
        let mut fetches = Fetches::new();
        assert!(fetches.read(8, 8));
        fetches.begin();
        assert!(fetches.read(8, 8));
    }

    #[test]
    fn a_long_list_is_forgotten_from_its_beginning() {
        let mut fetches = Fetches::new();
        for index in 0..1 + REMEMBERED as u64 {
            assert!(fetches.read(index * 8, 8));
        }
        assert!(fetches.read(0, 8));
        assert!(!fetches.read(8 * REMEMBERED as u64, 8));
    }
}
