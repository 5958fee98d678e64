//! The table of one domain's event channel ports and what each is bound to.
//!
//! Keeps true: port 0 is never given out; a port's slot exists once it was first allocated and is never moved; the lowest
//! free number is given out first, as guests' tools expect. The type `D` stands for "another domain".

use alloc::vec::Vec;

use xenocryst_abi::DomId;

use crate::fifo::{DEFAULT_PRIORITY, QueueId};

/// Ports that the table grows by.
const PORTS_PER_BUCKET: usize = 128;

/// What a port is bound to (`EVTCHNSTAT_*` in `public/event_channel.h`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Binding<D> {
    /// Nothing: it can be allocated.
    Free,
    /// Given out but not bound yet, or being taken down: nobody else may use it. Port 0 always is.
    Reserved,
    /// It waits for a domain to bind to it.
    Unbound {
        /// The only domain that may.
        remote: DomId,
    },
    /// One end of a channel between two domains.
    Interdomain {
        /// The domain at the other end.
        remote: D,
        /// The port there.
        port: u32,
    },
    /// A physical interrupt.
    Pirq(u32),
    /// A virtual interrupt.
    Virq(u32),
    /// Notifications between vCPUs of the domain.
    Ipi,
}

/// One port.
#[derive(Clone, Copy, Debug)]
pub struct Port<D> {
    /// What it is bound to.
    pub binding: Binding<D>,
    /// The vCPU that is notified.
    pub vcpu: u16,
    /// FIFO format: the priority chosen by the guest.
    pub priority: u8,
    /// FIFO format: an event came while the guest had not given the page for its word.
    pub waits_for_word: bool,
    /// FIFO format: the queue the port was last put on.
    pub last_queue: QueueId,
}

impl<D> Port<D> {
    const FREE: Self = Self {
        binding: Binding::Free,
        vcpu: 0,
        priority: DEFAULT_PRIORITY,
        waits_for_word: false,
        last_queue: QueueId {
            vcpu: 0,
            priority: 0,
        },
    };

    /// The queue on which the port's events go now.
    pub fn queue(&self) -> QueueId {
        QueueId {
            vcpu: self.vcpu,
            priority: self.priority,
        }
    }

    /// Whether events on this port reach anybody: it is neither free nor in transition.
    pub fn is_usable(&self) -> bool {
        !matches!(self.binding, Binding::Free | Binding::Reserved)
    }
}

/// Why no port could be given out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoPort {
    /// All the domain may have are in use.
    Limit,
    /// The hypervisor has no memory for more.
    Memory,
}

/// All ports of one domain.
pub struct PortTable<D> {
    buckets: Vec<Vec<Port<D>>>,
    /// No port below this is free.
    lowest_free: u32,
    active: u32,
}

impl<D> Default for PortTable<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D> PortTable<D> {
    /// A table without ports. Allocates nothing.
    pub const fn new() -> Self {
        Self {
            buckets: Vec::new(),
            lowest_free: 1,
            active: 0,
        }
    }

    /// Gives out the lowest free port below `limit` for which `is_busy` does not say that the guest's side still holds
    /// it, marked [`Binding::Reserved`].
    ///
    /// # Errors
    /// [`NoPort`], with nothing changed.
    pub fn allocate(&mut self, limit: u32, is_busy: impl Fn(u32) -> bool) -> Result<u32, NoPort> {
        let mut contiguous = true;
        let mut number = self.lowest_free;
        while number < limit {
            self.grow_to(number)?;
            let port = self.get_mut(number).ok_or(NoPort::Memory)?;
            let free = matches!(port.binding, Binding::Free);
            if free && !is_busy(number) {
                port.binding = Binding::Reserved;
                self.active += 1;
                if contiguous {
                    self.lowest_free = number + 1;
                }
                return Ok(number);
            }
            // A free port that is still busy stays the lowest one for the next search.
            contiguous &= !free;
            number += 1;
        }
        Err(NoPort::Limit)
    }

    /// Takes `number` back. Its number can be given out again.
    pub fn free(&mut self, number: u32) {
        if let Some(port) = self.get_mut(number)
            && !matches!(port.binding, Binding::Free)
        {
            let last_queue = port.last_queue;
            *port = Port {
                last_queue,
                ..Port::FREE
            };
            self.active -= 1;
            self.lowest_free = self.lowest_free.min(number);
        }
    }

    /// The port `number`, bound or free; `None` for a number never given out, and for port 0.
    #[inline]
    pub fn get(&self, number: u32) -> Option<&Port<D>> {
        let index = number as usize;
        if index == 0 {
            None
        } else {
            self.buckets
                .get(index / PORTS_PER_BUCKET)?
                .get(index % PORTS_PER_BUCKET)
        }
    }

    /// As [`PortTable::get`], to be changed.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Port<D>> {
        let index = number as usize;
        if index == 0 {
            return None;
        }
        self.buckets
            .get_mut(index / PORTS_PER_BUCKET)?
            .get_mut(index % PORTS_PER_BUCKET)
    }

    /// One more than the highest number that [`PortTable::get`] knows.
    pub fn end(&self) -> u32 {
        (self.buckets.len() * PORTS_PER_BUCKET) as u32
    }

    /// How many ports are given out.
    pub fn active(&self) -> u32 {
        self.active
    }

    fn grow_to(&mut self, number: u32) -> Result<(), NoPort> {
        while number >= self.end() {
            let mut bucket = Vec::new();
            bucket
                .try_reserve_exact(PORTS_PER_BUCKET)
                .map_err(|_| NoPort::Memory)?;
            self.buckets.try_reserve(1).map_err(|_| NoPort::Memory)?;
            bucket.resize_with(PORTS_PER_BUCKET, || Port::FREE);
            self.buckets.push(bucket);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(_: u32) -> bool {
        false
    }

    #[test]
    fn lowest_free_port_is_given_first_and_never_port_0() {
        let mut table = PortTable::<()>::new();
        assert!(table.get(0).is_none() && table.get(1).is_none());
        assert_eq!(table.allocate(4096, idle), Ok(1));
        assert_eq!(table.allocate(4096, idle), Ok(2));
        assert_eq!(table.allocate(4096, idle), Ok(3));
        table.free(2);
        table.free(2);
        assert_eq!(table.active(), 2);
        assert_eq!(table.allocate(4096, idle), Ok(2));
        assert_eq!(table.allocate(4096, idle), Ok(4));
    }

    #[test]
    fn busy_port_is_passed_over_but_not_lost() {
        let mut table = PortTable::<()>::new();
        for _ in 0..3 {
            table.allocate(4096, idle).unwrap();
        }
        table.free(1);
        assert_eq!(table.allocate(4096, |port| port == 1), Ok(4));
        assert_eq!(table.allocate(4096, idle), Ok(1));
        assert_eq!(table.allocate(4096, idle), Ok(5));
    }

    #[test]
    fn limit_is_kept_across_buckets() {
        let mut table = PortTable::<()>::new();
        for number in 1..300 {
            assert_eq!(table.allocate(300, idle), Ok(number));
        }
        assert_eq!(table.allocate(300, idle), Err(NoPort::Limit));
        assert_eq!(table.end(), 384);
        assert_eq!(table.get(299).unwrap().binding, Binding::Reserved);
        assert_eq!(table.get(300).unwrap().binding, Binding::Free);
        table.free(299);
        assert_eq!(table.active(), 298);
    }
}
