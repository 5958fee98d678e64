//! `xenpmu_op` (`public/pmu.h`).

use crate::macros::wire;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Mode: read.
        MODE_GET = 0, "XENPMU_mode_get";
        /// Mode: set.
        MODE_SET = 1, "XENPMU_mode_set";
        /// Features: read.
        FEATURE_GET = 2, "XENPMU_feature_get";
        /// Features: set.
        FEATURE_SET = 3, "XENPMU_feature_set";
        /// Start on a vCPU.
        INIT = 4, "XENPMU_init";
        /// Stop on a vCPU.
        FINISH = 5, "XENPMU_finish";
        /// Set the APIC's entry.
        LVTPC_SET = 6, "XENPMU_lvtpc_set";
        /// Write the cached registers.
        FLUSH = 7, "XENPMU_flush";
    }
}

wire! {
    /// `struct xen_pmu_params`.
    PmuParams {
        /// Major version.
        version_maj: u32,
        /// Minor version.
        version_min: u32,
        /// Mode, features or frame.
        val: u64,
        /// vCPU.
        vcpu: u32,
        /// Padding.
        pad: u32,
    }
}
