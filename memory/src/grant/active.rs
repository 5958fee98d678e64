//! Active entries: what the hypervisor remembers of a grant while it is used.
//!
//! Keeps true: pins never wrap in either direction (I42); all four counts are looked at before a mark goes (I55).

use xenocryst_abi::{DomId, Mfn};

/// A way to use a grant, each with a count of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// By the CPU, writing.
    HostWrite,
    /// By the CPU, reading.
    HostRead,
    /// By devices, writing.
    DeviceWrite,
    /// By devices, reading.
    DeviceRead,
}

impl Use {
    pub(super) const fn host(write: bool) -> Self {
        if write {
            Self::HostWrite
        } else {
            Self::HostRead
        }
    }
    pub(super) const fn device(write: bool) -> Self {
        if write {
            Self::DeviceWrite
        } else {
            Self::DeviceRead
        }
    }
}

/// Most uses of a kind, as in Xen.
pub(super) const MOST_PINS: u8 = 128;

/// The four counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Pins([u8; 4]);

impl Pins {
    /// Of these counts, in the order of [`Use`].
    pub(super) const fn of(counts: [u8; 4]) -> Self {
        Self(counts)
    }
    #[cfg(any(test, feature = "sim"))]
    pub(super) const fn counts(self) -> [u8; 4] {
        self.0
    }
    pub(super) fn count(self, of: Use) -> u8 {
        self.0[of as usize]
    }
    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }
    pub(super) fn has_writer(self) -> bool {
        self.count(Use::HostWrite) != 0 || self.count(Use::DeviceWrite) != 0
    }
    /// Uses by the CPU.
    #[cfg(test)]
    pub(super) fn host_count(self) -> usize {
        usize::from(self.count(Use::HostWrite)) + usize::from(self.count(Use::HostRead))
    }
    /// With one more; `None` at the limit.
    pub(super) fn with(mut self, one: Use) -> Option<Self> {
        let count = &mut self.0[one as usize];
        if *count >= MOST_PINS {
            return None;
        }
        *count += 1;
        Some(self)
    }
    /// With one less.
    pub(super) fn without(mut self, one: Use) -> Self {
        let count = &mut self.0[one as usize];
        assert!(*count != 0, "accounting error: a grant was unpinned twice");
        *count -= 1;
        self
    }
}

/// An active entry. Without pins, the rest means nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Active {
    pub(super) pins: Pins,
    /// Who uses it.
    pub(super) user: DomId,
    pub(super) frame: Mfn,
    /// First byte granted.
    pub(super) start: u16,
    /// Bytes granted.
    pub(super) length: u16,
    /// Whether only part of the page is granted.
    pub(super) is_part: bool,
}

impl Active {
    /// As stored: pins, user, start; frame, length, part.
    pub(super) fn pack(&self) -> [u64; 2] {
        let pins = u64::from(u32::from_le_bytes(self.pins.0));
        [
            pins | u64::from(self.user.0) << 32 | u64::from(self.start) << 48,
            self.frame.raw() & 0xffff_ffff
                | u64::from(self.length) << 32
                | u64::from(self.is_part) << 48,
        ]
    }

    pub(super) fn unpack(pair: [u64; 2]) -> Self {
        let [a, b] = pair;
        Self {
            pins: Pins((a as u32).to_le_bytes()),
            user: DomId((a >> 32) as u16),
            start: (a >> 48) as u16,
            frame: Mfn::new(b & 0xffff_ffff),
            length: (b >> 32) as u16,
            is_part: b >> 48 & 1 != 0,
        }
    }
}
