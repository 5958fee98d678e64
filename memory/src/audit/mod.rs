//! The audit: do the counts in the frame table follow from the page tables themselves?
//!
//! The equations, for every frame:
//!
//! * type count = validated table entries that grant the type + pin + roots and other references held outside tables
//!   (+ 1 if partial: the partial state's own);
//! * general count = entries that name the frame + the same others + allocation;
//! * no frame with a live table or descriptor type is mapped writable;
//! * linear counter = linear entries held, or minus the uses made of it;
//! * a frame is free, or the hypervisor's, or belongs to one domain there is; each domain's total is what it owns;
//! * the free list holds the free frames, each once; the M2P says nothing of frames that are no domain's.
//!
//! Time is linear: every table entry is read once and every frame looked at a few times. The expected counts stand in
//! [`Tallies`], memory that the caller lends for as long as it takes. The machine must be quiet: no operation under
//! way on any CPU.
//!
//! Neighbours: `grant::audit` (the part about grants), `allocator` (the part about the free list), the hypervisor's
//! `audit`, which stops the machine and lends the memory, and the tests of this crate, by [`recount`].

mod finding;
mod frames;
#[cfg(test)]
mod tests;

use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::machine::MachineMemory;
use xenocryst_abi::Mfn;

pub use finding::Finding;

/// A reference held outside of page tables.
#[derive(Clone, Copy, Debug)]
pub enum Held {
    /// A general reference.
    General(Mfn),
    /// A general and a type reference (roots, writable references, descriptor windows).
    Typed(Mfn),
}

/// What a frame's counts should be.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Tally {
    /// All references.
    pub general: u32,
    /// Uses of its type.
    pub typed: u32,
    /// Linear entries, or minus the uses.
    pub linear: i16,
    pad: u16,
}

/// A [`Tally`] for each frame of the frame table, in chunks that all have the length of the first, but the last.
pub struct Tallies<'s, 'c> {
    chunks: &'s mut [&'c mut [Tally]],
    each: usize,
}

impl<'s, 'c> Tallies<'s, 'c> {
    /// Clears them. Frames beyond the last chunk are not audited, and reported.
    pub fn new(chunks: &'s mut [&'c mut [Tally]]) -> Self {
        for chunk in chunks.iter_mut() {
            chunk.fill(Tally::default());
        }
        let each = chunks.first().map_or(1, |chunk| chunk.len().max(1));
        Self { chunks, each }
    }

    fn of(&mut self, frame: usize) -> Option<&mut Tally> {
        self.chunks
            .get_mut(frame / self.each)?
            .get_mut(frame % self.each)
    }
}

/// What an audit came to.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Totals {
    /// Frames of RAM that were looked at.
    pub frames: u64,
    /// Tables of any level, whole or half validated.
    pub tables: u64,
    /// What is not as it should be.
    pub discrepancies: u64,
}

/// An audit under way. First it is told of references outside tables ([`Audit::hold`], [`Audit::count_grants`]), then
/// [`Audit::finish`] looks at all frames.
pub struct Audit<'a, 'm, 's, 'c, M: MachineMemory> {
    pub(crate) engine: &'a Engine<'m, M>,
    tallies: Tallies<'s, 'c>,
    report: &'a mut dyn FnMut(&Finding),
    totals: Totals,
}

impl<'a, 'm, 's, 'c, M: MachineMemory> Audit<'a, 'm, 's, 'c, M> {
    /// An audit that tells `report` of each discrepancy.
    pub fn new(
        engine: &'a Engine<'m, M>,
        tallies: Tallies<'s, 'c>,
        report: &'a mut dyn FnMut(&Finding),
    ) -> Self {
        Self {
            engine,
            tallies,
            report,
            totals: Totals::default(),
        }
    }

    /// Counts a reference that is held outside of tables.
    pub fn hold(&mut self, reference: Held) {
        let (mfn, typed) = match reference {
            Held::General(mfn) => (mfn, 0),
            Held::Typed(mfn) => (mfn, 1),
        };
        match self.tally(mfn) {
            Some(tally) => {
                tally.general = tally.general.wrapping_add(1);
                tally.typed = tally.typed.wrapping_add(typed);
            }
            None => self.found(&Finding::NotCovered { frame: mfn }),
        }
    }

    /// Looks at every frame, as belonging to one of `domains` (those that are dying among them) or to none.
    pub fn finish(mut self, domains: &[&DomainMemory]) -> Totals {
        self.count_tables();
        self.compare_frames();
        self.check_owners(domains);
        let (engine, report) = (self.engine, &mut *self.report);
        let totals = &mut self.totals;
        engine.audit_free_list(&mut |finding| {
            totals.discrepancies += 1;
            report(&finding);
        });
        self.totals
    }

    fn tally(&mut self, mfn: Mfn) -> Option<&mut Tally> {
        self.tallies.of(usize::try_from(mfn.raw()).ok()?)
    }

    pub(crate) fn found(&mut self, finding: &Finding) {
        self.totals.discrepancies += 1;
        (self.report)(finding);
    }
}

/// Recounts every frame; an error names the first discrepancy.
#[cfg(any(test, feature = "sim"))]
pub fn recount<M: MachineMemory>(
    engine: &Engine<'_, M>,
    domains: &[&DomainMemory],
    held: &[Held],
) -> Result<(), std::string::String> {
    use std::string::ToString;
    let mut first = None;
    let mut tallies = std::vec![Tally::default(); engine.frames.len()];
    let mut chunks = [&mut tallies[..]];
    let mut report = |finding: &Finding| {
        first.get_or_insert_with(|| finding.to_string());
    };
    let mut audit = Audit::new(engine, Tallies::new(&mut chunks), &mut report);
    for &reference in held {
        audit.hold(reference);
    }
    audit.finish(domains);
    match first {
        Some(said) => Err(said),
        None => Ok(()),
    }
}
