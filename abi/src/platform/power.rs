//! What dom0 tells about processors' idle states and frequencies, as ACPI describes them (`public/platform.h`).

use crate::address::Vaddr;
use crate::macros::wire;

/// What [`SetProcessorPminfo`] tells.
pub mod pm {
    use crate::macros::numbers;
    numbers! { u32;
        /// Idle states.
        CX = 0, "XEN_PM_CX";
        /// Frequencies.
        PX = 1, "XEN_PM_PX";
        /// Throttling.
        TX = 2, "XEN_PM_TX";
        /// Capabilities to be filled in.
        PDC = 3, "XEN_PM_PDC";
    }
}

wire! {
    /// A register as ACPI describes it (`struct xen_power_register`).
    PowerRegister {
        /// Address space.
        space_id: u32,
        /// Bits.
        bit_width: u32,
        /// First bit.
        bit_offset: u32,
        /// Access size.
        access_size: u32,
        /// Address.
        address: u64,
    }
    /// `struct xen_processor_csd`.
    ProcessorCsd {
        /// Domain of dependency.
        domain: u32,
        /// Who coordinates.
        coord_type: u32,
        /// Processors in it.
        num: u32,
    }
    /// One idle state (`struct xen_processor_cx`).
    ProcessorCx {
        /// How it is entered.
        reg: PowerRegister,
        /// C-state.
        kind: u8,
        /// Padding.
        pad: [u8; 3],
        /// Latency, us.
        latency: u32,
        /// Power, mW.
        power: u32,
        /// Dependencies.
        dpcnt: u32,
        /// Array of [`ProcessorCsd`].
        dp: Vaddr,
    }
    /// `struct xen_processor_power`.
    ProcessorPower {
        /// Idle states.
        count: u32,
        /// Bits: bm_control, bm_check, has_cst, power_setup_done, bm_rld_set.
        flags: u32,
        /// Array of [`ProcessorCx`].
        states: Vaddr,
    }
    /// `struct xen_pct_register`.
    PctRegister {
        /// Descriptor.
        descriptor: u8,
        /// Padding.
        pad0: u8,
        /// Length.
        length: u16,
        /// Address space.
        space_id: u8,
        /// Bits.
        bit_width: u8,
        /// First bit.
        bit_offset: u8,
        /// Reserved.
        reserved: u8,
        /// Address.
        address: u64,
    }
    /// One frequency (`struct xen_processor_px`).
    ProcessorPx {
        /// MHz.
        core_frequency: u64,
        /// mW.
        power: u64,
        /// us.
        transition_latency: u64,
        /// us.
        bus_master_latency: u64,
        /// Control value.
        control: u64,
        /// Status value.
        status: u64,
    }
    /// `struct xen_psd_package`.
    PsdPackage {
        /// Entries.
        num_entries: u64,
        /// Revision.
        revision: u64,
        /// Domain of dependency.
        domain: u64,
        /// Who coordinates.
        coord_type: u64,
        /// Processors in it.
        num_processors: u64,
    }
    /// `struct xen_processor_performance`.
    ProcessorPerformance {
        /// Which parts are given.
        flags: u32,
        /// Highest state allowed.
        platform_limit: u32,
        /// Control register.
        control_register: PctRegister,
        /// Status register.
        status_register: PctRegister,
        /// Frequencies.
        state_count: u32,
        /// Padding.
        pad0: u32,
        /// Array of [`ProcessorPx`].
        states: Vaddr,
        /// Dependency.
        domain_info: PsdPackage,
        /// How processors share a frequency.
        shared_type: u32,
        /// Padding.
        pad1: u32,
    }
    /// `struct xenpf_set_processor_pminfo`, without its union, which begins with [`ProcessorPower`],
    /// [`ProcessorPerformance`] or the address of the capability words.
    SetProcessorPminfo {
        /// ACPI id of the processor.
        id: u32,
        /// [`pm`].
        kind: u32,
    }
}
