//! `vm_assist`: behaviours of the hypervisor that a guest switches on and off (`public/xen.h`).

/// What to do with an assist.
pub mod command {
    use crate::macros::numbers;
    numbers! { u32;
        /// Switch on.
        ENABLE = 0, "VMASST_CMD_enable";
        /// Switch off.
        DISABLE = 1, "VMASST_CMD_disable";
    }
}

/// The assists: bit numbers in a vCPU context's `vm_assist`.
pub mod kind {
    use crate::macros::numbers;
    numbers! { u32;
        /// 32-bit guests: 4 GiB segment limits are simulated.
        FOUR_GB_SEGMENTS = 0, "VMASST_TYPE_4gb_segments";
        /// 32-bit guests: trap 15 when that happens.
        FOUR_GB_SEGMENTS_NOTIFY = 1, "VMASST_TYPE_4gb_segments_notify";
        /// Stores to page tables are emulated.
        WRITABLE_PAGETABLES = 2, "VMASST_TYPE_writable_pagetables";
        /// 32-bit guests: page directory pointers above 4 GiB.
        PAE_EXTENDED_CR3 = 3, "VMASST_TYPE_pae_extended_cr3";
        /// Saved flags show the virtual IOPL.
        ARCHITECTURAL_IOPL = 4, "VMASST_TYPE_architectural_iopl";
        /// The registered runstate area carries an "update in progress" mark.
        RUNSTATE_UPDATE_FLAG = 5, "VMASST_TYPE_runstate_update_flag";
        /// The M2P is visible to the guest's kernel only.
        M2P_STRICT = 32, "VMASST_TYPE_m2p_strict";
    }
}
