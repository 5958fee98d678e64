//! `sysctl`: what the control domain's tools ask and set of the host (`public/sysctl.h`).
//!
//! The interface has a version of its own and changes with each release: a wrong version is refused with `EACCES`.

use crate::address::Vaddr;
use crate::domctl::Bitmap;
use crate::domid::DomId;
use crate::macros::wire;

/// Interface version every [`Sysctl`] must carry.
pub const INTERFACE_VERSION: u32 = 0x15;
/// In topologies: no core, no socket, no node; a size or distance that is not known.
pub const INVALID_ID: u32 = !0;
/// In [`PciTopoInfo`]: no such device.
pub const INVALID_DEV: u32 = !0 - 1;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// [`super::ReadConsole`].
        READCONSOLE = 1, "XEN_SYSCTL_readconsole";
        /// Tracing.
        TBUF_OP = 2, "XEN_SYSCTL_tbuf_op";
        /// [`super::PhysInfo`].
        PHYSINFO = 3, "XEN_SYSCTL_physinfo";
        /// [`super::SchedId`].
        SCHED_ID = 4, "XEN_SYSCTL_sched_id";
        /// Performance counters of the hypervisor.
        PERFC_OP = 5, "XEN_SYSCTL_perfc_op";
        /// [`super::GetDomainInfoList`].
        GETDOMAININFOLIST = 6, "XEN_SYSCTL_getdomaininfolist";
        /// [`super::DebugKeys`].
        DEBUG_KEYS = 7, "XEN_SYSCTL_debug_keys";
        /// [`super::GetCpuInfo`].
        GETCPUINFO = 8, "XEN_SYSCTL_getcpuinfo";
        /// [`super::AvailHeap`].
        AVAILHEAP = 9, "XEN_SYSCTL_availheap";
        /// Power statistics.
        GET_PMSTAT = 10, "XEN_SYSCTL_get_pmstat";
        /// [`super::CpuHotplug`].
        CPU_HOTPLUG = 11, "XEN_SYSCTL_cpu_hotplug";
        /// Power parameters.
        PM_OP = 12, "XEN_SYSCTL_pm_op";
        /// Retire pages.
        PAGE_OFFLINE_OP = 14, "XEN_SYSCTL_page_offline_op";
        /// Lock profile.
        LOCKPROF_OP = 15, "XEN_SYSCTL_lockprof_op";
        /// [`super::CpuTopoInfo`].
        CPUTOPOINFO = 16, "XEN_SYSCTL_cputopoinfo";
        /// [`super::NumaInfo`].
        NUMAINFO = 17, "XEN_SYSCTL_numainfo";
        /// [`super::CpupoolOp`].
        CPUPOOL_OP = 18, "XEN_SYSCTL_cpupool_op";
        /// [`super::SchedulerOp`].
        SCHEDULER_OP = 19, "XEN_SYSCTL_scheduler_op";
        /// Test coverage.
        COVERAGE_OP = 20, "XEN_SYSCTL_coverage_op";
        /// Cache monitoring.
        PSR_CMT_OP = 21, "XEN_SYSCTL_psr_cmt_op";
        /// [`super::PciTopoInfo`].
        PCITOPOINFO = 22, "XEN_SYSCTL_pcitopoinfo";
        /// Cache allocation.
        PSR_ALLOC = 23, "XEN_SYSCTL_psr_alloc";
        /// [`super::CpuLevellingCaps`].
        GET_CPU_LEVELLING_CAPS = 25, "XEN_SYSCTL_get_cpu_levelling_caps";
        /// [`super::CpuFeatureset`].
        GET_CPU_FEATURESET = 26, "XEN_SYSCTL_get_cpu_featureset";
        /// Live patches.
        LIVEPATCH_OP = 27, "XEN_SYSCTL_livepatch_op";
        /// [`super::CpuPolicy`].
        GET_CPU_POLICY = 29, "XEN_SYSCTL_get_cpu_policy";
    }
}

/// What the host can do: [`PhysInfo::capabilities`].
pub mod physcap {
    use crate::macros::numbers;
    numbers! { u32;
        /// HVM guests.
        HVM = 1 << 0, "XEN_SYSCTL_PHYSCAP_hvm";
        /// PV guests.
        PV = 1 << 1, "XEN_SYSCTL_PHYSCAP_pv";
        /// Devices for guests, through an IOMMU.
        DIRECTIO = 1 << 2, "XEN_SYSCTL_PHYSCAP_directio";
        /// Hardware-assisted paging.
        HAP = 1 << 3, "XEN_SYSCTL_PHYSCAP_hap";
        /// Shadow page tables.
        SHADOW = 1 << 4, "XEN_SYSCTL_PHYSCAP_shadow";
        /// The IOMMU shares page tables.
        IOMMU_HAP_PT_SHARE = 1 << 5, "XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share";
        /// Processor trace.
        VMTRACE = 1 << 6, "XEN_SYSCTL_PHYSCAP_vmtrace";
        /// Performance counters for guests.
        VPMU = 1 << 7, "XEN_SYSCTL_PHYSCAP_vpmu";
        /// Grant tables v1.
        GNTTAB_V1 = 1 << 8, "XEN_SYSCTL_PHYSCAP_gnttab_v1";
        /// Grant tables v2.
        GNTTAB_V2 = 1 << 9, "XEN_SYSCTL_PHYSCAP_gnttab_v2";
    }
}

/// What [`CpupoolOp`] does.
pub mod cpupool {
    use crate::macros::numbers;
    numbers! { u32;
        /// Create.
        CREATE = 1, "XEN_SYSCTL_CPUPOOL_OP_CREATE";
        /// Destroy.
        DESTROY = 2, "XEN_SYSCTL_CPUPOOL_OP_DESTROY";
        /// Describe.
        INFO = 3, "XEN_SYSCTL_CPUPOOL_OP_INFO";
        /// Add a CPU.
        ADDCPU = 4, "XEN_SYSCTL_CPUPOOL_OP_ADDCPU";
        /// Remove a CPU.
        RMCPU = 5, "XEN_SYSCTL_CPUPOOL_OP_RMCPU";
        /// Move a domain in.
        MOVEDOMAIN = 6, "XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN";
        /// CPUs in no pool.
        FREEINFO = 7, "XEN_SYSCTL_CPUPOOL_OP_FREEINFO";
        /// Any.
        ANY = 0xffff_ffff, "XEN_SYSCTL_CPUPOOL_PAR_ANY";
    }
}

/// What [`CpuHotplug`] does.
pub mod hotplug {
    use crate::macros::numbers;
    numbers! { u32;
        /// Start a CPU.
        ONLINE = 0, "XEN_SYSCTL_CPU_HOTPLUG_ONLINE";
        /// Stop a CPU.
        OFFLINE = 1, "XEN_SYSCTL_CPU_HOTPLUG_OFFLINE";
        /// Start sibling threads.
        SMT_ENABLE = 2, "XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE";
        /// Stop sibling threads.
        SMT_DISABLE = 3, "XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE";
    }
}

/// Which featureset [`CpuFeatureset`] asks for.
pub mod featureset {
    use crate::macros::numbers;
    numbers! { u32;
        /// As the CPU reports it.
        RAW = 0, "XEN_SYSCTL_cpu_featureset_raw";
        /// What the hypervisor uses.
        HOST = 1, "XEN_SYSCTL_cpu_featureset_host";
        /// PV guests' default.
        PV = 2, "XEN_SYSCTL_cpu_featureset_pv";
        /// HVM guests' default.
        HVM = 3, "XEN_SYSCTL_cpu_featureset_hvm";
        /// The most a PV guest can have.
        PV_MAX = 4, "XEN_SYSCTL_cpu_featureset_pv_max";
        /// The most an HVM guest can have.
        HVM_MAX = 5, "XEN_SYSCTL_cpu_featureset_hvm_max";
    }
}

/// Which policy [`CpuPolicy`] asks for.
pub mod policy {
    use crate::macros::numbers;
    numbers! { u32;
        /// As the CPU reports it.
        RAW = 0, "XEN_SYSCTL_cpu_policy_raw";
        /// What the hypervisor uses.
        HOST = 1, "XEN_SYSCTL_cpu_policy_host";
        /// The most a PV guest can have.
        PV_MAX = 2, "XEN_SYSCTL_cpu_policy_pv_max";
        /// The most an HVM guest can have.
        HVM_MAX = 3, "XEN_SYSCTL_cpu_policy_hvm_max";
        /// PV guests' default.
        PV_DEFAULT = 4, "XEN_SYSCTL_cpu_policy_pv_default";
        /// HVM guests' default.
        HVM_DEFAULT = 5, "XEN_SYSCTL_cpu_policy_hvm_default";
    }
}

wire! {
    /// The whole call (`struct xen_sysctl`). The structures below begin `data`.
    Sysctl {
        /// [`op`].
        cmd: u32,
        /// [`INTERFACE_VERSION`].
        interface_version: u32,
        /// The union, by its bytes.
        data: [u64; 16],
    }
    /// `struct xen_sysctl_readconsole`.
    ReadConsole {
        /// Forget what is read.
        clear: u8,
        /// Begin at `index`.
        incremental: u8,
        /// Padding.
        pad: u16,
        /// In and out: where to begin.
        index: u32,
        /// Buffer.
        buffer: Vaddr,
        /// In: its bytes. Out: bytes read.
        count: u32,
        /// Padding.
        pad1: u32,
    }
    /// `struct xen_sysctl_physinfo`.
    PhysInfo {
        /// Threads per core.
        threads_per_core: u32,
        /// Cores per socket.
        cores_per_socket: u32,
        /// CPUs that run.
        nr_cpus: u32,
        /// Highest CPU.
        max_cpu_id: u32,
        /// Nodes.
        nr_nodes: u32,
        /// Highest node.
        max_node_id: u32,
        /// CPU frequency, kHz.
        cpu_khz: u32,
        /// [`physcap`] bits.
        capabilities: u32,
        /// More of them, of x86.
        arch_capabilities: u32,
        /// Padding.
        pad: u32,
        /// Pages of RAM.
        total_pages: u64,
        /// Pages free.
        free_pages: u64,
        /// Pages to be scrubbed.
        scrub_pages: u64,
        /// Pages claimed.
        outstanding_pages: u64,
        /// Highest frame.
        max_mfn: u64,
        /// CPUID feature words.
        hw_cap: [u32; 8],
    }
    /// `struct xen_sysctl_sched_id`.
    SchedId {
        /// Out: [`crate::domctl::scheduler`].
        sched_id: u32,
    }
    /// `struct xen_sysctl_getdomaininfolist`.
    GetDomainInfoList {
        /// Where to begin.
        first_domain: DomId,
        /// Padding.
        pad0: u16,
        /// Room in the array.
        max_domains: u32,
        /// Array of [`crate::domctl::GetDomainInfo`].
        buffer: Vaddr,
        /// Out: domains.
        num_domains: u32,
        /// Padding.
        pad1: u32,
    }
    /// `struct xen_sysctl_debug_keys`.
    DebugKeys {
        /// The keys.
        keys: Vaddr,
        /// How many.
        nr_keys: u32,
        /// Padding.
        pad: u32,
    }
    /// One CPU's idle time (`struct xen_sysctl_cpuinfo`).
    CpuInfo {
        /// ns.
        idletime: u64,
    }
    /// `struct xen_sysctl_getcpuinfo`.
    GetCpuInfo {
        /// Room in the array.
        max_cpus: u32,
        /// Padding.
        pad0: u32,
        /// Array of [`CpuInfo`].
        info: Vaddr,
        /// Out: CPUs.
        nr_cpus: u32,
        /// Padding.
        pad1: u32,
    }
    /// `struct xen_sysctl_availheap`.
    AvailHeap {
        /// Fewest address bits.
        min_bitwidth: u32,
        /// Most address bits.
        max_bitwidth: u32,
        /// Node; -1 for all.
        node: i32,
        /// Padding.
        pad: u32,
        /// Out: free bytes.
        avail_bytes: u64,
    }
    /// `struct xen_sysctl_cpu_hotplug`.
    CpuHotplug {
        /// CPU.
        cpu: u32,
        /// [`hotplug`].
        op: u32,
    }
    /// Where a CPU is (`struct xen_sysctl_cputopo`).
    CpuTopo {
        /// Core.
        core: u32,
        /// Socket.
        socket: u32,
        /// Node.
        node: u32,
    }
    /// `struct xen_sysctl_cputopoinfo`.
    CpuTopoInfo {
        /// In: room. Out: CPUs.
        num_cpus: u32,
        /// Padding.
        pad: u32,
        /// Array of [`CpuTopo`]; empty to learn the count.
        cputopo: Vaddr,
    }
    /// A node's memory (`struct xen_sysctl_meminfo`).
    MemInfo {
        /// Bytes.
        memsize: u64,
        /// Bytes free.
        memfree: u64,
    }
    /// `struct xen_sysctl_numainfo`.
    NumaInfo {
        /// In: room. Out: nodes.
        num_nodes: u32,
        /// Padding.
        pad: u32,
        /// Array of [`MemInfo`].
        meminfo: Vaddr,
        /// Array of distances (u32), nodes by nodes.
        distance: Vaddr,
    }
    /// `struct xen_sysctl_cpupool_op`.
    CpupoolOp {
        /// [`cpupool`].
        op: u32,
        /// Pool; for `INFO` the first at or above.
        cpupool_id: u32,
        /// [`crate::domctl::scheduler`].
        sched_id: u32,
        /// Domain.
        domid: u32,
        /// CPU.
        cpu: u32,
        /// Out: domains in it.
        n_dom: u32,
        /// Out: CPUs in it.
        cpumap: Bitmap,
    }
    /// `struct xen_sysctl_scheduler_op`, the union by its bytes: [`CreditSchedule`] or [`Credit2Schedule`] begins it.
    SchedulerOp {
        /// Pool.
        cpupool_id: u32,
        /// [`crate::domctl::scheduler`].
        sched_id: u32,
        /// 0 set, 1 get.
        cmd: u32,
        /// Padding.
        pad: u32,
        /// The union.
        data: [u64; 2],
    }
    /// `struct xen_sysctl_credit_schedule`.
    CreditSchedule {
        /// Time slice, ms.
        tslice_ms: u32,
        /// Shortest run, us.
        ratelimit_us: u32,
        /// Time a vCPU is held to be cache-hot, us.
        vcpu_migr_delay_us: u32,
    }
    /// `struct xen_sysctl_credit2_schedule`.
    Credit2Schedule {
        /// Shortest run, us.
        ratelimit_us: u32,
    }
    /// `struct xen_sysctl_pcitopoinfo`.
    PciTopoInfo {
        /// In: devices. Out: devices done.
        num_devs: u32,
        /// Padding.
        pad: u32,
        /// Array of [`crate::physdev::PciDevice`].
        devs: Vaddr,
        /// Array of nodes (u32).
        nodes: Vaddr,
    }
    /// `struct xen_sysctl_cpu_levelling_caps`.
    CpuLevellingCaps {
        /// Which CPUID leaves can be masked.
        caps: u32,
    }
    /// `struct xen_sysctl_cpu_featureset`.
    CpuFeatureset {
        /// [`featureset`].
        index: u32,
        /// Words; with an empty array, out: how many.
        nr_features: u32,
        /// Array of feature words (u32).
        features: Vaddr,
    }
    /// `struct xen_sysctl_cpu_policy`.
    CpuPolicy {
        /// [`policy`].
        index: u32,
        /// CPUID leaves; with empty arrays, out: how many.
        nr_leaves: u32,
        /// MSRs.
        nr_msrs: u32,
        /// Zero.
        rsvd: u32,
        /// Array of [`crate::domctl::CpuidLeaf`].
        leaves: Vaddr,
        /// Array of [`crate::domctl::MsrEntry`].
        msrs: Vaddr,
    }
}
