//! The structures of `domctl` (`public/domctl.h`), each named after the sub-call that takes it.

use crate::address::{Gfn, Mfn, Vaddr};
use crate::domid::DomId;
use crate::macros::wire;

wire! {
    /// The whole call (`struct xen_domctl`). The structures below begin `data`.
    Domctl {
        /// [`op`](super::op).
        cmd: u32,
        /// [`INTERFACE_VERSION`](super::INTERFACE_VERSION).
        interface_version: u32,
        /// Whom it concerns.
        domain: DomId,
        /// Padding.
        pad: [u16; 3],
        /// The union, by its bytes.
        data: [u64; 16],
    }
    /// A bitmap in guest memory (`struct xenctl_bitmap`).
    Bitmap {
        /// Its bytes.
        bitmap: Vaddr,
        /// Bits.
        nr_bits: u32,
        /// Padding.
        pad: u32,
    }
    /// `struct xen_arch_domainconfig`.
    ArchDomainConfig {
        /// Devices emulated; none for PV but the PIT.
        emulation_flags: u32,
        /// 1: unknown MSRs read as zero.
        misc_flags: u32,
    }
    /// `struct xen_domctl_createdomain`.
    CreateDomain {
        /// Security label.
        ssidref: u32,
        /// UUID.
        handle: [u8; 16],
        /// [`create_flag`](super::create_flag) bits.
        flags: u32,
        /// IOMMU options.
        iommu_opts: u32,
        /// vCPUs it can have.
        max_vcpus: u32,
        /// Highest event channel port.
        max_evtchn_port: u32,
        /// Grant table frames; negative for the default.
        max_grant_frames: i32,
        /// Maptrack frames; negative for the default.
        max_maptrack_frames: i32,
        /// Grant options.
        grant_opts: u32,
        /// Trace buffer, bytes.
        vmtrace_size: u32,
        /// CPU pool.
        cpupool_id: u32,
        /// x86.
        arch: ArchDomainConfig,
    }
    /// `struct xen_domctl_getdomaininfo`.
    GetDomainInfo {
        /// Which domain: the first with a number at or above the one asked for.
        domain: DomId,
        /// Padding.
        pad1: u16,
        /// [`info_flag`](super::info_flag) bits.
        flags: u32,
        /// Pages.
        tot_pages: u64,
        /// Pages it may have.
        max_pages: u64,
        /// Pages claimed.
        outstanding_pages: u64,
        /// Pages shared.
        shr_pages: u64,
        /// Pages paged out.
        paged_pages: u64,
        /// GFN of its shared page.
        shared_info_frame: u64,
        /// CPU time, ns.
        cpu_time: u64,
        /// vCPUs that are up.
        nr_online_vcpus: u32,
        /// Highest vCPU.
        max_vcpu_id: u32,
        /// Security label.
        ssidref: u32,
        /// UUID.
        handle: [u8; 16],
        /// CPU pool.
        cpupool: u32,
        /// Bits of a guest physical address.
        gpaddr_bits: u8,
        /// Padding.
        pad2: [u8; 7],
        /// x86.
        arch_config: ArchDomainConfig,
    }
    /// `struct xen_domctl_getpageframeinfo3`.
    GetPageFrameInfo3 {
        /// Frames.
        num: u64,
        /// In: array of frame numbers (u64). Out: [`frame_info`](super::frame_info) in each.
        array: Vaddr,
    }
    /// `struct xen_domctl_shadow_op`.
    ShadowOp {
        /// [`shadow`](super::shadow).
        op: u32,
        /// [`shadow::mode`](super::shadow::mode) bits.
        mode: u32,
        /// Memory for shadows, MiB.
        mb: u32,
        /// Padding.
        pad: u32,
        /// The dirty bitmap.
        dirty_bitmap: Vaddr,
        /// Its bits. Out: bits filled.
        pages: u64,
        /// Out: faults.
        fault_count: u32,
        /// Out: dirty pages.
        dirty_count: u32,
    }
    /// `struct xen_domctl_max_mem`.
    MaxMem {
        /// KiB.
        max_memkb: u64,
    }
    /// `struct xen_domctl_vcpucontext`.
    VcpuContext {
        /// vCPU.
        vcpu: u32,
        /// Padding.
        pad: u32,
        /// [`crate::vcpu_context::VcpuGuestContext`].
        ctxt: Vaddr,
    }
    /// `struct xen_domctl_getvcpuinfo`.
    GetVcpuInfo {
        /// vCPU.
        vcpu: u32,
        /// Out: up.
        online: u8,
        /// Out: waits for events.
        blocked: u8,
        /// Out: on a CPU.
        running: u8,
        /// Padding.
        pad0: u8,
        /// Out: CPU time, ns.
        cpu_time: u64,
        /// Out: the CPU.
        cpu: u32,
        /// Padding.
        pad1: u32,
    }
    /// `struct xen_domctl_vcpuaffinity`.
    VcpuAffinity {
        /// vCPU.
        vcpu: u32,
        /// [`affinity`](super::affinity) bits.
        flags: u32,
        /// CPUs where it may run.
        cpumap_hard: Bitmap,
        /// CPUs where it should.
        cpumap_soft: Bitmap,
    }
    /// `struct xen_domctl_max_vcpus`.
    MaxVcpus {
        /// vCPUs.
        max: u32,
    }
    /// Parameters of the credit schedulers (`struct xen_domctl_sched_credit`).
    SchedCredit {
        /// Weight.
        weight: u16,
        /// Cap, percent of a CPU; 0 for none.
        cap: u16,
    }
    /// `struct xen_domctl_scheduler_op`, the union by its bytes: [`SchedCredit`] begins it.
    SchedulerOp {
        /// [`scheduler`](super::scheduler).
        sched_id: u32,
        /// [`scheduler`](super::scheduler).
        cmd: u32,
        /// The union.
        data: [u64; 2],
    }
    /// `struct xen_domctl_setdomainhandle`.
    SetDomainHandle {
        /// UUID.
        handle: [u8; 16],
    }
    /// `struct xen_domctl_irq_permission`.
    IrqPermission {
        /// pirq.
        pirq: u32,
        /// Allowed.
        allow_access: u8,
        /// Padding.
        pad: [u8; 3],
    }
    /// `struct xen_domctl_iomem_permission`.
    IomemPermission {
        /// First frame.
        first_mfn: Mfn,
        /// Frames.
        nr_mfns: u64,
        /// Allowed.
        allow_access: u8,
        /// Padding.
        pad: [u8; 7],
    }
    /// `struct xen_domctl_ioport_permission`.
    IoportPermission {
        /// First port.
        first_port: u32,
        /// Ports.
        nr_ports: u32,
        /// Allowed.
        allow_access: u8,
        /// Padding.
        pad: [u8; 3],
    }
    /// `struct xen_domctl_memory_mapping`.
    MemoryMapping {
        /// First frame as the domain sees it.
        first_gfn: Gfn,
        /// First frame of the machine.
        first_mfn: Mfn,
        /// Frames.
        nr_mfns: u64,
        /// Map them, or take them away.
        add_mapping: u32,
        /// Padding.
        padding: u32,
    }
    /// `struct xen_domctl_hypercall_init`.
    HypercallInit {
        /// The page to fill.
        gmfn: Gfn,
    }
    /// `struct xen_domctl_settimeoffset`.
    SetTimeOffset {
        /// Seconds the domain's wall clock differs from the host's.
        time_offset_seconds: i64,
    }
    /// `struct xen_domctl_address_size`.
    AddressSize {
        /// 32 or 64.
        size: u32,
    }
    /// `struct xen_domctl_sendtrigger`.
    SendTrigger {
        /// [`trigger`](super::trigger).
        trigger: u32,
        /// vCPU.
        vcpu: u32,
    }
    /// `struct xen_domctl_subscribe`.
    Subscribe {
        /// The domain's port to notify when it stops.
        port: u32,
    }
    /// `struct xen_domctl_ext_vcpucontext`.
    ExtVcpuContext {
        /// vCPU.
        vcpu: u32,
        /// Bytes meant.
        size: u32,
        /// Callback for SYSCALL by 32-bit code.
        syscall32_callback_eip: u64,
        /// Callback for SYSENTER.
        sysenter_callback_eip: u64,
        /// Its segment.
        syscall32_callback_cs: u16,
        /// Its segment.
        sysenter_callback_cs: u16,
        /// It starts with events masked.
        syscall32_disables_events: u8,
        /// It starts with events masked.
        sysenter_disables_events: u8,
        /// Padding.
        pad: u16,
        /// Machine-check capabilities and banks.
        vmce: [u64; 4],
    }
    /// `struct xen_domctl_set_target`.
    SetTarget {
        /// The domain it may control.
        target: DomId,
    }
    /// `struct xen_domctl_cpu_policy`.
    CpuPolicy {
        /// CPUID leaves.
        nr_leaves: u32,
        /// MSRs.
        nr_msrs: u32,
        /// Array of [`CpuidLeaf`].
        leaves: Vaddr,
        /// Array of [`MsrEntry`].
        msrs: Vaddr,
        /// Out: the leaf that is wrong, or all ones.
        err_leaf: u32,
        /// Out: its subleaf.
        err_subleaf: u32,
        /// Out: the MSR that is wrong, or all ones.
        err_msr: u32,
        /// Padding.
        pad: u32,
    }
    /// One CPUID leaf (`struct xen_cpuid_leaf`).
    CpuidLeaf {
        /// Leaf.
        leaf: u32,
        /// Subleaf, or all ones.
        subleaf: u32,
        /// EAX.
        a: u32,
        /// EBX.
        b: u32,
        /// ECX.
        c: u32,
        /// EDX.
        d: u32,
    }
    /// One MSR (`struct xen_msr_entry`).
    MsrEntry {
        /// MSR.
        idx: u32,
        /// Zero.
        flags: u32,
        /// Value.
        val: u64,
    }
    /// `struct xen_domctl_tsc_info`.
    TscInfo {
        /// 0 default, 1 emulate always, 2 never.
        tsc_mode: u32,
        /// Frequency the guest sees, kHz.
        gtsc_khz: u32,
        /// Times it was restored.
        incarnation: u32,
        /// Padding.
        pad: u32,
        /// Time since it was started, ns.
        elapsed_nsec: u64,
    }
    /// `struct xen_domctl_set_virq_handler`.
    SetVirqHandler {
        /// [`crate::virq`].
        virq: u32,
    }
    /// `struct xen_domctl_vcpuextstate`.
    VcpuExtState {
        /// vCPU.
        vcpu: u32,
        /// Padding.
        pad: u32,
        /// XCR0 features.
        xfeature_mask: u64,
        /// Bytes; with an empty buffer, out: bytes needed.
        size: u64,
        /// Buffer.
        buffer: Vaddr,
    }
    /// `struct xen_domctl_paging_mempool`.
    PagingMempool {
        /// Bytes.
        size: u64,
    }
    /// `struct xen_domctl_vcpu_msr`.
    VcpuMsr {
        /// MSR.
        index: u32,
        /// Zero.
        reserved: u32,
        /// Value.
        value: u64,
    }
    /// `struct xen_domctl_vcpu_msrs`.
    VcpuMsrs {
        /// vCPU.
        vcpu: u32,
        /// MSRs; with an empty array, out: how many.
        msr_count: u32,
        /// Array of [`VcpuMsr`].
        msrs: Vaddr,
    }
    /// `struct xen_domctl_vnuma`.
    Vnuma {
        /// Nodes.
        nr_vnodes: u32,
        /// Ranges.
        nr_vmemranges: u32,
        /// vCPUs.
        nr_vcpus: u32,
        /// Padding.
        pad: u32,
        /// Array of distances (u32).
        vdistance: Vaddr,
        /// Array: node of each vCPU (u32).
        vcpu_to_vnode: Vaddr,
        /// Array: physical node of each node (u32).
        vnode_to_pnode: Vaddr,
        /// Array of [`crate::memory_op::VmemRange`].
        vmemrange: Vaddr,
    }
}
