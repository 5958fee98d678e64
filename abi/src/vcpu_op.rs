//! `vcpu_op`: starting, stopping, timing and observing vCPUs (`public/vcpu.h`).

use crate::address::{Mfn, Vaddr};
use crate::macros::wire;

/// Set in [`RunstateInfo::state_entry_time`] while the hypervisor updates the copy in guest memory.
pub const RUNSTATE_UPDATE: u64 = 1 << 63;
/// Flag of [`SetSingleshotTimer`]: fail with `ETIME` if the time has passed.
pub const SINGLESHOT_FUTURE: u32 = 1;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Give a vCPU its first state ([`crate::vcpu_context::VcpuGuestContext`]).
        INITIALISE = 0, "VCPUOP_initialise";
        /// Make it runnable.
        UP = 1, "VCPUOP_up";
        /// Make it not runnable.
        DOWN = 2, "VCPUOP_down";
        /// Whether it is up.
        IS_UP = 3, "VCPUOP_is_up";
        /// [`super::RunstateInfo`].
        GET_RUNSTATE_INFO = 4, "VCPUOP_get_runstate_info";
        /// [`super::RegisterArea`].
        REGISTER_RUNSTATE_MEMORY_AREA = 5, "VCPUOP_register_runstate_memory_area";
        /// [`super::SetPeriodicTimer`].
        SET_PERIODIC_TIMER = 6, "VCPUOP_set_periodic_timer";
        /// Stop the periodic timer.
        STOP_PERIODIC_TIMER = 7, "VCPUOP_stop_periodic_timer";
        /// [`super::SetSingleshotTimer`].
        SET_SINGLESHOT_TIMER = 8, "VCPUOP_set_singleshot_timer";
        /// Stop the one-shot timer.
        STOP_SINGLESHOT_TIMER = 9, "VCPUOP_stop_singleshot_timer";
        /// [`super::RegisterVcpuInfo`].
        REGISTER_VCPU_INFO = 10, "VCPUOP_register_vcpu_info";
        /// Send an NMI.
        SEND_NMI = 11, "VCPUOP_send_nmi";
        /// [`super::GetPhysid`].
        GET_PHYSID = 12, "VCPUOP_get_physid";
        /// [`super::RegisterArea`].
        REGISTER_VCPU_TIME_MEMORY_AREA = 13, "VCPUOP_register_vcpu_time_memory_area";
    }
}

/// States of a vCPU, indexes of [`RunstateInfo::time`].
pub mod runstate {
    use crate::macros::numbers;
    numbers! { u32;
        /// On a CPU.
        RUNNING = 0, "RUNSTATE_running";
        /// Waiting for a CPU.
        RUNNABLE = 1, "RUNSTATE_runnable";
        /// Waiting for an event.
        BLOCKED = 2, "RUNSTATE_blocked";
        /// Stopped by something else.
        OFFLINE = 3, "RUNSTATE_offline";
    }
}

wire! {
    /// What a vCPU does and how long it did what (`struct vcpu_runstate_info`).
    RunstateInfo {
        /// [`runstate`].
        state: u32,
        /// Padding.
        pad: u32,
        /// System time this state was entered, ns.
        state_entry_time: u64,
        /// Time in each state, ns.
        time: [u64; 4],
    }
    /// Where a copy is to be kept (`struct vcpu_register_runstate_memory_area`,
    /// `struct vcpu_register_time_memory_area`).
    RegisterArea {
        /// Guest virtual address.
        addr: Vaddr,
    }
    /// `struct vcpu_set_periodic_timer`.
    SetPeriodicTimer {
        /// Period, ns.
        period_ns: u64,
    }
    /// `struct vcpu_set_singleshot_timer`.
    SetSingleshotTimer {
        /// System time, ns.
        timeout_abs_ns: u64,
        /// [`SINGLESHOT_FUTURE`].
        flags: u32,
        /// Padding.
        pad: u32,
    }
    /// `struct vcpu_register_vcpu_info`.
    RegisterVcpuInfo {
        /// Frame.
        mfn: Mfn,
        /// Offset in the frame.
        offset: u32,
        /// Unused.
        rsvd: u32,
    }
    /// `struct vcpu_get_physid`.
    GetPhysid {
        /// Out: APIC id (31:0) and ACPI id (63:32).
        phys_id: u64,
    }
}
