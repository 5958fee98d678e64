//! What the engine keeps for each domain.
//!
//! Neighbours: the hypervisor creates one [`DomainMemory`] per domain and keeps it wherever it likes; all of it is
//! shared-access (atomics and two small locks).

use crate::frame::OwnerTag;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use spin::Mutex;
use xenocryst_abi::{DomId, Mfn};

#[cfg(test)]
mod tests;

/// A range of frame numbers, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoRange {
    /// First frame.
    pub first: Mfn,
    /// Last frame.
    pub last: Mfn,
}

impl IoRange {
    fn contains(&self, mfn: Mfn) -> bool {
        self.first <= mfn && mfn <= self.last
    }
}

/// Most ranges an [`IoAccess`] can list.
pub const IO_RANGES: usize = 64;

/// Which I/O frames (frames that are no RAM) a domain may map.
#[derive(Clone, Debug)]
pub struct IoAccess {
    listed_are_permitted: bool,
    ranges: [Option<IoRange>; IO_RANGES],
    read_only: [Option<IoRange>; 8],
}

impl IoAccess {
    /// Nothing is permitted.
    pub const fn none() -> Self {
        Self {
            listed_are_permitted: true,
            ranges: [None; IO_RANGES],
            read_only: [None; 8],
        }
    }

    /// Everything is permitted, less what is denied afterwards (the control domain).
    pub const fn all() -> Self {
        Self {
            listed_are_permitted: false,
            ranges: [None; IO_RANGES],
            read_only: [None; 8],
        }
    }

    /// Permits a range. `false` if the list is full or the range is empty or not representable.
    pub fn permit(&mut self, range: IoRange) -> bool {
        self.change(range, true)
    }

    /// Forbids a range. `false` as for [`IoAccess::permit`].
    pub fn deny(&mut self, range: IoRange) -> bool {
        self.change(range, false)
    }

    /// Makes a range read-only: writable mappings of it silently lose their RW bit, as in Xen. `false` if full.
    pub fn make_read_only(&mut self, range: IoRange) -> bool {
        match self.read_only.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => {
                *slot = Some(range);
                true
            }
            None => false,
        }
    }

    /// Whether `mfn` may be mapped.
    pub fn permits(&self, mfn: Mfn) -> bool {
        self.ranges.iter().flatten().any(|r| r.contains(mfn)) == self.listed_are_permitted
    }

    /// Whether every frame of `range` may be mapped.
    pub fn permits_all(&self, range: IoRange) -> bool {
        if !self.listed_are_permitted {
            let mut denied = self.ranges.iter().flatten();
            return denied.all(|r| r.last < range.first || range.last < r.first);
        }
        // Each frame up to `from` is in some listed range.
        let mut from = range.first;
        loop {
            let Some(within) = self.ranges.iter().flatten().find(|r| r.contains(from)) else {
                return false;
            };
            match within.last.checked_add(1) {
                Some(next) if within.last < range.last => from = next,
                _ => return true,
            }
        }
    }

    /// Whether `mfn` may be mapped read-only at most.
    pub fn is_read_only(&self, mfn: Mfn) -> bool {
        self.read_only.iter().flatten().any(|r| r.contains(mfn))
    }

    /// Whether anything is permitted: such a domain may use cacheability bits and flush caches.
    pub fn permits_something(&self) -> bool {
        !self.listed_are_permitted || self.ranges.iter().any(Option::is_some)
    }

    fn change(&mut self, range: IoRange, permit: bool) -> bool {
        if range.first > range.last {
            return false;
        }
        if permit == self.listed_are_permitted {
            self.list(range)
        } else {
            self.unlist(range)
        }
    }

    fn list(&mut self, range: IoRange) -> bool {
        match self.ranges.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => {
                *slot = Some(range);
                true
            }
            None => false,
        }
    }

    /// Removes `range` from the listed ones, splitting those that straddle it. All or nothing.
    fn unlist(&mut self, range: IoRange) -> bool {
        let mut new = self.clone();
        for i in 0..IO_RANGES {
            let Some(old) = new.ranges[i] else { continue };
            if old.last < range.first || range.last < old.first {
                continue;
            }
            new.ranges[i] = None;
            let left = range
                .first
                .raw()
                .checked_sub(1)
                .map(Mfn::new)
                .filter(|&last| old.first <= last);
            let right = range.last.checked_add(1).filter(|&first| first <= old.last);
            if left.is_some_and(|last| {
                !new.list(IoRange {
                    first: old.first,
                    last,
                })
            }) || right.is_some_and(|first| {
                !new.list(IoRange {
                    first,
                    last: old.last,
                })
            }) {
                return false;
            }
        }
        *self = new;
        true
    }
}

/// State under the page-table lock.
pub(crate) struct Tables {
    /// A table whose unwinding was interrupted; see `ptype`.
    pub(crate) doomed: Option<Mfn>,
}

/// The engine's state for one domain.
pub struct DomainMemory {
    id: DomId,
    tag: OwnerTag,
    control: bool,
    /// Copied into slot 260 of every L4 this domain promotes.
    pub(crate) per_domain_l4e: AtomicU64,
    pub(crate) max_pages: AtomicU32,
    /// Free frames set aside for it; changed under the free list's lock.
    pub(crate) claimed: AtomicU32,
    pub(crate) dirty_cpus: AtomicU64,
    dying: AtomicBool,
    check_l1tf: AtomicBool,
    /// Whether another domain ever got a writable mapping of its frames.
    lent: AtomicBool,
    /// Its L4 tables have the M2P's entry from the start.
    pub(crate) m2p_in_new_roots: AtomicBool,
    /// A fast copy of `IoAccess::permits_something`.
    pub(crate) cache_control: AtomicBool,
    pub(crate) tables: Mutex<Tables>,
    pub(crate) io: Mutex<IoAccess>,
}

impl DomainMemory {
    /// State for domain `id` that owns nothing yet. `control` is set for the control domain (larger extents).
    /// `per_domain_l4e` is what its L4 tables hold in slot 260 (0: nothing).
    pub fn new(id: DomId, control: bool, per_domain_l4e: u64, io: IoAccess) -> Self {
        Self {
            id,
            tag: OwnerTag::of(id),
            control,
            per_domain_l4e: AtomicU64::new(per_domain_l4e),
            max_pages: AtomicU32::new(0),
            claimed: AtomicU32::new(0),
            dirty_cpus: AtomicU64::new(0),
            dying: AtomicBool::new(false),
            check_l1tf: AtomicBool::new(!control),
            lent: AtomicBool::new(false),
            m2p_in_new_roots: AtomicBool::new(true),
            cache_control: AtomicBool::new(io.permits_something()),
            tables: Mutex::new(Tables { doomed: None }),
            io: Mutex::new(io),
        }
    }

    /// The domain's number.
    pub fn id(&self) -> DomId {
        self.id
    }

    /// What the domain's frames have in common.
    #[inline]
    pub(crate) fn tag(&self) -> OwnerTag {
        self.tag
    }

    /// Whether this is the control domain.
    pub fn is_control(&self) -> bool {
        self.control
    }

    /// Sets what the domain's L4 tables hold in slot 260; must come before its first L4 is promoted.
    pub fn set_per_domain_l4e(&self, entry: u64) {
        self.per_domain_l4e.store(entry, Ordering::Relaxed);
    }

    /// The most frames the domain may own.
    pub fn max_pages(&self) -> u32 {
        self.max_pages.load(Ordering::Relaxed)
    }

    /// Sets the most frames the domain may own. Below the present number is allowed: it then gets no more.
    pub fn set_max_pages(&self, frames: u32) {
        self.max_pages.store(frames, Ordering::Relaxed);
    }

    /// Free frames that are set aside for the domain (`XENMEM_claim_pages`).
    pub fn claimed_frames(&self) -> u32 {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Notes that CPU `cpu` (0 to 63) now runs in this domain's address space.
    #[inline]
    pub fn set_cpu_dirty(&self, cpu: u32) {
        self.dirty_cpus.fetch_or(1 << (cpu & 63), Ordering::SeqCst);
    }

    /// Notes that CPU `cpu` has left this domain's address space and flushed its TLB.
    #[inline]
    pub fn clear_cpu_dirty(&self, cpu: u32) {
        self.dirty_cpus
            .fetch_and(!(1 << (cpu & 63)), Ordering::SeqCst);
    }

    /// The CPUs that may hold translations of this domain, as a bit mask.
    #[inline]
    pub fn dirty_cpus(&self) -> u64 {
        self.dirty_cpus.load(Ordering::SeqCst)
    }

    /// Notes that another domain gets writable mappings of this domain's frames. CPUs that this domain never ran on may
    /// then know its frames for as long as nobody has flushed them: the other domain can drop a mapping unflushed.
    pub(crate) fn set_lent(&self) {
        self.lent.store(true, Ordering::SeqCst);
    }

    /// The CPUs that may hold translations to this domain's frames, as a bit mask.
    #[inline]
    pub(crate) fn knowing_cpus(&self) -> u64 {
        if self.lent.load(Ordering::SeqCst) {
            u64::MAX
        } else {
            self.dirty_cpus()
        }
    }

    /// From now on the domain gets no new frames and no new mappings.
    pub fn set_dying(&self) {
        self.dying.store(true, Ordering::SeqCst);
    }

    /// Whether [`DomainMemory::set_dying`] was called.
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::Relaxed)
    }

    /// Whether not-present entries of this domain are checked for L1TF (default: all but the control domain).
    pub fn checks_l1tf(&self) -> bool {
        self.check_l1tf.load(Ordering::Relaxed)
    }

    /// Switches the L1TF check.
    pub fn set_checks_l1tf(&self, on: bool) {
        self.check_l1tf.store(on, Ordering::Relaxed);
    }

    /// Changes the I/O permissions.
    pub fn change_io_access<R>(&self, change: impl FnOnce(&mut IoAccess) -> R) -> R {
        let mut io = self.io.lock();
        let result = change(&mut io);
        self.cache_control
            .store(io.permits_something(), Ordering::Relaxed);
        result
    }

    /// Whether the domain may map I/O frame `mfn`.
    pub fn may_access_io(&self, mfn: Mfn) -> bool {
        self.io.lock().permits(mfn)
    }
}

/// Who takes part in an update of page tables.
#[derive(Clone, Copy)]
pub struct Actors<'a> {
    /// The domain that makes the call.
    pub caller: &'a DomainMemory,
    /// The owner of the page tables.
    pub tables: &'a DomainMemory,
    /// The owner of the frames that entries may name. May be the state kept for `DomId::IO` or `DomId::XEN`.
    pub pages: &'a DomainMemory,
}

impl<'a> Actors<'a> {
    /// A domain acting on itself.
    pub fn own(domain: &'a DomainMemory) -> Self {
        Self {
            caller: domain,
            tables: domain,
            pages: domain,
        }
    }
}
