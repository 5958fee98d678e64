//! The two state words, bit by bit. Nothing outside this file knows a bit position.
//!
//! # Owner word
//!
//! | bits | meaning |
//! |---|---|
//! | 0..=31 | general reference count |
//! | 32..=47 | owner |
//! | 48 | allocated: one reference stands for the owner's allocation |
//! | 49 | special: shared by the hypervisor with its owner (shared info, grant frames, ...) |
//! | 50 | free: on the free list; if it heads a block (56), its order is in 51..=55, and if CPUs may know it (57), the TLB clock since when in 0..=31 |
//! | 63 | RAM: clear for holes and I/O, whose word is all zero |
//!
//! # Type word
//!
//! | state | bits |
//! |---|---|
//! | idle | count 0; type = the last type, 30 bits of TLB clock at 34 say when the last use ended |
//! | live | validated; count in 0..=27; pinned; linear counter (signed) in 48..=63 |
//! | partial | partial; the count is 1 by rule; cursor in 34..=43: entries below it hold references; linear in 48..=63 |
//!
//! A partial table belongs to nobody: the bit itself owns one general and one type reference.
//!
//! | from | event | to |
//! |---|---|---|
//! | idle(T, t) | use as T, T needs no validation | live(T, 1) |
//! | idle(S, t) | use as T | as above, or partial(T, 0); then flush what may be stale from S since t |
//! | partial(T, n) | entry n validated, or given back | partial(T, n±1) |
//! | partial(T, 512) | all entries hold references | live(T, 1) |
//! | partial(T, 0) | abandoned | idle(T, now) |
//! | live(T, n) | use as T | live(T, n+1) |
//! | live(T, n>1) | use ends | live(T, n-1) |
//! | live(T, 1) | use ends, T has nothing to give back | idle(T, now) |
//! | live(T, 1) | use ends, T is a table | partial(T, 512) |

use crate::machine::CLOCK_BITS;
use xenocryst_abi::DomId;

/// The level of a page table, 1 to 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// Maps 4 KiB pages.
    L1 = 1,
    /// Names L1 tables.
    L2 = 2,
    /// Names L2 tables.
    L3 = 3,
    /// The root: names L3 tables.
    L4 = 4,
}

impl Level {
    /// The level of the tables that entries of this level name.
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::L1 => None,
            Self::L2 => Some(Self::L1),
            Self::L3 => Some(Self::L2),
            Self::L4 => Some(Self::L3),
        }
    }
}

impl core::fmt::Display for Level {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "L{}", *self as u8)
    }
}

/// What a frame is used as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FrameType {
    /// Never used as anything that counts since its owner got it.
    #[default]
    None,
    /// Writable by a guest.
    Writable,
    /// A page table.
    Table(Level),
    /// GDT or LDT contents.
    Descriptors,
    /// Shared copy-on-write; nothing makes such frames yet.
    Shared,
}

impl core::fmt::Display for FrameType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::None => f.write_str("untyped"),
            Self::Writable => f.write_str("writable"),
            Self::Table(level) => write!(f, "{level} table"),
            Self::Descriptors => f.write_str("descriptor page"),
            Self::Shared => f.write_str("shared"),
        }
    }
}

/// The bits that all frames of one owner have in common: comparing them is one instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OwnerTag(u64);

impl OwnerTag {
    pub(crate) const fn of(owner: DomId) -> Self {
        Self(RAM | (owner.0 as u64) << OWNER_SHIFT)
    }
}

/// The owner of frames that the hypervisor holds for itself. No domain has this number, nor `DOMID_XEN`, which names
/// frames that the hypervisor lets privileged domains map: so no request can take a reference on such a frame (I3).
pub(crate) const HYPERVISOR: DomId = DomId(0xfffe);

/// The first word of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OwnerWord(pub(super) u64);

const OWNER_SHIFT: u32 = 32;
const ALLOCATED: u64 = 1 << 48;
const SPECIAL: u64 = 1 << 49;
const FREE: u64 = 1 << 50;
const ORDER_SHIFT: u32 = 51;
const HEAD: u64 = 1 << 56;
const STALE: u64 = 1 << 57;
const RAM: u64 = 1 << 63;
const COUNT: u64 = 0xffff_ffff;
/// Bits that say whose frame this is: equal for every frame of one owner.
const WHOSE: u64 = RAM | FREE | (0xffff << OWNER_SHIFT);

impl OwnerWord {
    /// RAM that belongs to nobody for a moment: just taken from the free list, or from a domain.
    pub(crate) const UNOWNED: Self = Self(RAM | (0xffff << OWNER_SHIFT));
    /// A frame that the hypervisor holds for itself.
    pub(crate) const HELD: Self = Self::given_to(HYPERVISOR, false);
    /// A frame in the middle of a free block.
    pub(crate) const FREE_BODY: Self = Self(RAM | FREE);

    /// The head of a free block of 2^`order` frames, which CPUs may know since TLB clock `stale_since`.
    pub(crate) const fn free_head(order: u8, stale_since: Option<u32>) -> Self {
        let stale = match stale_since {
            Some(clock) => STALE | clock as u64,
            None => 0,
        };
        Self(RAM | FREE | HEAD | ((order as u64 & 31) << ORDER_SHIFT) | stale)
    }

    /// The TLB clock since which CPUs may know this free block.
    pub(crate) const fn stale_since(self) -> Option<u32> {
        if self.0 & STALE != 0 {
            Some((self.0 & COUNT) as u32)
        } else {
            None
        }
    }

    /// A frame given to `owner`: allocated, and held by nothing but that.
    pub(crate) const fn given_to(owner: DomId, special: bool) -> Self {
        Self(
            RAM | ALLOCATED
                | if special { SPECIAL } else { 0 }
                | ((owner.0 as u64) << OWNER_SHIFT)
                | 1,
        )
    }

    pub(crate) const fn is_ram(self) -> bool {
        self.0 & RAM != 0
    }
    pub(crate) const fn is_free(self) -> bool {
        self.0 & FREE != 0
    }
    pub(crate) const fn is_special(self) -> bool {
        self.0 & SPECIAL != 0
    }
    pub(crate) const fn is_allocated(self) -> bool {
        self.0 & ALLOCATED != 0
    }
    pub(crate) const fn count(self) -> u32 {
        (self.0 & COUNT) as u32
    }
    pub(crate) const fn owner(self) -> DomId {
        DomId((self.0 >> OWNER_SHIFT) as u16)
    }
    /// The order of the free block that this frame heads.
    pub(crate) const fn free_order(self) -> Option<u8> {
        if self.0 & (FREE | HEAD) == FREE | HEAD {
            Some((self.0 >> ORDER_SHIFT & 31) as u8)
        } else {
            None
        }
    }

    /// Whether the frame is in use and belongs to `owner`.
    #[inline]
    pub(crate) const fn belongs_to(self, owner: OwnerTag) -> bool {
        self.0 & WHOSE == owner.0 && self.0 & COUNT != 0
    }

    /// Whose frame this is, to be compared with others.
    pub(crate) const fn whose(self) -> OwnerTag {
        OwnerTag(self.0 & WHOSE)
    }

    /// With one more reference: refused for a frame of another, at count 0, and at the two highest counts.
    #[inline]
    pub(crate) const fn one_more(self, owner: OwnerTag) -> Option<Self> {
        let in_range = (self.0 as u32).wrapping_sub(1) < u32::MAX - 2;
        if self.0 & WHOSE == owner.0 && in_range {
            Some(Self(self.0 + 1))
        } else {
            None
        }
    }

    /// Without the allocation and its reference; `None` if it isn't allocated.
    pub(crate) const fn deallocated(self) -> Option<Self> {
        if self.0 & ALLOCATED == 0 {
            None
        } else {
            Some(Self((self.0 & !ALLOCATED) - 1))
        }
    }
}

/// The second word of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TypeWord(pub(super) u64);

const T_COUNT: u64 = (1 << 28) - 1;
const T_TYPE_SHIFT: u32 = 28;
const T_TYPE: u64 = 7 << T_TYPE_SHIFT;
const T_PINNED: u64 = 1 << 31;
const T_VALIDATED: u64 = 1 << 32;
const T_PARTIAL: u64 = 1 << 33;
const T_CURSOR_SHIFT: u32 = 34;
const T_CURSOR: u64 = 0x3ff << T_CURSOR_SHIFT;
const T_STAMP_SHIFT: u32 = 34;
const T_LINEAR_SHIFT: u32 = 48;
const T_LINEAR: u64 = 0xffff << T_LINEAR_SHIFT;
const _: () = assert!(T_STAMP_SHIFT + CLOCK_BITS == 64);

const fn type_bits(t: FrameType) -> u64 {
    (match t {
        FrameType::None => 0,
        FrameType::Writable => 1,
        FrameType::Table(level) => 1 + level as u64,
        FrameType::Descriptors => 6,
        FrameType::Shared => 7,
    }) << T_TYPE_SHIFT
}

impl TypeWord {
    /// Never used.
    pub(crate) const NONE: Self = Self(0);
    /// About to be writable: flushed by whoever takes its first use, and waited for by others.
    pub(crate) const BECOMING_WRITABLE: Self =
        Self::started(FrameType::Writable).with_cursor(Self::BUSY);
    /// The cursor of a table that the holder of the page-table lock is working on right now.
    pub(crate) const BUSY: usize = 0x3ff;

    /// In use once as `t`, which needs no validation.
    pub(crate) const fn live_once(t: FrameType) -> Self {
        Self(type_bits(t) | T_VALIDATED | 1)
    }
    /// Validation of a table of this type is under way: entries below `cursor` hold references.
    pub(crate) const fn started(t: FrameType) -> Self {
        Self(type_bits(t) | T_PARTIAL | 1)
    }

    pub(crate) const fn frame_type(self) -> FrameType {
        match (self.0 & T_TYPE) >> T_TYPE_SHIFT {
            0 => FrameType::None,
            1 => FrameType::Writable,
            2 => FrameType::Table(Level::L1),
            3 => FrameType::Table(Level::L2),
            4 => FrameType::Table(Level::L3),
            5 => FrameType::Table(Level::L4),
            6 => FrameType::Descriptors,
            _ => FrameType::Shared,
        }
    }
    #[inline]
    pub(crate) const fn count(self) -> u32 {
        (self.0 & T_COUNT) as u32
    }
    pub(crate) const fn is_pinned(self) -> bool {
        self.0 & T_PINNED != 0
    }
    pub(crate) const fn is_validated(self) -> bool {
        self.0 & T_VALIDATED != 0
    }
    #[inline]
    pub(crate) const fn is_idle(self) -> bool {
        self.0 & (T_VALIDATED | T_PARTIAL) == 0
    }
    /// The cursor, if partial.
    pub(crate) const fn partial(self) -> Option<usize> {
        if self.0 & T_PARTIAL != 0 {
            Some(((self.0 & T_CURSOR) >> T_CURSOR_SHIFT) as usize)
        } else {
            None
        }
    }
    /// Whether this is a live (validated, used) frame of type `t`.
    #[inline]
    pub(crate) const fn is_live(self, t: FrameType) -> bool {
        self.0 & (T_TYPE | T_VALIDATED) == type_bits(t) | T_VALIDATED
    }
    /// The TLB clock at which the last use ended, if idle.
    pub(crate) const fn stamp(self) -> u32 {
        if self.is_idle() {
            (self.0 >> T_STAMP_SHIFT) as u32
        } else {
            0
        }
    }
    pub(crate) const fn linear(self) -> i16 {
        if self.is_idle() {
            0
        } else {
            (self.0 >> T_LINEAR_SHIFT) as u16 as i16
        }
    }

    /// One more use of a live frame; `None` when saturated.
    #[inline]
    pub(crate) const fn one_more(self) -> Option<Self> {
        if self.0 & T_COUNT == T_COUNT {
            None
        } else {
            Some(Self(self.0 + 1))
        }
    }
    /// One use fewer; the caller has seen a count above 1.
    #[inline]
    pub(crate) const fn one_less(self) -> Self {
        Self(self.0 - 1)
    }
    /// No longer used, at TLB clock `now`.
    #[inline]
    pub(crate) const fn idle(t: FrameType, now: u32) -> Self {
        Self(type_bits(t) | (now as u64) << T_STAMP_SHIFT)
    }
    pub(crate) const fn with_pin(self, pinned: bool) -> Self {
        Self(if pinned {
            self.0 | T_PINNED
        } else {
            self.0 & !T_PINNED
        })
    }
    /// From live with one use, or partial, to partial at `cursor`.
    pub(crate) const fn with_cursor(self, cursor: usize) -> Self {
        Self(
            (self.0 & !(T_VALIDATED | T_CURSOR))
                | T_PARTIAL
                | ((cursor as u64) << T_CURSOR_SHIFT & T_CURSOR),
        )
    }
    /// From partial to live, the partial state's reference becoming the one use.
    pub(crate) const fn validated(self) -> Self {
        Self((self.0 & !(T_PARTIAL | T_CURSOR)) | T_VALIDATED)
    }
    /// With the linear counter moved by `by`; `None` on overflow.
    pub(crate) const fn with_linear_moved(self, by: i16) -> Option<Self> {
        match self.linear().checked_add(by) {
            Some(n) => Some(Self(
                (self.0 & !T_LINEAR) | ((n as u16 as u64) << T_LINEAR_SHIFT),
            )),
            None => None,
        }
    }
}
