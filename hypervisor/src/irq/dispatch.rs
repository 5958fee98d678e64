//! From a vector to whoever it is for. Runs with interrupts off, on any CPU, and takes no lock of `irq`.
//!
//! Keeps true: a slot names its domain for as long as the vector is connected; what arrives after that is only
//! acknowledged.

use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use xenocryst_emulate::vectors::{FIRST, LAST};

use crate::arch::{apic, ioapic, smp, tlb};
use crate::domain::Domain;
use crate::percpu::{this_cpu, work};

/// One vector's user.
struct Slot {
    /// The domain; null for none, or for the hypervisor.
    domain: AtomicPtr<Domain>,
    /// The domain's number for it.
    pirq: AtomicU32,
    /// The level-triggered line it comes from plus one; 0 for what needs no holding back.
    held_line: AtomicU32,
    /// Bits of [`work`] it raises, where it is the hypervisor's own.
    own_work: AtomicU32,
}

static SLOTS: [Slot; 256] = [const {
    Slot {
        domain: AtomicPtr::new(core::ptr::null_mut()),
        pirq: AtomicU32::new(0),
        held_line: AtomicU32::new(0),
        own_work: AtomicU32::new(0),
    }
}; 256];

/// Sends what `vector` raises to `domain` as `pirq`. `held_line` is the line, if it is a level-triggered one.
pub(super) fn connect(vector: u8, domain: &'static Domain, pirq: u32, held_line: Option<u32>) {
    let slot = &SLOTS[usize::from(vector)];
    slot.pirq.store(pirq, Ordering::Relaxed);
    slot.held_line
        .store(held_line.map_or(0, |line| line + 1), Ordering::Relaxed);
    slot.domain
        .store(core::ptr::from_ref(domain).cast_mut(), Ordering::Release);
}

/// Makes `vector` raise `bits` of [`work`] on the CPU it arrives at.
pub(super) fn connect_own(vector: u8, bits: u32) {
    SLOTS[usize::from(vector)]
        .own_work
        .store(bits, Ordering::Release);
}

/// Ends what [`connect`] began.
pub(super) fn disconnect(vector: u8) {
    SLOTS[usize::from(vector)]
        .domain
        .store(core::ptr::null_mut(), Ordering::Release);
}

/// Answers the interrupt `vector`.
#[inline]
pub fn handle(vector: u8) {
    match vector {
        apic::TIMER_VECTOR => {
            apic::end_of_interrupt();
            this_cpu().raise(work::TIMER);
        }
        FIRST..=LAST => device(vector),
        // Whoever sends it has set work bits: the way back to the guest looks at them.
        apic::EVENT_CHECK_VECTOR => apic::end_of_interrupt(),
        tlb::VECTOR => {
            apic::end_of_interrupt();
            tlb::serve();
        }
        apic::CALL_VECTOR => {
            apic::end_of_interrupt();
            smp::on_call();
        }
        // Spurious interrupts of the local controller and of the old ones are not to be acknowledged.
        _ => {}
    }
}

fn device(vector: u8) {
    let slot = &SLOTS[usize::from(vector)];
    let domain = slot.domain.load(Ordering::Acquire);
    let own_work = slot.own_work.load(Ordering::Relaxed);
    if let Some(line) = slot.held_line.load(Ordering::Relaxed).checked_sub(1)
        && !domain.is_null()
    {
        ioapic::set_masked(line, true);
    }
    apic::end_of_interrupt();
    if own_work != 0 {
        this_cpu().raise(own_work);
    }
    // SAFETY: only `connect` stores here, from a reference that is good for ever.
    let Some(domain) = (unsafe { domain.as_ref() }) else {
        return;
    };
    crate::events::send_pirq(domain, slot.pirq.load(Ordering::Relaxed));
}
