//! `physdev_op`: interrupts, PCI devices and I/O ports of the physical machine (`public/physdev.h`).

use crate::address::{Gfn, Vaddr};
use crate::domid::DomId;
use crate::macros::wire;

/// Flag of [`PciMmcfgReserved`]: firmware reserved the range.
pub const PCI_MMCFG_RESERVED: u32 = 1;

/// Sub-calls.
pub mod op {
    use crate::macros::numbers;
    numbers! { u32;
        /// Old: tell when an interrupt may be unmasked.
        IRQ_UNMASK_NOTIFY = 4, "PHYSDEVOP_IRQ_UNMASK_NOTIFY";
        /// [`super::IrqStatusQuery`].
        IRQ_STATUS_QUERY = 5, "PHYSDEVOP_irq_status_query";
        /// [`super::SetIopl`].
        SET_IOPL = 6, "PHYSDEVOP_set_iopl";
        /// [`super::SetIobitmap`].
        SET_IOBITMAP = 7, "PHYSDEVOP_set_iobitmap";
        /// [`super::Apic`].
        APIC_READ = 8, "PHYSDEVOP_apic_read";
        /// [`super::Apic`].
        APIC_WRITE = 9, "PHYSDEVOP_apic_write";
        /// [`super::Irq`].
        ALLOC_IRQ_VECTOR = 10, "PHYSDEVOP_alloc_irq_vector";
        /// [`super::Irq`].
        FREE_IRQ_VECTOR = 11, "PHYSDEVOP_free_irq_vector";
        /// [`super::Eoi`].
        EOI = 12, "PHYSDEVOP_eoi";
        /// [`super::MapPirq`].
        MAP_PIRQ = 13, "PHYSDEVOP_map_pirq";
        /// [`super::UnmapPirq`].
        UNMAP_PIRQ = 14, "PHYSDEVOP_unmap_pirq";
        /// [`super::ManagePci`].
        MANAGE_PCI_ADD = 15, "PHYSDEVOP_manage_pci_add";
        /// [`super::ManagePci`].
        MANAGE_PCI_REMOVE = 16, "PHYSDEVOP_manage_pci_remove";
        /// [`super::PirqEoiGmfn`]: the hypervisor unmasks too.
        PIRQ_EOI_GMFN_V1 = 17, "PHYSDEVOP_pirq_eoi_gmfn_v1";
        /// [`super::ManagePci`].
        RESTORE_MSI = 19, "PHYSDEVOP_restore_msi";
        /// [`super::ManagePciExt`].
        MANAGE_PCI_ADD_EXT = 20, "PHYSDEVOP_manage_pci_add_ext";
        /// [`super::SetupGsi`].
        SETUP_GSI = 21, "PHYSDEVOP_setup_gsi";
        /// [`super::GetFreePirq`].
        GET_FREE_PIRQ = 23, "PHYSDEVOP_get_free_pirq";
        /// [`super::PciMmcfgReserved`].
        PCI_MMCFG_RESERVED = 24, "PHYSDEVOP_pci_mmcfg_reserved";
        /// [`super::PciDeviceAdd`].
        PCI_DEVICE_ADD = 25, "PHYSDEVOP_pci_device_add";
        /// [`super::PciDevice`].
        PCI_DEVICE_REMOVE = 26, "PHYSDEVOP_pci_device_remove";
        /// [`super::PciDevice`].
        RESTORE_MSI_EXT = 27, "PHYSDEVOP_restore_msi_ext";
        /// [`super::PirqEoiGmfn`].
        PIRQ_EOI_GMFN_V2 = 28, "PHYSDEVOP_pirq_eoi_gmfn_v2";
        /// [`super::DbgpOp`].
        DBGP_OP = 29, "PHYSDEVOP_dbgp_op";
        /// [`super::PciDevice`].
        PREPARE_MSIX = 30, "PHYSDEVOP_prepare_msix";
        /// [`super::PciDevice`].
        RELEASE_MSIX = 31, "PHYSDEVOP_release_msix";
    }
}

/// Flags of [`IrqStatusQuery`].
pub mod irq_status {
    use crate::macros::numbers;
    numbers! { u32;
        /// The guest must say when it handled the interrupt.
        NEEDS_EOI = 1 << 0, "XENIRQSTAT_needs_eoi";
        /// Several guests share it.
        SHARED = 1 << 1, "XENIRQSTAT_shared";
    }
}

/// What [`MapPirq`] maps.
pub mod map_kind {
    use crate::macros::numbers;
    numbers! { i32;
        /// An MSI of a device on segment 0.
        MSI = 0, "MAP_PIRQ_TYPE_MSI";
        /// A GSI.
        GSI = 1, "MAP_PIRQ_TYPE_GSI";
        /// Not known.
        UNKNOWN = 2, "MAP_PIRQ_TYPE_UNKNOWN";
        /// An MSI; the segment is in bits 31:16 of the bus.
        MSI_SEG = 3, "MAP_PIRQ_TYPE_MSI_SEG";
        /// Several MSIs.
        MULTI_MSI = 4, "MAP_PIRQ_TYPE_MULTI_MSI";
    }
}

/// Flags of [`PciDeviceAdd`].
pub mod pci_flag {
    use crate::macros::numbers;
    numbers! { u32;
        /// A function with an extended number (ARI).
        EXTFN = 1, "XEN_PCI_DEV_EXTFN";
        /// A virtual function.
        VIRTFN = 2, "XEN_PCI_DEV_VIRTFN";
        /// A NUMA node follows.
        PXM = 4, "XEN_PCI_DEV_PXM";
    }
}

/// Of [`DbgpOp`].
pub mod dbgp {
    use crate::macros::numbers;
    numbers! { u8;
        /// The controller will be reset.
        RESET_PREPARE = 1, "PHYSDEVOP_DBGP_RESET_PREPARE";
        /// It was.
        RESET_DONE = 2, "PHYSDEVOP_DBGP_RESET_DONE";
        /// Bus: not known.
        BUS_UNKNOWN = 0, "PHYSDEVOP_DBGP_BUS_UNKNOWN";
        /// Bus: PCI.
        BUS_PCI = 1, "PHYSDEVOP_DBGP_BUS_PCI";
    }
}

wire! {
    /// `struct physdev_eoi`.
    Eoi {
        /// The pirq handled.
        irq: u32,
    }
    /// `struct physdev_pirq_eoi_gmfn`.
    PirqEoiGmfn {
        /// Frame of the bitmap of pirqs that need EOI.
        gmfn: Gfn,
    }
    /// `struct physdev_irq_status_query`.
    IrqStatusQuery {
        /// The pirq.
        irq: u32,
        /// Out: [`irq_status`] bits.
        flags: u32,
    }
    /// `struct physdev_set_iopl`.
    SetIopl {
        /// Virtual I/O privilege level, 0 to 3.
        iopl: u32,
    }
    /// `struct physdev_set_iobitmap`.
    SetIobitmap {
        /// The bitmap, a 0 allows.
        bitmap: Vaddr,
        /// Ports in it.
        nr_ports: u32,
        /// Padding.
        pad: u32,
    }
    /// `struct physdev_apic`: one register of an I/O APIC.
    Apic {
        /// Which, by its physical address.
        apic_physbase: u64,
        /// Register.
        reg: u32,
        /// Value, in or out.
        value: u32,
    }
    /// `struct physdev_irq`.
    Irq {
        /// GSI.
        irq: u32,
        /// Out: vector.
        vector: u32,
    }
    /// `struct physdev_map_pirq`.
    MapPirq {
        /// Who gets the interrupt.
        domid: DomId,
        /// Padding.
        pad0: u16,
        /// [`map_kind`].
        kind: i32,
        /// GSI, or for an MSI the vector (unused).
        index: i32,
        /// In: number wanted, negative for any. Out: number given.
        pirq: i32,
        /// MSI: bus, with the segment in bits 31:16.
        bus: i32,
        /// MSI: device and function.
        devfn: i32,
        /// MSI: number of the entry, or how many for several.
        entry_nr: i32,
        /// Padding.
        pad1: u32,
        /// MSI-X: address of the table; 0 for MSI.
        table_base: u64,
    }
    /// `struct physdev_unmap_pirq`.
    UnmapPirq {
        /// Who has the interrupt.
        domid: DomId,
        /// Padding.
        pad: u16,
        /// Its number.
        pirq: i32,
    }
    /// `struct physdev_manage_pci`, `struct physdev_restore_msi`.
    ManagePci {
        /// Bus.
        bus: u8,
        /// Device and function.
        devfn: u8,
    }
    /// `struct physdev_manage_pci_ext`.
    ManagePciExt {
        /// Bus.
        bus: u8,
        /// Device and function.
        devfn: u8,
        /// Padding.
        pad0: u16,
        /// Extended function number.
        is_extfn: u32,
        /// Virtual function.
        is_virtfn: u32,
        /// Physical function: bus.
        physfn_bus: u8,
        /// Physical function: device and function.
        physfn_devfn: u8,
        /// Padding.
        pad1: u16,
    }
    /// `struct physdev_setup_gsi`.
    SetupGsi {
        /// GSI.
        gsi: i32,
        /// 0 edge, 1 level.
        triggering: u8,
        /// 0 active high, 1 active low.
        polarity: u8,
        /// Padding.
        pad: u16,
    }
    /// `struct physdev_get_free_pirq`.
    GetFreePirq {
        /// [`map_kind`].
        kind: i32,
        /// Out: the number.
        pirq: u32,
    }
    /// `struct physdev_pci_mmcfg_reserved`.
    PciMmcfgReserved {
        /// Address of the configuration space.
        address: u64,
        /// Segment.
        segment: u16,
        /// First bus.
        start_bus: u8,
        /// Last bus.
        end_bus: u8,
        /// [`PCI_MMCFG_RESERVED`].
        flags: u32,
    }
    /// `struct physdev_pci_device_add`; a NUMA node (u32) follows if the flag says so.
    PciDeviceAdd {
        /// Segment.
        seg: u16,
        /// Bus.
        bus: u8,
        /// Device and function.
        devfn: u8,
        /// [`pci_flag`] bits.
        flags: u32,
        /// Physical function: bus.
        physfn_bus: u8,
        /// Physical function: device and function.
        physfn_devfn: u8,
        /// Padding.
        pad: u16,
    }
    /// `struct physdev_pci_device`.
    PciDevice {
        /// Segment.
        seg: u16,
        /// Bus.
        bus: u8,
        /// Device and function.
        devfn: u8,
    }
    /// `struct physdev_dbgp_op`.
    DbgpOp {
        /// [`dbgp`].
        op: u8,
        /// [`dbgp`].
        bus: u8,
        /// The controller, if on PCI.
        pci: PciDevice,
    }
}
