//! Raising an event on a port, in whichever format the domain uses, and telling the vCPU.

use core::sync::atomic::{AtomicU64, Ordering};

use xenocryst_vcpu::fifo::{self, Outcome};
use xenocryst_vcpu::port::NoPort;
use xenocryst_vcpu::{Raised, two_level};

use super::Inner;
use crate::domain::{Domain, SharedInfo, Vcpu};

impl two_level::SharedBits for SharedInfo {
    fn pending(&self, word: usize) -> &AtomicU64 {
        self.evtchn_pending(word)
    }

    fn mask(&self, word: usize) -> &AtomicU64 {
        self.evtchn_mask(word)
    }
}

/// Tells `vcpu` that events wait, unless it was told already. The caller holds its domain's event lock.
pub fn notify(vcpu: &'static Vcpu) {
    if vcpu.info.upcall_pending().swap(1, Ordering::SeqCst) == 0 {
        crate::sched::event_pending(vcpu);
    }
}

impl Inner {
    /// Makes `number` pending and tells its vCPU. A port that does not exist is ignored.
    pub fn raise(&mut self, domain: &'static Domain, number: u32) {
        let Some(port) = self.ports.get_mut(number) else {
            return;
        };
        let Some(vcpu) = domain.vcpu(u32::from(port.vcpu)) else {
            return;
        };
        let raised = match &self.fifo {
            None => two_level::raise(&domain.shared_info, vcpu.info.pending_sel(), number),
            Some(memory) => match fifo::raise(memory, number, port.queue(), &mut port.last_queue) {
                Outcome::Raised(raised) => raised,
                Outcome::NoWord => {
                    port.waits_for_word = true;
                    Raised::default()
                }
                Outcome::NoControlBlock => Raised::default(),
            },
        };
        if raised.notify {
            notify(vcpu);
        }
        if raised.newly_pending && self.pollers != 0 {
            self.wake_pollers(domain, number);
        }
    }

    /// Unmasks `number` and delivers what was held back.
    pub fn unmask(&mut self, domain: &'static Domain, number: u32) {
        let Some(port) = self.ports.get(number) else {
            return;
        };
        let Some(vcpu) = domain.vcpu(u32::from(port.vcpu)) else {
            return;
        };
        match &self.fifo {
            None => {
                if two_level::unmask(&domain.shared_info, vcpu.info.pending_sel(), number) {
                    notify(vcpu);
                }
            }
            Some(memory) => {
                if fifo::unmask(memory, number) {
                    self.raise(domain, number);
                }
            }
        }
    }

    /// Whether `number` is pending.
    pub fn is_pending(&self, domain: &Domain, number: u32) -> bool {
        match &self.fifo {
            None => two_level::is_pending(&domain.shared_info, number),
            Some(memory) => fifo::is_pending(memory, number),
        }
    }

    /// Frees `number`, with nothing pending on it.
    pub fn free(&mut self, domain: &Domain, number: u32) {
        match &self.fifo {
            None => two_level::clear(&domain.shared_info, number),
            Some(memory) => fifo::clear(memory, number),
        }
        self.ports.free(number);
    }

    /// Gives out a port, reserved.
    pub fn allocate(&mut self) -> Result<u32, NoPort> {
        let format = if self.fifo.is_some() {
            fifo::PORTS
        } else {
            two_level::PORTS
        };
        let limit = format.min(self.max_port.saturating_add(1));
        let memory = self.fifo.as_ref();
        self.ports.allocate(limit, |number| {
            memory.is_some_and(|memory| fifo::is_linked(memory, number))
        })
    }

    /// The port bound to physical interrupt `pirq`.
    pub fn pirq_port(&self, pirq: u32) -> Option<u32> {
        self.pirqs
            .get(pirq as usize)
            .copied()
            .filter(|&port| port != 0)
    }
}
