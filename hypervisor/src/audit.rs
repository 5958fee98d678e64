//! The audit of all frames, on demand: the engine recounts every reference, and each discrepancy is named on the console.
//!
//! Keeps true: it runs while the machine is quiet (see `quiet`). The memory for counting, 12 bytes a frame, is taken from
//! the free list for as long as it takes; without enough of it the audit says so and does nothing. Every reference that
//! the hypervisor holds outside of tables is told by [`each_reference`]: who adds a kind must add it there.
//! How long it takes: every table entry is read once and every frame looked at six times. The line it ends with says so
//! in milliseconds; guests do not run meanwhile.
//! Neighbours: `xenocryst_memory::audit` (the rules), `keys` and `hypercall::xenocryst_op` (who asks).

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use xenocryst_abi::{DomId, Mfn, PAGE_SIZE};
use xenocryst_memory::audit::{Audit, Finding, Held, Tallies, Tally, Totals};
use xenocryst_memory::grant::audit::{Party, PinTally};
use xenocryst_memory::{AddressLimit, DomainMemory};

use crate::arch::clock;
use crate::console::say;
use crate::domain::{self, Domain, descriptors};
use crate::hypercall::owners;
use crate::mm::{direct_map, engine};
use crate::{events, irq, keys, quiet};

/// Discrepancies that are named; the rest is counted.
const NAMED: u64 = 20;
/// Sizes of the runs of frames that the memory for counting is made of, as orders: the largest that is there.
const ORDERS: [u8; 3] = [9, 4, 0];

/// Audits that were made, and what the last one found: [`UNKNOWN`] if it had no room.
static DONE: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicU64 = AtomicU64::new(UNKNOWN);
/// The number of discrepancies when there was no room to look for them.
pub const UNKNOWN: u64 = u64::MAX;

/// Has an audit made before this CPU enters a guest again. Returns how many were made before it.
pub fn request() -> u64 {
    let before = done();
    quiet::press(keys::AUDIT);
    before
}

/// How many audits were made.
pub fn done() -> u64 {
    DONE.load(Ordering::SeqCst)
}

/// The number of discrepancies that the last audit found, or [`UNKNOWN`].
pub fn last() -> u64 {
    LAST.load(Ordering::SeqCst)
}

/// To be called once nothing of `domain` is left: builds with debug assertions (`cargo xtask build --checked`) audit the
/// machine before the caller's CPU enters a guest again. A frame that is still `domain`'s is then found to belong to
/// nobody there is.
pub fn after_destruction(domain: DomId) {
    if cfg!(debug_assertions) {
        say!("audit: after the end of {domain}");
        request();
    }
}

/// Audits all frames, and says what came of it. The machine is quiet.
pub fn run() {
    let start = clock::now_ns();
    let frames = engine().maximum_ram_page().raw() as usize + 1;
    let totals = ORDERS
        .iter()
        .find_map(|&order| Room::new(frames, order))
        .and_then(|mut room| audit(&mut room));
    match totals {
        Some(totals) => {
            let ms = (clock::now_ns() - start) / 1_000_000;
            say!(
                "audit: {} frames, {} tables, {} discrepancies, {} ms",
                totals.frames,
                totals.tables,
                totals.discrepancies,
                ms
            );
            LAST.store(totals.discrepancies, Ordering::SeqCst);
        }
        None => {
            say!("audit: no memory to count {frames} frames in");
            LAST.store(UNKNOWN, Ordering::SeqCst);
        }
    }
    DONE.fetch_add(1, Ordering::SeqCst);
}

fn audit(room: &mut Room) -> Option<Totals> {
    let mut domains: Vec<&'static Domain> = Vec::new();
    let mut memories: Vec<&DomainMemory> = Vec::new();
    domains.try_reserve_exact(domain::MAX_DOMAINS).ok()?;
    memories.try_reserve_exact(domain::MAX_DOMAINS + 1).ok()?;
    domain::for_each(|domain| domains.push(domain));
    memories.extend(domains.iter().map(|domain| &domain.memory));
    // What privileged domains may map of the hypervisor's own, such as the M2P.
    memories.push(owners::xen());
    let mut parties: Vec<Party<'_>> = Vec::new();
    parties.try_reserve_exact(domains.len()).ok()?;
    parties.extend(domains.iter().map(|domain| Party {
        domain: &domain.memory,
        table: &domain.grants.table,
        track: &domain.grants.track,
    }));
    let mut pins = Vec::new();
    let wanted = engine().grant_tallies(&parties);
    pins.try_reserve_exact(wanted).ok()?;
    pins.resize(wanted, PinTally::default());
    let mut named = 0;
    let mut report = |finding: &Finding| {
        named += 1;
        if named <= NAMED {
            say!("audit: {finding}");
        }
        if named == NAMED {
            say!("audit: what is found from here on is only counted");
        }
    };
    let mut chunks = room.chunks()?;
    let mut audit = Audit::new(engine(), Tallies::new(&mut chunks), &mut report);
    for domain in &domains {
        each_reference(domain, &mut |held| audit.hold(held));
    }
    // The marks in the tables are the guests' to spoil.
    audit.count_grants(&parties, &mut pins, false);
    Some(audit.finish(&memories))
}

/// Tells `tell` of every reference that the hypervisor holds on frames of `domain` outside of tables.
fn each_reference(domain: &'static Domain, tell: &mut dyn FnMut(Held)) {
    for vcpu in domain.each_vcpu() {
        {
            let roots = vcpu.roots.lock();
            for root in [&roots.kernel, &roots.user].into_iter().flatten() {
                tell(Held::Typed(root.mfn()));
            }
        }
        descriptors::each_held(vcpu, &mut |mfn| tell(Held::Typed(mfn)));
    }
    let mut writable = |mfn| tell(Held::Typed(mfn));
    events::each_held_page(domain, &mut writable);
    irq::each_held_page(domain, &mut writable);
}

/// Memory for counting: runs of frames, given back when dropped.
struct Room {
    order: u8,
    runs: Vec<Mfn>,
    frames: usize,
}

impl Room {
    /// Room for `frames` frames in runs of 2^`order` frames.
    fn new(frames: usize, order: u8) -> Option<Self> {
        let wanted = frames.div_ceil(Self::each(order));
        let mut runs = Vec::new();
        runs.try_reserve_exact(wanted).ok()?;
        let mut room = Self {
            order,
            runs,
            frames,
        };
        while room.runs.len() < wanted {
            room.runs
                .push(engine().allocate_frames(order, AddressLimit::NONE)?);
        }
        Some(room)
    }

    /// Tallies in one run.
    fn each(order: u8) -> usize {
        (PAGE_SIZE << order) as usize / size_of::<Tally>()
    }

    /// The runs as tallies, cleared. `None` without memory for the list of them.
    fn chunks(&mut self) -> Option<Vec<&mut [Tally]>> {
        let each = Self::each(self.order);
        let mut chunks = Vec::new();
        chunks.try_reserve_exact(self.runs.len()).ok()?;
        for (index, run) in self.runs.iter().enumerate() {
            let count = self.frames.saturating_sub(index * each).min(each);
            let at = direct_map(run.maddr());
            // SAFETY: the run was just allocated for this, is mapped writable in the direct map and as large as `each`
            // tallies need; zeroes are a tally; the borrow of `self` keeps it from being given back or lent twice.
            chunks.push(unsafe {
                at.write_bytes(0, (PAGE_SIZE << self.order) as usize);
                core::slice::from_raw_parts_mut(at.cast::<Tally>(), count)
            });
        }
        Some(chunks)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for run in self.runs.drain(..) {
            engine().free_frames(run, self.order);
        }
    }
}
