//! Selectors of the hypervisor's flat segments, and segment bases (`public/arch-x86/xen-x86_64.h`, `xen.h`).

use crate::macros::numbers;

numbers! { u16;
    /// 32-bit code, ring 3.
    FLAT_RING3_CS32 = 0xe023, "FLAT_RING3_CS32";
    /// 64-bit code, ring 3: the kernel's and the user's.
    FLAT_RING3_CS64 = 0xe033, "FLAT_RING3_CS64";
    /// 32-bit data, ring 3.
    FLAT_RING3_DS32 = 0xe02b, "FLAT_RING3_DS32";
    /// 64-bit data: the null selector.
    FLAT_RING3_DS64 = 0, "FLAT_RING3_DS64";
    /// 32-bit stack, ring 3.
    FLAT_RING3_SS32 = 0xe02b, "FLAT_RING3_SS32";
    /// 64-bit stack, ring 3.
    FLAT_RING3_SS64 = 0xe02b, "FLAT_RING3_SS64";
    /// Kernel code.
    FLAT_KERNEL_CS = 0xe033, "FLAT_KERNEL_CS";
    /// Kernel data.
    FLAT_KERNEL_DS = 0, "FLAT_KERNEL_DS";
    /// Kernel stack.
    FLAT_KERNEL_SS = 0xe02b, "FLAT_KERNEL_SS";
    /// User code.
    FLAT_USER_CS = 0xe033, "FLAT_USER_CS";
    /// User data.
    FLAT_USER_DS = 0, "FLAT_USER_DS";
    /// User stack.
    FLAT_USER_SS = 0xe02b, "FLAT_USER_SS";
}

/// The GDT: pages 0 to 13 are the guest's, the rest the hypervisor's.
pub mod gdt {
    use crate::macros::numbers;
    numbers! { u32;
        /// First page of the hypervisor's part.
        FIRST_RESERVED_PAGE = 14, "FIRST_RESERVED_GDT_PAGE";
        /// Its byte offset.
        FIRST_RESERVED_BYTE = 14 * 4096, "FIRST_RESERVED_GDT_BYTE";
        /// Its first entry.
        FIRST_RESERVED_ENTRY = 14 * 512, "FIRST_RESERVED_GDT_ENTRY";
    }
}

/// Which base `set_segment_base` sets.
pub mod base {
    use crate::macros::numbers;
    numbers! { u32;
        /// FS base.
        FS = 0, "SEGBASE_FS";
        /// GS base of user mode.
        GS_USER = 1, "SEGBASE_GS_USER";
        /// GS base of kernel mode.
        GS_KERNEL = 2, "SEGBASE_GS_KERNEL";
        /// Load the user's GS selector, given in bits 15:0.
        GS_USER_SEL = 3, "SEGBASE_GS_USER_SEL";
    }
}
