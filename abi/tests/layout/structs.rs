//! The structures to compare: Rust type, C type, and the fields with their C names where they differ.
//!
//! A row gives two questions a field (offset and size) and one for the whole; those in `parts!` are the
//! beginnings of larger C structures and are not asked for their size. Padding has no name in C and is not in the table.

use xenocryst_abi::*;

use crate::header::Question;

/// Size of a field, found without a value of the type.
fn size_of_field<T, F>(_: impl Fn(&T) -> &F) -> usize {
    size_of::<F>()
}

/// The size of a whole structure.
fn whole(c: &str, ours: usize) -> Question {
    Question {
        what: format!("sizeof({c})"),
        expression: format!("sizeof({c})"),
        ours: ours as u64,
    }
}

/// A field's place and size.
fn field(c: &str, path: &str, offset: usize, size: usize) -> [Question; 2] {
    let asked = |what: &str, expression, ours: usize| Question {
        what: format!("{what} of {c}.{path}"),
        expression,
        ours: ours as u64,
    };
    [
        asked("offset", format!("offsetof({c}, {path})"), offset),
        asked("size", format!("sizeof((({c} *)0)->{path})"), size),
    ]
}

macro_rules! layouts {
    ($all:ident; $($ty:ty, $c:literal { $($fields:tt)* })*) => {
        $(
            $all.push(whole($c, size_of::<$ty>()));
            parts!($all; $ty, $c { $($fields)* });
        )*
    };
}

macro_rules! parts {
    ($all:ident; $ty:ty, $c:literal { $($field:ident $(= $path:literal)?),* }) => {
        $(
            $all.extend(field(
                $c,
                parts!(@path $field $($path)?),
                core::mem::offset_of!($ty, $field),
                size_of_field(|whole: &$ty| &whole.$field),
            ));
        )*
    };
    (@path $field:ident) => { stringify!($field) };
    (@path $field:ident $path:literal) => { $path };
}

/// Everything to compare.
pub fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    all.extend(guest());
    all.extend(memory());
    all.extend(machine());
    all.extend(control());
    all
}

/// What a PV kernel uses.
fn guest() -> Vec<Question> {
    let mut all = Vec::new();
    layouts! { all;
        hypercall::MulticallEntry, "struct multicall_entry" { op, result, args }
        mmu::MmuUpdate, "struct mmu_update" { ptr, val }
        mmu::MmuextOp, "struct mmuext_op" { cmd, arg1, arg2 }
        callback::CallbackRegister, "struct callback_register" { kind = "type", flags, address }
        callback::CallbackUnregister, "struct callback_unregister" { kind = "type" }
        trap::TrapInfo, "struct trap_info" { vector, flags, cs, address }
        vcpu_context::CpuUserRegs, "struct cpu_user_regs" { r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax,
            rcx, rdx, rsi, rdi, error_code, entry_vector, rip, cs, saved_upcall_mask, rflags, rsp, ss, es, ds, fs,
            gs }
        vcpu_context::VcpuGuestContext, "struct vcpu_guest_context" { fpu_ctxt, flags, user_regs, trap_ctxt,
            ldt_base, ldt_ents, gdt_frames, gdt_ents, kernel_ss, kernel_sp, ctrlreg, debugreg, event_callback_eip,
            failsafe_callback_eip, syscall_callback_eip, vm_assist, fs_base, gs_base_kernel, gs_base_user }
        vcpu_context::IretContext, "struct iret_context" { rax, r11, rcx, flags, rip, cs, rflags, rsp, ss }
        vcpu_op::RunstateInfo, "struct vcpu_runstate_info" { state, state_entry_time, time }
        vcpu_op::RegisterArea, "struct vcpu_register_runstate_memory_area" { addr }
        vcpu_op::SetPeriodicTimer, "struct vcpu_set_periodic_timer" { period_ns }
        vcpu_op::SetSingleshotTimer, "struct vcpu_set_singleshot_timer" { timeout_abs_ns, flags }
        vcpu_op::RegisterVcpuInfo, "struct vcpu_register_vcpu_info" { mfn, offset }
        vcpu_op::GetPhysid, "struct vcpu_get_physid" { phys_id }
        start_info::StartInfo, "struct start_info" { magic, nr_pages, shared_info, flags, store_mfn, store_evtchn,
            console_mfn = "console.domU.mfn", console_evtchn = "console.domU.evtchn", pt_base, nr_pt_frames,
            mfn_list, mod_start, mod_len, cmd_line, first_p2m_pfn, nr_p2m_frames }
        start_info::ModuleEntry, "struct xen_multiboot_mod_list" { mod_start, mod_end, cmdline }
        start_info::VgaTextInfo, "dom0_vga_console_info_t" { video_type, font_height = "u.text_mode_3.font_height",
            cursor_x = "u.text_mode_3.cursor_x", cursor_y = "u.text_mode_3.cursor_y", rows = "u.text_mode_3.rows",
            columns = "u.text_mode_3.columns" }
        start_info::VgaLfbInfo, "dom0_vga_console_info_t" { video_type, width = "u.vesa_lfb.width",
            height = "u.vesa_lfb.height", bytes_per_line = "u.vesa_lfb.bytes_per_line",
            bits_per_pixel = "u.vesa_lfb.bits_per_pixel", lfb_base = "u.vesa_lfb.lfb_base",
            lfb_size = "u.vesa_lfb.lfb_size", gbl_caps = "u.vesa_lfb.gbl_caps",
            mode_attrs = "u.vesa_lfb.mode_attrs", ext_lfb_base = "u.vesa_lfb.ext_lfb_base" }
        shared_info::VcpuTimeInfo, "struct vcpu_time_info" { version, tsc_timestamp, system_time, tsc_to_system_mul,
            tsc_shift, flags }
        shared_info::ArchVcpuInfo, "struct arch_vcpu_info" { cr2 }
        shared_info::VcpuInfo, "struct vcpu_info" { evtchn_upcall_pending, evtchn_upcall_mask, evtchn_pending_sel,
            arch, time }
        shared_info::ArchSharedInfo, "struct arch_shared_info" { max_pfn, pfn_to_mfn_frame_list_list, nmi_reason,
            p2m_cr3, p2m_vaddr, p2m_generation }
        shared_info::SharedInfo, "struct shared_info" { vcpu_info, evtchn_pending, evtchn_mask, wc_version, wc_sec,
            wc_nsec, wc_sec_hi, arch }
        sched::SchedShutdown, "struct sched_shutdown" { reason }
        sched::SchedPoll, "struct sched_poll" { ports, nr_ports, timeout }
        sched::SchedRemoteShutdown, "struct sched_remote_shutdown" { domain_id, reason }
        sched::SchedWatchdog, "struct sched_watchdog" { id, timeout }
        sched::SchedPinOverride, "struct sched_pin_override" { pcpu }
        event_channel::AllocUnbound, "struct evtchn_alloc_unbound" { dom, remote_dom, port }
        event_channel::BindInterdomain, "struct evtchn_bind_interdomain" { remote_dom, remote_port, local_port }
        event_channel::BindVirq, "struct evtchn_bind_virq" { virq, vcpu, port }
        event_channel::BindPirq, "struct evtchn_bind_pirq" { pirq, flags, port }
        event_channel::BindIpi, "struct evtchn_bind_ipi" { vcpu, port }
        event_channel::Close, "struct evtchn_close" { port }
        event_channel::Send, "struct evtchn_send" { port }
        event_channel::Status, "struct evtchn_status" { dom, port, status, vcpu, bound_to = "u.pirq",
            remote_port = "u.interdomain.port" }
        event_channel::BindVcpu, "struct evtchn_bind_vcpu" { port, vcpu }
        event_channel::Unmask, "struct evtchn_unmask" { port }
        event_channel::Reset, "struct evtchn_reset" { dom }
        event_channel::InitControl, "struct evtchn_init_control" { control_gfn, offset, vcpu, link_bits }
        event_channel::ExpandArray, "struct evtchn_expand_array" { array_gfn }
        event_channel::SetPriority, "struct evtchn_set_priority" { port, priority }
        event_channel::fifo::ControlBlock, "struct evtchn_fifo_control_block" { ready, head }
        version::CompileInfo, "struct xen_compile_info" { compiler, compile_by, compile_domain, compile_date }
        version::PlatformParameters, "struct xen_platform_parameters" { virt_start }
        version::FeatureInfo, "struct xen_feature_info" { submap_idx, submap }
        version::BuildId, "struct xen_build_id" { len }
        nmi::NmiCallback, "struct xennmi_callback" { handler_address }
    }
    all
}

/// Memory and grants.
fn memory() -> Vec<Question> {
    let mut all = Vec::new();
    layouts! { all;
        memory_op::MemoryReservation, "struct xen_memory_reservation" { extent_start, nr_extents, extent_order,
            mem_flags, domid }
        memory_op::MemoryExchange, "struct xen_memory_exchange" { input = "in", output = "out", nr_exchanged }
        memory_op::MemoryDomain, "struct xen_memory_domain" { domid }
        memory_op::MachphysMfnList, "struct xen_machphys_mfn_list" { max_extents, extent_start, nr_extents }
        memory_op::MachphysMapping, "struct xen_machphys_mapping" { v_start, v_end, max_mfn }
        memory_op::AddToPhysmap, "struct xen_add_to_physmap" { domid, size, space, idx, gpfn }
        memory_op::AddToPhysmapBatch, "struct xen_add_to_physmap_batch" { domid, space, size,
            foreign_domid = "u.foreign_domid", idxs, gpfns, errs }
        memory_op::RemoveFromPhysmap, "struct xen_remove_from_physmap" { domid, gpfn }
        memory_op::MemoryMap, "struct xen_memory_map" { nr_entries, buffer }
        memory_op::ForeignMemoryMap, "struct xen_foreign_memory_map" { domid, map }
        memory_op::PodTarget, "struct xen_pod_target" { target_pages, tot_pages, pod_cache_pages, pod_entries, domid }
        memory_op::ReservedDeviceMemory, "struct xen_reserved_device_memory" { start_pfn, nr_pages }
        memory_op::ReservedDeviceMemoryMap, "struct xen_reserved_device_memory_map" { flags, nr_entries, buffer,
            seg = "dev.pci.seg", bus = "dev.pci.bus", devfn = "dev.pci.devfn" }
        memory_op::AcquireResource, "struct xen_mem_acquire_resource" { domid, kind = "type", id, nr_frames, frame,
            frame_list }
        memory_op::VmemRange, "struct xen_vmemrange" { start, end, flags, nid }
        memory_op::VnumaTopologyInfo, "struct xen_vnuma_topology_info" { domid, nr_vnodes, nr_vcpus, nr_vmemranges,
            vdistance, vcpu_to_vnode, vmemrange }
        grant_table::EntryV1, "struct grant_entry_v1" { flags, domid, frame }
        grant_table::EntryHeader, "struct grant_entry_header" { flags, domid }
        grant_table::EntryV2Full, "union grant_entry_v2" { hdr = "full_page.hdr", frame = "full_page.frame" }
        grant_table::EntryV2Sub, "union grant_entry_v2" { hdr = "sub_page.hdr", page_off = "sub_page.page_off",
            length = "sub_page.length", frame = "sub_page.frame" }
        grant_table::EntryV2Transitive, "union grant_entry_v2" { hdr = "transitive.hdr",
            trans_domid = "transitive.trans_domid", gref = "transitive.gref" }
        grant_table::MapGrantRef, "struct gnttab_map_grant_ref" { host_addr, flags, gref = "ref", dom, status,
            handle, dev_bus_addr }
        grant_table::UnmapGrantRef, "struct gnttab_unmap_grant_ref" { host_addr, dev_bus_addr, handle, status }
        grant_table::SetupTable, "struct gnttab_setup_table" { dom, nr_frames, status, frame_list }
        grant_table::DumpTable, "struct gnttab_dump_table" { dom, status }
        grant_table::Transfer, "struct gnttab_transfer" { mfn, domid, gref = "ref", status }
        grant_table::CopyPtr, "struct gnttab_copy_ptr" { ref_or_gmfn = "u", domid, offset }
        grant_table::Copy, "struct gnttab_copy" { source, dest, len, flags, status }
        grant_table::QuerySize, "struct gnttab_query_size" { dom, nr_frames, max_nr_frames, status }
        grant_table::UnmapAndReplace, "struct gnttab_unmap_and_replace" { host_addr, new_addr, handle, status }
        grant_table::SetVersion, "struct gnttab_set_version" { version }
        grant_table::GetStatusFrames, "struct gnttab_get_status_frames" { nr_frames, dom, status, frame_list }
        grant_table::GetVersion, "struct gnttab_get_version" { dom, version }
        grant_table::SwapGrantRef, "struct gnttab_swap_grant_ref" { ref_a, ref_b, status }
        grant_table::CacheFlush, "struct gnttab_cache_flush" { dev_bus_addr = "a.dev_bus_addr", offset, length, op }
    }
    all
}

/// The physical machine.
fn machine() -> Vec<Question> {
    let mut all = Vec::new();
    layouts! { all;
        physdev::Eoi, "struct physdev_eoi" { irq }
        physdev::PirqEoiGmfn, "struct physdev_pirq_eoi_gmfn" { gmfn }
        physdev::IrqStatusQuery, "struct physdev_irq_status_query" { irq, flags }
        physdev::SetIopl, "struct physdev_set_iopl" { iopl }
        physdev::SetIobitmap, "struct physdev_set_iobitmap" { bitmap, nr_ports }
        physdev::Apic, "struct physdev_apic" { apic_physbase, reg, value }
        physdev::Irq, "struct physdev_irq" { irq, vector }
        physdev::MapPirq, "struct physdev_map_pirq" { domid, kind = "type", index, pirq, bus, devfn, entry_nr,
            table_base }
        physdev::UnmapPirq, "struct physdev_unmap_pirq" { domid, pirq }
        physdev::ManagePci, "struct physdev_manage_pci" { bus, devfn }
        physdev::ManagePciExt, "struct physdev_manage_pci_ext" { bus, devfn, is_extfn, is_virtfn,
            physfn_bus = "physfn.bus", physfn_devfn = "physfn.devfn" }
        physdev::SetupGsi, "struct physdev_setup_gsi" { gsi, triggering, polarity }
        physdev::GetFreePirq, "struct physdev_get_free_pirq" { kind = "type", pirq }
        physdev::PciMmcfgReserved, "struct physdev_pci_mmcfg_reserved" { address, segment, start_bus, end_bus, flags }
        physdev::PciDeviceAdd, "struct physdev_pci_device_add" { seg, bus, devfn, flags, physfn_bus = "physfn.bus",
            physfn_devfn = "physfn.devfn" }
        physdev::PciDevice, "struct physdev_pci_device" { seg, bus, devfn }
        physdev::DbgpOp, "struct physdev_dbgp_op" { op, bus, pci = "u.pci" }
        platform::PlatformOp, "struct xen_platform_op" { cmd, interface_version, data = "u" }
        platform::Settime32, "struct xenpf_settime32" { secs, nsecs, system_time }
        platform::Settime64, "struct xenpf_settime64" { secs, nsecs, mbz, system_time }
        platform::AddMemtype, "struct xenpf_add_memtype" { mfn, nr_mfns, kind = "type", handle, reg }
        platform::DelMemtype, "struct xenpf_del_memtype" { handle, reg }
        platform::ReadMemtype, "struct xenpf_read_memtype" { reg, mfn, nr_mfns, kind = "type" }
        platform::MicrocodeUpdate, "struct xenpf_microcode_update" { data, length }
        platform::FirmwareInfo, "struct xenpf_firmware_info" { kind = "type", index, data = "u" }
        platform::DiskInfo, "__typeof__(((struct xenpf_firmware_info *)0)->u.disk_info)" { device, version,
            interface_support, legacy_max_cylinder, legacy_max_head, legacy_sectors_per_track, edd_params }
        platform::DiskMbrSignature, "__typeof__(((struct xenpf_firmware_info *)0)->u.disk_mbr_signature)" { device,
            mbr_signature }
        platform::VbeddcInfo, "__typeof__(((struct xenpf_firmware_info *)0)->u.vbeddc_info)" { capabilities,
            edid_transfer_time, edid }
        platform::EnterAcpiSleep, "struct xenpf_enter_acpi_sleep" { val_a, val_b, sleep_state, flags }
        platform::Getidletime, "struct xenpf_getidletime" { cpumap_bitmap, cpumap_nr_cpus, idletime, now }
        platform::PcpuInfo, "struct xenpf_pcpuinfo" { xen_cpuid, max_present, flags, apic_id, acpi_id }
        platform::PcpuVersion, "struct xenpf_pcpu_version" { xen_cpuid, max_present, vendor_id, family, model,
            stepping }
        platform::CpuOl, "struct xenpf_cpu_ol" { cpuid }
        platform::CoreParking, "struct xenpf_core_parking" { kind = "type", idle_nums }
        platform::ResourceEntry, "struct xenpf_resource_entry" { cmd_or_ret = "u.cmd", idx, val }
        platform::ResourceOp, "struct xenpf_resource_op" { nr_entries, cpu, entries }
        platform::Symdata, "struct xenpf_symdata" { namelen, symnum, name, address, kind = "type" }
        platform::power::PowerRegister, "struct xen_power_register" { space_id, bit_width, bit_offset, access_size,
            address }
        platform::power::ProcessorCsd, "struct xen_processor_csd" { domain, coord_type, num }
        platform::power::ProcessorCx, "struct xen_processor_cx" { reg, kind = "type", latency, power, dpcnt, dp }
        platform::power::ProcessorPower, "struct xen_processor_power" { count, flags, states }
        platform::power::PctRegister, "struct xen_pct_register" { descriptor, length, space_id, bit_width,
            bit_offset, reserved, address }
        platform::power::ProcessorPx, "struct xen_processor_px" { core_frequency, power, transition_latency,
            bus_master_latency, control, status }
        platform::power::PsdPackage, "struct xen_psd_package" { num_entries, revision, domain, coord_type,
            num_processors }
        platform::power::ProcessorPerformance, "struct xen_processor_performance" { flags, platform_limit,
            control_register, status_register, state_count, states, domain_info, shared_type }
        mca::Fetch, "struct xen_mc_fetch" { flags, fetch_id, data }
        mca::NotifyDomain, "struct xen_mc_notifydomain" { domid = "mc_domid", vcpuid = "mc_vcpuid", flags }
        mca::PhysCpuInfo, "struct xen_mc_physcpuinfo" { ncpus, info }
        mca::McMsr, "struct mcinfo_msr" { reg, value }
        mca::LogicalCpu, "struct mcinfo_logical_cpu" { cpunr = "mc_cpunr", chipid = "mc_chipid",
            coreid = "mc_coreid", threadid = "mc_threadid", apicid = "mc_apicid", clusterid = "mc_clusterid",
            ncores = "mc_ncores", ncores_active = "mc_ncores_active", nthreads = "mc_nthreads",
            cpuid_level = "mc_cpuid_level", family = "mc_family", vendor = "mc_vendor", model = "mc_model",
            step = "mc_step", vendorid = "mc_vendorid", brandid = "mc_brandid", cpu_caps = "mc_cpu_caps",
            cache_size = "mc_cache_size", cache_alignment = "mc_cache_alignment", nmsrvals = "mc_nmsrvals",
            msrvalues = "mc_msrvalues" }
        pmu::PmuParams, "struct xen_pmu_params" { version_maj = "version.maj", version_min = "version.min", val,
            vcpu }
        hvm::Param, "struct xen_hvm_param" { domid, index, value }
        hvm::DmOpBuf, "struct xen_dm_op_buf" { h, size }
        hypfs::DirEntry, "struct xen_hypfs_direntry" { kind = "type", encoding, content_len, max_write_len }
        hypfs::DirListEntry, "struct xen_hypfs_dirlistentry" { entry = "e", off_next }
    }
    parts!(all; mca::McHeader, "struct xen_mc" { cmd, interface_version });
    parts!(all; platform::power::SetProcessorPminfo, "struct xenpf_set_processor_pminfo" { id, kind = "type" });
    all
}

/// What the tools use.
fn control() -> Vec<Question> {
    let mut all = Vec::new();
    layouts! { all;
        domctl::Domctl, "struct xen_domctl" { cmd, interface_version, domain, data = "u" }
        domctl::Bitmap, "struct xenctl_bitmap" { bitmap, nr_bits }
        domctl::ArchDomainConfig, "struct xen_arch_domainconfig" { emulation_flags, misc_flags }
        domctl::CreateDomain, "struct xen_domctl_createdomain" { ssidref, handle, flags, iommu_opts, max_vcpus,
            max_evtchn_port, max_grant_frames, max_maptrack_frames, grant_opts, vmtrace_size, cpupool_id, arch }
        domctl::GetDomainInfo, "struct xen_domctl_getdomaininfo" { domain, flags, tot_pages, max_pages,
            outstanding_pages, shr_pages, paged_pages, shared_info_frame, cpu_time, nr_online_vcpus, max_vcpu_id,
            ssidref, handle, cpupool, gpaddr_bits, arch_config }
        domctl::GetPageFrameInfo3, "struct xen_domctl_getpageframeinfo3" { num, array }
        domctl::ShadowOp, "struct xen_domctl_shadow_op" { op, mode, mb, dirty_bitmap, pages,
            fault_count = "stats.fault_count", dirty_count = "stats.dirty_count" }
        domctl::MaxMem, "struct xen_domctl_max_mem" { max_memkb }
        domctl::VcpuContext, "struct xen_domctl_vcpucontext" { vcpu, ctxt }
        domctl::GetVcpuInfo, "struct xen_domctl_getvcpuinfo" { vcpu, online, blocked, running, cpu_time, cpu }
        domctl::VcpuAffinity, "struct xen_domctl_vcpuaffinity" { vcpu, flags, cpumap_hard, cpumap_soft }
        domctl::MaxVcpus, "struct xen_domctl_max_vcpus" { max }
        domctl::SchedCredit, "struct xen_domctl_sched_credit" { weight, cap }
        domctl::SchedulerOp, "struct xen_domctl_scheduler_op" { sched_id, cmd, data = "u" }
        domctl::SetDomainHandle, "struct xen_domctl_setdomainhandle" { handle }
        domctl::MemoryMapping, "struct xen_domctl_memory_mapping" { first_gfn, first_mfn, nr_mfns, add_mapping }
        domctl::IrqPermission, "struct xen_domctl_irq_permission" { pirq, allow_access }
        domctl::IomemPermission, "struct xen_domctl_iomem_permission" { first_mfn, nr_mfns, allow_access }
        domctl::IoportPermission, "struct xen_domctl_ioport_permission" { first_port, nr_ports, allow_access }
        domctl::HypercallInit, "struct xen_domctl_hypercall_init" { gmfn }
        domctl::SetTimeOffset, "struct xen_domctl_settimeoffset" { time_offset_seconds }
        domctl::AddressSize, "struct xen_domctl_address_size" { size }
        domctl::SendTrigger, "struct xen_domctl_sendtrigger" { trigger, vcpu }
        domctl::Subscribe, "struct xen_domctl_subscribe" { port }
        domctl::ExtVcpuContext, "struct xen_domctl_ext_vcpucontext" { vcpu, size, syscall32_callback_eip,
            sysenter_callback_eip, syscall32_callback_cs, sysenter_callback_cs, syscall32_disables_events,
            sysenter_disables_events, vmce }
        domctl::SetTarget, "struct xen_domctl_set_target" { target }
        domctl::CpuPolicy, "struct xen_domctl_cpu_policy" { nr_leaves, nr_msrs, leaves, msrs, err_leaf, err_subleaf,
            err_msr }
        domctl::CpuidLeaf, "struct xen_cpuid_leaf" { leaf, subleaf, a, b, c, d }
        domctl::MsrEntry, "struct xen_msr_entry" { idx, flags, val }
        domctl::TscInfo, "struct xen_domctl_tsc_info" { tsc_mode, gtsc_khz, incarnation, elapsed_nsec }
        domctl::SetVirqHandler, "struct xen_domctl_set_virq_handler" { virq }
        domctl::VcpuExtState, "struct xen_domctl_vcpuextstate" { vcpu, xfeature_mask, size, buffer }
        domctl::PagingMempool, "struct xen_domctl_paging_mempool" { size }
        domctl::VcpuMsr, "struct xen_domctl_vcpu_msr" { index, reserved, value }
        domctl::VcpuMsrs, "struct xen_domctl_vcpu_msrs" { vcpu, msr_count, msrs }
        domctl::Vnuma, "struct xen_domctl_vnuma" { nr_vnodes, nr_vmemranges, nr_vcpus, vdistance, vcpu_to_vnode,
            vnode_to_pnode, vmemrange }
        sysctl::Sysctl, "struct xen_sysctl" { cmd, interface_version, data = "u" }
        sysctl::ReadConsole, "struct xen_sysctl_readconsole" { clear, incremental, index, buffer, count }
        sysctl::PhysInfo, "struct xen_sysctl_physinfo" { threads_per_core, cores_per_socket, nr_cpus, max_cpu_id,
            nr_nodes, max_node_id, cpu_khz, capabilities, arch_capabilities, total_pages, free_pages, scrub_pages,
            outstanding_pages, max_mfn, hw_cap }
        sysctl::SchedId, "struct xen_sysctl_sched_id" { sched_id }
        sysctl::GetDomainInfoList, "struct xen_sysctl_getdomaininfolist" { first_domain, max_domains, buffer,
            num_domains }
        sysctl::DebugKeys, "struct xen_sysctl_debug_keys" { keys, nr_keys }
        sysctl::CpuInfo, "struct xen_sysctl_cpuinfo" { idletime }
        sysctl::GetCpuInfo, "struct xen_sysctl_getcpuinfo" { max_cpus, info, nr_cpus }
        sysctl::AvailHeap, "struct xen_sysctl_availheap" { min_bitwidth, max_bitwidth, node, avail_bytes }
        sysctl::CpuHotplug, "struct xen_sysctl_cpu_hotplug" { cpu, op }
        sysctl::CpuTopo, "struct xen_sysctl_cputopo" { core, socket, node }
        sysctl::CpuTopoInfo, "struct xen_sysctl_cputopoinfo" { num_cpus, cputopo }
        sysctl::MemInfo, "struct xen_sysctl_meminfo" { memsize, memfree }
        sysctl::NumaInfo, "struct xen_sysctl_numainfo" { num_nodes, meminfo, distance }
        sysctl::CpupoolOp, "struct xen_sysctl_cpupool_op" { op, cpupool_id, sched_id, domid, cpu, n_dom, cpumap }
        sysctl::SchedulerOp, "struct xen_sysctl_scheduler_op" { cpupool_id, sched_id, cmd, data = "u" }
        sysctl::CreditSchedule, "struct xen_sysctl_credit_schedule" { tslice_ms, ratelimit_us, vcpu_migr_delay_us }
        sysctl::Credit2Schedule, "struct xen_sysctl_credit2_schedule" { ratelimit_us }
        sysctl::PciTopoInfo, "struct xen_sysctl_pcitopoinfo" { num_devs, devs, nodes }
        sysctl::CpuLevellingCaps, "struct xen_sysctl_cpu_levelling_caps" { caps }
        sysctl::CpuFeatureset, "struct xen_sysctl_cpu_featureset" { index, nr_features, features }
        sysctl::CpuPolicy, "struct xen_sysctl_cpu_policy" { index, nr_leaves, nr_msrs, leaves, msrs }
    }
    all
}
