//! Which requests mean anything in a state: names that exist, a domain that can act, hardware that would do so.

use super::bits::{ACCESSED, DIRTY, PRESENT};
use super::grants::BATCH;
use super::state::{Model, Owner, Role};
use crate::layout::{CPUS, DOMAINS, HYPERVISOR_SLOTS, VCPUS, WINDOWS};
use crate::request::Request;

impl Model {
    /// Whether a request means anything now: names that exist, a domain that can act.
    #[must_use]
    pub fn is_meant(&self, request: &Request) -> bool {
        let fields = request.fields();
        let below = |name: &str, end: usize| {
            fields
                .iter()
                .all(|&(field, value)| field != name || value < end as u64)
        };
        let names = below("dom", DOMAINS)
            && below("tables", DOMAINS)
            && below("pages", DOMAINS + 1)
            && below("vcpu", VCPUS)
            && below("cpu", CPUS)
            && below("user", 2)
            && below("granter", DOMAINS)
            && below("source", DOMAINS + 1)
            && below("target", DOMAINS + 1)
            && below("slot", 512);
        let dom = fields
            .iter()
            .find(|(name, _)| *name == "dom")
            .map_or(0, |&(_, dom)| dom as usize);
        names && self.is_alive_enough(request, dom) && self.is_possible(request, dom)
    }

    /// The dead ask for nothing; what belongs to dying is done to the dying only.
    fn is_alive_enough(&self, request: &Request, dom: usize) -> bool {
        let dying = self.domains[dom].dying;
        match request {
            Request::Relinquish { .. } | Request::Birth { .. } => dying,
            Request::GrantLetGo { .. } | Request::GrantDestroy { .. } => dying,
            Request::GrantSetup { .. } | Request::GrantRelease { .. } => true,
            Request::Release { .. } | Request::Unshare { .. } | Request::Finish { .. } => true,
            Request::Populate { .. } | Request::Mark { .. } | Request::Unweigh { .. } => true,
            Request::Hold { .. } | Request::L1tf { .. } | Request::Limit { .. } => true,
            Request::Io { .. } => true,
            _ => !dying,
        }
    }

    fn is_possible(&self, request: &Request, dom: usize) -> bool {
        let d = &self.domains[dom];
        match *request {
            Request::Pin { level, .. } => (1..=4).contains(&level),
            Request::Va { vcpu, .. }
            | Request::Store { vcpu, .. }
            | Request::Exchange8 { vcpu, .. } => d.roots[vcpu as usize][0].is_some(),
            Request::DropRoot { vcpu, user, .. } => d.roots[vcpu as usize][user as usize].is_some(),
            Request::Window { slot, .. } => slot < WINDOWS as u64,
            Request::Unwindow { vcpu, slot, .. } => {
                slot < WINDOWS as u64 && d.windows[vcpu as usize][slot as usize].is_some()
            }
            Request::Release {
                frame, writable, ..
            } => d.holds.contains(&(frame as usize, writable != 0)),
            Request::Write { frame, .. } => self.is_guests_memory(dom, frame),
            Request::Mark { frame, slot, bits } => self.is_walked(frame, slot, bits),
            Request::Populate { order, .. } | Request::Decrease { order, .. } => order < 20,
            Request::Exchange {
                order,
                in_order,
                blocks,
                inputs,
                ..
            } => order < 20 && in_order < 20 && blocks <= 8 && inputs <= 8,
            Request::Weigh {
                frame,
                general,
                typed,
                ..
            } => self.can_be_weighed(dom, frame, general, typed),
            Request::Unweigh { frame } => self.can_be_unweighed(frame as usize),
            Request::Unshare { frame, .. } => self
                .owned(dom, frame)
                .is_some_and(|f| self.frames[f].special && !self.is_of_a_table(dom, f)),
            Request::Birth { .. } => {
                !self.frames.iter().any(|f| f.owner == Owner::Domain(dom)) && d.grants.is_gone()
            }
            // A dying domain's mappings go before its tables.
            Request::Relinquish { .. } => d.grants.maps.is_empty() && d.grants.unmapped.is_empty(),
            Request::GrantLetGo { .. } | Request::GrantDestroy { .. } => {
                d.grants.unmapped.is_empty()
            }
            Request::GrantUnmap { handle, .. } => {
                d.grants.unmapped.len() < BATCH && u32::try_from(handle).is_ok()
            }
            _ => self.is_representable(request),
        }
    }

    /// Whether numbers fit the fields that they have in the ABI.
    fn is_representable(&self, request: &Request) -> bool {
        let narrow = |number: u64| u32::try_from(number).is_ok();
        let short = |number: u64| u16::try_from(number).is_ok();
        match *request {
            Request::GrantSetup { frames, .. } => narrow(frames),
            Request::GrantVersion { version, .. } => narrow(version),
            Request::GrantSwap {
                reference, other, ..
            } => narrow(reference) && narrow(other),
            Request::GrantMap {
                reference, flags, ..
            } => narrow(reference) && narrow(flags),
            Request::GrantTransfer { reference, .. } => narrow(reference),
            Request::GrantCopy {
                from_offset,
                to_offset,
                length,
                ..
            } => short(from_offset) && short(to_offset) && short(length),
            _ => true,
        }
    }

    fn is_of_a_table(&self, dom: usize, frame: usize) -> bool {
        let lists = &self.domains[dom].grants.lists;
        lists.shared.contains(&frame) || lists.status.contains(&frame)
    }

    /// Memory to which the guest may have a writable mapping, or had one before.
    fn is_guests_memory(&self, dom: usize, frame: u64) -> bool {
        self.owned(dom, frame)
            .is_some_and(|index| matches!(self.frames[index].role, Role::Idle | Role::Writable))
    }

    fn is_walked(&self, frame: u64, slot: u64, bits: u64) -> bool {
        let Some(frame) = self.frames.get(frame as usize) else {
            return false;
        };
        let Role::Table(level) = frame.role else {
            return false;
        };
        let entry = frame.words.get(slot as u16);
        let hypervisors = level == 4 && HYPERVISOR_SLOTS.contains(&(slot as u16));
        entry & PRESENT != 0 && bits & !(ACCESSED | DIRTY) == 0 && !hypervisors
    }

    fn can_be_weighed(&self, dom: usize, frame: u64, general: u64, typed: u64) -> bool {
        self.owned(dom, frame).is_some_and(|index| {
            let (frame, count) = (&self.frames[index], self.counts[index]);
            let live = matches!(
                frame.role,
                Role::Writable | Role::Table(_) | Role::Descriptors
            );
            frame.weight == (0, 0)
                && general >= 1
                && typed <= general
                && count.general + general < u64::from(u32::MAX) - 1
                && count.typed + typed < 1 << 28
                && (typed == 0 || live)
        })
    }

    /// Whether something holds a frame beside its weight.
    fn can_be_unweighed(&self, frame: usize) -> bool {
        self.frames.get(frame).is_some_and(|f| {
            let (weight, count) = (f.weight, self.counts[frame]);
            weight.0 != 0 && count.general > weight.0 && (weight.1 == 0 || count.typed > weight.1)
        })
    }
}
