//! The kinds of number that name memory, one newtype each, so that none is taken for another.
//!
//! Keeps true: no arithmetic operators. Every computation is a named method that says what happens at the edge.
//! The names are the field's (`xen/include/public/memory.h`, "mfn", "pfn", "gfn").

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Base-2 logarithm of the page size (`public/arch-x86/xen.h`: pages are 4 KiB).
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a raw number. Total: any value is allowed, validity is the user's business.
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The raw number.
            pub const fn raw(self) -> u64 {
                self.0
            }

            /// This number plus `n`, or `None` on overflow.
            pub const fn checked_add(self, n: u64) -> Option<Self> {
                match self.0.checked_add(n) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// This number plus `n`, modulo 2^64.
            pub const fn wrapping_add(self, n: u64) -> Self {
                Self(self.0.wrapping_add(n))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

number!(
    /// A machine frame number: one 4 KiB frame of the host's memory, the same number everywhere.
    Mfn
);
number!(
    /// A pseudo-physical frame number: one domain's own numbering, contiguous from 0.
    Pfn
);
number!(
    /// A guest frame number: what a guest takes for a frame number (a PFN if translated, else an MFN).
    Gfn
);
number!(
    /// A machine address in bytes.
    Maddr
);
number!(
    /// A virtual (linear) address in bytes.
    Vaddr
);

impl Mfn {
    /// The number that names no frame (`INVALID_MFN`).
    pub const INVALID: Self = Self(u64::MAX);

    /// The address of the frame's first byte. Bits shifted out at the top are lost: check the number first.
    pub const fn maddr(self) -> Maddr {
        Maddr(self.0 << PAGE_SHIFT)
    }
}

impl Maddr {
    /// The frame this address lies in.
    pub const fn mfn(self) -> Mfn {
        Mfn(self.0 >> PAGE_SHIFT)
    }

    /// The offset in bytes inside the frame.
    pub const fn offset(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }
}

impl Vaddr {
    /// Whether bits 63:47 are all equal (48-bit linear addresses).
    pub const fn is_canonical(self) -> bool {
        let top = (self.0 as i64) >> 47;
        top == 0 || top == -1
    }

    /// The index into the table of `level` (1 to 4) that translates this address.
    pub const fn index(self, level: u8) -> usize {
        ((self.0 >> (PAGE_SHIFT + 9 * (level as u32 - 1))) & 0x1ff) as usize
    }
}
