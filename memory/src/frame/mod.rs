//! One machine frame's state: 16 bytes, two atomic words.
//!
//! The first word (`OwnerWord`) says who owns the frame and how many references there are; the second (`TypeWord`)
//! what the frame is used as, and how often. Bits are known to `word.rs` alone. The operations here are single
//! atomic steps; everything that needs more than one step is in `ptype`, `allocator` and `reservation`.

#[cfg(test)]
mod tests;
mod word;

use core::sync::atomic::{AtomicU64, Ordering};
use xenocryst_abi::DomId;

pub use word::{FrameType, Level};
pub(crate) use word::{HYPERVISOR, OwnerTag, OwnerWord, TypeWord};

/// A place where another CPU may come in between, for the tests of interleavings.
#[cfg(test)]
use crate::interleave::point;
#[cfg(not(test))]
#[inline(always)]
fn point() {}

/// The state of one machine frame. All-zero bytes are the state of a frame that is no RAM (hole or I/O).
#[derive(Debug, Default)]
#[repr(C)]
pub struct Frame {
    owner: AtomicU64,
    kind: AtomicU64,
}

/// A snapshot of a frame, for messages, audits and `getpageframeinfo`-like queries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameInfo {
    /// Whether the frame is RAM under the engine's care.
    pub is_ram: bool,
    /// Whether it is on the free list.
    pub is_free: bool,
    /// The owner; `None` for frames that are free, no RAM, or the hypervisor's.
    pub owner: Option<DomId>,
    /// All references.
    pub general_count: u32,
    /// Whether the hypervisor holds it for itself.
    pub is_hypervisors: bool,
    /// Whether the owner's allocation is one of them.
    pub allocated: bool,
    /// Whether the hypervisor shares this frame with its owner.
    pub special: bool,
    /// The present type (at count 0: the last one).
    pub frame_type: FrameType,
    /// Uses of that type.
    pub type_count: u32,
    /// Whether the owner pinned it.
    pub pinned: bool,
    /// Whether it is validated (tables and descriptors) or simply in use (other types).
    pub validated: bool,
    /// For a table in the middle of validation: entries below this one hold references.
    pub partial: Option<u16>,
    /// Linear entries it holds (positive) or linear uses made of it (negative).
    pub linear: i16,
}

impl Frame {
    /// A frame that is no RAM.
    pub const fn new() -> Self {
        Self {
            owner: AtomicU64::new(0),
            kind: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn owner_word(&self) -> OwnerWord {
        point();
        OwnerWord(self.owner.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn type_word(&self) -> TypeWord {
        point();
        TypeWord(self.kind.load(Ordering::Acquire))
    }

    /// Stores the owner word: only for frames that nobody else can reach (free, or being made).
    #[inline]
    pub(crate) fn set_owner_word(&self, word: OwnerWord) {
        point();
        self.owner.store(word.0, Ordering::Release);
    }

    /// Stores the type word: only for frames that nobody else can reach.
    #[inline]
    pub(crate) fn set_type_word(&self, word: TypeWord) {
        point();
        self.kind.store(word.0, Ordering::Release);
    }

    /// The second word as plain storage: the free list keeps its links there while the frame is free.
    #[inline]
    pub(crate) fn link_word(&self) -> &AtomicU64 {
        &self.kind
    }

    #[inline]
    pub(crate) fn exchange_owner(&self, old: OwnerWord, new: OwnerWord) -> Result<(), OwnerWord> {
        point();
        self.owner
            .compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(OwnerWord)
    }

    #[inline]
    pub(crate) fn exchange_type(&self, old: TypeWord, new: TypeWord) -> Result<(), TypeWord> {
        point();
        self.kind
            .compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(TypeWord)
    }

    /// Takes a general reference for a frame of `owner`. `false` if it is another's, is free, or is saturated.
    #[inline(always)]
    pub(crate) fn get(&self, owner: OwnerTag) -> bool {
        let word = self.owner_word();
        match word.one_more(owner) {
            Some(more) => self.exchange_owner(word, more).is_ok() || self.get_slowly(owner),
            None => false,
        }
    }

    /// As [`Frame::get`], once another CPU was met.
    #[cold]
    #[inline(never)]
    fn get_slowly(&self, owner: OwnerTag) -> bool {
        let mut word = self.owner_word();
        loop {
            let Some(more) = word.one_more(owner) else {
                return false;
            };
            match self.exchange_owner(word, more) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Gives a general reference back. Returns the state before when that was the last one: the caller must free it.
    #[inline(always)]
    pub(crate) fn put(&self) -> Option<OwnerWord> {
        point();
        let before = OwnerWord(self.owner.fetch_sub(1, Ordering::AcqRel));
        assert!(
            before.count() != 0,
            "accounting error: a general reference was given back that nobody held"
        );
        (before.count() == 1).then_some(before)
    }

    /// Changes the two counts without anybody's taking or giving anything: for tests near the end of the counters.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn add_weight(&self, general: i64, typed: i64) {
        self.owner.fetch_add(general as u64, Ordering::AcqRel);
        self.kind.fetch_add(typed as u64, Ordering::AcqRel);
    }

    /// A snapshot.
    pub(crate) fn info(&self) -> FrameInfo {
        let owner = self.owner_word();
        if !owner.is_ram() || owner.is_free() {
            return FrameInfo {
                is_ram: owner.is_ram(),
                is_free: owner.is_free(),
                ..FrameInfo::default()
            };
        }
        let kind = self.type_word();
        FrameInfo {
            is_ram: true,
            is_free: false,
            owner: (owner.count() != 0 && owner.owner() != HYPERVISOR).then(|| owner.owner()),
            is_hypervisors: owner.count() != 0 && owner.owner() == HYPERVISOR,
            general_count: owner.count(),
            allocated: owner.is_allocated(),
            special: owner.is_special(),
            frame_type: kind.frame_type(),
            type_count: kind.count(),
            pinned: kind.is_pinned(),
            validated: kind.is_validated(),
            partial: kind.partial().map(|cursor| cursor as u16),
            linear: kind.linear(),
        }
    }
}
