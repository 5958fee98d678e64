//! The ring of past output, read by position so that a reader can page through it and come back for more.
//!
//! Keeps true: positions count every byte ever written, modulo 2^32, as `XEN_SYSCTL_readconsole`'s index does; the ring
//! holds the last `capacity` of them.

/// Bytes held before there is a heap.
const EARLY_BYTES: usize = 16 * 1024;

/// Where a read ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingRead {
    /// Bytes copied.
    pub count: usize,
    /// The position after the last of them, from which to read on.
    pub next: u32,
}

/// Past output.
pub(super) struct Ring {
    early: [u8; EARLY_BYTES],
    /// The buffer in use once there is a heap; its length is a power of two.
    large: Option<&'static mut [u8]>,
    /// Bytes ever written, modulo 2^32.
    produced: u32,
    /// The position up to which the output was cleared.
    cleared: u32,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            early: [0; EARLY_BYTES],
            large: None,
            produced: 0,
            cleared: 0,
        }
    }

    fn buffer(&mut self) -> &mut [u8] {
        match &mut self.large {
            Some(large) => large,
            None => &mut self.early,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        let mut at = self.produced;
        let buffer = self.buffer();
        let mask = buffer.len() - 1;
        for &byte in bytes {
            if let Some(slot) = buffer.get_mut(at as usize & mask) {
                *slot = byte;
            }
            at = at.wrapping_add(1);
        }
        self.produced = at;
        if self.produced.wrapping_sub(self.cleared) as usize > mask + 1 {
            self.cleared = self.produced.wrapping_sub(mask as u32 + 1);
        }
    }

    /// Copies output from `from` (or from where it was cleared) to `to`. A position that is no longer held, or not yet
    /// written, counts as the oldest held.
    pub(super) fn read(&mut self, from: Option<u32>, to: &mut [u8]) -> RingRead {
        let (produced, cleared) = (self.produced, self.cleared);
        let buffer = self.buffer();
        let mask = buffer.len() - 1;
        let mut at = from.unwrap_or(cleared);
        if produced.wrapping_sub(at) as usize > buffer.len() {
            at = produced.wrapping_sub(buffer.len() as u32);
        }
        let mut count = 0;
        while at != produced
            && let Some(slot) = to.get_mut(count)
        {
            *slot = buffer.get(at as usize & mask).copied().unwrap_or(0);
            at = at.wrapping_add(1);
            count += 1;
        }
        RingRead { count, next: at }
    }

    pub(super) fn clear(&mut self) {
        self.cleared = self.produced;
    }

    /// Moves to a buffer of at least `bytes` bytes from the heap; stays where it is if that is not larger or not to be had.
    pub(super) fn resize(&mut self, bytes: u64) {
        let bytes = bytes
            .clamp(EARLY_BYTES as u64, 64 << 20)
            .next_power_of_two() as usize;
        if bytes <= self.buffer().len() {
            return;
        }
        let mut buffer = alloc::vec::Vec::new();
        if buffer.try_reserve_exact(bytes).is_err() {
            return;
        }
        buffer.resize(bytes, 0);
        let held = self.buffer().len() as u32;
        let produced = self.produced;
        for back in 1..=held.min(produced) {
            let at = produced.wrapping_sub(back) as usize;
            let byte = self.early.get(at & (EARLY_BYTES - 1)).copied().unwrap_or(0);
            if let Some(slot) = buffer.get_mut(at & (bytes - 1)) {
                *slot = byte;
            }
        }
        self.large = Some(buffer.leak());
    }
}
