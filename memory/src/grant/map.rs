//! `GNTTABOP_map_grant_ref`, and what it shares with copying: claiming a grant, and holding its frame.
//!
//! Keeps true: I51 (all references taken, the entry written and the pins in place, or nothing), I56.

use super::active::{Active, Pins, Use};
use super::entry::Access;
use super::maptrack::Record;
use super::table::TableState;
use super::{Granter, Mapper};
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::machine::MachineMemory;
use crate::refs::{PageRef, WritableRef};
use crate::refusal::{Refusal, Rule};
use crate::seeded::Fault;
use xenocryst_abi::Mfn;
use xenocryst_abi::grant_table::map_flag as m;

/// A request to map.
#[derive(Clone, Copy, Debug)]
pub struct GrantMap {
    /// Virtual address, or machine address of an entry (`GNTMAP_contains_pte`).
    pub host_addr: u64,
    /// `GNTMAP_*`.
    pub flags: u32,
    /// Which grant.
    pub reference: u32,
}

/// What the mapper gets to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantMapping {
    /// The mapping.
    pub handle: u32,
    /// The machine address of the frame.
    pub bus_address: u64,
}

/// The parts of a mapping with `flags`.
pub(super) fn parts(flags: u32) -> impl Iterator<Item = Use> {
    let write = flags & m::READONLY == 0;
    let host = (flags & m::HOST_MAP != 0).then_some(Use::host(write));
    let device = (flags & m::DEVICE_MAP != 0).then_some(Use::device(write));
    host.into_iter().chain(device)
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Maps a grant.
    pub fn map_grant(
        &self,
        mapper: &Mapper<'_>,
        granter: &Granter<'_>,
        request: &GrantMap,
    ) -> Result<GrantMapping, Refusal> {
        let refuse = |rule: Rule| rule.refuse().value(u64::from(request.reference));
        if parts(request.flags).next().is_none() {
            return Err(refuse(Rule::GrantMapKind));
        }
        if mapper.domain.is_dying() {
            return Err(refuse(Rule::GrantDying));
        }
        let handle = self.take_handle(mapper.track).map_err(refuse)?;
        match self.map_with_handle(mapper, granter, request, handle) {
            Ok(frame) => Ok(GrantMapping {
                handle,
                bus_address: frame.maddr().raw(),
            }),
            Err(rule) => {
                self.lock_grants(&mapper.track.state)
                    .put(&self.machine, handle);
                Err(refuse(rule))
            }
        }
    }

    fn map_with_handle(
        &self,
        mapper: &Mapper<'_>,
        granter: &Granter<'_>,
        request: &GrantMap,
        handle: u32,
    ) -> Result<Mfn, Rule> {
        let write = request.flags & m::READONLY == 0;
        let access = Access {
            user: mapper.domain.id(),
            write,
            map: true,
        };
        let state = &mut *self.lock_grants(&granter.table.state);
        let mut active = self.claim_grant(granter, state, request.reference, access)?;
        let held = self
            .pin_all(&mut active, request.flags)
            .and_then(|()| self.hold_parts(mapper, granter, request, active.frame));
        if let Err(rule) = held {
            state.settle_marks(&self.machine, request.reference);
            return Err(rule);
        }
        state.set_active(&self.machine, request.reference, &active);
        let record = Record {
            flags: request.flags as u16,
            granter: granter.domain.id(),
            reference: request.reference,
            frame: active.frame,
        };
        self.lock_grants(&mapper.track.state)
            .set(&self.machine, handle, &record);
        Ok(active.frame)
    }

    fn pin_all(&self, active: &mut Active, flags: u32) -> Result<(), Rule> {
        for part in parts(flags) {
            active.pins = active.pins.with(part).ok_or(Rule::GrantPinOverflow)?;
        }
        Ok(())
    }

    /// Takes the references of every part and writes the entry. All or nothing.
    fn hold_parts(
        &self,
        mapper: &Mapper<'_>,
        granter: &Granter<'_>,
        request: &GrantMap,
        frame: Mfn,
    ) -> Result<(), Rule> {
        let write = request.flags & m::READONLY == 0;
        let wanted = parts(request.flags).count();
        let mut held = 0;
        let mut result = Ok(());
        while held < wanted && result.is_ok() {
            result = self.hold_frame(granter.domain, frame, write);
            held += usize::from(result.is_ok());
        }
        if result.is_ok() && request.flags & m::HOST_MAP != 0 {
            let lends = write && mapper.domain.id() != granter.domain.id();
            if lends && !self.commits(Fault::GrantLending) {
                granter.domain.set_lent();
            }
            result = self.install_grant(mapper, request.host_addr, request.flags, frame);
        }
        if result.is_err() {
            for _ in 0..held {
                self.let_go_of_frame(frame, write);
            }
        }
        result
    }

    /// Checks a grant for `access` and marks it as used. The caller pins it and stores it, or settles its marks.
    pub(super) fn claim_grant(
        &self,
        granter: &Granter<'_>,
        state: &TableState,
        reference: u32,
        access: Access,
    ) -> Result<Active, Rule> {
        if reference >= state.entries() {
            return Err(Rule::GrantReference);
        }
        if granter.domain.is_dying() {
            return Err(Rule::GrantDying);
        }
        let user = access.user;
        let active = state.active(&self.machine, reference);
        if !active.pins.is_none() {
            if active.user != access.user {
                return Err(Rule::GrantNotPermitted);
            }
            if access.map && active.is_part {
                return Err(Rule::GrantPartOfPage);
            }
        }
        let access = self.demanded_access(state, reference, access);
        match state.open(&self.machine, reference, access, &active) {
            Ok(entry) if active.pins.is_none() => Ok(Active {
                pins: Pins::default(),
                user,
                frame: entry.frame,
                start: entry.start,
                length: entry.length,
                is_part: entry.is_part,
            }),
            Ok(_) => Ok(active),
            Err(Rule::GrantChanged) if self.commits(Fault::GrantChanged) => Ok(active),
            Err(rule) => {
                state.settle_marks(&self.machine, reference);
                Err(rule)
            }
        }
    }

    /// What the entry is asked for: what the caller wants, unless a fault is committed.
    #[inline(always)]
    fn demanded_access(&self, state: &TableState, reference: u32, mut access: Access) -> Access {
        if self.commits(Fault::GrantWrite) {
            access.write = false;
        }
        if self.commits(Fault::GrantPeer)
            && let Some(entry) = state.fetch(&self.machine, reference)
        {
            access.user = entry.peer;
        }
        access
    }

    /// Takes a general reference on a frame of `owner`, and a writable one to `write`.
    pub(super) fn hold_frame(
        &self,
        owner: &DomainMemory,
        frame: Mfn,
        write: bool,
    ) -> Result<(), Rule> {
        let held = if write {
            self.get_writable_page(owner, frame).map(|held| held.mfn())
        } else {
            self.get_page(owner, frame).map(|held| held.mfn())
        };
        match held {
            Ok(_) => Ok(()),
            Err(refusal) => Err(match refusal.rule {
                Rule::FrameNotOwned => Rule::GrantFrame,
                Rule::FrameTypeConflict => Rule::GrantNotWritable,
                other => other,
            }),
        }
    }

    /// Gives back what [`Engine::hold_frame`] took.
    pub(super) fn let_go_of_frame(&self, frame: Mfn, write: bool) {
        if write {
            self.put_writable_page(WritableRef(frame));
        } else {
            self.put_page(PageRef(frame));
        }
    }
}
