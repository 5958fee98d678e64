//! Domains and their virtual CPUs: the state that the rest of the hypervisor hangs on them.
//!
//! Keeps true: a `Domain` and its `Vcpu`s live for ever once made (they are leaked on purpose, and recycled by number),
//! so that references to them may be kept anywhere. What several CPUs touch is atomic or behind a lock; what only
//! the CPU that runs a vCPU touches is a [`core::cell::Cell`] in [`Vcpu`].
//! Neighbours: `percpu` (which vCPU is loaded), `traps` (delivery to a vCPU), `hypercall`, `builder`, `events`, `sched`.

pub mod context;
pub mod create;
pub mod descriptors;
pub mod guest_context;
mod shared;
mod vcpu;

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use spin::Once;
use xenocryst_abi::{DomId, Mfn};
use xenocryst_memory::DomainMemory;

use crate::mm::per_domain::PerDomain;
use crate::sync::Mutex;

pub use shared::{ARCH as ARCH_SHARED_INFO, SharedInfo, VCPU_INFO_SIZE, VcpuInfo};
pub use vcpu::{Callback, Roots, TrapEntry, Vcpu};

/// Bit of [`Vcpu::pending_special`]: a non-maskable interrupt.
pub const SPECIAL_NMI: u32 = 1 << 0;
/// The most vCPUs one domain can have.
pub const MAX_VCPUS: usize = 64;

/// One domain.
pub struct Domain {
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
    /// The last value written to the PCI configuration address port, for a domain that may use it.
    pub pci_cf8: AtomicU32,
    /// What it grants to others, and what others granted to it.
    pub grants: crate::grants::Grants,
    /// What it sees of the processor.
    pub cpu_policy: crate::cpuid::DomainPolicy,
    /// What its emulated ports remember.
    pub latches: crate::emulate::ports::Latches,
}

static DOMAINS: Mutex<[Option<&'static Domain>; 64]> = Mutex::new([None; 64]);
static DOM0: Once<&'static Domain> = Once::new();

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

    /// The frame of its shared information page.
    pub fn shared_info_mfn(&self) -> Mfn {
        self.shared_info.mfn()
    }
}

/// The domain numbered `id`, if there is one. `DOMID_SELF` is not resolved here.
pub fn find(id: DomId) -> Option<&'static Domain> {
    if id == DomId::DOM0 {
        return DOM0.get().copied();
    }
    DOMAINS
        .lock()
        .iter()
        .flatten()
        .find(|domain| domain.id == id)
        .copied()
}

/// Calls `each` with every domain that is published.
pub fn for_each(each: impl Fn(&'static Domain)) {
    let domains = *DOMAINS.lock();
    domains.into_iter().flatten().for_each(each);
}

/// The domain with the lowest number that is at least `number`.
pub fn first_from(number: u32) -> Option<&'static Domain> {
    let domains = DOMAINS.lock();
    let from = domains
        .iter()
        .flatten()
        .filter(|domain| u32::from(domain.id.0) >= number);
    from.min_by_key(|domain| domain.id.0).copied()
}

/// How many domains are published.
pub fn count() -> u32 {
    DOMAINS.lock().iter().flatten().count() as u32
}

/// The control domain, once it is built.
pub fn dom0() -> Option<&'static Domain> {
    DOM0.get().copied()
}

/// Makes a domain known to [`find`]. Returns false when the table is full.
pub fn publish(domain: &'static Domain) -> bool {
    if domain.id == DomId::DOM0 {
        DOM0.call_once(|| domain);
    }
    let mut domains = DOMAINS.lock();
    match domains.iter_mut().find(|slot| slot.is_none()) {
        Some(slot) => {
            *slot = Some(domain);
            true
        }
        None => false,
    }
}
