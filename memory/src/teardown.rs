//! Taking a dying domain's memory away.
//!
//! Keeps true: invariants I19 and I48. Only pins, abandoned partial tables and allocations are dropped here; every
//! other reference goes when the table that holds it is demoted, so that counts come out exactly.

use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::frame::Frame;
use crate::machine::MachineMemory;
use crate::progress::{Budget, Progress};
use crate::ptype::ENTRIES;
use crate::seeded::Fault;
use core::sync::atomic::{Ordering, fence};
use xenocryst_abi::Mfn;

#[cfg(test)]
mod tests;

/// Frames of others that count as one unit of work to skip.
const SKIPPED_PER_UNIT: u64 = 16;

impl<M: MachineMemory> Engine<'_, M> {
    /// Takes every frame of a dying domain away: unpins, unwinds, drops allocations. Its vCPUs are dead and have given
    /// back roots and descriptor pages. `cursor` starts at frame 0 and is kept by the caller between calls.
    /// Frames still held by others are freed when those let go; `owned_frames` is 0 when all are. Frames that the
    /// hypervisor shares with the domain are left to the hypervisor.
    pub fn relinquish(
        &self,
        domain: &DomainMemory,
        cursor: &mut Mfn,
        budget: &mut Budget,
    ) -> Progress<()> {
        domain.set_dying();
        // Against that in `take_back_from_the_dying`.
        fence(Ordering::SeqCst);
        // Giving a claim back cannot fail.
        let _ = self.claim_frames(domain, 0);
        if self.finish_unwinding(domain, budget) == Progress::Preempted {
            return Progress::Preempted;
        }
        while let Some(frame) = self.frame(*cursor) {
            if budget.is_exhausted() {
                return Progress::Preempted;
            }
            if frame.owner_word().belongs_to(domain.tag()) {
                budget.spend(1);
                if self.relinquish_frame(domain, *cursor, frame, budget) == Progress::Preempted {
                    return Progress::Preempted;
                }
            } else if cursor.raw().is_multiple_of(SKIPPED_PER_UNIT) {
                budget.spend(1);
            }
            *cursor = cursor.wrapping_add(1);
        }
        Progress::Done(())
    }

    /// Looks once more at `domain`, to which these frames were given: if it began to die after it was asked whether it does,
    /// they may have come too late for [`Engine::relinquish`], and are taken away again here (I48).
    pub(crate) fn take_back_from_the_dying(
        &self,
        domain: &DomainMemory,
        frames: impl Iterator<Item = Mfn>,
    ) {
        // Either it is seen here that the domain dies, or it is seen there that the frames are its own.
        fence(Ordering::SeqCst);
        if !domain.is_dying() {
            return;
        }
        for mfn in frames {
            if let Some(frame) = self.frame(mfn).filter(|frame| frame.get(domain.tag())) {
                // Refused if it did not come too late.
                let _ = self.drop_allocation(mfn);
                self.put_general(mfn, frame);
            }
        }
    }

    fn relinquish_frame(
        &self,
        domain: &DomainMemory,
        mfn: Mfn,
        frame: &Frame,
        budget: &mut Budget,
    ) -> Progress<()> {
        // Held across, so that the frame cannot go while it is looked at. One that so many hold that no further reference
        // can be counted cannot go either, and must not be passed over: its allocation would stay for good.
        let held = frame.get(domain.tag());
        if !held && !frame.owner_word().belongs_to(domain.tag()) {
            return Progress::Done(());
        }
        let result = self.relinquish_table(domain, mfn, frame, budget);
        if result == Progress::Done(()) {
            // Refused for a frame that the hypervisor shares with the domain, and if the domain itself had dropped the
            // allocation before: then there is nothing to drop.
            let _ = self.drop_allocation(mfn);
        }
        if held {
            self.put_general(mfn, frame);
        }
        result
    }

    fn relinquish_table(
        &self,
        domain: &DomainMemory,
        mfn: Mfn,
        frame: &Frame,
        budget: &mut Budget,
    ) -> Progress<()> {
        let mut session = self.session(domain);
        if frame.type_word().is_pinned() && !self.commits(Fault::TeardownPin) {
            self.drop_pin(&mut session, mfn, frame, budget);
        } else if frame
            .type_word()
            .partial()
            .is_some_and(|cursor| cursor <= ENTRIES)
        {
            session.tables.doomed = Some(mfn);
        }
        self.unwind_doomed(&mut session, budget)
    }
}
