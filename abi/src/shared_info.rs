//! The page a domain shares with the hypervisor (`public/xen.h`, `public/arch-x86/xen.h`).
//!
//! Both sides change it at once: whoever reads it must copy a field once and may trust none.

use crate::address::Mfn;
use crate::macros::{numbers, wire};

/// vCPUs with a place in the shared page; others must register their [`VcpuInfo`].
pub const LEGACY_MAX_VCPUS: usize = 32;
/// 64-bit words in each two-level event bitmap: 4096 channels.
pub const EVTCHN_WORDS: usize = 64;

numbers! { u8;
    /// Time flag: the TSCs of all CPUs agree.
    PVCLOCK_TSC_STABLE = 1, "XEN_PVCLOCK_TSC_STABLE_BIT";
    /// Time flag: the host stopped the guest.
    PVCLOCK_GUEST_STOPPED = 2, "XEN_PVCLOCK_GUEST_STOPPED";
}

wire! {
    /// How to turn the TSC into system time (`struct vcpu_time_info`):
    /// `system_time + (((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32)`; a negative shift goes right.
    VcpuTimeInfo {
        /// Odd while an update goes on.
        version: u32,
        /// Padding.
        pad0: u32,
        /// TSC at the last update.
        tsc_timestamp: u64,
        /// Nanoseconds since boot at the last update.
        system_time: u64,
        /// Multiplier, 32.32 fixed point.
        tsc_to_system_mul: u32,
        /// Shift.
        tsc_shift: i8,
        /// `PVCLOCK_*` bits.
        flags: u8,
        /// Padding.
        pad1: [u8; 2],
    }
    /// The x86 part of a vCPU's info (`struct arch_vcpu_info`).
    ArchVcpuInfo {
        /// Address of the last page fault.
        cr2: u64,
        /// Padding to 64 bytes in all.
        pad: u64,
    }
    /// One vCPU's events and time (`struct vcpu_info`, 64 bytes).
    VcpuInfo {
        /// Set by the hypervisor when an event arrived, cleared by the guest before it looks.
        evtchn_upcall_pending: u8,
        /// The guest's "interrupts off".
        evtchn_upcall_mask: u8,
        /// Padding.
        pad0: [u8; 6],
        /// Which words of the pending bitmap to look at.
        evtchn_pending_sel: u64,
        /// The x86 part.
        arch: ArchVcpuInfo,
        /// Time.
        time: VcpuTimeInfo,
    }
    /// The x86 part of the shared page (`struct arch_shared_info`), filled by the guest for the tools.
    ArchSharedInfo {
        /// Valid entries in the P2M.
        max_pfn: u64,
        /// Root of the three-level P2M tree: 0 not set, all ones if there is none.
        pfn_to_mfn_frame_list_list: Mfn,
        /// Why the last NMI was sent ([`crate::nmi`]).
        nmi_reason: u64,
        /// Page-table root under which `p2m_vaddr` holds; 0 if not used.
        p2m_cr3: u64,
        /// Virtual address of the linear P2M.
        p2m_vaddr: u64,
        /// Odd while the P2M's mapping changes.
        p2m_generation: u64,
    }
    /// The shared page (`struct shared_info`).
    SharedInfo {
        /// Events and time of the first 32 vCPUs.
        vcpu_info: [VcpuInfo; LEGACY_MAX_VCPUS],
        /// Two-level events: pending bits.
        evtchn_pending: [u64; EVTCHN_WORDS],
        /// Two-level events: mask bits.
        evtchn_mask: [u64; EVTCHN_WORDS],
        /// Wall clock: odd while an update goes on.
        wc_version: u32,
        /// Wall clock at system time 0: seconds since 1970, low 32 bits.
        wc_sec: u32,
        /// Nanoseconds.
        wc_nsec: u32,
        /// Seconds, high 32 bits.
        wc_sec_hi: u32,
        /// The x86 part.
        arch: ArchSharedInfo,
    }
}
