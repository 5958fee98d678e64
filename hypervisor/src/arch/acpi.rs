//! The firmware's tables: read once, and passed on to the parts they concern.
//!
//! Keeps true: the tables are only read; the control domain, which interprets them in earnest, finds them as they were.
//! Neighbours: `xenocryst_boot::acpi` (the parser), `start`, `irq` (interrupt lines), `hypercall::platform_op`.

use alloc::vec::Vec;

use spin::Once;
use xenocryst_abi::{Maddr, PAGE_SIZE};
use xenocryst_boot::acpi::{self, Acpi};
use xenocryst_boot::phys::PhysRead;

use super::{calibrate, ioapic, power};
use crate::console::{Level, Source, log, say};
use crate::mm::{self, Caching};
use crate::sync::{Mutex, Rank};

static ACPI: Once<Option<Acpi>> = Once::new();

/// What the firmware's tables say; `None` if there are none, or before [`init`].
pub fn tables() -> Option<&'static Acpi> {
    ACPI.get()?.as_ref()
}

/// Finds and reads the tables. `rsdp` is where the loader says the root pointer is.
pub fn init(rsdp: Option<u64>) {
    static MEMORY: FirmwareMemory = FirmwareMemory {
        mapped: Mutex::new(Rank::Firmware, Vec::new()),
    };
    let Some(found) = ACPI.call_once(|| acpi::parse(&MEMORY, rsdp)) else {
        log!(
            Source::Hypervisor,
            Level::Warning,
            "No ACPI tables: one CPU, no power-off, interrupts as on a PC of old"
        );
        return;
    };
    if let Some(fixed) = found.fixed {
        power::set_pm1_control(fixed.pm1a_control, fixed.pm1b_control);
        if let Some((port, value)) = fixed.reset {
            power::set_reset_port(port, value);
        }
    }
    if let Some((a, b)) = found.s5 {
        power::set_s5(a, b);
    }
    say!(
        "ACPI: root pointer at {:#x}, {} tables, {} processors, {} I/O APICs",
        found.rsdp,
        found.tables.len(),
        found.processors.len(),
        found.ioapics.len()
    );
}

/// The reference clocks that the tables name.
pub fn clock_sources() -> calibrate::Sources {
    tables().map_or_else(calibrate::Sources::default, |acpi| calibrate::Sources {
        hpet: acpi.hpet,
        pm_timer: acpi.fixed.map(|fixed| fixed.pm_timer),
    })
}

/// Adds the machine's I/O interrupt controllers.
pub fn add_ioapics() {
    for found in tables().iter().flat_map(|acpi| &acpi.ioapics) {
        if !ioapic::add(found.id, Maddr::new(found.address), found.first_gsi) {
            log!(
                Source::Hypervisor,
                Level::Warning,
                "I/O APIC {} at {:#x} cannot be used",
                found.id,
                found.address
            );
        }
    }
}

/// The APIC numbers of the usable CPUs.
pub fn apic_ids() -> impl Iterator<Item = u32> {
    tables()
        .into_iter()
        .flat_map(|acpi| &acpi.processors)
        .filter(|cpu| cpu.enabled)
        .map(|cpu| cpu.apic_id)
}

/// The firmware's number of the CPU whose APIC has number `apic_id`.
pub fn acpi_id(apic_id: u32) -> Option<u32> {
    tables()?
        .processors
        .iter()
        .find(|cpu| cpu.apic_id == apic_id)
        .map(|cpu| cpu.acpi_id)
}

/// Physical memory wherever it is: through the direct map where that reaches, else through mappings made on demand.
struct FirmwareMemory {
    /// Physical start and end, and the virtual address of the start, of what was mapped.
    mapped: Mutex<Vec<(u64, u64, u64)>>,
}

impl PhysRead for FirmwareMemory {
    fn bytes(&self, addr: u64, len: u64) -> Option<&[u8]> {
        if let Some(bytes) = mm::early::DirectMapMemory::bytes_at(addr, len) {
            return Some(bytes);
        }
        let end = addr.checked_add(len)?;
        let mut mapped = self.mapped.lock();
        let known = mapped
            .iter()
            .find(|(start, stop, _)| *start <= addr && end <= *stop)
            .copied();
        let (start, _, base) = match known {
            Some(window) => window,
            None => {
                let window = map(addr, end)?;
                mapped.push(window);
                window
            }
        };
        // SAFETY: inside a mapping that stays for ever and that nobody writes through.
        Some(unsafe {
            core::slice::from_raw_parts((base + (addr - start)) as *const u8, len as usize)
        })
    }
}

/// Maps the pages that hold `addr..end`: physical start and end, virtual start.
fn map(addr: u64, end: u64) -> Option<(u64, u64, u64)> {
    let start = addr & !(PAGE_SIZE - 1);
    let stop = end.checked_next_multiple_of(PAGE_SIZE)?;
    let base = mm::ioremap(Maddr::new(start), stop - start, Caching::Firmware)?;
    Some((start, stop, base as u64))
}
