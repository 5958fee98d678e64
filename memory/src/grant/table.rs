//! The granting side: shared, status and active frames, their growth, and their end.
//!
//! Keeps true: shared frames are special frames of the domain (I4); growth is whole or nothing; the table goes only when
//! nothing is pinned and nobody maps its frames (I41, I48).

use super::Granter;
use super::active::{Active, Use};
use super::list::{FRAME_WORDS, FrameList};
use crate::config::AddressLimit;
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::machine::MachineMemory;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use spin::Mutex;
use xenocryst_abi::Mfn;

/// The most frames that any table can have.
pub const MAX_TABLE_FRAMES: u32 = 64;
const STATUS_FRAMES: usize = MAX_TABLE_FRAMES as usize / 8;
/// Active records are two words, and there is one for each entry of version 1.
const ACTIVE_PER_SHARED: u32 = 2;
const ACTIVE_FRAMES: usize = (MAX_TABLE_FRAMES * ACTIVE_PER_SHARED) as usize;
const _: () = assert!(ACTIVE_PER_SHARED * (FRAME_WORDS / 2) == FRAME_WORDS);

/// Status frames that a version 2 table of `shared` frames has: 256 entries of 2 bytes for each.
pub(super) const fn status_frames_for(shared: u32) -> u32 {
    shared.div_ceil(8)
}

/// The grant table of one domain.
pub struct GrantTable {
    pub(super) state: Mutex<TableState>,
    max_frames: u32,
    pub(super) max_version: u32,
}

/// What the table's lock protects.
pub(super) struct TableState {
    pub(super) version: u32,
    pub(super) shared: FrameList<{ MAX_TABLE_FRAMES as usize }>,
    pub(super) status: FrameList<STATUS_FRAMES>,
    pub(super) active: FrameList<ACTIVE_FRAMES>,
    /// Entries with pins.
    pub(super) pinned: u32,
}

impl GrantTable {
    /// A table of version 1 without frames, which may get `max_frames` (at most [`MAX_TABLE_FRAMES`]) and versions up
    /// to `max_version`.
    pub const fn new(max_frames: u32, max_version: u32) -> Self {
        Self {
            state: Mutex::new(TableState {
                version: 1,
                shared: FrameList::new(),
                status: FrameList::new(),
                active: FrameList::new(),
                pinned: 0,
            }),
            max_frames: if max_frames < MAX_TABLE_FRAMES {
                max_frames
            } else {
                MAX_TABLE_FRAMES
            },
            max_version,
        }
    }

    /// The most frames it may have (`GNTTABOP_query_size`).
    pub const fn max_frames(&self) -> u32 {
        self.max_frames
    }
}

impl TableState {
    /// The active entry of `reference`, which is in range.
    pub(super) fn active<M: MachineMemory>(&self, machine: &M, reference: u32) -> Active {
        Active::unpack(self.active.read_pair(machine, reference))
    }

    /// Stores an active entry.
    pub(super) fn set_active<M: MachineMemory>(
        &mut self,
        machine: &M,
        reference: u32,
        active: &Active,
    ) {
        let before = self.active(machine, reference).pins.is_none();
        match (before, active.pins.is_none()) {
            (true, false) => self.pinned += 1,
            (false, true) => self.pinned -= 1,
            _ => {}
        }
        self.active.write_pair(machine, reference, active.pack());
    }

    fn drop_pins<M: MachineMemory>(&mut self, machine: &M, reference: u32, uses: &[Use]) {
        let mut active = self.active(machine, reference);
        for &one in uses {
            active.pins = active.pins.without(one);
        }
        self.set_active(machine, reference, &active);
    }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes pins away and the marks that go with them (I55).
    pub(super) fn unpin_grant(&self, state: &mut TableState, reference: u32, uses: &[Use]) {
        state.drop_pins(&self.machine, reference, uses);
        if !self.commits(Fault::GrantMarks) {
            state.settle_marks(&self.machine, reference);
        }
    }

    /// Frames of the table (`GNTTABOP_query_size`).
    pub fn grant_frame_count(&self, table: &GrantTable) -> u32 {
        self.lock_grants(&table.state).shared.len()
    }

    /// Frame `index` of the table (`GNTTABOP_setup_table`).
    pub fn grant_frame(&self, table: &GrantTable, index: u32) -> Option<Mfn> {
        self.lock_grants(&table.state).shared.get(index)
    }

    /// Status frame `index` of a version 2 table (`GNTTABOP_get_status_frames`).
    pub fn grant_status_frame(&self, table: &GrantTable, index: u32) -> Option<Mfn> {
        self.lock_grants(&table.state).status.get(index)
    }

    /// Entries that are used by someone at this moment.
    pub fn grants_in_use(&self, table: &GrantTable) -> u32 {
        self.lock_grants(&table.state).pinned
    }

    /// Whether `user` maps or copies `frame` by a grant of `granter` at this moment.
    pub fn uses_grant_of(&self, user: &DomainMemory, granter: &Granter<'_>, frame: Mfn) -> bool {
        let state = &*self.lock_grants(&granter.table.state);
        (0..state.entries()).any(|reference| {
            let active = state.active(&self.machine, reference);
            !active.pins.is_none() && active.user == user.id() && active.frame == frame
        })
    }

    /// A zeroed frame of the hypervisor's.
    pub(super) fn new_grant_frame(&self) -> Option<Mfn> {
        let frame = self.allocate_frames(0, AddressLimit::NONE)?;
        self.machine.zero_frame(frame);
        Some(frame)
    }

    /// Gives the table at least `frames` frames: all of them, or none more.
    pub fn grow_grant_table(&self, granter: &Granter<'_>, frames: u32) -> Result<(), Refusal> {
        if frames > granter.table.max_frames {
            return Err(Rule::GrantTableSize.refuse().value(u64::from(frames)));
        }
        if granter.domain.is_dying() {
            return Err(Rule::GrantDying.refuse());
        }
        let state = &mut *self.lock_grants(&granter.table.state);
        // What is left of these after a failure serves the next try.
        while state.active.len() < frames * ACTIVE_PER_SHARED {
            let frame = self.new_grant_frame().ok_or_else(no_memory)?;
            if !state.active.push(frame) {
                self.free_frames(frame, 0);
                return Err(no_memory());
            }
        }
        let mut shared = FrameList::<{ MAX_TABLE_FRAMES as usize }>::new();
        let more = frames.saturating_sub(state.shared.len());
        if !self.add_frames(&mut shared, more) {
            return Err(no_memory());
        }
        let statuses = status_frames_for(frames).saturating_sub(state.status.len());
        if state.version == 2 && !self.add_status_frames(granter.domain, state, statuses) {
            self.drop_frames(&mut shared);
            return Err(no_memory());
        }
        for frame in shared.iter() {
            if self.share_with(granter.domain, frame, true) {
                state.shared.push(frame);
            }
        }
        Ok(())
    }

    /// Adds `more` frames of the hypervisor's to a list. All or nothing.
    fn add_frames<const N: usize>(&self, list: &mut FrameList<N>, more: u32) -> bool {
        let before = list.len();
        for _ in 0..more {
            let added = self.new_grant_frame().is_some_and(|frame| {
                let pushed = list.push(frame);
                if !pushed {
                    self.free_frames(frame, 0);
                }
                pushed
            });
            if !added {
                while list.len() > before {
                    if let Some(frame) = list.pop() {
                        self.free_frames(frame, 0);
                    }
                }
                return false;
            }
        }
        true
    }

    fn drop_frames<const N: usize>(&self, list: &mut FrameList<N>) {
        while let Some(frame) = list.pop() {
            self.free_frames(frame, 0);
        }
    }

    /// Adds `more` status frames, shared with the domain. All or nothing.
    pub(super) fn add_status_frames(
        &self,
        domain: &DomainMemory,
        state: &mut TableState,
        more: u32,
    ) -> bool {
        let before = state.status.len();
        if !self.add_frames(&mut state.status, more) {
            return false;
        }
        (before..state.status.len())
            .filter_map(|index| state.status.get(index))
            .all(|frame| self.share_with(domain, frame, true))
    }

    /// Takes the table of a dying domain away, once nobody uses a grant of it. `false`: someone still does, or maps a
    /// frame of the table; what could be taken was, and the rest waits for another call.
    #[must_use]
    pub fn destroy_grant_table(&self, granter: &Granter<'_>) -> bool {
        let state = &mut *self.lock_grants(&granter.table.state);
        state.pinned == 0
            && self.unshare_all(granter.domain, &mut state.status)
            && self.unshare_all(granter.domain, &mut state.shared)
            && {
                self.drop_frames(&mut state.active);
                true
            }
    }

    fn unshare_all<const N: usize>(&self, domain: &DomainMemory, list: &mut FrameList<N>) -> bool {
        while let Some(frame) = list.pop() {
            if !self.unshare(domain, frame) {
                list.push(frame);
                return false;
            }
            self.free_frames(frame, 0);
        }
        true
    }
}

#[cold]
fn no_memory() -> Refusal {
    Rule::OutOfMemory.refuse()
}
