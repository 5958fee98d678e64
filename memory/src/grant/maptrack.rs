//! The mapping side: one record for each mapping of another's grant, by handle.
//!
//! Keeps true: I53 (a handle is freed once, under the lock, by whoever clears its last part), I50 (records are in place
//! before the limit admits their index). One lock serves all of a domain's vCPUs.

use super::list::{FRAME_WORDS, FrameList};
use crate::engine::Engine;
use crate::machine::MachineMemory;
use crate::refusal::{Refusal, Rule};
use core::ops::Range;
use spin::Mutex;
use xenocryst_abi::grant_table::map_flag as m;
use xenocryst_abi::{DomId, Mfn};

/// The most frames that any track can have.
pub const MAX_TRACK_FRAMES: u32 = 1024;
const PER_FRAME: u32 = FRAME_WORDS / 2;

/// The mappings that one domain has of grants.
pub struct Maptrack {
    pub(super) state: Mutex<Records>,
    max_frames: u32,
}

/// What the track's lock protects.
pub(super) struct Records {
    frames: FrameList<{ MAX_TRACK_FRAMES as usize }>,
    /// Handles from here on were never used.
    fresh: u32,
    /// The first free handle below that, plus 1.
    free: u32,
}

/// A mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    /// `GNTMAP_*` of the parts that still exist, and how they were made. No part: the record is free.
    pub(super) flags: u16,
    pub(super) granter: DomId,
    pub(super) reference: u32,
    pub(super) frame: Mfn,
}

impl Record {
    pub(super) fn has(&self, flag: u32) -> bool {
        u32::from(self.flags) & flag != 0
    }
    pub(super) fn is_writable(&self) -> bool {
        !self.has(m::READONLY)
    }
    pub(super) fn is_used(&self) -> bool {
        self.has(m::HOST_MAP | m::DEVICE_MAP)
    }
    pub(super) fn without(mut self, part: u32) -> Self {
        self.flags &= !(part as u16);
        self
    }
}

impl Maptrack {
    /// A track without records, which may get `max_frames` frames (at most [`MAX_TRACK_FRAMES`]) of 256 each.
    pub const fn new(max_frames: u32) -> Self {
        Self {
            state: Mutex::new(Records {
                frames: FrameList::new(),
                fresh: 0,
                free: 0,
            }),
            max_frames: if max_frames < MAX_TRACK_FRAMES {
                max_frames
            } else {
                MAX_TRACK_FRAMES
            },
        }
    }
}

impl Records {
    /// The mapping with this handle.
    pub(super) fn get<M: MachineMemory>(&self, machine: &M, handle: u32) -> Option<Record> {
        if handle >= self.fresh {
            return None;
        }
        let [a, frame] = self.frames.read_pair(machine, handle);
        let record = Record {
            flags: a as u16,
            granter: DomId((a >> 16) as u16),
            reference: (a >> 32) as u32,
            frame: Mfn::new(frame),
        };
        record.is_used().then_some(record)
    }

    /// Stores a mapping; without parts, its handle becomes free.
    pub(super) fn set<M: MachineMemory>(&mut self, machine: &M, handle: u32, record: &Record) {
        if !record.is_used() {
            return self.put(machine, handle);
        }
        let word = u64::from(record.flags)
            | u64::from(record.granter.0) << 16
            | u64::from(record.reference) << 32;
        self.frames
            .write_pair(machine, handle, [word, record.frame.raw()]);
    }

    /// Frees a handle.
    pub(super) fn put<M: MachineMemory>(&mut self, machine: &M, handle: u32) {
        self.frames
            .write_pair(machine, handle, [0, u64::from(self.free)]);
        self.free = handle + 1;
    }

    /// The frames that hold the records.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn frames(&self) -> impl Iterator<Item = Mfn> {
        self.frames.iter()
    }

    /// Handles that were ever used.
    pub(super) fn limit(&self) -> u32 {
        self.fresh
    }

    /// How long the list of free handles is, if it ends within `most` and names unused handles only: for the audit.
    /// A list that ends names none twice.
    pub(super) fn count_free<M: MachineMemory>(&self, machine: &M, most: u32) -> Option<u32> {
        let mut next = self.free;
        for count in 0..=most {
            let Some(handle) = next.checked_sub(1) else {
                return Some(count);
            };
            if handle >= self.fresh || self.get(machine, handle).is_some() {
                return None;
            }
            next = self.frames.read_pair(machine, handle)[1] as u32;
        }
        None
    }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes a free handle, whose record is to be set or which is to be put back.
    pub(super) fn take_handle(&self, track: &Maptrack) -> Result<u32, Rule> {
        let records = &mut *self.lock_grants(&track.state);
        if let Some(handle) = records.free.checked_sub(1) {
            records.free = records.frames.read_pair(&self.machine, handle)[1] as u32;
            return Ok(handle);
        }
        if records.fresh == records.frames.len() * PER_FRAME && !self.add_records(track, records) {
            return Err(Rule::GrantHandles);
        }
        records.fresh += 1;
        Ok(records.fresh - 1)
    }

    /// Gives the track one more frame. `false` at its limit, or without memory.
    fn add_records(&self, track: &Maptrack, records: &mut Records) -> bool {
        if records.frames.len() >= track.max_frames {
            return false;
        }
        self.new_grant_frame().is_some_and(|frame| {
            let added = records.frames.push(frame);
            if !added {
                self.free_frames(frame, 0);
            }
            added
        })
    }

    /// Gives a new track its first frame, so that the first mappings take no memory. `false` without memory.
    #[must_use]
    pub fn prepare_maptrack(&self, track: &Maptrack) -> bool {
        let records = &mut *self.lock_grants(&track.state);
        track.max_frames == 0 || records.frames.len() != 0 || self.add_records(track, records)
    }

    /// Who granted what `handle` maps: the domain that [`Engine::unmap_grant`] must be given.
    pub fn granter_of(&self, track: &Maptrack, handle: u32) -> Result<DomId, Refusal> {
        self.lock_grants(&track.state)
            .get(&self.machine, handle)
            .map(|record| record.granter)
            .ok_or_else(|| Rule::GrantHandle.refuse().value(u64::from(handle)))
    }

    /// The first mapping with one of `handles`, and who granted it: for taking a dying domain's mappings away. `None`:
    /// there is none.
    pub fn next_grant_mapping(
        &self,
        track: &Maptrack,
        handles: Range<u32>,
    ) -> Option<(u32, DomId)> {
        let records = self.lock_grants(&track.state);
        (handles.start..handles.end.min(records.limit())).find_map(|handle| {
            let record = records.get(&self.machine, handle)?;
            Some((handle, record.granter))
        })
    }

    /// The handles that were ever given out are below this.
    pub fn grant_handle_limit(&self, track: &Maptrack) -> u32 {
        self.lock_grants(&track.state).limit()
    }

    /// Frees a track in which no mapping is left. `false` if one is.
    #[must_use]
    pub fn destroy_maptrack(&self, track: &Maptrack) -> bool {
        let records = &mut *self.lock_grants(&track.state);
        if (0..records.limit()).any(|handle| records.get(&self.machine, handle).is_some()) {
            return false;
        }
        records.fresh = 0;
        records.free = 0;
        while let Some(frame) = records.frames.pop() {
            self.free_frames(frame, 0);
        }
        true
    }
}
