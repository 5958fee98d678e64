//! The hypercalls' numbers (`public/xen.h`, `__HYPERVISOR_*`; the arch slots as x86 uses them).

use crate::macros::numbers;

numbers! { u64;
    /// Set the virtual IDT.
    SET_TRAP_TABLE = 0, "__HYPERVISOR_set_trap_table";
    /// A batch of page-table and M2P updates.
    MMU_UPDATE = 1, "__HYPERVISOR_mmu_update";
    /// Replace the GDT.
    SET_GDT = 2, "__HYPERVISOR_set_gdt";
    /// Set the kernel stack.
    STACK_SWITCH = 3, "__HYPERVISOR_stack_switch";
    /// Set the event, failsafe and syscall callbacks (old form).
    SET_CALLBACKS = 4, "__HYPERVISOR_set_callbacks";
    /// Set or clear CR0.TS.
    FPU_TASKSWITCH = 5, "__HYPERVISOR_fpu_taskswitch";
    /// Scheduling, pre-3.1.1 form.
    SCHED_OP_COMPAT = 6, "__HYPERVISOR_sched_op_compat";
    /// Control of the physical machine by dom0.
    PLATFORM_OP = 7, "__HYPERVISOR_platform_op";
    /// Write a debug register.
    SET_DEBUGREG = 8, "__HYPERVISOR_set_debugreg";
    /// Read a debug register.
    GET_DEBUGREG = 9, "__HYPERVISOR_get_debugreg";
    /// Write one segment descriptor.
    UPDATE_DESCRIPTOR = 10, "__HYPERVISOR_update_descriptor";
    /// Memory reservation and information.
    MEMORY_OP = 12, "__HYPERVISOR_memory_op";
    /// A batch of hypercalls.
    MULTICALL = 13, "__HYPERVISOR_multicall";
    /// Write the L1 entry of one of the caller's addresses.
    UPDATE_VA_MAPPING = 14, "__HYPERVISOR_update_va_mapping";
    /// Set the one-shot timer (old form).
    SET_TIMER_OP = 15, "__HYPERVISOR_set_timer_op";
    /// Event channels, pre-3.2.2 form.
    EVENT_CHANNEL_OP_COMPAT = 16, "__HYPERVISOR_event_channel_op_compat";
    /// Version and features.
    XEN_VERSION = 17, "__HYPERVISOR_xen_version";
    /// Emergency console.
    CONSOLE_IO = 18, "__HYPERVISOR_console_io";
    /// Physical devices, pre-3.2.2 form.
    PHYSDEV_OP_COMPAT = 19, "__HYPERVISOR_physdev_op_compat";
    /// Grant tables.
    GRANT_TABLE_OP = 20, "__HYPERVISOR_grant_table_op";
    /// Switch assists on and off.
    VM_ASSIST = 21, "__HYPERVISOR_vm_assist";
    /// Write an L1 entry that names another domain's frame.
    UPDATE_VA_MAPPING_OTHERDOMAIN = 22, "__HYPERVISOR_update_va_mapping_otherdomain";
    /// Return from an exception or event.
    IRET = 23, "__HYPERVISOR_iret";
    /// Operations on a vCPU.
    VCPU_OP = 24, "__HYPERVISOR_vcpu_op";
    /// Set the FS or a GS base.
    SET_SEGMENT_BASE = 25, "__HYPERVISOR_set_segment_base";
    /// Extended MMU operations: pinning, base pointers, flushes.
    MMUEXT_OP = 26, "__HYPERVISOR_mmuext_op";
    /// Security modules.
    XSM_OP = 27, "__HYPERVISOR_xsm_op";
    /// NMI callback.
    NMI_OP = 28, "__HYPERVISOR_nmi_op";
    /// Scheduling.
    SCHED_OP = 29, "__HYPERVISOR_sched_op";
    /// Register callbacks.
    CALLBACK_OP = 30, "__HYPERVISOR_callback_op";
    /// Profiling (obsolete).
    XENOPROF_OP = 31, "__HYPERVISOR_xenoprof_op";
    /// Event channels.
    EVENT_CHANNEL_OP = 32, "__HYPERVISOR_event_channel_op";
    /// Physical devices and their interrupts.
    PHYSDEV_OP = 33, "__HYPERVISOR_physdev_op";
    /// HVM guests.
    HVM_OP = 34, "__HYPERVISOR_hvm_op";
    /// Control of the host by its tools.
    SYSCTL = 35, "__HYPERVISOR_sysctl";
    /// Control of domains by the host's tools.
    DOMCTL = 36, "__HYPERVISOR_domctl";
    /// Kexec.
    KEXEC_OP = 37, "__HYPERVISOR_kexec_op";
    /// Transcendent memory (removed).
    TMEM_OP = 38, "__HYPERVISOR_tmem_op";
    /// Argo messages.
    ARGO_OP = 39, "__HYPERVISOR_argo_op";
    /// Performance monitoring unit.
    XENPMU_OP = 40, "__HYPERVISOR_xenpmu_op";
    /// Device models.
    DM_OP = 41, "__HYPERVISOR_dm_op";
    /// The hypervisor's file system of parameters.
    HYPFS_OP = 42, "__HYPERVISOR_hypfs_op";
    /// x86: machine checks.
    MCA = 48, "__HYPERVISOR_mca";
    /// Arch slot 1.
    ARCH_1 = 49, "__HYPERVISOR_arch_1";
    /// Arch slot 2.
    ARCH_2 = 50, "__HYPERVISOR_arch_2";
    /// Arch slot 3.
    ARCH_3 = 51, "__HYPERVISOR_arch_3";
    /// Arch slot 4.
    ARCH_4 = 52, "__HYPERVISOR_arch_4";
    /// Arch slot 5.
    ARCH_5 = 53, "__HYPERVISOR_arch_5";
    /// Arch slot 6.
    ARCH_6 = 54, "__HYPERVISOR_arch_6";
    /// Arch slot 7.
    ARCH_7 = 55, "__HYPERVISOR_arch_7";
}
