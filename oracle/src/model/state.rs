//! The whole state as plain values: who owns each frame, what it contains, what it is used as, and who holds what.
//!
//! No counter is kept: [`Model::count`] goes through everything that refers to a frame, every time.

use super::bits::{PRESENT, RW, target};
use super::grants::{Grants, Lists};
use super::io::Io;
use super::words::Words;
use crate::layout::{
    DOMAINS, FIRST_LIMIT, FRAMES, HOLE, HYPERVISOR_FRAMES, HYPERVISOR_SLOTS, VCPUS, WINDOWS,
};

/// Who has a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// It is no RAM.
    NoRam,
    /// Nobody.
    Free,
    /// The hypervisor.
    Hypervisor,
    /// A domain.
    Domain(usize),
}

/// What a frame is used as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Nothing in particular.
    Idle,
    /// Somebody may write it.
    Writable,
    /// A validated table of a level.
    Table(u8),
    /// A table whose validation or its undoing was interrupted: entries below the slot hold references.
    Partial(u8, u16),
    /// Validated descriptors.
    Descriptors,
    /// Shared by the hypervisor, for reading only.
    ReadOnlyShared,
}

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Who has it.
    pub owner: Owner,
    /// Whether its owner's allocation still stands.
    pub allocated: bool,
    /// Whether the hypervisor shares it with its owner.
    pub special: bool,
    /// What it is used as.
    pub role: Role,
    /// Whether its owner pinned it.
    pub pinned: bool,
    /// What it contains.
    pub words: Words,
    /// Its entry in the M2P.
    pub m2p: u64,
    /// The hypervisor keeps records in it, or did before it became free.
    pub hidden: bool,
    /// References and uses without a holder: see `Request::Weigh`.
    pub weight: (u64, u64),
}

/// One domain.
#[derive(Clone, Debug)]
pub struct Domain {
    /// It is dying, or dead.
    pub dying: bool,
    /// The most frames it may own.
    pub limit: u64,
    /// Whether not-present entries are checked.
    pub l1tf: bool,
    /// A table whose unwinding was interrupted.
    pub doomed: Option<usize>,
    /// Kernel and user root of each vCPU.
    pub roots: [[Option<usize>; 2]; VCPUS],
    /// Descriptor pages of each vCPU.
    pub windows: [[Option<usize>; WINDOWS]; VCPUS],
    /// Single references: the frame, and whether for writing.
    pub holds: Vec<(usize, bool)>,
    /// What it grants, and what it maps of others.
    pub grants: Grants,
    /// Which devices it may map.
    pub io: Io,
    /// How far its teardown has come.
    pub torn_down: u64,
}

/// What refers to a frame.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Count {
    /// All references.
    pub general: u64,
    /// Those that use it as what it is.
    pub typed: u64,
    /// Linear entries it holds, less linear entries that name it.
    pub linear: i64,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Model {
    /// Every frame.
    pub frames: Vec<Frame>,
    /// Every domain.
    pub domains: Vec<Domain>,
    /// Tables being validated right now, the outermost first.
    pub(super) under_way: Vec<usize>,
    /// Frames whose contents changed since the last look, as a bit mask.
    pub written: u128,
    /// Frames given to a domain since the last look, as a bit mask.
    pub given: u128,
    /// Frames whose mappings were let go of since the last look, and by whom.
    pub released: Vec<(usize, usize)>,
    /// The frames that tables and tracks of the engine's have: which of the free ones they get is its choice.
    pub told: Vec<Lists>,
    /// What refers to each frame, as of the last [`Model::collect`].
    pub counts: Vec<Count>,
}

/// What the M2P says of a frame without a PFN.
pub const NO_M2P: u64 = u64::MAX;

impl Model {
    /// A machine on which nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        let frame = |number: u64| Frame {
            owner: match number {
                n if n < HYPERVISOR_FRAMES => Owner::Hypervisor,
                n if HOLE.contains(&n) => Owner::NoRam,
                _ => Owner::Free,
            },
            allocated: false,
            special: false,
            role: Role::Idle,
            pinned: false,
            words: Words::default(),
            m2p: if HOLE.contains(&number) { 0 } else { NO_M2P },
            hidden: false,
            weight: (0, 0),
        };
        let mut model = Self {
            frames: (0..FRAMES as u64).map(frame).collect(),
            domains: (0..DOMAINS).map(Domain::new).collect(),
            under_way: Vec::new(),
            written: 0,
            given: 0,
            released: Vec::new(),
            told: vec![Lists::default(); DOMAINS],
            counts: Vec::new(),
        };
        model.collect();
        model
    }

    /// The index of a frame, if it is RAM in use by domain `dom`.
    #[must_use]
    pub fn owned(&self, dom: usize, frame: u64) -> Option<usize> {
        let index = usize::try_from(frame).ok()?;
        (self.frames.get(index)?.owner == Owner::Domain(dom)).then_some(index)
    }

    /// How many frames a domain owns; those shared with it do not count.
    #[must_use]
    pub fn owned_by(&self, dom: usize) -> u64 {
        let owned = |frame: &&Frame| frame.owner == Owner::Domain(dom) && !frame.special;
        self.frames.iter().filter(owned).count() as u64
    }

    /// Writes a word.
    pub(super) fn write(&mut self, frame: usize, slot: u16, value: u64) {
        self.written |= 1 << frame;
        self.frames[frame].words.set(slot, value);
    }

    /// The present entries of a table that hold references: all of a validated one, those below the cursor of a
    /// partial one, never those of the hypervisor. With each, whether it is linear.
    pub fn references(&self, table: usize) -> impl Iterator<Item = (usize, u64, bool)> + '_ {
        let (level, end) = match self.frames[table].role {
            Role::Table(level) => (level, 512),
            Role::Partial(level, cursor) => (level, cursor),
            _ => (0, 0),
        };
        let held = move |&(slot, entry): &(u16, u64)| {
            slot < end && entry & PRESENT != 0 && !(level == 4 && HYPERVISOR_SLOTS.contains(&slot))
        };
        self.frames[table]
            .words
            .iter()
            .filter(held)
            .filter_map(move |(_, entry)| {
                let named = usize::try_from(target(entry)).ok()?;
                let role = self
                    .frames
                    .get(named)
                    .filter(|frame| frame.owner != Owner::NoRam)?
                    .role;
                if level > 1 && named == table {
                    return None;
                }
                let linear =
                    level > 1 && matches!(role, Role::Table(l) | Role::Partial(l, _) if l == level);
                Some((named, entry, linear))
            })
    }

    /// Counts from nothing who refers to what.
    #[must_use]
    pub fn count(&self) -> Vec<Count> {
        let mut counts = vec![Count::default(); self.frames.len()];
        for (index, frame) in self.frames.iter().enumerate() {
            let partial = matches!(frame.role, Role::Partial(..));
            let own = &mut counts[index];
            own.general +=
                u64::from(frame.allocated) + u64::from(frame.pinned) + u64::from(partial);
            own.typed += u64::from(frame.special) + u64::from(frame.pinned) + u64::from(partial);
            own.general += frame.weight.0;
            own.typed += frame.weight.1;
            let is_l1 = matches!(frame.role, Role::Table(1) | Role::Partial(1, _));
            for (named, entry, linear) in self.references(index) {
                counts[named].general += 1;
                counts[named].typed += u64::from(!is_l1 || entry & RW != 0);
                counts[named].linear -= i64::from(linear);
                counts[index].linear += i64::from(linear);
            }
        }
        for domain in &self.domains {
            let typed = domain
                .roots
                .iter()
                .flatten()
                .chain(domain.windows.iter().flatten());
            for &frame in typed.flatten() {
                counts[frame].general += 1;
                counts[frame].typed += 1;
            }
            for &(frame, writable) in &domain.holds {
                counts[frame].general += 1;
                counts[frame].typed += u64::from(writable);
            }
        }
        self.count_grants(&mut counts);
        counts
    }

    /// Lets everything go that nothing refers to any more: uses that have no user, frames that have no reference.
    pub fn collect(&mut self) {
        loop {
            let counts = self.count();
            let mut changed = false;
            for (frame, count) in self.frames.iter_mut().zip(&counts) {
                if frame.role != Role::Idle && count.typed == 0 {
                    frame.role = Role::Idle;
                    changed = true;
                }
                if matches!(frame.owner, Owner::Domain(_)) && count.general == 0 {
                    frame.free();
                    changed = true;
                }
            }
            if !changed {
                self.counts = counts;
                return;
            }
        }
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Frame {
    /// Nobody has it any more. What it contains stays, until it is given away.
    pub(super) fn free(&mut self) {
        let words = std::mem::take(&mut self.words);
        let hidden = self.hidden;
        *self = Self {
            owner: Owner::Free,
            allocated: false,
            special: false,
            role: Role::Idle,
            pinned: false,
            words,
            m2p: NO_M2P,
            hidden,
            weight: (0, 0),
        };
    }
}

impl Domain {
    /// Domain number `number`, as it is born.
    #[must_use]
    pub fn new(number: usize) -> Self {
        Self {
            dying: false,
            limit: FIRST_LIMIT,
            l1tf: number != 0,
            doomed: None,
            roots: Default::default(),
            windows: Default::default(),
            holds: Vec::new(),
            grants: Grants::default(),
            io: Io::new(number),
            torn_down: 0,
        }
    }
}
