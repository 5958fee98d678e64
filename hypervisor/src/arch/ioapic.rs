//! I/O interrupt controllers: which vector on which CPU each interrupt line raises.
//!
//! Keeps true: a line is masked until it is routed; a routing is written with the mask set first, so that no half-written
//! entry fires. Lines are named by global system interrupt number (GSI), as ACPI does.
//! Specification: Intel 82093AA data sheet. Neighbours: `irq` (who wants which line).

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use xenocryst_abi::Maddr;

use crate::mm::{Caching, ioremap};
use crate::sync::{Mutex, Rank};

/// The most controllers.
pub const MAX_IOAPICS: usize = 16;

const REGISTER_SELECT: u64 = 0x00;
const REGISTER_WINDOW: u64 = 0x10;
const VERSION: u32 = 1;
const FIRST_ENTRY: u32 = 0x10;
const MASK: u32 = 1 << 16;

/// One line's routing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The vector it raises.
    pub vector: u8,
    /// The APIC number of the CPU it goes to (physical destination).
    pub destination: u8,
    /// Level-triggered rather than edge-triggered.
    pub level: bool,
    /// Active low rather than active high.
    pub active_low: bool,
    /// Whether it is held back.
    pub masked: bool,
}

impl Route {
    /// The two words of the redirection entry: low, high.
    pub const fn words(self) -> (u32, u32) {
        let low = self.vector as u32
            | (self.active_low as u32) << 13
            | (self.level as u32) << 15
            | (self.masked as u32) << 16;
        (low, (self.destination as u32) << 24)
    }
}

/// One controller.
struct Ioapic {
    /// Virtual address of its registers; 0 for none.
    registers: AtomicU64,
    id: AtomicU32,
    maddr: AtomicU64,
    first_gsi: AtomicU32,
    lines: AtomicU32,
}

static IOAPICS: [Ioapic; MAX_IOAPICS] = [const {
    Ioapic {
        registers: AtomicU64::new(0),
        id: AtomicU32::new(0),
        maddr: AtomicU64::new(0),
        first_gsi: AtomicU32::new(0),
        lines: AtomicU32::new(0),
    }
}; MAX_IOAPICS];
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Guards the register-select and window pairs of all controllers.
static ACCESS: Mutex<()> = Mutex::new(Rank::IoApic, ());

impl Ioapic {
    fn read(&self, register: u32) -> u32 {
        let at = self.registers.load(Ordering::Relaxed);
        // SAFETY: mapped by `add` for ever; the pair of accesses is under `ACCESS`.
        unsafe {
            ((at + REGISTER_SELECT) as *mut u32).write_volatile(register);
            ((at + REGISTER_WINDOW) as *const u32).read_volatile()
        }
    }

    fn write(&self, register: u32, value: u32) {
        let at = self.registers.load(Ordering::Relaxed);
        // SAFETY: as in `read`.
        unsafe {
            ((at + REGISTER_SELECT) as *mut u32).write_volatile(register);
            ((at + REGISTER_WINDOW) as *mut u32).write_volatile(value);
        }
    }
}

/// Adds the controller at `maddr`, whose first line is `first_gsi`, with all lines masked. False when it cannot be mapped,
/// there is nothing there, or there are too many. Boot only.
pub fn add(id: u8, maddr: Maddr, first_gsi: u32) -> bool {
    let index = COUNT.load(Ordering::Relaxed);
    let Some(slot) = IOAPICS.get(index as usize) else {
        return false;
    };
    let Some(registers) = ioremap(maddr, 4096, Caching::Device) else {
        return false;
    };
    slot.registers.store(registers as u64, Ordering::Relaxed);
    let guard = ACCESS.lock();
    let version = slot.read(VERSION);
    if version == u32::MAX {
        return false;
    }
    let lines = (version >> 16 & 0xff) + 1;
    for line in 0..lines {
        slot.write(FIRST_ENTRY + 2 * line, MASK);
        slot.write(FIRST_ENTRY + 2 * line + 1, 0);
    }
    drop(guard);
    slot.id.store(u32::from(id), Ordering::Relaxed);
    slot.maddr.store(maddr.raw(), Ordering::Relaxed);
    slot.first_gsi.store(first_gsi, Ordering::Relaxed);
    slot.lines.store(lines, Ordering::Relaxed);
    COUNT.store(index + 1, Ordering::Release);
    true
}

fn all() -> &'static [Ioapic] {
    IOAPICS
        .get(..COUNT.load(Ordering::Acquire) as usize)
        .unwrap_or(&[])
}

/// The controller of line `gsi`, and the line's number there.
fn find(gsi: u32) -> Option<(&'static Ioapic, u32)> {
    all().iter().find_map(|ioapic| {
        let line = gsi.checked_sub(ioapic.first_gsi.load(Ordering::Relaxed))?;
        (line < ioapic.lines.load(Ordering::Relaxed)).then_some((ioapic, line))
    })
}

/// How many lines there are: one more than the highest GSI.
pub fn gsi_count() -> u32 {
    all()
        .iter()
        .map(|ioapic| {
            ioapic.first_gsi.load(Ordering::Relaxed) + ioapic.lines.load(Ordering::Relaxed)
        })
        .max()
        .unwrap_or(0)
}

/// What a guest asks about a controller: its number, physical address, first line, number of lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Description {
    /// APIC number.
    pub id: u8,
    /// Physical address of the registers.
    pub maddr: Maddr,
    /// First line.
    pub first_gsi: u32,
    /// Number of lines.
    pub lines: u32,
}

/// Controller `index`, in the firmware's order.
pub fn describe(index: usize) -> Option<Description> {
    all().get(index).map(|ioapic| Description {
        id: ioapic.id.load(Ordering::Relaxed) as u8,
        maddr: Maddr::new(ioapic.maddr.load(Ordering::Relaxed)),
        first_gsi: ioapic.first_gsi.load(Ordering::Relaxed),
        lines: ioapic.lines.load(Ordering::Relaxed),
    })
}

/// Raw register `register` of controller `index`, for the control domain's read-only view of it. `None` if there is no such
/// controller.
pub fn read_register(index: usize, register: u32) -> Option<u32> {
    let ioapic = all().get(index)?;
    let _guard = ACCESS.lock();
    Some(ioapic.read(register))
}

/// Routes line `gsi`. False if there is no such line.
pub fn route(gsi: u32, route: Route) -> bool {
    let Some((ioapic, line)) = find(gsi) else {
        return false;
    };
    let (low, high) = route.words();
    let _guard = ACCESS.lock();
    ioapic.write(FIRST_ENTRY + 2 * line, MASK);
    ioapic.write(FIRST_ENTRY + 2 * line + 1, high);
    ioapic.write(FIRST_ENTRY + 2 * line, low);
    true
}

/// Masks or unmasks line `gsi`. False if there is no such line.
pub fn set_masked(gsi: u32, masked: bool) -> bool {
    let Some((ioapic, line)) = find(gsi) else {
        return false;
    };
    let _guard = ACCESS.lock();
    let low = ioapic.read(FIRST_ENTRY + 2 * line);
    ioapic.write(
        FIRST_ENTRY + 2 * line,
        if masked { low | MASK } else { low & !MASK },
    );
    true
}

/// Sends line `gsi` to the CPU whose APIC has number `destination`. False if there is no such line.
pub fn set_destination(gsi: u32, destination: u8) -> bool {
    let Some((ioapic, line)) = find(gsi) else {
        return false;
    };
    let _guard = ACCESS.lock();
    ioapic.write(FIRST_ENTRY + 2 * line + 1, u32::from(destination) << 24);
    true
}
