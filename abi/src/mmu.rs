//! Page-table hypercalls: `mmu_update`, `update_va_mapping`, `mmuext_op` (`public/xen.h`).

use crate::macros::wire;

/// In the count argument of `mmu_update` and `mmuext_op`: the call is a continuation of a preempted one.
/// The bit is the hypervisor's own; guests do not set it.
pub const UPDATE_PREEMPTED: u32 = 1 << 31;
/// The part of [`MmuUpdate::ptr`] that is the [`command`].
pub const COMMAND_MASK: u64 = 3;

/// What an [`MmuUpdate`] asks: the low two bits of its `ptr`.
pub mod command {
    use crate::macros::numbers;
    numbers! { u64;
        /// Write `val` to the entry at machine address `ptr`, checked.
        NORMAL_PT_UPDATE = 0, "MMU_NORMAL_PT_UPDATE";
        /// Set the M2P entry of the frame at `ptr` to `val`.
        MACHPHYS_UPDATE = 1, "MMU_MACHPHYS_UPDATE";
        /// As the normal update, keeping the accessed and dirty bits that the entry has.
        PT_UPDATE_PRESERVE_AD = 2, "MMU_PT_UPDATE_PRESERVE_AD";
        /// As the normal update, with `val` never translated.
        PT_UPDATE_NO_TRANSLATE = 3, "MMU_PT_UPDATE_NO_TRANSLATE";
    }
}

/// What an [`MmuextOp`] asks: its `cmd`.
pub mod mmuext {
    use crate::macros::numbers;
    numbers! { u32;
        /// Validate frame `arg1` as an L1 table and pin it.
        PIN_L1_TABLE = 0, "MMUEXT_PIN_L1_TABLE";
        /// As an L2 table.
        PIN_L2_TABLE = 1, "MMUEXT_PIN_L2_TABLE";
        /// As an L3 table.
        PIN_L3_TABLE = 2, "MMUEXT_PIN_L3_TABLE";
        /// As an L4 table.
        PIN_L4_TABLE = 3, "MMUEXT_PIN_L4_TABLE";
        /// Unpin frame `arg1`.
        UNPIN_TABLE = 4, "MMUEXT_UNPIN_TABLE";
        /// Make frame `arg1` the kernel's page-table root.
        NEW_BASEPTR = 5, "MMUEXT_NEW_BASEPTR";
        /// Flush this vCPU's TLB.
        TLB_FLUSH_LOCAL = 6, "MMUEXT_TLB_FLUSH_LOCAL";
        /// Flush one address, `arg1`, from this vCPU's TLB.
        INVLPG_LOCAL = 7, "MMUEXT_INVLPG_LOCAL";
        /// Flush the TLBs of the vCPUs in the bitmap at `arg2`.
        TLB_FLUSH_MULTI = 8, "MMUEXT_TLB_FLUSH_MULTI";
        /// Flush address `arg1` on the vCPUs in the bitmap at `arg2`.
        INVLPG_MULTI = 9, "MMUEXT_INVLPG_MULTI";
        /// Flush all the domain's TLBs.
        TLB_FLUSH_ALL = 10, "MMUEXT_TLB_FLUSH_ALL";
        /// Flush address `arg1` from all the domain's TLBs.
        INVLPG_ALL = 11, "MMUEXT_INVLPG_ALL";
        /// Write back and flush this CPU's caches.
        FLUSH_CACHE = 12, "MMUEXT_FLUSH_CACHE";
        /// Set the LDT to address `arg1`, `arg2` entries.
        SET_LDT = 13, "MMUEXT_SET_LDT";
        /// Make frame `arg1` the user's page-table root.
        NEW_USER_BASEPTR = 15, "MMUEXT_NEW_USER_BASEPTR";
        /// Zero frame `arg1`.
        CLEAR_PAGE = 16, "MMUEXT_CLEAR_PAGE";
        /// Copy frame `arg2` to frame `arg1`.
        COPY_PAGE = 17, "MMUEXT_COPY_PAGE";
        /// Write back and flush all CPUs' caches.
        FLUSH_CACHE_GLOBAL = 18, "MMUEXT_FLUSH_CACHE_GLOBAL";
        /// Mark a superpage (removed).
        MARK_SUPER = 19, "MMUEXT_MARK_SUPER";
        /// Unmark a superpage (removed).
        UNMARK_SUPER = 20, "MMUEXT_UNMARK_SUPER";
    }
}

/// What to flush after `update_va_mapping`: its flags argument. Bits 63:3 may be the address of a vCPU bitmap.
pub mod uvmf {
    use crate::macros::numbers;
    numbers! { u64;
        /// Nothing.
        NONE = 0, "UVMF_NONE";
        /// The whole TLB.
        TLB_FLUSH = 1, "UVMF_TLB_FLUSH";
        /// The one address.
        INVLPG = 2, "UVMF_INVLPG";
        /// The part that says what to flush.
        FLUSHTYPE_MASK = 3, "UVMF_FLUSHTYPE_MASK";
        /// On the vCPUs of the bitmap.
        MULTI = 0, "UVMF_MULTI";
        /// On the calling vCPU: no bitmap.
        LOCAL = 0, "UVMF_LOCAL";
        /// On all vCPUs.
        ALL = 4, "UVMF_ALL";
    }
}

wire! {
    /// One update of a batch (`struct mmu_update`).
    MmuUpdate {
        /// Machine address of the entry, 8-byte aligned, with the [`command`] in bits 1:0.
        ptr: u64,
        /// The new contents.
        val: u64,
    }
    /// One extended operation (`struct mmuext_op`). The two unions are given as their 64 bits.
    MmuextOp {
        /// What to do ([`mmuext`]).
        cmd: u32,
        /// Padding.
        pad: u32,
        /// A frame number or a linear address.
        arg1: u64,
        /// The number of entries (low 32 bits), the address of a vCPU bitmap, or the source frame.
        arg2: u64,
    }
}
