//! Grant tables of domains: what the hypervisor keeps for each, and how a dying domain's end of them goes.
//!
//! Keeps true: a domain has its table, with a first frame, before anybody knows the domain, and both its table and its
//! mappings until nobody uses them. The engine's locks are taken in the order: the granter's table, the mapper's
//! mappings, page tables (of whichever domain). So one CPU holds at most one lock of each kind, and none across two
//! elements of a batch. No lock of the hypervisor's own is taken inside.
//! Neighbours: the engine's `grant` module does the work; `hypercall::grant_table_op` is the guest's side.

use core::sync::atomic::{AtomicU32, Ordering};

use xenocryst_abi::hypercall::errno::{EINVAL, Errno};
use xenocryst_abi::{Mfn, PAGE_SIZE};
use xenocryst_memory::grant::{
    GrantTable, Granter, MAX_TABLE_FRAMES, MAX_TRACK_FRAMES, Mapper, Maptrack,
};

use crate::domain::{self, Domain, Vcpu};
use crate::mm::engine;
use crate::percpu::must_pause;

/// The newest layout of grant tables that there is.
const MAX_VERSION: u32 = 2;

/// Mappings looked at between two looks at pending work.
const RELEASE_CHUNK: u32 = 256;

/// How far one domain's grants can go, from its creation on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    table_frames: u32,
    track_frames: u32,
    version: u32,
}

impl Limits {
    /// The most that there is, as on a Xen without `gnttab=` options.
    pub const MOST: Self = Self {
        table_frames: MAX_TABLE_FRAMES,
        track_frames: MAX_TRACK_FRAMES,
        version: MAX_VERSION,
    };

    /// The limits that `XEN_DOMCTL_createdomain` gives: frames of table and of mappings (negative for the most) and the
    /// newest version allowed (the low bits of `grant_opts`).
    ///
    /// # Errors
    /// `EINVAL` for a table without frames, more than [`Limits::MOST`], or an unknown version.
    pub fn new(table_frames: i32, track_frames: i32, version: u32) -> Result<Self, Errno> {
        let most = Self::MOST;
        let table_frames = u32::try_from(table_frames).unwrap_or(most.table_frames);
        let track_frames = u32::try_from(track_frames).unwrap_or(most.track_frames);
        let fits = (1..=most.table_frames).contains(&table_frames)
            && track_frames <= most.track_frames
            && (1..=most.version).contains(&version);
        if !fits {
            return Err(EINVAL);
        }
        Ok(Self {
            table_frames,
            track_frames,
            version,
        })
    }
}

/// One domain's grants, given and taken.
pub struct Grants {
    /// What it grants.
    pub table: GrantTable,
    /// What it has mapped.
    pub track: Maptrack,
    /// The first mapping that [`release_mappings`] has not looked at.
    released: AtomicU32,
}

impl Grants {
    /// Nothing granted and nothing mapped, and no frame for either yet.
    pub const fn new(limits: Limits) -> Self {
        Self {
            table: GrantTable::new(limits.table_frames, limits.version),
            track: Maptrack::new(limits.track_frames),
            released: AtomicU32::new(0),
        }
    }
}

/// Gives a new domain's table the frame that every table has, and its mappings their first, so that memory is where it was
/// when a few mappings have come and gone. False without memory.
pub fn init(domain: &Domain) -> bool {
    engine().grow_grant_table(&granter(domain), 1).is_ok()
        && engine().prepare_maptrack(&domain.grants.track)
}

/// `domain` as the one that grants.
pub fn granter(domain: &Domain) -> Granter<'_> {
    Granter {
        domain: &domain.memory,
        table: &domain.grants.table,
    }
}

/// `vcpu`, which is in its kernel's address space, as the one that maps.
pub fn mapper(vcpu: &'static Vcpu) -> Mapper<'static> {
    Mapper {
        domain: &vcpu.domain.memory,
        track: &vcpu.domain.grants.track,
        root: Mfn::new(vcpu.kernel_cr3.get() / PAGE_SIZE),
    }
}

/// Lets go of everything that dying `domain` has mapped of others; its vCPUs have stopped for good. To be done before its
/// page tables go. False if it was interrupted and must be called again.
pub fn release_mappings(domain: &'static Domain) -> bool {
    let grants = &domain.grants;
    let mapper = Mapper {
        domain: &domain.memory,
        track: &grants.track,
        // Never looked at: entries stay until the tables they are in go.
        root: Mfn::new(0),
    };
    loop {
        let from = grants.released.load(Ordering::Relaxed);
        let to = from.saturating_add(RELEASE_CHUNK);
        let mut next = from;
        while let Some((handle, id)) = engine().next_grant_mapping(&grants.track, next..to) {
            // Who granted is there as long as somebody uses the grant.
            if let Some(other) = domain::find(id) {
                engine().release_grant_mapping(&mapper, &granter(other), handle);
            }
            next = handle + 1;
        }
        grants.released.store(to, Ordering::Relaxed);
        if to >= engine().grant_handle_limit(&grants.track) {
            return true;
        }
        if must_pause() {
            return false;
        }
    }
}

/// Frees the table and the mappings of `domain`, the last step of its end, once nobody uses one of its grants or maps a
/// frame of its table. False if somebody still does: to be tried again when others have let go.
pub fn destroy(domain: &'static Domain) -> bool {
    engine().destroy_grant_table(&granter(domain))
        && engine().destroy_maptrack(&domain.grants.track)
}
