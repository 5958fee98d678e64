//! `GNTTABOP_transfer`: giving a frame, with its contents, to a domain that granted its acceptance.
//!
//! Keeps true: I5 (only a frame that nothing but its allocation holds is taken), I6, I7, I12 (it arrives without a type),
//! I33 (nobody's TLB knows it on arrival). A refusal leaves the frame where it was.

use super::Granter;
use super::entry::{Entry, change_word};
use super::table::TableState;
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::frame::{OwnerWord, TypeWord};
use crate::machine::MachineMemory;
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use xenocryst_abi::grant_table::entry_flag as f;
use xenocryst_abi::{DomId, Maddr, Mfn};

const TRIES: u32 = 5;

impl<M: MachineMemory> Engine<'_, M> {
    /// Gives `frame` of `giver` to `receiver`, whose grant `reference` accepts it and tells the frame afterwards.
    pub fn transfer_grant(
        &self,
        giver: &DomainMemory,
        frame: Mfn,
        receiver: &Granter<'_>,
        reference: u32,
    ) -> Result<(), Refusal> {
        let state = &mut *self.lock_grants(&receiver.table.state);
        if reference >= state.entries() {
            return Err(Rule::GrantTransfer.refuse().value(u64::from(reference)));
        }
        self.reserve(receiver.domain, 1)?;
        if let Err(refusal) = self.steal(giver, frame) {
            self.unreserve(receiver.domain, 1);
            return Err(refusal);
        }
        match self.commit_transfer(state, reference, giver.id()) {
            Ok(entry) => {
                self.unreserve(giver, 1);
                self.machine.flush_tlb(u64::MAX, self.machine.tlb_clock());
                self.write_m2p(frame, entry.frame.raw());
                self.forget_type(frame);
                self.set_owner(frame, receiver.domain.id());
                self.complete_transfer(state, reference, frame);
                self.take_back_from_the_dying(receiver.domain, core::iter::once(frame));
                Ok(())
            }
            Err(rule) => {
                self.unreserve(receiver.domain, 1);
                // What it was used as stands in its type word still: CPUs may know it writable, or as a table.
                if self.commits(Fault::TransferType) {
                    self.forget_type(frame);
                }
                self.set_owner(frame, giver.id());
                self.take_back_from_the_dying(giver, core::iter::once(frame));
                Err(rule.refuse().value(u64::from(reference)))
            }
        }
    }

    fn forget_type(&self, mfn: Mfn) {
        if let Some(frame) = self.frame(mfn) {
            frame.set_type_word(TypeWord::NONE);
        }
    }

    fn set_owner(&self, mfn: Mfn, owner: DomId) {
        if let Some(frame) = self.frame(mfn) {
            frame.set_owner_word(OwnerWord::given_to(owner, false));
        }
    }

    /// The word with the entry's flags.
    fn header_of(state: &TableState, reference: u32) -> Option<Maddr> {
        if state.version == 1 {
            state.shared.word(reference)
        } else {
            state.shared.half(reference, false)
        }
    }

    /// Locks the entry down for the frame to come.
    fn commit_transfer(
        &self,
        state: &TableState,
        reference: u32,
        giver: DomId,
    ) -> Result<Entry, Rule> {
        let at = Self::header_of(state, reference).ok_or(Rule::GrantTransfer)?;
        let mut word = self.machine.read_u64(at);
        for _ in 0..TRIES {
            let entry = Entry::v1(word);
            if entry.flags != f::ACCEPT_TRANSFER || entry.peer != giver {
                return Err(Rule::GrantTransfer);
            }
            let committed = word | u64::from(f::TRANSFER_COMMITTED);
            match self.machine.compare_exchange_u64(at, word, committed) {
                Ok(_) => {
                    let fetched = state.fetch(&self.machine, reference);
                    return Ok(if state.version == 1 {
                        entry
                    } else {
                        fetched.unwrap_or(entry)
                    });
                }
                Err(now) => word = now,
            }
        }
        Err(Rule::GrantChanged)
    }

    /// Tells the receiver the frame, then that it has come.
    fn complete_transfer(&self, state: &TableState, reference: u32, frame: Mfn) {
        let Some(at) = Self::header_of(state, reference) else {
            return;
        };
        let done = u64::from(f::TRANSFER_COMPLETED);
        if state.version == 1 {
            // Frame numbers of RAM fit 32 bits: the frame table has no more.
            change_word(&self.machine, at, 64, |word| {
                word & 0xffff_ffff | done | frame.raw() << 32
            });
        } else {
            if let Some(frame_at) = state.shared.half(reference, true) {
                self.machine.write_u64(frame_at, frame.raw());
            }
            change_word(&self.machine, at, 64, |word| word | done);
        }
    }
}
