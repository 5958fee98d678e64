//! `xen_version`: what the hypervisor is and can do (`public/version.h`, `public/features.h`).

use crate::macros::wire;

/// Bytes of the extra version.
pub const EXTRAVERSION_LEN: usize = 16;
/// Bytes of the list of capabilities.
pub const CAPABILITIES_LEN: usize = 1024;
/// Bytes of the changeset.
pub const CHANGESET_LEN: usize = 64;
/// Bytes of the command line.
pub const COMMANDLINE_LEN: usize = 1024;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Answer: major in 31:16, minor in 15:0.
        VERSION = 0, "XENVER_version";
        /// The rest of the version, 16 bytes.
        EXTRAVERSION = 1, "XENVER_extraversion";
        /// [`super::CompileInfo`].
        COMPILE_INFO = 2, "XENVER_compile_info";
        /// Kinds of guest, 1024 bytes of text.
        CAPABILITIES = 3, "XENVER_capabilities";
        /// Changeset, 64 bytes of text.
        CHANGESET = 4, "XENVER_changeset";
        /// [`super::PlatformParameters`].
        PLATFORM_PARAMETERS = 5, "XENVER_platform_parameters";
        /// [`super::FeatureInfo`].
        GET_FEATURES = 6, "XENVER_get_features";
        /// Answer: page size.
        PAGESIZE = 7, "XENVER_pagesize";
        /// The caller's UUID, 16 bytes.
        GUEST_HANDLE = 8, "XENVER_guest_handle";
        /// The hypervisor's command line, 1024 bytes.
        COMMANDLINE = 9, "XENVER_commandline";
        /// [`super::BuildId`].
        BUILD_ID = 10, "XENVER_build_id";
    }
}

/// Feature bits of `GET_FEATURES`, submap 0; the same numbers are in kernels' ELF notes.
pub mod feature {
    use crate::macros::numbers;
    numbers! { u32;
        /// Page tables need not be read-only.
        WRITABLE_PAGE_TABLES = 0, "XENFEAT_writable_page_tables";
        /// Descriptor tables need not be read-only.
        WRITABLE_DESCRIPTOR_TABLES = 1, "XENFEAT_writable_descriptor_tables";
        /// PFNs are translated by the hypervisor.
        AUTO_TRANSLATED_PHYSMAP = 2, "XENFEAT_auto_translated_physmap";
        /// The kernel runs in ring 0.
        SUPERVISOR_MODE_KERNEL = 3, "XENFEAT_supervisor_mode_kernel";
        /// 32-bit: page directories above 4 GiB.
        PAE_PGDIR_ABOVE_4GB = 4, "XENFEAT_pae_pgdir_above_4gb";
        /// `MMU_PT_UPDATE_PRESERVE_AD` works.
        MMU_PT_UPDATE_PRESERVE_AD = 5, "XENFEAT_mmu_pt_update_preserve_ad";
        /// `MMUEXT_CLEAR_PAGE` and `MMUEXT_COPY_PAGE` work.
        HIGHMEM_ASSIST = 6, "XENFEAT_highmem_assist";
        /// Grant mappings take the available bits.
        GNTTAB_MAP_AVAIL_BITS = 7, "XENFEAT_gnttab_map_avail_bits";
        /// HVM: callback vector.
        HVM_CALLBACK_VECTOR = 8, "XENFEAT_hvm_callback_vector";
        /// HVM: clock.
        HVM_SAFE_PVCLOCK = 9, "XENFEAT_hvm_safe_pvclock";
        /// HVM: pirqs.
        HVM_PIRQS = 10, "XENFEAT_hvm_pirqs";
        /// The kernel can be (and this domain is) the control domain.
        DOM0 = 11, "XENFEAT_dom0";
        /// `XENMEMF_vnode` works.
        MEMORY_OP_VNODE_SUPPORTED = 13, "XENFEAT_memory_op_vnode_supported";
        /// Arm: SMCCC.
        ARM_SMCCC_SUPPORTED = 14, "XENFEAT_ARM_SMCCC_supported";
        /// PVH: the RSDP may be anywhere.
        LINUX_RSDP_UNRESTRICTED = 15, "XENFEAT_linux_rsdp_unrestricted";
        /// Memory is not mapped 1:1.
        NOT_DIRECT_MAPPED = 16, "XENFEAT_not_direct_mapped";
        /// Memory is mapped 1:1.
        DIRECT_MAPPED = 17, "XENFEAT_direct_mapped";
    }
}

wire! {
    /// `struct xen_compile_info`: zero-terminated text.
    CompileInfo {
        /// Compiler.
        compiler: [u8; 64],
        /// Who built it.
        compile_by: [u8; 16],
        /// Where.
        compile_domain: [u8; 32],
        /// When.
        compile_date: [u8; 32],
    }
    /// `struct xen_platform_parameters`.
    PlatformParameters {
        /// Where the hypervisor's range begins.
        virt_start: u64,
    }
    /// `struct xen_feature_info`.
    FeatureInfo {
        /// In: which 32 features; only 0 exists.
        submap_idx: u32,
        /// Out: the bits.
        submap: u32,
    }
    /// `struct xen_build_id`; the bytes follow.
    BuildId {
        /// In: room for bytes; out: bytes.
        len: u32,
    }
}
