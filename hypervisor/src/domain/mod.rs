//! Domains and their virtual CPUs: the state that the rest of the hypervisor hangs on them.
//!
//! Keeps true: whoever finds a `Domain` or `Vcpu` may use it until the CPU next looks for work, for which it leaves whatever
//! it was doing: a dead one is freed only after every CPU has done that (see [`grave`]). What keeps a reference for longer
//! (a queue, a timer, the other end of an event channel, a CPU that has a vCPU loaded) lets go while the domain is being
//! taken down ([`destroy`]). Hence references are `'static` and uncounted. What several CPUs touch is atomic or behind a lock;
//! what only the CPU that runs a vCPU touches is a [`core::cell::Cell`] in [`Vcpu`].
//! Neighbours: `percpu` (which vCPU is loaded), `traps` (delivery to a vCPU), `hypercall`, `builder`, `events`, `sched`.

pub mod context;
pub mod control;
pub mod create;
pub mod descriptors;
pub mod destroy;
pub mod grave;
pub mod guest_context;
mod shared;
mod table;
mod vcpu;

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use spin::Once;
use xenocryst_abi::{DomId, Mfn};
use xenocryst_memory::DomainMemory;

use crate::mm::per_domain::PerDomain;

pub use shared::{ARCH as ARCH_SHARED_INFO, SharedInfo, VCPU_INFO_SIZE, VcpuInfo};
pub use table::{
    MAX_DOMAINS, count, find, first_from, for_each, is_free, next_number, publish, withdraw,
};
pub use vcpu::{Callback, Roots, TrapEntry, Vcpu};

/// Bit of [`Vcpu::pending_special`]: a non-maskable interrupt.
pub const SPECIAL_NMI: u32 = 1 << 0;
/// The most vCPUs one domain can have.
pub const MAX_VCPUS: usize = 64;

/// One domain.
pub struct Domain {
    /// Where it was allocated.
    place: AtomicPtr<Domain>,
    /// Its number.
    pub id: DomId,
    /// What the memory engine keeps of it.
    pub memory: DomainMemory,
    /// Its own slot of the address space: windows onto its vCPUs' descriptor tables.
    pub per_domain: PerDomain,
    /// The page shared with the guest: event channel bits, wall clock, the first vCPUs' `vcpu_info`.
    pub shared_info: SharedInfo,
    /// Its vCPUs, by number; made once each.
    pub vcpus: [Once<&'static Vcpu>; MAX_VCPUS],
    /// How many vCPUs it may have.
    pub max_vcpus: u32,
    /// Whether it is the hardware and control domain.
    pub privileged: bool,
    /// `VMASST_TYPE_*` bits switched on by the guest.
    pub vm_assist: AtomicU64,
    /// Its event channels.
    pub events: crate::events::EventChannels,
    /// Its interrupts.
    pub pirqs: crate::irq::DomainPirqs,
    /// Why it stopped: `SHUTDOWN_*` plus one, 0 while it runs.
    pub shutdown: AtomicU32,
    /// The reason it gave for stopping, in the same form; 0 for none yet.
    pub shutdown_code: AtomicU32,
    /// Set once it is being taken down.
    pub dying: AtomicBool,
    /// How many callers want it stopped for a while; see `sched::pause`.
    pub pauses: AtomicU32,
    /// What the control domain set for it.
    pub control: control::Control,
    /// The last value written to the PCI configuration address port, for a domain that may use it.
    pub pci_cf8: AtomicU32,
    /// What it grants to others, and what others granted to it.
    pub grants: crate::grants::Grants,
    /// What it sees of the processor.
    pub cpu_policy: crate::cpuid::DomainPolicy,
    /// What its emulated ports remember.
    pub latches: crate::emulate::ports::Latches,
}

impl Domain {
    /// The domain's vCPU number `id`, if it was made.
    #[inline]
    pub fn vcpu(&self, id: u32) -> Option<&'static Vcpu> {
        self.vcpus.get(id as usize)?.get().copied()
    }

    /// All vCPUs that were made.
    pub fn each_vcpu(&self) -> impl Iterator<Item = &'static Vcpu> + '_ {
        self.vcpus.iter().filter_map(|slot| slot.get().copied())
    }

    /// Stops the domain for a reason of its own making, and says why on the console. It is never entered again.
    #[cold]
    pub fn crash(&'static self, reason: core::fmt::Arguments<'_>) {
        crate::traps::crash::crash_domain(self, reason);
    }

    /// Whether the domain was stopped or is being taken down.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.shutdown.load(Ordering::Acquire) != 0 || self.dying.load(Ordering::Acquire)
    }

    /// Whether it is being taken down.
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::Acquire)
    }

    /// The frame of its shared information page.
    pub fn shared_info_mfn(&self) -> Mfn {
        self.shared_info.mfn()
    }
}
