//! Frames that come and go: given back, got again, exchanged for others.
//!
//! What it keeps true: the P2M names exactly the frames at the end of memory that the domain has; a frame that is new to
//! the domain holds nothing (`strict` on the command line: real Xen promises it only for those of dead domains).

use xenocryst_guest::abi::grant_table::entry_flag;
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::memory_op::{self, MemoryExchange, MemoryReservation};
use xenocryst_guest::abi::mmu::{MmuUpdate, command};
use xenocryst_guest::abi::{DomId, Mfn, Pfn, Vaddr};
use xenocryst_guest::domain::Domain;
use xenocryst_guest::hypercall;
use xenocryst_guest::rng::Rng;

use crate::Churn;
use crate::arena;
use crate::table::{Entry, reference};
use crate::tally::Kind;

/// Frames that come and go.
pub const PLACES: usize = 192;
/// Frames in a group that may come and go as one extent.
const GROUP: usize = 16;
/// Its order.
const GROUP_ORDER: u32 = 4;
/// A number that no frame has.
const NO_FRAME: u64 = 0xff_ffff_fffe;

/// What a frame is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Free,
    Granted,
    Absent,
}

/// The frames that come and go.
pub struct Reserve {
    uses: [Use; PLACES],
}

impl Reserve {
    /// All there.
    pub const fn new() -> Self {
        Self {
            uses: [Use::Free; PLACES],
        }
    }

    /// A place with a frame that is used for nothing.
    pub fn a_free_one(&self, rng: &mut Rng) -> Option<usize> {
        self.find(rng, |found| found == Use::Free)
    }

    /// A place of which `what` holds.
    fn find(&self, rng: &mut Rng, what: impl Fn(Use) -> bool) -> Option<usize> {
        let first = rng.below(PLACES as u64) as usize;
        (0..PLACES)
            .map(|n| (first + n) % PLACES)
            .find(|place| what(self.uses[*place]))
    }

    /// As many places as `places` has room for, of which `what` holds; how many there are.
    fn collect(&self, rng: &mut Rng, places: &mut [usize], what: impl Fn(Use) -> bool) -> usize {
        let first = rng.below(PLACES as u64) as usize;
        let found = (0..PLACES)
            .map(|n| (first + n) % PLACES)
            .filter(|place| what(self.uses[*place]));
        let mut used = 0;
        for (slot, place) in places.iter_mut().zip(found) {
            *slot = place;
            used += 1;
        }
        used
    }
}

/// A list of extents.
fn extents(list: &mut [u64], order: u32) -> MemoryReservation {
    MemoryReservation {
        extent_start: Vaddr::new(list.as_mut_ptr() as u64),
        nr_extents: list.len() as u64,
        extent_order: order,
        mem_flags: 0,
        domid: DomId::SELF,
        pad: [0; 3],
    }
}

/// Makes a `memory_op` about extents; the answer.
fn reserve(operation: u32, list: &mut [u64], order: u32) -> i64 {
    let request = extents(list, order);
    let arguments = [u64::from(operation), &raw const request as u64, 0, 0, 0];
    // SAFETY: only about frames at the end of memory, which are mapped for moments only.
    unsafe { hypercall::call(number::MEMORY_OP, arguments) }
}

impl Churn<'_> {
    fn place_pfn(&self, place: usize) -> Pfn {
        Pfn::new(self.domain.frames() - PLACES as u64 + place as u64)
    }

    /// The frame of a place.
    pub fn reserve_mfn(&self, place: usize) -> Mfn {
        self.domain.mfn(self.place_pfn(place))
    }

    /// Records that the frame of a place is no longer the domain's.
    pub fn gave(&mut self, place: usize) {
        self.domain.set_mfn(self.place_pfn(place), Mfn::INVALID);
        self.reserve.uses[place] = Use::Absent;
    }

    /// Records a frame that has come to a place.
    fn got(&mut self, place: usize, mfn: Mfn) {
        self.domain.set_mfn(self.place_pfn(place), mfn);
        self.reserve.uses[place] = Use::Free;
    }

    /// Finds a place for a frame that somebody gave; without one it goes back.
    pub fn took(&mut self, mfn: Mfn) {
        let word = self.arena.with(mfn, |address| {
            let word = arena::load(address);
            arena::store(address, 0);
            word
        });
        self.check_passing(word, 0);
        match self
            .reserve
            .find(&mut self.rng, |found| found == Use::Absent)
        {
            Some(place) => {
                self.got(place, mfn);
                self.name(&[place]);
            }
            None => {
                let answer = reserve(memory_op::op::DECREASE_RESERVATION, &mut [mfn.raw()], 0);
                assert_eq!(answer, 1, "giving back a frame that came");
            }
        }
    }

    /// Gives frames back, at times with one among them that there is not.
    pub fn decrease(&mut self) {
        if self.rng.chance(15) {
            return self.decrease_group();
        }
        let mut places = [0; PLACES];
        let count = self.batch(PLACES);
        let granted_too = self.rng.chance(30);
        let used = self
            .reserve
            .collect(&mut self.rng, &mut places[..count], |found| {
                found == Use::Free || (granted_too && found == Use::Granted)
            });
        let mut list = [0; PLACES];
        for (entry, place) in list.iter_mut().zip(&places[..used]) {
            *entry = self.reserve_mfn(*place).raw();
        }
        if used > 0 && self.rng.chance(15) {
            list[self.rng.below(used as u64) as usize] = NO_FRAME;
        }
        let answer = reserve(memory_op::op::DECREASE_RESERVATION, &mut list[..used], 0);
        let done = self.counted(Kind::Decrease, used, answer);
        for place in &places[..done] {
            self.gave(*place);
        }
    }

    /// Counts what was done of a list; how much that is.
    fn counted(&mut self, kind: Kind, tried: usize, answer: i64) -> usize {
        assert!(
            answer <= tried as i64,
            "{answer} done where {tried} were wanted"
        );
        let done = answer.max(0) as usize;
        self.tally.add(kind, tried as u64, done as u64);
        done
    }

    /// Gives a whole group back, as one extent if its frames are one.
    fn decrease_group(&mut self) {
        let group = GROUP * self.rng.below((PLACES / GROUP) as u64) as usize;
        if (group..group + GROUP).any(|place| self.reserve.uses[place] != Use::Free) {
            return;
        }
        let mut list: [u64; GROUP] = core::array::from_fn(|n| self.reserve_mfn(group + n).raw());
        let first = list[0];
        let one = first.is_multiple_of(GROUP as u64)
            && list
                .iter()
                .zip(first..)
                .all(|(mfn, expected)| *mfn == expected);
        let done = if one {
            let answer = reserve(
                memory_op::op::DECREASE_RESERVATION,
                &mut list[..1],
                GROUP_ORDER,
            );
            GROUP * self.counted(Kind::Decrease, 1, answer)
        } else {
            let answer = reserve(memory_op::op::DECREASE_RESERVATION, &mut list, 0);
            self.counted(Kind::Decrease, GROUP, answer)
        };
        for place in group..group + done {
            self.gave(place);
        }
    }

    /// Gets frames for places that have none.
    pub fn populate(&mut self) {
        if self.rng.chance(30) && self.populate_group() {
            return;
        }
        let mut places = [0; PLACES];
        let count = self.batch(PLACES);
        let used = self
            .reserve
            .collect(&mut self.rng, &mut places[..count], |found| {
                found == Use::Absent
            });
        let mut list = [0; PLACES];
        for (entry, place) in list.iter_mut().zip(&places[..used]) {
            *entry = self.place_pfn(*place).raw();
        }
        let answer = reserve(memory_op::op::POPULATE_PHYSMAP, &mut list[..used], 0);
        let done = self.counted(Kind::Populate, used, answer);
        for (place, mfn) in places.into_iter().zip(list).take(done) {
            self.got(place, Mfn::new(mfn));
        }
        self.check_new(&places[..done]);
    }

    /// Gets the frames of a group that has none, as one extent. False if there is no such group.
    fn populate_group(&mut self) -> bool {
        let group = (0..PLACES)
            .step_by(GROUP)
            .find(|group| (*group..group + GROUP).all(|n| self.reserve.uses[n] == Use::Absent));
        let Some(group) = group else {
            return false;
        };
        let mut list = [self.place_pfn(group).raw()];
        let answer = reserve(memory_op::op::POPULATE_PHYSMAP, &mut list, GROUP_ORDER);
        if self.counted(Kind::Populate, 1, answer) == 1 {
            for n in 0..GROUP {
                self.got(group + n, Mfn::new(list[0]).wrapping_add(n as u64));
            }
            let places: [usize; GROUP] = core::array::from_fn(|n| group + n);
            self.check_new(&places);
        }
        true
    }

    /// Gets frames without saying which places they are for.
    pub fn increase(&mut self) {
        let mut places = [0; PLACES];
        let count = self.batch(PLACES);
        let used = self
            .reserve
            .collect(&mut self.rng, &mut places[..count], |found| {
                found == Use::Absent
            });
        let mut list = [0; PLACES];
        let answer = reserve(memory_op::op::INCREASE_RESERVATION, &mut list[..used], 0);
        let done = self.counted(Kind::Increase, used, answer);
        for (place, mfn) in places.into_iter().zip(list).take(done) {
            self.got(place, Mfn::new(mfn));
        }
        self.name(&places[..done]);
        self.check_new(&places[..done]);
    }

    /// Looks at some of the frames that are new, and leaves the domain's marks in them.
    fn check_new(&mut self, places: &[usize]) {
        for place in places.iter().take(6) {
            let mfn = self.reserve_mfn(*place);
            let (pfn, known) = (self.place_pfn(*place), Domain::m2p(mfn));
            assert!(
                known == Some(pfn),
                "the M2P of new frame {mfn}: {known:?}, not {pfn}"
            );
            let mark = arena::mark(self.peers.me, 0x1000 + *place as u64);
            let zero = self.arena.with(mfn, |address| {
                let zero = arena::begins_with_zeros(address);
                arena::store(address, mark);
                zero
            });
            assert!(zero || !self.strict, "a new frame holds something");
        }
    }

    /// Says in the M2P which places frames are for.
    fn name(&mut self, places: &[usize]) {
        let answer = self.try_to_name(places);
        assert_eq!(answer, 0, "naming {} frames", places.len());
        self.tally
            .add(Kind::M2p, places.len() as u64, places.len() as u64);
    }

    /// Whether the frame of a place can be named in the M2P, as the domain's frames can.
    pub fn names(&self, place: usize) -> bool {
        self.try_to_name(&[place]) == 0
    }

    /// Asks for the frames of places to be named in the M2P.
    fn try_to_name(&self, places: &[usize]) -> i64 {
        let mut list = [MmuUpdate { ptr: 0, val: 0 }; PLACES];
        for (update, place) in list.iter_mut().zip(places) {
            update.ptr = self.reserve_mfn(*place).maddr().raw() | command::MACHPHYS_UPDATE;
            update.val = self.place_pfn(*place).raw();
        }
        let arguments = [
            list.as_ptr() as u64,
            places.len() as u64,
            0,
            u64::from(DomId::SELF.0),
            0,
        ];
        // SAFETY: only the M2P of frames at the end of memory.
        unsafe { hypercall::call(number::MMU_UPDATE, arguments) }
    }

    /// Says again which places frames are for.
    pub fn rename(&mut self) {
        let mut places = [0; PLACES];
        let count = self.batch(PLACES);
        let used = self
            .reserve
            .collect(&mut self.rng, &mut places[..count], |found| {
                found != Use::Absent
            });
        self.name(&places[..used]);
    }

    /// Exchanges frames for others: one by one, or four by four for extents of four; at times half wrong.
    pub fn exchange(&mut self) {
        const MOST: usize = 96;
        const FOUR: usize = 4;
        let by_four = self.rng.chance(40);
        let step = if by_four { FOUR } else { 1 };
        let want = self.batch(MOST / step);
        // Places: for extents of four such as stand together.
        let mut places = [0; MOST];
        let mut used = 0;
        let first = FOUR * self.rng.below((PLACES / FOUR) as u64) as usize;
        for place in (0..PLACES).step_by(step).map(|n| (first + n) % PLACES) {
            if used == want * step {
                break;
            }
            if (place..place + step).all(|n| self.reserve.uses[n] == Use::Free) {
                for n in 0..step {
                    places[used + n] = place + n;
                }
                used += step;
            }
        }
        let mut given = [0; MOST];
        for (entry, place) in given.iter_mut().zip(&places[..used]) {
            *entry = self.reserve_mfn(*place).raw();
        }
        // Wrong: no frame, or one twice; in one extent, as a frame that was exchanged may come back by the next.
        if used > step && self.rng.chance(25) {
            let at = 1 + self.rng.below(used as u64 - 1) as usize;
            given[at] = if at < step { given[0] } else { NO_FRAME };
        }
        let outputs = used / step;
        let mut wanted: [u64; MOST] = core::array::from_fn(|n| {
            places
                .get(n * step)
                .map_or(0, |place| self.place_pfn(*place).raw())
        });
        let mut request = MemoryExchange {
            input: extents(&mut given[..used], 0),
            output: extents(&mut wanted[..outputs], if by_four { 2 } else { 0 }),
            nr_exchanged: 0,
        };
        let arguments = [
            u64::from(memory_op::op::EXCHANGE),
            &raw mut request as u64,
            0,
            0,
            0,
        ];
        // SAFETY: only about frames at the end of memory.
        unsafe { hypercall::call(number::MEMORY_OP, arguments) };
        let done = self.counted(Kind::Exchange, used, request.nr_exchanged as i64);
        for (n, place) in places.into_iter().enumerate().take(done) {
            let mfn = Mfn::new(wanted[n / step]).wrapping_add((n % step) as u64);
            self.got(place, mfn);
        }
        self.check_new(&places[..done]);
    }

    /// Grants a frame that comes and goes by the references of `block` that are for such.
    pub fn grant_passing(&mut self, block: u32) {
        let Some(domain) = self.peers.of_block(block) else {
            return;
        };
        let Some(place) = self.reserve.a_free_one(&mut self.rng) else {
            return;
        };
        let granted = self.table.grant(
            reference(block, 13),
            &Entry {
                flags: entry_flag::PERMIT_ACCESS,
                domain,
                frame: self.reserve_mfn(place),
                part: 0,
            },
        );
        if granted {
            self.reserve.uses[place] = Use::Granted;
        }
    }

    /// Takes frames that were granted for free ones again; grants of them may stay.
    pub fn forget_granted(&mut self) {
        for place in 0..PLACES {
            if self.reserve.uses[place] == Use::Granted && self.rng.chance(50) {
                self.reserve.uses[place] = Use::Free;
            }
        }
    }
}
