//! `HYPERVISOR_physdev_op`: interrupts, ports and PCI devices, for the domain that drives the hardware.
//!
//! Keeps true: what concerns the machine is the hardware domain's alone; a domain's own view (privilege level, bitmap, end
//! of interrupt) is its own business.
//! Neighbours: `irq` (lines, messages, numbers), `emulate::ports` (what privilege level and bitmap decide).

use xenocryst_abi::hypercall::errno::{EINVAL, ENODEV, ENOSYS, EOPNOTSUPP, EPERM, ESRCH, Errno};
use xenocryst_abi::physdev::{self as abi, irq_status, map_kind, op};
use xenocryst_abi::{DomId, Mfn, Vaddr};
use xenocryst_emulate::msi::is_present;

use super::{Answer, Call, Stop, owners};
use crate::arch::{guest_access, ioapic};
use crate::domain::Domain;
use crate::irq::msi::{self, Wanted};
use crate::irq::{self, pci::Function};

/// Highest I/O privilege level.
const MOST_PRIVILEGE: u32 = 3;
/// Ports there are.
const PORTS: u32 = 65_536;

/// `physdev_op(cmd, arg)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [command, argument, ..] = call.args;
    let at = Vaddr::new(argument);
    let domain = call.vcpu.domain;
    match command as u32 {
        op::EOI => {
            let request: abi::Eoi = guest_access::read(at)?;
            ok(irq::eoi(domain, request.irq))
        }
        op::IRQ_STATUS_QUERY => irq_status_query(at),
        op::SET_IOPL => set_iopl(call, at),
        op::SET_IOBITMAP => set_iobitmap(call, at),
        op::PIRQ_EOI_GMFN_V1 => eoi_page(domain, at, true),
        op::PIRQ_EOI_GMFN_V2 => eoi_page(domain, at, false),
        op::IRQ_UNMASK_NOTIFY => {
            irq::unmask_all(domain);
            Ok(0)
        }
        op::GET_FREE_PIRQ => get_free_pirq(domain, at),
        // Vectors are not given out, so none is given back.
        op::FREE_IRQ_VECTOR => Err(ENOSYS.into()),
        command if op::name(command).is_none() => Err(ENOSYS.into()),
        _ if !domain.privileged => Err(EPERM.into()),
        command => of_hardware_domain(call, command, at),
    }
}

/// The operations that only the hardware domain may ask for.
fn of_hardware_domain(call: &Call, command: u32, at: Vaddr) -> Answer {
    match command {
        op::MAP_PIRQ => map_pirq(call.vcpu.domain, at),
        op::UNMAP_PIRQ => {
            let request: abi::UnmapPirq = guest_access::read(at)?;
            let domain = other(call.vcpu.domain, request.domid)?;
            ok(u32::try_from(request.pirq)
                .map_err(|_| EINVAL)
                .and_then(|pirq| irq::unmap(domain, pirq)))
        }
        op::SETUP_GSI => {
            let request: abi::SetupGsi = guest_access::read(at)?;
            let gsi = u32::try_from(request.gsi).map_err(|_| EINVAL)?;
            ok(irq::register_gsi(
                gsi,
                request.triggering != 0,
                request.polarity != 0,
            ))
        }
        op::APIC_READ => apic_read(at),
        op::APIC_WRITE => {
            let request: abi::Apic = guest_access::read(at)?;
            // Lines are routed by mapping and binding; a kernel that still writes entries is heard and not followed.
            controller(request.apic_physbase)
                .map(|_| 0)
                .map_err(Stop::from)
        }
        op::ALLOC_IRQ_VECTOR => {
            let mut request: abi::Irq = guest_access::read(at)?;
            // Vectors are ours alone: the guest gets back what it asked with.
            request.vector = request.irq;
            ok(guest_access::write(at, &request))
        }
        command => of_devices(command, at),
    }
}

/// The operations on PCI devices.
fn of_devices(command: u32, at: Vaddr) -> Answer {
    match command {
        op::PCI_DEVICE_ADD => {
            let request: abi::PciDeviceAdd = guest_access::read(at)?;
            device(request.seg, request.bus, request.devfn).map(|_| 0)
        }
        op::PCI_DEVICE_REMOVE => {
            let request: abi::PciDevice = guest_access::read(at)?;
            remove(request.seg, request.bus, request.devfn)
        }
        op::MANAGE_PCI_ADD => {
            let request: abi::ManagePci = guest_access::read(at)?;
            device(0, request.bus, request.devfn).map(|_| 0)
        }
        op::MANAGE_PCI_REMOVE => {
            let request: abi::ManagePci = guest_access::read(at)?;
            remove(0, request.bus, request.devfn)
        }
        op::MANAGE_PCI_ADD_EXT => {
            let request: abi::ManagePciExt = guest_access::read(at)?;
            if request.is_extfn > 1 || request.is_virtfn > 1 {
                return Err(EINVAL.into());
            }
            device(0, request.bus, request.devfn).map(|_| 0)
        }
        op::PREPARE_MSIX | op::RELEASE_MSIX => {
            let request: abi::PciDevice = guest_access::read(at)?;
            device(request.seg, request.bus, request.devfn).map(|_| 0)
        }
        op::RESTORE_MSI => {
            let request: abi::ManagePci = guest_access::read(at)?;
            ok(msi::restore(device(0, request.bus, request.devfn)?))
        }
        op::RESTORE_MSI_EXT => {
            let request: abi::PciDevice = guest_access::read(at)?;
            ok(msi::restore(device(
                request.seg,
                request.bus,
                request.devfn,
            )?))
        }
        op::PCI_MMCFG_RESERVED => {
            let _request: abi::PciMmcfgReserved = guest_access::read(at)?;
            // Configuration space is reached through the ports here: there is nothing to be told about.
            Err(ENODEV.into())
        }
        op::DBGP_OP => {
            let _request: abi::DbgpOp = guest_access::read(at)?;
            // We drive no debug port that a reset of its controller could disturb.
            Ok(0)
        }
        _ => Err(ENOSYS.into()),
    }
}

fn ok(result: Result<(), Errno>) -> Answer {
    result.map(|()| 0).map_err(Stop::from)
}

/// The domain `id` names.
fn other(caller: &'static Domain, id: DomId) -> Result<&'static Domain, Errno> {
    owners::other(caller, id).map_err(|errno| if errno == EPERM { ESRCH } else { errno })
}

fn irq_status_query(at: Vaddr) -> Answer {
    let mut request: abi::IrqStatusQuery = guest_access::read(at)?;
    if !irq::is_in_range(request.irq) {
        return Err(EINVAL.into());
    }
    // A guest without the page that tells which must end every interrupt; it costs little.
    request.flags = irq_status::NEEDS_EOI;
    ok(guest_access::write(at, &request))
}

fn set_iopl(call: &Call, at: Vaddr) -> Answer {
    let request: abi::SetIopl = guest_access::read(at)?;
    if request.iopl > MOST_PRIVILEGE {
        return Err(EINVAL.into());
    }
    call.vcpu.iopl.set(request.iopl as u8);
    Ok(0)
}

fn set_iobitmap(call: &Call, at: Vaddr) -> Answer {
    let request: abi::SetIobitmap = guest_access::read(at)?;
    let is_guest = guest_access::is_guest_range(request.bitmap, u64::from(PORTS / 8));
    if request.nr_ports > PORTS || !is_guest {
        return Err(EINVAL.into());
    }
    call.vcpu
        .io_bitmap
        .set((request.bitmap.raw(), request.nr_ports));
    Ok(0)
}

fn eoi_page(domain: &'static Domain, at: Vaddr, auto_unmask: bool) -> Answer {
    let request: abi::PirqEoiGmfn = guest_access::read(at)?;
    ok(irq::hold_eoi_page(
        domain,
        Mfn::new(request.gmfn.raw()),
        auto_unmask,
    ))
}

fn get_free_pirq(domain: &Domain, at: Vaddr) -> Answer {
    let mut request: abi::GetFreePirq = guest_access::read(at)?;
    request.pirq = irq::free_pirq(domain, request.kind == map_kind::GSI)?;
    ok(guest_access::write(at, &request))
}

fn map_pirq(caller: &'static Domain, at: Vaddr) -> Answer {
    let mut request: abi::MapPirq = guest_access::read(at)?;
    let domain = other(caller, request.domid)?;
    let wanted = u32::try_from(request.pirq).ok();
    let segment = (request.bus >> 16) as u16;
    let mapped = match request.kind {
        map_kind::GSI => u32::try_from(request.index)
            .map_err(|_| EINVAL)
            .and_then(|gsi| irq::map_gsi(domain, gsi, wanted)),
        map_kind::MSI => message(domain, 0, &request, wanted),
        map_kind::MSI_SEG => message(domain, segment, &request, wanted),
        map_kind::MULTI_MSI if request.table_base != 0 => return Err(EINVAL.into()),
        // Several messages of one device differ in their low bits, which needs remapping hardware to be of use.
        map_kind::MULTI_MSI if request.entry_nr != 1 => Err(EOPNOTSUPP),
        map_kind::MULTI_MSI => message(domain, segment, &request, wanted),
        _ => Err(EINVAL),
    };
    let result = mapped.map(|pirq| request.pirq = pirq as i32);
    guest_access::write(at, &request)?;
    ok(result)
}

fn message(
    domain: &'static Domain,
    segment: u16,
    request: &abi::MapPirq,
    wanted: Option<u32>,
) -> Result<u32, Errno> {
    if segment != 0 {
        return Err(ENODEV);
    }
    let function = Function((request.bus as u16) << 8 | request.devfn as u16 & 0xff);
    let message = if request.table_base == 0 {
        Wanted::Msi
    } else {
        Wanted::MsiX(u16::try_from(request.entry_nr).map_err(|_| EINVAL)?)
    };
    irq::map_message(domain, function, message, wanted)
}

/// The device at an address, if there is one that we can reach.
fn device(segment: u16, bus: u8, devfn: u8) -> Result<Function, Stop> {
    let function = Function(u16::from(bus) << 8 | u16::from(devfn));
    if segment == 0 && is_present(&function) {
        Ok(function)
    } else {
        Err(ENODEV.into())
    }
}

fn remove(segment: u16, bus: u8, devfn: u8) -> Answer {
    if segment != 0 {
        return Err(ENODEV.into());
    }
    // It may be gone already.
    msi::forget(Function(u16::from(bus) << 8 | u16::from(devfn)));
    Ok(0)
}

/// The index of the I/O interrupt controller at physical address `base`.
fn controller(base: u64) -> Result<usize, Errno> {
    let mut index = 0;
    while let Some(found) = ioapic::describe(index) {
        if found.maddr.raw() == base {
            return Ok(index);
        }
        index += 1;
    }
    Err(EINVAL)
}

fn apic_read(at: Vaddr) -> Answer {
    let mut request: abi::Apic = guest_access::read(at)?;
    let index = controller(request.apic_physbase)?;
    request.value = ioapic::read_register(index, request.reg & 0xff).ok_or(EINVAL)?;
    ok(guest_access::write(at, &request))
}
