//! Addresses at which pages come and go, the pages that are granted, and the marks in them.
//!
//! What it keeps true: a granted page of the image keeps its marks as long as the domain lives; others write to the second
//! half of the writable ones only. Nothing else of the kernel is mapped in the arena.

use xenocryst_guest::abi::{Maddr, Mfn, PAGE_SIZE, Pte};
use xenocryst_guest::domain::{Domain, VIRT_BASE, pfn_of};
use xenocryst_guest::pages::Pages;
use xenocryst_guest::trap::attempt;
use xenocryst_guest::{access, mmu};

/// Where the arena begins: 2 MiB that nothing else uses.
const BASE: u64 = VIRT_BASE + (129 << 21);
/// Slots of the grant table's frames, as many as [`crate::table`] maps.
pub const TABLE: usize = 0;
/// Slots of its status frames.
pub const STATUS: usize = 4;
/// The slot for a look at a frame.
const SCRATCH: usize = 8;
/// The slot of a page that is to replace a grant.
pub const SPARE: usize = 9;
/// A slot in which nothing is ever.
pub const EMPTY: usize = 10;
/// The first slot for grants.
pub const GRANTS: usize = 16;
/// Slots for grants.
pub const GRANT_SLOTS: usize = 240;

/// Pages of the image that are granted: first those for reading only.
pub const SHARED: usize = 13;
/// How many of them are for reading only.
pub const READ_ONLY: usize = 8;
/// The byte at which that part of a page begins that others may write to.
pub const OPEN_PART: u16 = 2048;

static TABLE_PAGE: Pages<1> = Pages::new();
static SHARED_PAGES: Pages<SHARED> = Pages::new();
/// Pages that are copied to.
static TARGETS: Pages<2> = Pages::new();

/// What the marks of these guests begin with, and where it is in them.
const MAGIC: u64 = 0x63_6875;
const MAGIC_SHIFT: u32 = 40;

/// Words of a page that hold marks; for pages that others write to only the first two.
const MARKED: [u64; 3] = [0, 255, 511];

/// The mark in page `n` of domain `id`.
pub fn mark(id: u16, n: u64) -> u64 {
    (MAGIC << MAGIC_SHIFT) | (u64::from(id) << 24) | n
}

/// Whether `word` may be in a frame of these guests: zeros, or somebody's mark.
pub fn is_ours(word: u64) -> bool {
    word == 0 || word >> MAGIC_SHIFT == MAGIC
}

/// Whether `word` is the mark of page `n` of domain `id`.
pub fn check(word: u64, id: u16, n: u64) {
    assert!(
        word == mark(id, n),
        "page {n} of domain {id} begins with {word:#x}"
    );
}

/// The arena and the pages.
pub struct Arena {
    table: Mfn,
    shared: [Mfn; SHARED],
    targets: [Mfn; 2],
    me: u16,
}

impl Arena {
    /// Makes the arena and marks the pages.
    pub fn new(domain: &Domain, me: u16) -> Self {
        let of = |address| domain.mfn(pfn_of(address));
        let table = of(TABLE_PAGE.address(0));
        let (entry, _) = mmu::entry(domain, BASE, 2).expect("there is an L2 table");
        let mut batch = mmu::Batch::new();
        // SAFETY: the page is reached by address only, and nothing is mapped in the arena.
        unsafe {
            assert_eq!(mmu::map_page(TABLE_PAGE.address(0), table, false), 0);
            let value = Pte::from_raw((table.raw() * PAGE_SIZE) | 0x67);
            batch.push(entry, value).expect("there is room");
        }
        batch.flush().expect("the table is an L1 table");
        for n in 0..SHARED {
            for word in MARKED {
                store(SHARED_PAGES.address(n) + 8 * word, mark(me, n as u64));
            }
        }
        Self {
            table,
            shared: core::array::from_fn(|n| of(SHARED_PAGES.address(n))),
            targets: core::array::from_fn(|n| of(TARGETS.address(n))),
            me,
        }
    }

    /// The frame of a page that is granted.
    pub fn shared(&self, n: usize) -> Mfn {
        self.shared[n]
    }

    /// The frame of a page that is copied to.
    pub fn target(&self, n: usize) -> Mfn {
        self.targets[n]
    }

    /// Where a page that is copied to can be read.
    pub fn target_address(n: usize) -> u64 {
        TARGETS.address(n)
    }

    /// The address of a slot.
    pub fn address(slot: usize) -> u64 {
        BASE + PAGE_SIZE * slot as u64
    }

    /// The machine address of a slot's entry.
    pub fn entry(&self, slot: usize) -> Maddr {
        self.table.maddr().wrapping_add(8 * slot as u64)
    }

    /// Maps a frame in a slot.
    pub fn map(&self, slot: usize, mfn: Mfn, writable: bool) -> i64 {
        // SAFETY: nothing of the kernel's own is in the arena.
        unsafe { mmu::map_page(Self::address(slot), mfn, writable) }
    }

    /// Empties a slot that holds no grant.
    pub fn clear(&self, slot: usize) {
        // SAFETY: nothing of the kernel's own is in the arena.
        let answer = unsafe { mmu::set_entry(Self::address(slot), Pte::EMPTY) };
        assert_eq!(answer, 0, "emptying slot {slot}");
    }

    /// Maps a frame of the domain's own, which nothing else uses, for the time that `look` takes with its address.
    pub fn with<R>(&self, mfn: Mfn, look: impl FnOnce(u64) -> R) -> R {
        let answer = self.map(SCRATCH, mfn, true);
        assert_eq!(answer, 0, "mapping the domain's frame {mfn}");
        let result = look(Self::address(SCRATCH));
        self.clear(SCRATCH);
        result
    }

    /// The marks of the domain's own pages are there: nobody wrote where only reading was allowed.
    pub fn check_own(&self) {
        for n in 0..SHARED {
            let words = if n < READ_ONLY {
                &MARKED[..]
            } else {
                &MARKED[..2]
            };
            for word in words {
                check(load(SHARED_PAGES.address(n) + 8 * word), self.me, n as u64);
            }
        }
    }
}

/// Reads a word of a page that is mapped.
pub fn load(address: u64) -> u64 {
    access::read_u64(address).unwrap_or_else(|fault| panic!("reading {address:#x}: {fault:?}"))
}

/// Writes a word of a page that is mapped writable, and in which no Rust object is.
pub fn store(address: u64, value: u64) {
    // SAFETY: only pages that are reached by address.
    if let Err(fault) = unsafe { access::write_u64(address, value) } {
        panic!("writing {address:#x}: {fault:?}");
    }
}

/// Whether the first half of a page that is mapped holds nothing but zeros; others may write to the second one already.
pub fn begins_with_zeros(address: u64) -> bool {
    let mut all = 0;
    let read = attempt(|| {
        for word in 0..u64::from(OPEN_PART) / 8 {
            // SAFETY: a load; a fault ends the attempt.
            all |= unsafe { ((address + 8 * word) as *const u64).read_volatile() };
        }
    });
    read.is_ok() && all == 0
}
