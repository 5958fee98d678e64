//! The hypervisor's CPUID leaves, and how a PV kernel asks for CPUID (`public/arch-x86/cpuid.h`, `xen.h`).

use crate::macros::numbers;

/// Before `CPUID`: the instruction is to be emulated (`ud2a; .ascii "xen"`).
pub const EMULATE_PREFIX: [u8; 5] = [0x0f, 0x0b, 0x78, 0x65, 0x6e];

numbers! { u32;
    /// First leaf: EAX highest leaf, EBX, ECX, EDX the signature "XenVMMXenVMM".
    FIRST_LEAF = 0x4000_0000, "XEN_CPUID_FIRST_LEAF";
    /// Signature.
    SIGNATURE_EBX = 0x566e_6558, "XEN_CPUID_SIGNATURE_EBX";
    /// Signature.
    SIGNATURE_ECX = 0x6558_4d4d, "XEN_CPUID_SIGNATURE_ECX";
    /// Signature.
    SIGNATURE_EDX = 0x4d4d_566e, "XEN_CPUID_SIGNATURE_EDX";
    /// Highest number of a leaf above the first.
    MAX_NUM_LEAVES = 5, "XEN_CPUID_MAX_NUM_LEAVES";
    /// Leaf 2, ECX: `MMU_PT_UPDATE_PRESERVE_AD` works.
    FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1, "XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD";
    /// Leaf 5, EBX: bits of a machine address a PV guest may need to know, 7:0.
    MACHINE_ADDRESS_WIDTH_MASK = 0xff, "XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK";
    /// Leaf 4, EAX: the virtual CPU's number is in EBX.
    HVM_VCPU_ID_PRESENT = 1 << 3, "XEN_HVM_CPUID_VCPU_ID_PRESENT";
    /// Leaf 4, EAX: the domain's number is in ECX.
    HVM_DOMID_PRESENT = 1 << 4, "XEN_HVM_CPUID_DOMID_PRESENT";
}

/// Leaves, less the first. 1 version, 2 hypercall pages and features, 3 time, 4 HVM, 5 PV.
pub mod leaf {
    /// EAX: version, major in 31:16.
    pub const VERSION: u32 = 1;
    /// EAX: hypercall pages; EBX: MSR that fills one; ECX, EDX: features.
    pub const HYPERCALL: u32 = 2;
    /// Time; subleaves 0 to 2.
    pub const TIME: u32 = 3;
    /// HVM features.
    pub const HVM: u32 = 4;
    /// PV features: EBX 7:0 machine address width.
    pub const PV: u32 = 5;
}
