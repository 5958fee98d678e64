//! What the control domain sets for a domain, and how far it has come with building and destroying it.
//!
//! Neighbours: `hypercall::domctl` (who changes it), `domain::destroy`, `hypercall::memory_op` (the memory map).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64};

use xenocryst_abi::memory_op::E820Entry;
use xenocryst_emulate::ports::PortSet;

use super::destroy::Phase;
use crate::sync::{Mutex, Rank};
use crate::time::counter::Emulated;

/// The weight every domain starts with.
const WEIGHT: u32 = 256;

/// How a domain wants its time-stamp counter (`XEN_DOMCTL_settscinfo`).
#[derive(Clone, Copy)]
pub struct Tsc {
    /// 0: as the hypervisor sees fit, which is the CPU's own; 1: always emulated; 2: always the CPU's own.
    pub mode: u32,
    /// How often the domain was restored.
    pub incarnation: u32,
    /// The counter that is emulated, in mode 1.
    pub emulated: Emulated,
}

/// One domain's settings.
pub struct Control {
    /// Its UUID.
    pub handle: Mutex<[u8; 16]>,
    /// `XEN_DOMCTL_CDF_*` it was created with.
    pub flags: u32,
    /// How many times the control domain has paused it: one of the `sched::pause`s on it each.
    pub pauses: AtomicU32,
    /// It was started once: its processor can change no more.
    pub finished: AtomicBool,
    /// A debugger is attached.
    pub debugged: AtomicBool,
    /// Seconds its wall clock differs from the host's.
    pub time_offset: AtomicI64,
    /// Its time-stamp counter.
    pub tsc: Mutex<Tsc>,
    /// It is emulated.
    pub tsc_emulated: AtomicBool,
    /// Its share of CPU time where domains compete.
    pub weight: AtomicU32,
    /// The memory map it is shown (`XENMEM_memory_map`).
    pub memory_map: Mutex<Vec<E820Entry>>,
    /// Its port that is to hear of its stopping (`XEN_DOMCTL_subscribe`); 0 for none.
    pub suspend_port: AtomicU32,
    /// Ports that it was given; the hardware domain has its own without being given any.
    pub ports: Mutex<Option<Box<PortSet>>>,
    /// How far it is destroyed.
    pub phase: Mutex<Phase>,
    /// Nothing is left of it but what others hold.
    pub dead: AtomicBool,
    /// Its shared page is the hypervisor's alone again.
    pub unshared: AtomicBool,
    /// CPUs that have not yet looked for work since it was withdrawn, a bit each.
    pub remembering: AtomicU64,
}

impl Control {
    /// As at creation: paused once by whoever creates it, unless that is the hypervisor itself.
    pub const fn new(flags: u32, handle: [u8; 16], pauses: u32) -> Self {
        Self {
            handle: Mutex::new(Rank::Settings, handle),
            flags,
            pauses: AtomicU32::new(pauses),
            finished: AtomicBool::new(pauses == 0),
            debugged: AtomicBool::new(false),
            time_offset: AtomicI64::new(0),
            tsc: Mutex::new(
                Rank::Settings,
                Tsc {
                    mode: 0,
                    incarnation: 0,
                    emulated: Emulated {
                        khz: 0,
                        start_ns: 0,
                    },
                },
            ),
            tsc_emulated: AtomicBool::new(false),
            weight: AtomicU32::new(WEIGHT),
            memory_map: Mutex::new(Rank::MemoryMap, Vec::new()),
            suspend_port: AtomicU32::new(0),
            ports: Mutex::new(Rank::Settings, None),
            phase: Mutex::new(Rank::Destruction, Phase::Alive),
            dead: AtomicBool::new(false),
            unshared: AtomicBool::new(false),
            remembering: AtomicU64::new(0),
        }
    }
}
