//! `platform_op`: what dom0 does to the physical machine (`public/platform.h`).

use crate::address::Vaddr;
use crate::macros::{numbers, wire};

pub mod power;

/// Interface version every [`PlatformOp`] must carry.
pub const INTERFACE_VERSION: u32 = 0x0300_0001;
/// Bytes of [`PlatformOp`]'s union.
pub const UNION_LEN: usize = 128;
/// Bytes before the union.
pub const HEADER_LEN: usize = 8;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// [`super::Settime32`].
        SETTIME32 = 17, "XENPF_settime32";
        /// MTRR: add.
        ADD_MEMTYPE = 31, "XENPF_add_memtype";
        /// MTRR: remove.
        DEL_MEMTYPE = 32, "XENPF_del_memtype";
        /// MTRR: read ([`super::ReadMemtype`]).
        READ_MEMTYPE = 33, "XENPF_read_memtype";
        /// Load microcode ([`super::MicrocodeUpdate`]).
        MICROCODE_UPDATE = 35, "XENPF_microcode_update";
        /// Chipset quirks.
        PLATFORM_QUIRK = 39, "XENPF_platform_quirk";
        /// [`super::PcpuVersion`].
        GET_CPU_VERSION = 48, "XENPF_get_cpu_version";
        /// EFI.
        EFI_RUNTIME_CALL = 49, "XENPF_efi_runtime_call";
        /// [`super::FirmwareInfo`].
        FIRMWARE_INFO = 50, "XENPF_firmware_info";
        /// [`super::EnterAcpiSleep`].
        ENTER_ACPI_SLEEP = 51, "XENPF_enter_acpi_sleep";
        /// Frequency.
        CHANGE_FREQ = 52, "XENPF_change_freq";
        /// [`super::Getidletime`].
        GETIDLETIME = 53, "XENPF_getidletime";
        /// [`super::power::SetProcessorPminfo`].
        SET_PROCESSOR_PMINFO = 54, "XENPF_set_processor_pminfo";
        /// [`super::PcpuInfo`].
        GET_CPUINFO = 55, "XENPF_get_cpuinfo";
        /// [`super::CpuOl`].
        CPU_ONLINE = 56, "XENPF_cpu_online";
        /// [`super::CpuOl`].
        CPU_OFFLINE = 57, "XENPF_cpu_offline";
        /// Add a CPU.
        CPU_HOTADD = 58, "XENPF_cpu_hotadd";
        /// Add memory.
        MEM_HOTADD = 59, "XENPF_mem_hotadd";
        /// Park cores.
        CORE_PARKING = 60, "XENPF_core_parking";
        /// Read or write MSRs of a CPU.
        RESOURCE_OP = 61, "XENPF_resource_op";
        /// [`super::Settime64`].
        SETTIME64 = 62, "XENPF_settime64";
        /// Symbols of the hypervisor ([`super::Symdata`]).
        GET_SYMBOL = 63, "XENPF_get_symbol";
    }
}

/// What [`FirmwareInfo`] asks.
pub mod firmware {
    use crate::macros::numbers;
    numbers! { u32;
        /// BIOS disk parameters.
        DISK_INFO = 1, "XEN_FW_DISK_INFO";
        /// Signature of a disk's MBR.
        DISK_MBR_SIGNATURE = 2, "XEN_FW_DISK_MBR_SIGNATURE";
        /// Display's EDID.
        VBEDDC_INFO = 3, "XEN_FW_VBEDDC_INFO";
        /// EFI.
        EFI_INFO = 4, "XEN_FW_EFI_INFO";
        /// Keyboard shift state.
        KBD_SHIFT_FLAGS = 5, "XEN_FW_KBD_SHIFT_FLAGS";
    }
}

/// Flags of [`PcpuInfo`].
pub mod pcpu_flag {
    use crate::macros::numbers;
    numbers! { u32;
        /// The CPU runs.
        ONLINE = 1, "XEN_PCPU_FLAGS_ONLINE";
        /// There is no such CPU.
        INVALID = 2, "XEN_PCPU_FLAGS_INVALID";
    }
}

numbers! { u32;
    /// Flag of [`EnterAcpiSleep`]: the extended registers are meant.
    ACPI_SLEEP_EXTENDED = 1, "XENPF_ACPI_SLEEP_EXTENDED";
}

wire! {
    /// The whole call (`struct xen_platform_op`). The structures below begin `data`.
    PlatformOp {
        /// [`op`].
        cmd: u32,
        /// [`INTERFACE_VERSION`].
        interface_version: u32,
        /// The union, by its bytes.
        data: [u64; UNION_LEN / 8],
    }
    /// `struct xenpf_settime32`.
    Settime32 {
        /// Seconds since 1970.
        secs: u32,
        /// Nanoseconds.
        nsecs: u32,
        /// At this system time, ns.
        system_time: u64,
    }
    /// `struct xenpf_settime64`.
    Settime64 {
        /// Seconds since 1970.
        secs: u64,
        /// Nanoseconds.
        nsecs: u32,
        /// Zero.
        mbz: u32,
        /// At this system time, ns.
        system_time: u64,
    }
    /// `struct xenpf_add_memtype`.
    AddMemtype {
        /// First frame.
        mfn: u64,
        /// Frames.
        nr_mfns: u64,
        /// Memory type.
        kind: u32,
        /// Out: handle.
        handle: u32,
        /// Out: register.
        reg: u32,
        /// Padding.
        pad: u32,
    }
    /// `struct xenpf_del_memtype`.
    DelMemtype {
        /// Handle.
        handle: u32,
        /// Register.
        reg: u32,
    }
    /// `struct xenpf_read_memtype`.
    ReadMemtype {
        /// Register.
        reg: u32,
        /// Padding.
        pad0: u32,
        /// Out: first frame.
        mfn: u64,
        /// Out: frames.
        nr_mfns: u64,
        /// Out: memory type.
        kind: u32,
        /// Padding.
        pad1: u32,
    }
    /// `struct xenpf_microcode_update`.
    MicrocodeUpdate {
        /// The image.
        data: Vaddr,
        /// Its bytes.
        length: u32,
        /// Padding.
        pad: u32,
    }
    /// `struct xenpf_firmware_info`.
    FirmwareInfo {
        /// [`firmware`].
        kind: u32,
        /// Which of several, from 0.
        index: u32,
        /// The union, by its bytes: see [`DiskInfo`], [`DiskMbrSignature`], [`VbeddcInfo`]; for the keyboard its
        /// first byte.
        data: [u64; 4],
    }
    /// Part of [`FirmwareInfo`]: BIOS disk parameters.
    DiskInfo {
        /// BIOS number.
        device: u8,
        /// Version of the extensions.
        version: u8,
        /// Interfaces supported.
        interface_support: u16,
        /// Cylinders less 1.
        legacy_max_cylinder: u16,
        /// Heads less 1.
        legacy_max_head: u8,
        /// Sectors per track.
        legacy_sectors_per_track: u8,
        /// Buffer for the parameters; its first u16 is its size.
        edd_params: Vaddr,
    }
    /// Part of [`FirmwareInfo`]: a disk's signature.
    DiskMbrSignature {
        /// BIOS number.
        device: u8,
        /// Padding.
        pad: [u8; 3],
        /// Out: signature.
        mbr_signature: u32,
    }
    /// Part of [`FirmwareInfo`]: the display.
    VbeddcInfo {
        /// Out: capabilities.
        capabilities: u8,
        /// Out: seconds to read a block.
        edid_transfer_time: u8,
        /// Padding.
        pad: [u8; 6],
        /// Buffer of 128 bytes.
        edid: Vaddr,
    }
    /// `struct xenpf_enter_acpi_sleep`.
    EnterAcpiSleep {
        /// PM1a control value, or the sleep control value.
        val_a: u16,
        /// PM1b control value, or the sleep status value.
        val_b: u16,
        /// S-state.
        sleep_state: u32,
        /// [`ACPI_SLEEP_EXTENDED`].
        flags: u32,
    }
    /// `struct xenpf_getidletime`.
    Getidletime {
        /// In and out: bitmap of CPUs.
        cpumap_bitmap: Vaddr,
        /// Bits in it.
        cpumap_nr_cpus: u32,
        /// Padding.
        pad: u32,
        /// Out: array of idle times, ns (u64).
        idletime: Vaddr,
        /// Out: system time, ns.
        now: u64,
    }
    /// `struct xenpf_pcpuinfo`.
    PcpuInfo {
        /// CPU.
        xen_cpuid: u32,
        /// Out: highest CPU present.
        max_present: u32,
        /// Out: [`pcpu_flag`] bits.
        flags: u32,
        /// Out: APIC id.
        apic_id: u32,
        /// Out: ACPI id.
        acpi_id: u32,
    }
    /// `struct xenpf_pcpu_version`.
    PcpuVersion {
        /// CPU.
        xen_cpuid: u32,
        /// Out: highest CPU present.
        max_present: u32,
        /// Out: vendor.
        vendor_id: [u8; 12],
        /// Out: family.
        family: u32,
        /// Out: model.
        model: u32,
        /// Out: stepping.
        stepping: u32,
    }
    /// `struct xenpf_cpu_ol`.
    CpuOl {
        /// CPU.
        cpuid: u32,
    }
    /// `struct xenpf_core_parking`.
    CoreParking {
        /// 1 set, 2 get.
        kind: u32,
        /// CPUs to park.
        idle_nums: u32,
    }
    /// One step of `XENPF_resource_op` (`struct xenpf_resource_entry`).
    ResourceEntry {
        /// In: 0 read, 1 write an MSR. Out: result.
        cmd_or_ret: u32,
        /// Zero.
        rsvd: u32,
        /// MSR.
        idx: u64,
        /// Value.
        val: u64,
    }
    /// `struct xenpf_resource_op`.
    ResourceOp {
        /// Steps.
        nr_entries: u32,
        /// On which CPU.
        cpu: u32,
        /// Array of [`ResourceEntry`].
        entries: Vaddr,
    }
    /// `struct xenpf_symdata`.
    Symdata {
        /// In: room for the name. Out: its length.
        namelen: u32,
        /// In: which. Out: next.
        symnum: u32,
        /// Buffer for the name.
        name: Vaddr,
        /// Out: address.
        address: u64,
        /// Out: kind, a letter.
        kind: u8,
        /// Padding.
        pad: [u8; 7],
    }
}
