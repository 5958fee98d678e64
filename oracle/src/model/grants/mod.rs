//! Grants, stated once more: who may use which frame by whose consent, and what holds because of it.
//!
//! A grant in use is a line in the granter's list of [`Uses`]; a mapping is a line in the mapper's list. Nothing else is
//! remembered: references of mappings follow from these lists and from the page tables. `entries` says what the guest's
//! words mean and which marks the hypervisor sets in them, `mapping` and `moving` what may be done with grants, `tables`
//! how tables come, change and go.

mod entries;
mod mapping;
mod moving;
mod requests;
mod tables;

use std::collections::BTreeMap;

use super::state::{Count, Model};
use crate::no::{self, No};

/// For the CPU (`GNTMAP_host_map`).
pub const HOST: u64 = 2;
/// For devices.
pub const DEVICE: u64 = 1;
/// Reading only.
pub const READ_ONLY: u64 = 4;
/// For user mode.
pub const APPLICATION: u64 = 8;
/// The address is that of the entry.
pub const CONTAINS_PTE: u64 = 16;
/// Elements of a batch of unmappings.
pub const BATCH: usize = 32;
/// Handles in a frame of records.
pub const HANDLES: u64 = 256;

/// How a grant is used at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// By whom.
    pub user: usize,
    /// The frame.
    pub frame: u64,
    /// By the CPU for writing and reading, by devices for writing and reading.
    pub pins: [u8; 4],
    /// First byte granted, and how many, if it is only part of the page.
    pub part: Option<(u64, u64)>,
}

impl Use {
    fn is_written(&self) -> bool {
        self.pins[0] != 0 || self.pins[2] != 0
    }
}

/// Grants in use, by reference.
pub type Uses = BTreeMap<u64, Use>;

/// A mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Its handle.
    pub handle: u64,
    /// Whose grant.
    pub granter: usize,
    /// Which.
    pub reference: u64,
    /// The frame.
    pub frame: usize,
    /// `GNTMAP_*` of what is left of it, and of how it was made.
    pub flags: u64,
    /// Where it was mapped for the CPU.
    pub host: u64,
}

impl Mapping {
    /// Whether it may be written through.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.flags & READ_ONLY == 0
    }

    /// Whether some part is left.
    fn is_left(&self) -> bool {
        self.flags & (HOST | DEVICE) != 0
    }

    /// The pins of its parts, as indices.
    fn pins(&self) -> impl Iterator<Item = usize> {
        let reading = usize::from(!self.is_writable());
        let host = (self.flags & HOST != 0).then_some(reading);
        let device = (self.flags & DEVICE != 0).then_some(2 + reading);
        host.into_iter().chain(device)
    }
}

/// The frames of a table and of a track.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lists {
    /// Shared with the guest: entries.
    pub shared: Vec<usize>,
    /// Shared with the guest: marks of version 2.
    pub status: Vec<usize>,
    /// The hypervisor's, for grants in use.
    pub active: Vec<usize>,
    /// The hypervisor's, for mappings.
    pub track: Vec<usize>,
}

/// What a domain grants and maps.
#[derive(Clone, Debug)]
pub struct Grants {
    /// The layout of its table.
    pub version: u64,
    /// The frames.
    pub lists: Lists,
    /// Its grants in use.
    pub uses: Uses,
    /// What it maps of others.
    pub maps: Vec<Mapping>,
    /// What was unmapped, but is still held: `flags` are the parts.
    pub unmapped: Vec<Mapping>,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            version: 1,
            lists: Lists::default(),
            uses: Uses::new(),
            maps: Vec::new(),
            unmapped: Vec::new(),
        }
    }
}

impl Model {
    /// Adds what mappings hold beside page-table entries.
    pub(super) fn count_grants(&self, counts: &mut [Count]) {
        let mut hold = |mapping: &Mapping, times: u64| {
            counts[mapping.frame].general += times;
            counts[mapping.frame].typed += times * u64::from(mapping.is_writable());
        };
        for domain in &self.domains {
            for mapping in &domain.grants.maps {
                hold(mapping, u64::from(mapping.flags & DEVICE != 0));
            }
            for mapping in &domain.grants.unmapped {
                hold(mapping, mapping.pins().count() as u64);
            }
        }
    }

    /// Takes the pins of parts of a mapping away, and the marks that nothing calls for any more.
    fn drop_pins(&mut self, mapping: &Mapping) {
        let grants = &mut self.domains[mapping.granter].grants;
        if let Some(one) = grants.uses.get_mut(&mapping.reference) {
            for pin in mapping.pins() {
                one.pins[pin] -= 1;
            }
            if one.pins == [0; 4] {
                grants.uses.remove(&mapping.reference);
            }
        }
        self.settle_marks(mapping.granter, mapping.reference);
    }

    /// A reference for a grant, as the grant's user is told of a refusal.
    fn hold_granted(&mut self, owner: usize, frame: u64, write: bool) -> Result<usize, No> {
        let index = self.take_page(owner, frame, write).map_err(|no| match no {
            no::NOT_OWNED => no::GRANT_FRAME,
            no::TYPE_CONFLICT => no::GRANT_NOT_WRITABLE,
            other => other,
        })?;
        self.domains[owner].holds.push((index, write));
        Ok(index)
    }

    /// Gives back the latest of those references.
    fn let_go(&mut self, owner: usize) {
        self.domains[owner].holds.pop();
    }
}
