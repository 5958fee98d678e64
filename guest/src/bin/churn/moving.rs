//! Copying between domains, giving frames away and taking them, and flushing caches.

use xenocryst_guest::abi::grant_table::{
    CacheFlush, Copy, CopyPtr, Transfer, cache_flag, copy_flag, op, status,
};
use xenocryst_guest::abi::{DomId, Mfn};

use crate::Churn;
use crate::arena::{self, Arena, OPEN_PART};
use crate::mapping::Target;
use crate::table::{Meaning, PART, call};
use crate::tally::Kind;

/// Elements of a batch at most.
const BATCH: usize = 128;
/// Bytes of each small copy.
const SMALL: u16 = 64;
/// Places for small pieces: a page's.
const PIECES: usize = 64;

/// Which ends of a copy are grants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    From,
    To,
    Across,
}

impl Churn<'_> {
    /// Copies from grants, to grants, and from grants to grants.
    pub fn copy(&mut self) {
        let count = self.batch(BATCH);
        let mut list = [EMPTY_COPY; BATCH];
        let mut ends = [(Way::From, NO_TARGET, NO_TARGET); BATCH];
        for n in 0..count {
            let way = self.rng.pick(&[Way::From, Way::To, Way::Across]);
            let (from, to) = (self.target(), self.target());
            list[n] = self.copy_request(n, way, from, to);
            ends[n] = (way, from, to);
        }
        // What is checked below was not there before.
        for n in 0..PIECES as u64 {
            arena::store(Arena::target_address(0) + u64::from(SMALL) * n, 0);
        }
        let answer = call(op::COPY, &mut list[..count]);
        assert_eq!(answer, 0, "copying {count} pieces");
        for (n, (request, (way, from, to))) in list.iter().zip(ends).take(count).enumerate() {
            self.copied(request, way, from, to);
            // A later piece may have come to the same place.
            let last = n + PIECES >= count;
            if last && request.status == status::OKAY && way == Way::From && request.len == SMALL {
                self.check_copied(n, from);
            }
        }
    }

    /// One piece to be copied.
    fn copy_request(&mut self, n: usize, way: Way, from: Target, to: Target) -> Copy {
        let mut request = EMPTY_COPY;
        // Small pieces from the start of a page can be checked, as each comes to a place of its own.
        let small = self.rng.chance(70);
        request.len = if small {
            SMALL
        } else {
            SMALL + 1 + self.rng.below(1900) as u16
        };
        if way == Way::To {
            request.source = own(self.arena.target(1));
        } else {
            request.source = granted(from);
            request.flags |= copy_flag::SOURCE_GREF;
        }
        if way == Way::From {
            request.dest = own(self.arena.target(usize::from(!small)));
            request.dest.offset = if small {
                SMALL * (n % PIECES) as u16
            } else {
                self.rng.below(2048) as u16
            };
        } else {
            request.dest = granted(to);
            request.dest.offset = OPEN_PART + self.rng.below(1024) as u16;
            request.len = request.len.min(1024);
            request.flags |= copy_flag::DEST_GREF;
        }
        request
    }

    /// Judges how one piece went.
    fn copied(&mut self, request: &Copy, way: Way, from: Target, to: Target) {
        let done = request.status == status::OKAY;
        let kind = match way {
            Way::From => Kind::CopyFrom,
            Way::To => Kind::CopyTo,
            Way::Across => Kind::CopyAcross,
        };
        self.tally.one(kind, done);
        // With two grants it is not known which one a refusal is about.
        if way != Way::To && (done || way == Way::From) {
            self.judge(from, request.status);
        }
        if way != Way::From && (done || way == Way::To) {
            self.judge(to, request.status);
        }
        if !done {
            return;
        }
        if way != Way::From {
            assert!(
                matches!(to.meaning(), Meaning::Write(_) | Meaning::Passing),
                "domain {} granted no writing by {}",
                to.granter,
                to.reference()
            );
        }
        if way != Way::To {
            let allowed = match from.meaning() {
                Meaning::Accept => false,
                Meaning::Part(_) => request.len <= PART,
                _ => true,
            };
            assert!(
                allowed,
                "domain {} granted no reading of {} bytes by {}",
                from.granter,
                request.len,
                from.reference()
            );
        }
    }

    /// What came by a small piece is the granter's.
    fn check_copied(&self, n: usize, from: Target) {
        let word = arena::load(Arena::target_address(0) + u64::from(SMALL) * (n % PIECES) as u64);
        match from.meaning() {
            Meaning::Read(page) | Meaning::Write(page) | Meaning::Part(page) => {
                arena::check(word, from.granter, page as u64);
            }
            _ => self.check_passing(word, from.granter),
        }
    }

    /// Gives frames to others.
    pub fn transfer(&mut self) {
        const MOST: usize = 16;
        let count = self.batch(MOST);
        let mut list = [Transfer {
            mfn: Mfn::new(0),
            domid: DomId(0),
            pad0: 0,
            gref: 0,
            status: -1,
            pad1: [0; 3],
        }; MOST];
        let mut places = [(0, NO_TARGET); MOST];
        let mut used = 0;
        while used < count {
            let Some(place) = self.reserve.a_free_one(&mut self.rng) else {
                break;
            };
            if places[..used].iter().any(|(other, _)| *other == place) {
                break;
            }
            let mut target = self.target();
            if self.rng.chance(90) {
                target.n = 14 + self.rng.below(2) as u32;
            }
            list[used].mfn = self.reserve_mfn(place);
            list[used].domid = DomId(target.granter);
            list[used].gref = target.reference();
            places[used] = (place, target);
            used += 1;
        }
        if used == 0 {
            return;
        }
        let answer = call(op::TRANSFER, &mut list[..used]);
        assert_eq!(answer, 0, "transferring {used} frames");
        for (request, (place, target)) in list.iter().zip(places).take(used) {
            let done = request.status == status::OKAY;
            self.tally.one(Kind::Transfer, done);
            self.judge(target, request.status);
            if done {
                assert!(
                    target.meaning() == Meaning::Accept,
                    "domain {} accepts no frame by {}",
                    target.granter,
                    target.reference()
                );
                self.gave(place);
            } else if !self.names(place) {
                assert!(!self.strict, "a refused transfer took a frame");
                self.gave(place);
            }
        }
    }

    /// Takes what others gave by the references of a block, and offers room for more.
    pub fn accept(&mut self, block: u32) {
        for n in 14..crate::table::PER_BLOCK {
            let reference = crate::table::reference(block, n);
            if let Some(mfn) = self.table.accepted(reference) {
                self.tally.one(Kind::Accept, true);
                self.took(mfn);
            }
        }
    }

    /// Writes back and invalidates caches.
    pub fn flush(&mut self) {
        let target = self.target();
        let by_grant = self.rng.chance(70);
        let mut list = [CacheFlush {
            dev_bus_addr: if by_grant {
                u64::from(target.reference())
            } else {
                self.arena.shared(8).maddr().raw()
            },
            offset: self.rng.below(4096) as u16,
            length: self.rng.below(1024) as u16,
            op: self.rng.below(4) as u32 | if by_grant { cache_flag::SOURCE_GREF } else { 0 },
        }];
        let answer = call(op::CACHE_FLUSH, &mut list);
        self.tally.one(Kind::Flush, answer == 0);
    }
}

const NO_TARGET: Target = Target {
    granter: 0,
    block: 0,
    n: 0,
};

const EMPTY_COPY: Copy = Copy {
    source: EMPTY_END,
    dest: EMPTY_END,
    len: 0,
    flags: 0,
    status: -1,
    pad: 0,
};

const EMPTY_END: CopyPtr = CopyPtr {
    ref_or_gmfn: 0,
    domid: DomId::SELF,
    offset: 0,
    pad: 0,
};

/// The start of a frame of the domain's own.
fn own(mfn: Mfn) -> CopyPtr {
    CopyPtr {
        ref_or_gmfn: mfn.raw(),
        ..EMPTY_END
    }
}

/// The start of a frame that is granted.
fn granted(target: Target) -> CopyPtr {
    CopyPtr {
        ref_or_gmfn: u64::from(target.reference()),
        domid: DomId(target.granter),
        ..EMPTY_END
    }
}
