//! Event channels: how a domain's vCPUs learn that something happened: an interrupt, a timer, another vCPU or domain.
//!
//! Keeps true: everything about a domain's ports, their delivery format included, is behind that domain's one lock, so
//! that an event is raised, masked, moved and closed in some order and never half; two domains' locks are taken in the
//! order of their numbers; nothing outside this module, the scheduler and the timers is called while one is held.
//! Pages of the guest that events are written to are held with a writable reference.
//! Neighbours: `xenocryst_vcpu` (the logic), `sched` (waking), `time` (timer events), `irq` (physical interrupts),
//! `hypercall::event_channel_op` and `hypercall::sched_op` (the guest's side).

mod delivery;
mod fifo;
mod info;
mod ops;
mod page;
mod poll;
mod teardown;

use core::sync::atomic::{AtomicU32, Ordering};

use alloc::vec::Vec;
use xenocryst_abi::hypercall::errno::{EINVAL, Errno};
use xenocryst_abi::{DomId, Mfn, Vaddr, virq};
use xenocryst_vcpu::port::PortTable;

use crate::domain::{Domain, Vcpu};
use crate::sync::{Mutex, MutexGuard, Rank};

pub use fifo::{expand_array, init_control, set_priority};
pub use info::register_vcpu_info;
pub use ops::{
    alloc_unbound, bind_interdomain, bind_ipi, bind_pirq, bind_vcpu, bind_virq, close, send,
    status, unmask,
};
pub use page::GuestPage;
pub use poll::{poll, poll_timed_out};
pub use teardown::{destroy, reset};

/// Whether a domain has `virq` once, rather than once for each vCPU.
pub fn is_global(virq: u32) -> bool {
    !matches!(
        virq,
        virq::TIMER | virq::DEBUG | virq::XENOPROF | virq::XENPMU
    )
}

/// What a domain keeps under its event lock.
struct Inner {
    ports: PortTable<&'static Domain>,
    /// `Some` once the guest has chosen the FIFO format.
    fifo: Option<fifo::Fifo>,
    /// The ports of bound physical interrupts, by interrupt; 0 where none is.
    pirqs: Vec<u32>,
    /// A bit for each vCPU that waits in `SCHEDOP_poll`.
    pollers: u64,
    /// The highest port number the domain may have.
    max_port: u32,
    /// Where a reset that was interrupted goes on; 0 while none is under way.
    next_reset: u32,
}

/// All event channels of one domain.
pub struct EventChannels {
    inner: Mutex<Inner>,
}

impl EventChannels {
    /// No ports, two-level format.
    pub const fn new() -> Self {
        Self {
            inner: Mutex::new(
                Rank::Events,
                Inner {
                    ports: PortTable::new(),
                    fifo: None,
                    pirqs: Vec::new(),
                    pollers: 0,
                    max_port: u32::MAX,
                    next_reset: 0,
                },
            ),
        }
    }

    /// Sets the highest port number the domain may have (`XEN_DOMCTL_createdomain`).
    pub fn set_max_port(&self, max_port: u32) {
        self.inner.lock().max_port = max_port;
    }

    #[cfg_attr(debug_assertions, track_caller)]
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Takes the lock while that of a domain with a lower number is held.
    #[cfg_attr(debug_assertions, track_caller)]
    fn lock_after_lower(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock_as(Rank::PeerEvents)
    }
}

/// One vCPU's part.
pub struct VcpuEvents {
    /// The port bound to each virtual interrupt; 0 for none. Changed under the domain's lock.
    virqs: [AtomicU32; virq::COUNT as usize],
    /// The port the vCPU polls for, or [`ANY_PORT`]. Meaningful while its bit in `Inner::pollers` is set.
    polled: AtomicU32,
    /// The page that `register_vcpu_info` moved the vCPU's information to, and where it was before.
    moved_info: Mutex<Option<(GuestPage, Vaddr)>>,
}

/// In [`VcpuEvents::polled`]: the vCPU polls for several ports, any of which wakes it.
const ANY_PORT: u32 = 0;

impl VcpuEvents {
    /// Nothing bound.
    pub const fn new() -> Self {
        Self {
            virqs: [const { AtomicU32::new(0) }; virq::COUNT as usize],
            polled: AtomicU32::new(ANY_PORT),
            moved_info: Mutex::new(Rank::MovedInfo, None),
        }
    }

    fn virq(&self, virq: u32) -> Option<&AtomicU32> {
        self.virqs.get(virq as usize)
    }
}

/// Tells `tell` of every frame of `domain` that its event channels hold.
pub fn each_held_page(domain: &Domain, tell: &mut dyn FnMut(Mfn)) {
    if let Some(fifo) = &domain.events.lock().fifo {
        fifo.each_page(tell);
    }
    for vcpu in domain.each_vcpu() {
        if let Some((page, _)) = &*vcpu.events.moved_info.lock() {
            tell(page.mfn());
        }
    }
}

/// Raises a virtual interrupt that `vcpu` has for itself. Nothing happens if it bound none.
pub fn send_virq(vcpu: &'static Vcpu, virq: u32) {
    let mut inner = vcpu.domain.events.lock();
    let Some(bound) = vcpu.events.virq(virq) else {
        return;
    };
    let port = bound.load(Ordering::Relaxed);
    if port != 0 {
        inner.raise(vcpu.domain, port);
    }
}

/// Raises a virtual interrupt that the domain has once.
pub fn send_global_virq(domain: &'static Domain, virq: u32) {
    if let Some(vcpu) = domain.vcpu(0) {
        send_virq(vcpu, virq);
    }
}

/// The domains that get the host's virtual interrupts in place of the control domain.
static HANDLERS: [AtomicU32; virq::COUNT as usize] =
    [const { AtomicU32::new(0) }; virq::COUNT as usize];

/// Lets `domain` have virtual interrupt `virq` of the host from now on, one that a domain has once.
///
/// # Errors
/// `EINVAL` for any other.
pub fn set_global_handler(domain: &Domain, virq: u32) -> Result<(), Errno> {
    let handler = HANDLERS.get(virq as usize).ok_or(EINVAL)?;
    if !is_global(virq) {
        return Err(EINVAL);
    }
    handler.store(u32::from(domain.id.0), Ordering::Relaxed);
    Ok(())
}

/// `domain` is going: the host's virtual interrupts that it had are the control domain's again.
fn give_up_handlers(domain: &Domain) {
    for handler in &HANDLERS {
        let own = u32::from(domain.id.0);
        let _ = handler.compare_exchange(own, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Raises a virtual interrupt of the host, for the control domain or who has it in its place. Nothing happens before there is a
/// control domain.
pub fn send_dom0_virq(virq: u32) {
    let handler = HANDLERS
        .get(virq as usize)
        .map_or(0, |handler| handler.load(Ordering::Relaxed));
    if let Some(domain) = crate::domain::find(DomId(handler as u16)) {
        send_global_virq(domain, virq);
    }
}

/// Raises the event of a physical interrupt. False if the domain has bound no port to it.
pub fn send_pirq(domain: &'static Domain, pirq: u32) -> bool {
    let mut inner = domain.events.lock();
    match inner.pirq_port(pirq) {
        Some(port) => {
            inner.raise(domain, port);
            true
        }
        None => false,
    }
}

/// Unmasks the port of a physical interrupt, as `PHYSDEVOP_eoi` does for a domain that asked for it.
pub fn unmask_pirq(domain: &'static Domain, pirq: u32) {
    let mut inner = domain.events.lock();
    if let Some(port) = inner.pirq_port(pirq) {
        inner.unmask(domain, port);
    }
}
