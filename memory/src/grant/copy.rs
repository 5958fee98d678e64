//! `GNTTABOP_copy`: bytes between frames of the caller and frames granted to it.
//!
//! Each element claims and releases its two ends by itself; nothing is remembered between elements, so nothing can be
//! reused under another meaning (I57). While bytes move no lock is held: the pin keeps the grant, references the frames.
//!
//! Keeps true: I41, I55 to I57, I58 (transitive grants are refused).

use super::Granter;
use super::active::Use;
use super::entry::Access;
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::machine::MachineMemory;
use crate::refusal::{Refusal, Rule};
use xenocryst_abi::{DomId, Maddr, Mfn};

const PAGE: u32 = 4096;

/// One end of a copy.
#[derive(Clone, Copy)]
pub enum CopyEnd<'a> {
    /// A frame of the caller.
    Own(Mfn),
    /// A grant.
    Grant(Granter<'a>, u32),
}

/// A request to copy.
#[derive(Clone, Copy)]
pub struct GrantCopy<'a> {
    /// From where.
    pub from: CopyEnd<'a>,
    /// First byte in that page.
    pub from_offset: u16,
    /// To where.
    pub to: CopyEnd<'a>,
    /// First byte in that page.
    pub to_offset: u16,
    /// Bytes.
    pub length: u16,
}

/// A claimed end.
#[derive(Clone, Copy)]
struct Claimed {
    frame: Mfn,
    start: u16,
    length: u16,
}

impl Claimed {
    fn covers(&self, offset: u16, length: u16) -> bool {
        offset >= self.start
            && u32::from(offset) + u32::from(length)
                <= u32::from(self.start) + u32::from(self.length)
    }
}

impl CopyEnd<'_> {
    /// Checks how an end is addressed: only the caller's own frames (`DOMID_SELF`) can be named by number. To be asked
    /// for each end of each element.
    pub fn check_addressing(by_grant: bool, named: DomId) -> Result<(), Refusal> {
        if by_grant || named == DomId::SELF {
            Ok(())
        } else {
            Err(Rule::GrantCopyByFrame.refuse())
        }
    }
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Copies.
    pub fn copy_grant(
        &self,
        caller: &DomainMemory,
        request: &GrantCopy<'_>,
    ) -> Result<(), Refusal> {
        let from = self
            .claim_end(caller, &request.from, false)
            .map_err(Rule::refuse)?;
        let result = match self.claim_end(caller, &request.to, true) {
            Ok(to) => {
                let result = self.copy_claimed(request, &from, &to);
                self.release_end(&request.to, &to, true);
                result
            }
            Err(rule) => Err(rule),
        };
        self.release_end(&request.from, &from, false);
        result.map_err(Rule::refuse)
    }

    fn copy_claimed(
        &self,
        request: &GrantCopy<'_>,
        from: &Claimed,
        to: &Claimed,
    ) -> Result<(), Rule> {
        let GrantCopy {
            from_offset,
            to_offset,
            length,
            ..
        } = *request;
        let ends_inside = |offset: u16| u32::from(offset) + u32::from(length) <= PAGE;
        if !ends_inside(from_offset) || !ends_inside(to_offset) {
            return Err(Rule::GrantCopyRange);
        }
        if !from.covers(from_offset, length) || !to.covers(to_offset, length) {
            return Err(Rule::GrantCopyPart);
        }
        let at = |frame: Mfn, offset: u16| Maddr::new(frame.maddr().raw() + u64::from(offset));
        self.machine
            .copy_bytes(at(to.frame, to_offset), at(from.frame, from_offset), length);
        Ok(())
    }

    fn claim_end(
        &self,
        caller: &DomainMemory,
        end: &CopyEnd<'_>,
        write: bool,
    ) -> Result<Claimed, Rule> {
        let (granter, reference) = match end {
            CopyEnd::Own(frame) => {
                self.hold_frame(caller, *frame, write)?;
                return Ok(Claimed {
                    frame: *frame,
                    start: 0,
                    length: PAGE as u16,
                });
            }
            CopyEnd::Grant(granter, reference) => (granter, *reference),
        };
        let access = Access {
            user: caller.id(),
            write,
            map: false,
        };
        let state = &mut *self.lock_grants(&granter.table.state);
        let mut active = self.claim_grant(granter, state, reference, access)?;
        let pinned = active.pins.with(Use::host(write));
        let held = match pinned {
            Some(_) => self.hold_frame(granter.domain, active.frame, write),
            None => Err(Rule::GrantPinOverflow),
        };
        if let Err(rule) = held {
            state.settle_marks(&self.machine, reference);
            return Err(rule);
        }
        active.pins = pinned.unwrap_or_default();
        state.set_active(&self.machine, reference, &active);
        Ok(Claimed {
            frame: active.frame,
            start: active.start,
            length: active.length,
        })
    }

    /// The pin goes first, then the reference (I56).
    fn release_end(&self, end: &CopyEnd<'_>, claimed: &Claimed, write: bool) {
        if let CopyEnd::Grant(granter, reference) = end {
            let state = &mut *self.lock_grants(&granter.table.state);
            self.unpin_grant(state, *reference, &[Use::host(write)]);
        }
        self.let_go_of_frame(claimed.frame, write);
    }
}
