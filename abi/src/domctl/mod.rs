//! `domctl`: what the control domain's tools do to a domain (`public/domctl.h`).
//!
//! The interface has a version of its own and changes with each release: a wrong version is refused with `EACCES`.

mod args;

pub use args::*;

/// Interface version every [`Domctl`] must carry.
pub const INTERFACE_VERSION: u32 = 0x15;
/// [`GetDomainInfo::max_vcpu_id`] of a domain without vCPUs.
pub const INVALID_MAX_VCPU_ID: u32 = !0;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// [`super::CreateDomain`].
        CREATEDOMAIN = 1, "XEN_DOMCTL_createdomain";
        /// Destroy a domain.
        DESTROYDOMAIN = 2, "XEN_DOMCTL_destroydomain";
        /// Stop a domain for a while.
        PAUSEDOMAIN = 3, "XEN_DOMCTL_pausedomain";
        /// Let it run again.
        UNPAUSEDOMAIN = 4, "XEN_DOMCTL_unpausedomain";
        /// [`super::GetDomainInfo`].
        GETDOMAININFO = 5, "XEN_DOMCTL_getdomaininfo";
        /// [`super::VcpuAffinity`].
        SETVCPUAFFINITY = 9, "XEN_DOMCTL_setvcpuaffinity";
        /// [`super::ShadowOp`].
        SHADOW_OP = 10, "XEN_DOMCTL_shadow_op";
        /// [`super::MaxMem`].
        MAX_MEM = 11, "XEN_DOMCTL_max_mem";
        /// [`super::VcpuContext`].
        SETVCPUCONTEXT = 12, "XEN_DOMCTL_setvcpucontext";
        /// [`super::VcpuContext`].
        GETVCPUCONTEXT = 13, "XEN_DOMCTL_getvcpucontext";
        /// [`super::GetVcpuInfo`].
        GETVCPUINFO = 14, "XEN_DOMCTL_getvcpuinfo";
        /// [`super::MaxVcpus`].
        MAX_VCPUS = 15, "XEN_DOMCTL_max_vcpus";
        /// [`super::SchedulerOp`].
        SCHEDULER_OP = 16, "XEN_DOMCTL_scheduler_op";
        /// [`super::SetDomainHandle`].
        SETDOMAINHANDLE = 17, "XEN_DOMCTL_setdomainhandle";
        /// Let a debugger in.
        SETDEBUGGING = 18, "XEN_DOMCTL_setdebugging";
        /// [`super::IrqPermission`].
        IRQ_PERMISSION = 19, "XEN_DOMCTL_irq_permission";
        /// [`super::IomemPermission`].
        IOMEM_PERMISSION = 20, "XEN_DOMCTL_iomem_permission";
        /// [`super::IoportPermission`].
        IOPORT_PERMISSION = 21, "XEN_DOMCTL_ioport_permission";
        /// [`super::HypercallInit`].
        HYPERCALL_INIT = 22, "XEN_DOMCTL_hypercall_init";
        /// [`super::SetTimeOffset`].
        SETTIMEOFFSET = 24, "XEN_DOMCTL_settimeoffset";
        /// [`super::VcpuAffinity`].
        GETVCPUAFFINITY = 25, "XEN_DOMCTL_getvcpuaffinity";
        /// Another architecture's.
        REAL_MODE_AREA = 26, "XEN_DOMCTL_real_mode_area";
        /// Let a domain that was suspended run on.
        RESUMEDOMAIN = 27, "XEN_DOMCTL_resumedomain";
        /// [`super::SendTrigger`].
        SENDTRIGGER = 28, "XEN_DOMCTL_sendtrigger";
        /// [`super::Subscribe`].
        SUBSCRIBE = 29, "XEN_DOMCTL_subscribe";
        /// HVM state.
        GETHVMCONTEXT = 33, "XEN_DOMCTL_gethvmcontext";
        /// HVM state.
        SETHVMCONTEXT = 34, "XEN_DOMCTL_sethvmcontext";
        /// [`super::AddressSize`].
        SET_ADDRESS_SIZE = 35, "XEN_DOMCTL_set_address_size";
        /// [`super::AddressSize`].
        GET_ADDRESS_SIZE = 36, "XEN_DOMCTL_get_address_size";
        /// Give a device.
        ASSIGN_DEVICE = 37, "XEN_DOMCTL_assign_device";
        /// Give a device's interrupt.
        BIND_PT_IRQ = 38, "XEN_DOMCTL_bind_pt_irq";
        /// [`super::MemoryMapping`].
        MEMORY_MAPPING = 39, "XEN_DOMCTL_memory_mapping";
        /// Map device ports.
        IOPORT_MAPPING = 40, "XEN_DOMCTL_ioport_mapping";
        /// [`super::ExtVcpuContext`].
        SET_EXT_VCPUCONTEXT = 42, "XEN_DOMCTL_set_ext_vcpucontext";
        /// [`super::ExtVcpuContext`].
        GET_EXT_VCPUCONTEXT = 43, "XEN_DOMCTL_get_ext_vcpucontext";
        /// Another architecture's.
        SET_OPT_FEATURE = 44, "XEN_DOMCTL_set_opt_feature";
        /// Whether a device can be given.
        TEST_ASSIGN_DEVICE = 45, "XEN_DOMCTL_test_assign_device";
        /// [`super::SetTarget`].
        SET_TARGET = 46, "XEN_DOMCTL_set_target";
        /// Take a device.
        DEASSIGN_DEVICE = 47, "XEN_DOMCTL_deassign_device";
        /// Take a device's interrupt.
        UNBIND_PT_IRQ = 48, "XEN_DOMCTL_unbind_pt_irq";
        /// Devices that go together.
        GET_DEVICE_GROUP = 50, "XEN_DOMCTL_get_device_group";
        /// Single-step a vCPU.
        DEBUG_OP = 54, "XEN_DOMCTL_debug_op";
        /// HVM state, in part.
        GETHVMCONTEXT_PARTIAL = 55, "XEN_DOMCTL_gethvmcontext_partial";
        /// Memory events.
        VM_EVENT_OP = 56, "XEN_DOMCTL_vm_event_op";
        /// Page sharing.
        MEM_SHARING_OP = 57, "XEN_DOMCTL_mem_sharing_op";
        /// [`super::TscInfo`].
        GETTSCINFO = 59, "XEN_DOMCTL_gettscinfo";
        /// [`super::TscInfo`].
        SETTSCINFO = 60, "XEN_DOMCTL_settscinfo";
        /// [`super::GetPageFrameInfo3`].
        GETPAGEFRAMEINFO3 = 61, "XEN_DOMCTL_getpageframeinfo3";
        /// [`super::VcpuExtState`].
        SETVCPUEXTSTATE = 62, "XEN_DOMCTL_setvcpuextstate";
        /// [`super::VcpuExtState`].
        GETVCPUEXTSTATE = 63, "XEN_DOMCTL_getvcpuextstate";
        /// Memory events.
        SET_ACCESS_REQUIRED = 64, "XEN_DOMCTL_set_access_required";
        /// Check P2M against M2P.
        AUDIT_P2M = 65, "XEN_DOMCTL_audit_p2m";
        /// [`super::SetVirqHandler`].
        SET_VIRQ_HANDLER = 66, "XEN_DOMCTL_set_virq_handler";
        /// Mark a page as broken.
        SET_BROKEN_PAGE_P2M = 67, "XEN_DOMCTL_set_broken_page_p2m";
        /// [`super::Bitmap`] of nodes.
        SETNODEAFFINITY = 68, "XEN_DOMCTL_setnodeaffinity";
        /// [`super::Bitmap`] of nodes.
        GETNODEAFFINITY = 69, "XEN_DOMCTL_getnodeaffinity";
        /// Arm caches.
        CACHEFLUSH = 71, "XEN_DOMCTL_cacheflush";
        /// [`super::VcpuMsrs`].
        GET_VCPU_MSRS = 72, "XEN_DOMCTL_get_vcpu_msrs";
        /// [`super::VcpuMsrs`].
        SET_VCPU_MSRS = 73, "XEN_DOMCTL_set_vcpu_msrs";
        /// [`super::Vnuma`].
        SETVNUMAINFO = 74, "XEN_DOMCTL_setvnumainfo";
        /// Cache monitoring.
        PSR_CMT_OP = 75, "XEN_DOMCTL_psr_cmt_op";
        /// Introspection.
        MONITOR_OP = 77, "XEN_DOMCTL_monitor_op";
        /// Cache allocation.
        PSR_ALLOC = 78, "XEN_DOMCTL_psr_alloc";
        /// Soft reset.
        SOFT_RESET = 79, "XEN_DOMCTL_soft_reset";
        /// Virtual UART.
        VUART_OP = 81, "XEN_DOMCTL_vuart_op";
        /// [`super::CpuPolicy`].
        GET_CPU_POLICY = 82, "XEN_DOMCTL_get_cpu_policy";
        /// [`super::CpuPolicy`].
        SET_CPU_POLICY = 83, "XEN_DOMCTL_set_cpu_policy";
        /// Tracing.
        VMTRACE_OP = 84, "XEN_DOMCTL_vmtrace_op";
        /// [`super::PagingMempool`].
        GET_PAGING_MEMPOOL_SIZE = 85, "XEN_DOMCTL_get_paging_mempool_size";
        /// [`super::PagingMempool`].
        SET_PAGING_MEMPOOL_SIZE = 86, "XEN_DOMCTL_set_paging_mempool_size";
        /// Debugger.
        GDBSX_GUESTMEMIO = 1000, "XEN_DOMCTL_gdbsx_guestmemio";
        /// Debugger.
        GDBSX_PAUSEVCPU = 1001, "XEN_DOMCTL_gdbsx_pausevcpu";
        /// Debugger.
        GDBSX_UNPAUSEVCPU = 1002, "XEN_DOMCTL_gdbsx_unpausevcpu";
        /// Debugger.
        GDBSX_DOMSTATUS = 1003, "XEN_DOMCTL_gdbsx_domstatus";
    }
}

/// Flags of [`CreateDomain`].
pub mod create_flag {
    use crate::macros::numbers;
    numbers! { u32;
        /// HVM.
        HVM = 1 << 0, "XEN_DOMCTL_CDF_hvm";
        /// Hardware-assisted paging.
        HAP = 1 << 1, "XEN_DOMCTL_CDF_hap";
        /// Memory is checked over S3.
        S3_INTEGRITY = 1 << 2, "XEN_DOMCTL_CDF_s3_integrity";
        /// No out-of-sync shadows.
        OOS_OFF = 1 << 3, "XEN_DOMCTL_CDF_oos_off";
        /// It runs xenstore.
        XS_DOMAIN = 1 << 4, "XEN_DOMCTL_CDF_xs_domain";
        /// It may get devices.
        IOMMU = 1 << 5, "XEN_DOMCTL_CDF_iommu";
        /// Nested virtualisation.
        NESTED_VIRT = 1 << 6, "XEN_DOMCTL_CDF_nested_virt";
        /// Performance counters.
        VPMU = 1 << 7, "XEN_DOMCTL_CDF_vpmu";
        /// In the grant options: the highest version allowed.
        GRANT_VERSION_MASK = 0xf, "XEN_DOMCTL_GRANT_version_mask";
    }
}

/// Flags of [`GetDomainInfo`].
pub mod info_flag {
    use crate::macros::numbers;
    numbers! { u32;
        /// Being destroyed.
        DYING = 1 << 0, "XEN_DOMINF_dying";
        /// HVM.
        HVM_GUEST = 1 << 1, "XEN_DOMINF_hvm_guest";
        /// It stopped; the reason is in bits 23:16.
        SHUTDOWN = 1 << 2, "XEN_DOMINF_shutdown";
        /// Paused by the tools.
        PAUSED = 1 << 3, "XEN_DOMINF_paused";
        /// All vCPUs wait for events.
        BLOCKED = 1 << 4, "XEN_DOMINF_blocked";
        /// A vCPU runs.
        RUNNING = 1 << 5, "XEN_DOMINF_running";
        /// A debugger is attached.
        DEBUGGED = 1 << 6, "XEN_DOMINF_debugged";
        /// It runs xenstore.
        XS_DOMAIN = 1 << 7, "XEN_DOMINF_xs_domain";
        /// Hardware-assisted paging.
        HAP = 1 << 8, "XEN_DOMINF_hap";
        /// Mask of the reason, after the shift.
        SHUTDOWN_MASK = 255, "XEN_DOMINF_shutdownmask";
        /// Shift of the reason.
        SHUTDOWN_SHIFT = 16, "XEN_DOMINF_shutdownshift";
    }
}

/// What `GETPAGEFRAMEINFO3` says of a frame, in bits 31:28.
pub mod frame_info {
    use crate::macros::numbers;
    numbers! { u32;
        /// Not a page table.
        NOTAB = 0, "XEN_DOMCTL_PFINFO_NOTAB";
        /// L1 table.
        L1TAB = 1 << 28, "XEN_DOMCTL_PFINFO_L1TAB";
        /// L2 table.
        L2TAB = 2 << 28, "XEN_DOMCTL_PFINFO_L2TAB";
        /// L3 table.
        L3TAB = 3 << 28, "XEN_DOMCTL_PFINFO_L3TAB";
        /// L4 table.
        L4TAB = 4 << 28, "XEN_DOMCTL_PFINFO_L4TAB";
        /// Mask of the level.
        LTABTYPE_MASK = 7 << 28, "XEN_DOMCTL_PFINFO_LTABTYPE_MASK";
        /// Pinned.
        LPINTAB = 1 << 31, "XEN_DOMCTL_PFINFO_LPINTAB";
        /// There is no such frame.
        XTAB = 0xf << 28, "XEN_DOMCTL_PFINFO_XTAB";
        /// To be allocated only.
        XALLOC = 0xe << 28, "XEN_DOMCTL_PFINFO_XALLOC";
        /// Broken memory.
        BROKEN = 0xd << 28, "XEN_DOMCTL_PFINFO_BROKEN";
        /// Mask of it all.
        LTAB_MASK = 0xf << 28, "XEN_DOMCTL_PFINFO_LTAB_MASK";
    }
}

/// What [`ShadowOp`] does.
pub mod shadow {
    use crate::macros::numbers;
    numbers! { u32;
        /// Switch off.
        OFF = 0, "XEN_DOMCTL_SHADOW_OP_OFF";
        /// Switch on with a [`mode`].
        ENABLE = 32, "XEN_DOMCTL_SHADOW_OP_ENABLE";
        /// Get and clear the dirty bitmap.
        CLEAN = 11, "XEN_DOMCTL_SHADOW_OP_CLEAN";
        /// Get the dirty bitmap.
        PEEK = 12, "XEN_DOMCTL_SHADOW_OP_PEEK";
        /// Memory for shadows: get.
        GET_ALLOCATION = 30, "XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION";
        /// Memory for shadows: set.
        SET_ALLOCATION = 31, "XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION";
        /// Switch on, for tests.
        ENABLE_TEST = 1, "XEN_DOMCTL_SHADOW_OP_ENABLE_TEST";
        /// Switch log-dirty on.
        ENABLE_LOGDIRTY = 2, "XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY";
    }

    /// Bits of the mode.
    pub mod mode {
        use crate::macros::numbers;
        numbers! { u32;
            /// Count references.
            REFCOUNT = 1 << 1, "XEN_DOMCTL_SHADOW_ENABLE_REFCOUNT";
            /// Log dirty pages.
            LOG_DIRTY = 1 << 2, "XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY";
            /// Translate.
            TRANSLATE = 1 << 3, "XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE";
            /// The hypervisor is not in the guest's address space.
            EXTERNAL = 1 << 4, "XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL";
            /// With CLEAN and PEEK: the last round.
            LOGDIRTY_FINAL = 1 << 0, "XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL";
        }
    }
}

/// Flags of [`VcpuAffinity`].
pub mod affinity {
    use crate::macros::numbers;
    numbers! { u32;
        /// Where it may run.
        HARD = 1 << 0, "XEN_VCPUAFFINITY_HARD";
        /// Where it should run.
        SOFT = 1 << 1, "XEN_VCPUAFFINITY_SOFT";
        /// Undo a temporary binding.
        FORCE = 1 << 2, "XEN_VCPUAFFINITY_FORCE";
    }
}

/// Schedulers, and what [`SchedulerOp`] does.
pub mod scheduler {
    use crate::macros::numbers;
    numbers! { u32;
        /// Credit.
        CREDIT = 5, "XEN_SCHEDULER_CREDIT";
        /// Credit2.
        CREDIT2 = 6, "XEN_SCHEDULER_CREDIT2";
        /// ARINC653.
        ARINC653 = 7, "XEN_SCHEDULER_ARINC653";
        /// Real-time.
        RTDS = 8, "XEN_SCHEDULER_RTDS";
        /// One vCPU a CPU.
        NULL = 9, "XEN_SCHEDULER_NULL";
        /// Set a domain's parameters.
        PUTINFO = 0, "XEN_DOMCTL_SCHEDOP_putinfo";
        /// Get them.
        GETINFO = 1, "XEN_DOMCTL_SCHEDOP_getinfo";
        /// Set vCPUs' parameters.
        PUTVCPUINFO = 2, "XEN_DOMCTL_SCHEDOP_putvcpuinfo";
        /// Get them.
        GETVCPUINFO = 3, "XEN_DOMCTL_SCHEDOP_getvcpuinfo";
    }
}

/// What [`SendTrigger`] sends.
pub mod trigger {
    use crate::macros::numbers;
    numbers! { u32;
        /// NMI.
        NMI = 0, "XEN_DOMCTL_SENDTRIGGER_NMI";
        /// Reset.
        RESET = 1, "XEN_DOMCTL_SENDTRIGGER_RESET";
        /// INIT.
        INIT = 2, "XEN_DOMCTL_SENDTRIGGER_INIT";
        /// Power button.
        POWER = 3, "XEN_DOMCTL_SENDTRIGGER_POWER";
        /// Sleep button.
        SLEEP = 4, "XEN_DOMCTL_SENDTRIGGER_SLEEP";
    }
}
