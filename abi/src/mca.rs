//! The machine-check hypercall (`public/arch-x86/xen-mca.h`).

use crate::address::Vaddr;
use crate::domid::DomId;
use crate::macros::{numbers, wire};

/// Interface version every [`McHeader`] must carry.
pub const INTERFACE_VERSION: u32 = 0x01ec_c003;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Fetch or acknowledge records ([`super::Fetch`]).
        FETCH = 1, "XEN_MC_fetch";
        /// Tell a domain ([`super::NotifyDomain`]).
        NOTIFYDOMAIN = 2, "XEN_MC_notifydomain";
        /// CPUs ([`super::PhysCpuInfo`]).
        PHYSCPUINFO = 3, "XEN_MC_physcpuinfo";
        /// Write MSRs, for tests.
        MSRINJECT = 4, "XEN_MC_msrinject";
        /// Raise a machine check, for tests.
        MCEINJECT = 5, "XEN_MC_mceinject";
        /// The same on several CPUs.
        INJECT_V2 = 6, "XEN_MC_inject_v2";
    }
}

numbers! { u32;
    /// In: records that are not urgent.
    NONURGENT = 1, "XEN_MC_NONURGENT";
    /// In: urgent records.
    URGENT = 2, "XEN_MC_URGENT";
    /// In: the record was handled.
    ACK = 4, "XEN_MC_ACK";
    /// Out: done.
    OK = 0, "XEN_MC_OK";
    /// Out: could not be fetched.
    FETCHFAILED = 1, "XEN_MC_FETCHFAILED";
    /// Out: there is none.
    NODATA = 2, "XEN_MC_NODATA";
    /// Out: no such record.
    NOMATCH = 4, "XEN_MC_NOMATCH";
}

wire! {
    /// What every call begins with (`struct xen_mc`); one of the structures below follows.
    McHeader {
        /// [`op`].
        cmd: u32,
        /// [`INTERFACE_VERSION`].
        interface_version: u32,
    }
    /// `struct xen_mc_fetch`.
    Fetch {
        /// In and out: the flags above.
        flags: u32,
        /// Padding.
        pad0: u32,
        /// Record to acknowledge, or fetched.
        fetch_id: u64,
        /// Buffer for a record.
        data: Vaddr,
    }
    /// `struct xen_mc_notifydomain`.
    NotifyDomain {
        /// Domain.
        domid: DomId,
        /// Its vCPU.
        vcpuid: u16,
        /// Out: flags.
        flags: u32,
    }
    /// `struct xen_mc_physcpuinfo`.
    PhysCpuInfo {
        /// In: room in the array. Out: CPUs.
        ncpus: u32,
        /// Padding.
        pad0: u32,
        /// Array of [`LogicalCpu`]; empty to learn the count.
        info: Vaddr,
    }
    /// An MSR and its value (`struct mcinfo_msr`).
    McMsr {
        /// MSR.
        reg: u64,
        /// Value.
        value: u64,
    }
    /// One CPU (`struct mcinfo_logical_cpu`).
    LogicalCpu {
        /// CPU.
        cpunr: u32,
        /// Chip.
        chipid: u32,
        /// Core.
        coreid: u16,
        /// Thread.
        threadid: u16,
        /// APIC id.
        apicid: u32,
        /// Cluster.
        clusterid: u32,
        /// Cores of the chip.
        ncores: u32,
        /// Cores that are active.
        ncores_active: u32,
        /// Threads.
        nthreads: u32,
        /// Highest CPUID leaf.
        cpuid_level: i32,
        /// Family.
        family: u32,
        /// Vendor.
        vendor: u32,
        /// Model.
        model: u32,
        /// Stepping.
        step: u32,
        /// Vendor's name.
        vendorid: [u8; 16],
        /// Brand.
        brandid: [u8; 64],
        /// Words of CPUID features.
        cpu_caps: [u32; 7],
        /// Cache, KiB.
        cache_size: u32,
        /// Cache line, bytes.
        cache_alignment: u32,
        /// MSRs given.
        nmsrvals: i32,
        /// Padding.
        pad: u32,
        /// The MSRs.
        msrvalues: [McMsr; 8],
    }
}

/// The whole call is 64-bit aligned and its union is as large as its largest member, `struct xen_mc_msrinject`.
pub const MC_LEN: usize = 152;
