//! The firmware's tables: which CPUs and interrupt controllers there are, which clocks, and how the machine is turned off.
//!
//! Keeps true: a table counts only if its checksum is right and it lies wholly in readable memory; every structure inside is
//! read through bounds checks. AML is not interpreted: the one object needed of it, `\_S5`, is found by its encoding.
//! Specification: ACPI 6.5, chapter 5; IA-PC HPET 1.0a. Neighbours: the hypervisor's start-up.

use alloc::vec::Vec;

use crate::phys::{PhysRead, array_at, u8_at, u16_at, u32_at, u64_at};

/// Bytes of the header that every table begins with.
const HEADER: usize = 36;
/// The most tables that are looked at, and the largest that is read.
const MAX_TABLES: usize = 256;
const MAX_TABLE_BYTES: u32 = 16 << 20;
/// Where the root pointer may stand in a BIOS machine.
const BIOS_AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;
/// Real-mode segment of the extended BIOS data area.
const EBDA_POINTER: u64 = 0x40e;

/// A processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Processor {
    /// Number of its local APIC.
    pub apic_id: u32,
    /// Its number in the firmware's own naming.
    pub acpi_id: u32,
    /// Whether it can be used; otherwise it might be plugged in later.
    pub enabled: bool,
}

/// An I/O interrupt controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoApic {
    /// Its number.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u64,
    /// The global number of its first line.
    pub first_gsi: u32,
}

/// An ISA interrupt that is not simply the line of the same number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Override {
    /// The ISA interrupt.
    pub isa: u8,
    /// The line it is connected to.
    pub gsi: u32,
    /// Active low (ISA's own convention is active high).
    pub active_low: bool,
    /// Level-triggered (ISA's own convention is edge-triggered).
    pub level: bool,
}

/// A table, as found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    /// Its four letters.
    pub signature: [u8; 4],
    /// Physical address.
    pub address: u64,
    /// Bytes.
    pub length: u32,
}

/// What the fixed table (FADT) says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fixed {
    /// The line of the system control interrupt, as an ISA interrupt or GSI.
    pub sci: u16,
    /// I/O port of the PM1a control register; 0 for none.
    pub pm1a_control: u16,
    /// I/O port of the PM1b control register; 0 for none.
    pub pm1b_control: u16,
    /// I/O port of the power-management timer; 0 for none.
    pub pm_timer: u16,
    /// I/O port of the reset register and the value that resets.
    pub reset: Option<(u16, u8)>,
}

/// Memory-mapped PCI configuration space of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PciConfig {
    /// Physical address for bus 0 (not for the first bus).
    pub address: u64,
    /// PCI segment.
    pub segment: u16,
    /// First bus covered.
    pub first_bus: u8,
    /// Last bus covered.
    pub last_bus: u8,
}

/// What the firmware's tables say.
#[derive(Clone, Debug, Default)]
pub struct Acpi {
    /// Physical address of the root pointer.
    pub rsdp: u64,
    /// Every table found, the DSDT among them.
    pub tables: Vec<Table>,
    /// Processors, in the firmware's order.
    pub processors: Vec<Processor>,
    /// I/O interrupt controllers.
    pub ioapics: Vec<IoApic>,
    /// Exceptions from ISA interrupt = line.
    pub overrides: Vec<Override>,
    /// The fixed table's facts.
    pub fixed: Option<Fixed>,
    /// Physical address of the HPET's registers.
    pub hpet: Option<u64>,
    /// Memory-mapped PCI configuration spaces.
    pub pci: Vec<PciConfig>,
    /// Sleep types that turn the machine off, for PM1a and PM1b.
    pub s5: Option<(u8, u8)>,
}

impl Acpi {
    /// The line, and whether it is active low and level-triggered, of ISA interrupt `isa`.
    pub fn isa_line(&self, isa: u8) -> Override {
        let usual = Override {
            isa,
            gsi: u32::from(isa),
            active_low: false,
            level: false,
        };
        self.overrides
            .iter()
            .find(|entry| entry.isa == isa)
            .copied()
            .unwrap_or(usual)
    }
}

/// Reads the tables, from the root pointer at `rsdp` if the loader told one, else from one looked for where BIOSes put it.
/// `None` if there is none.
pub fn parse<M: PhysRead + ?Sized>(memory: &M, rsdp: Option<u64>) -> Option<Acpi> {
    let rsdp = rsdp
        .filter(|at| root_tables(memory, *at).is_some())
        .or_else(|| find_root(memory))?;
    let mut acpi = Acpi {
        rsdp,
        ..Acpi::default()
    };
    for address in entries(memory, rsdp)? {
        if let Some(table) = table(memory, address) {
            acpi.add(memory, address, table);
        }
    }
    Some(acpi)
}

/// Looks for the root pointer in the BIOS data area and the BIOS itself.
fn find_root<M: PhysRead + ?Sized>(memory: &M) -> Option<u64> {
    let segment = memory
        .bytes(EBDA_POINTER, 2)
        .and_then(|bytes| u16_at(bytes, 0))
        .unwrap_or(0);
    let ebda = u64::from(segment) << 4;
    let candidates = (ebda..ebda + 1024).step_by(16).filter(|at| *at != 0);
    candidates
        .chain(BIOS_AREA.step_by(16))
        .find(|at| root_tables(memory, *at).is_some())
}

/// The addresses of RSDT and XSDT (0 for none), if there is a valid root pointer at `at`.
fn root_tables<M: PhysRead + ?Sized>(memory: &M, at: u64) -> Option<(u64, u64)> {
    let first = memory.bytes(at, 20)?;
    if first.get(..8)? != b"RSD PTR " || !sums_to_zero(first) {
        return None;
    }
    let rsdt = u64::from(u32_at(first, 16)?);
    if u8_at(first, 15)? < 2 {
        return Some((rsdt, 0));
    }
    let whole = memory.bytes(at, 36)?;
    let xsdt = if sums_to_zero(whole) {
        u64_at(whole, 24)?
    } else {
        0
    };
    Some((rsdt, xsdt))
}

/// The addresses of all tables that the root table lists.
fn entries<M: PhysRead + ?Sized>(memory: &M, rsdp: u64) -> Option<Vec<u64>> {
    let (rsdt, xsdt) = root_tables(memory, rsdp)?;
    if let Some(bytes) = table(memory, xsdt).filter(|bytes| bytes.starts_with(b"XSDT")) {
        let body = bytes.get(HEADER..)?;
        return Some(
            body.chunks_exact(8)
                .take(MAX_TABLES)
                .filter_map(|entry| u64_at(entry, 0))
                .collect(),
        );
    }
    let bytes = table(memory, rsdt).filter(|bytes| bytes.starts_with(b"RSDT"))?;
    let body = bytes.get(HEADER..)?;
    Some(
        body.chunks_exact(4)
            .take(MAX_TABLES)
            .filter_map(|entry| u32_at(entry, 0).map(u64::from))
            .collect(),
    )
}

/// The bytes of the table at `address`, if it is a valid one.
fn table<M: PhysRead + ?Sized>(memory: &M, address: u64) -> Option<&[u8]> {
    if address == 0 {
        return None;
    }
    let length = u32_at(memory.bytes(address, HEADER as u64)?, 4)?;
    if (length as usize) < HEADER || length > MAX_TABLE_BYTES {
        return None;
    }
    memory
        .bytes(address, u64::from(length))
        .filter(|bytes| sums_to_zero(bytes))
}

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

impl Acpi {
    fn note(&mut self, address: u64, bytes: &[u8]) {
        if let Some(signature) = array_at(bytes, 0) {
            self.tables.push(Table {
                signature,
                address,
                length: bytes.len() as u32,
            });
        }
    }

    /// Takes in one table.
    fn add<M: PhysRead + ?Sized>(&mut self, memory: &M, address: u64, bytes: &[u8]) {
        self.note(address, bytes);
        match bytes.get(..4) {
            Some(b"APIC") => self.add_interrupts(bytes),
            Some(b"FACP") => self.add_fixed(memory, bytes),
            // Bytes 44 on: the address, of the kind that byte 40 tells (0: memory).
            Some(b"HPET") if u8_at(bytes, 40) == Some(0) => self.hpet = u64_at(bytes, 44),
            Some(b"MCFG") => self.add_pci(bytes),
            _ => {}
        }
    }

    /// The MADT: a header, two words, then structures of a type byte, a length byte and contents.
    fn add_interrupts(&mut self, bytes: &[u8]) {
        let mut rest = bytes.get(HEADER + 8..).unwrap_or(&[]);
        while let (Some(kind), Some(length)) = (u8_at(rest, 0), u8_at(rest, 1)) {
            let Some((entry, after)) = rest.split_at_checked(usize::from(length)) else {
                break;
            };
            if length < 2 {
                break;
            }
            // A structure that is too short for its kind is passed over.
            let _ = self.add_interrupt_structure(kind, entry);
            rest = after;
        }
    }

    fn add_interrupt_structure(&mut self, kind: u8, entry: &[u8]) -> Option<()> {
        match kind {
            0 => self.add_processor(
                u32::from(u8_at(entry, 3)?),
                u32::from(u8_at(entry, 2)?),
                u32_at(entry, 4)?,
            ),
            9 => self.add_processor(u32_at(entry, 4)?, u32_at(entry, 12)?, u32_at(entry, 8)?),
            1 => {
                let (address, first_gsi) = (u64::from(u32_at(entry, 4)?), u32_at(entry, 8)?);
                self.ioapics.push(IoApic {
                    id: u8_at(entry, 2)?,
                    address,
                    first_gsi,
                });
            }
            2 => {
                let flags = u16_at(entry, 8)?;
                self.overrides.push(Override {
                    isa: u8_at(entry, 3)?,
                    gsi: u32_at(entry, 4)?,
                    active_low: flags & 3 == 3,
                    level: flags >> 2 & 3 == 3,
                });
            }
            _ => {}
        }
        Some(())
    }

    fn add_processor(&mut self, apic_id: u32, acpi_id: u32, flags: u32) {
        // The all-ones number addresses every CPU and is nobody's. A CPU may be listed in both forms.
        let nobody = apic_id == u32::MAX || apic_id == 0xff;
        if !nobody && self.processors.iter().all(|known| known.apic_id != apic_id) {
            self.processors.push(Processor {
                apic_id,
                acpi_id,
                enabled: flags & 1 != 0,
            });
        }
    }

    /// The FADT, and the DSDT it names.
    fn add_fixed<M: PhysRead + ?Sized>(&mut self, memory: &M, bytes: &[u8]) {
        let port = |at: usize| {
            u32_at(bytes, at)
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(0)
        };
        // Flag bit 10: there is a reset register, whose address structure stands at 116: space (1: ports), width, offset,
        // access, address; then the value.
        let has_reset = u32_at(bytes, 112).is_some_and(|flags| flags & 1 << 10 != 0)
            && u8_at(bytes, 116) == Some(1);
        let reset = u64_at(bytes, 120)
            .and_then(|port| u16::try_from(port).ok())
            .zip(u8_at(bytes, 128));
        self.fixed = Some(Fixed {
            sci: u16_at(bytes, 46).unwrap_or(9),
            pm1a_control: port(64),
            pm1b_control: port(68),
            pm_timer: port(76),
            reset: reset.filter(|_| has_reset),
        });
        let dsdt = u64_at(bytes, 140)
            .filter(|at| *at != 0)
            .or_else(|| u32_at(bytes, 40).map(u64::from));
        if let Some((address, body)) = dsdt.and_then(|at| Some((at, table(memory, at)?))) {
            self.note(address, body);
            self.s5 = sleep_types(body.get(HEADER..).unwrap_or(&[]));
        }
    }

    fn add_pci(&mut self, bytes: &[u8]) {
        for entry in bytes.get(HEADER + 8..).unwrap_or(&[]).chunks_exact(16) {
            if let (Some(address), Some(segment), Some(first_bus), Some(last_bus)) = (
                u64_at(entry, 0),
                u16_at(entry, 8),
                u8_at(entry, 10),
                u8_at(entry, 11),
            ) {
                self.pci.push(PciConfig {
                    address,
                    segment,
                    first_bus,
                    last_bus,
                });
            }
        }
    }
}

/// Finds the package named `_S5_` in AML and reads its first two numbers.
///
/// The encoding (ACPI 20.2): NameOp 0x08, the name, possibly with a root prefix; PackageOp 0x12, a length of one to four
/// bytes (the top two bits of the first tell how many more), the number of elements, the elements.
fn sleep_types(aml: &[u8]) -> Option<(u8, u8)> {
    let mut from = 0;
    while let Some(found) = find(aml.get(from..)?, b"_S5_") {
        let at = from + found;
        let before = aml.get(..at)?;
        let named = before.ends_with(&[0x08]) || before.ends_with(&[0x08, b'\\']);
        if named && let Some(types) = sleep_package(aml.get(at + 4..)?) {
            return Some(types);
        }
        from = at + 4;
    }
    None
}

fn sleep_package(bytes: &[u8]) -> Option<(u8, u8)> {
    if u8_at(bytes, 0)? != 0x12 {
        return None;
    }
    let more = usize::from(u8_at(bytes, 1)? >> 6);
    let elements = bytes.get(2 + more + 1..)?;
    let (first, rest) = small_number(elements)?;
    // Firmware that gives one number means both registers.
    let second = small_number(rest).map_or(first, |(second, _)| second);
    Some((first & 7, second & 7))
}

/// An AML constant that fits a byte, and what follows it.
fn small_number(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match u8_at(bytes, 0)? {
        value @ 0..=1 => Some((value, bytes.get(1..)?)),
        0x0a => Some((u8_at(bytes, 1)?, bytes.get(2..)?)),
        0x0b => Some((u8_at(bytes, 1)?, bytes.get(3..)?)),
        0x0c => Some((u8_at(bytes, 1)?, bytes.get(5..)?)),
        _ => None,
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests;
