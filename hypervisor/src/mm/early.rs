//! Which RAM there is, and which of it is free when the hypervisor starts.
//!
//! Keeps true: nothing that the loader or the firmware left and that is still needed is counted as free: the first MiB, the
//! image, the modules, the loader's own information.

use core::cell::RefCell;

use spin::Once;
use xenocryst_abi::{Maddr, PAGE_SIZE};
use xenocryst_boot::info::BootInfo;
use xenocryst_boot::memory_map::MemoryKind;
use xenocryst_boot::phys::PhysRead;
use xenocryst_boot::regions::{Regions, Side};

use super::{LOW_MEMORY, image};
use crate::arch::cpu;

/// The loader's information is looked for below this; the first page tables map no more.
const IDENTITY_LIMIT: u64 = 1 << 32;

/// Conventional memory ends here: video memory follows.
const CONVENTIONAL_END: u64 = 640 << 10;

static TRAMPOLINE: Once<u64> = Once::new();

/// What [`plan`] found.
pub(super) struct Plan {
    /// RAM in whole pages.
    pub(super) ram: Regions,
    /// The part of it that may be used.
    pub(super) free: Regions,
}

/// Works out what is RAM and what is free, below `limit`.
pub(super) fn plan(info: &BootInfo<'_>, loader: &Regions, limit: u64) -> Plan {
    let reachable = (1_u64 << cpu::features().physical_bits)
        .min(super::layout::DIRECT_MAP_END - super::layout::DIRECT_MAP)
        .min(limit);
    let mut ram = Regions::new();
    for entry in info
        .memory
        .entries()
        .iter()
        .filter(|entry| entry.kind == MemoryKind::Usable)
    {
        let start = entry
            .start
            .checked_next_multiple_of(PAGE_SIZE)
            .unwrap_or(u64::MAX);
        let end = entry.end.min(reachable) & !(PAGE_SIZE - 1);
        // A range too many is RAM that goes unused; the map was cut already where it had more entries than this.
        let _ = ram.add(start, end);
    }
    let mut free = ram.clone();
    let mut keep = |start: u64, end: u64| {
        let end = end.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX);
        free.remove(start & !(PAGE_SIZE - 1), end)
            .expect("the memory map has too many pieces");
    };
    keep(0, LOW_MEMORY);
    let (start, end) = image::physical_range();
    keep(start, end);
    for module in info.modules() {
        keep(module.start, module.end);
    }
    for region in loader.as_slice() {
        keep(region.start, region.end);
    }
    note_trampoline(&ram, info, loader);
    Plan { ram, free }
}

/// Chooses the page, as high below 640 KiB as the firmware and the loader leave room.
fn note_trampoline(ram: &Regions, info: &BootInfo<'_>, loader: &Regions) {
    let mut low = ram.clone();
    let used = loader
        .as_slice()
        .iter()
        .map(|region| (region.start, region.end));
    for (start, end) in used.chain(
        info.modules()
            .iter()
            .map(|module| (module.start, module.end)),
    ) {
        // With too many pieces there is no trampoline: the machine then runs on one CPU.
        if low.remove(start, end).is_err() {
            return;
        }
    }
    // The first page holds the firmware's interrupt table.
    if low.remove(0, PAGE_SIZE).is_ok()
        && let Some(page) = low.take(PAGE_SIZE, PAGE_SIZE, CONVENTIONAL_END, Side::High)
    {
        TRAMPOLINE.call_once(|| page);
    }
}

/// The page below 640 KiB where other CPUs start.
pub fn trampoline_page() -> Option<u64> {
    TRAMPOLINE.get().copied()
}

/// Reads physical memory through the first page tables' identity mapping, and remembers what was read.
pub struct EarlyMemory {
    read: RefCell<Regions>,
}

impl EarlyMemory {
    /// Nothing read yet.
    ///
    /// # Safety
    /// The first 4 GiB must be mapped at address 0 for as long as this value, and what is borrowed from it, is used.
    pub unsafe fn new() -> Self {
        Self {
            read: RefCell::new(Regions::new()),
        }
    }

    /// All that was read.
    pub fn read(&self) -> Regions {
        self.read.borrow().clone()
    }
}

impl PhysRead for EarlyMemory {
    fn bytes(&self, addr: u64, len: u64) -> Option<&[u8]> {
        let end = addr.checked_add(len)?;
        // Address 0 would be a null reference; nothing that is looked for is there.
        if addr == 0 || end > IDENTITY_LIMIT {
            return None;
        }
        self.read.borrow_mut().add(addr, end).ok()?;
        // SAFETY: mapped by the promise given to `new`; nobody writes to the loader's data while it is parsed.
        Some(unsafe { core::slice::from_raw_parts(addr as *const u8, len as usize) })
    }
}

/// Reads physical memory through the direct map: RAM and the first MiB.
pub struct DirectMapMemory;

impl DirectMapMemory {
    /// The `len` bytes at `addr`, if the direct map covers them. Used at boot only, for data that the loader or the firmware
    /// left and that nobody writes to.
    pub fn bytes_at(addr: u64, len: u64) -> Option<&'static [u8]> {
        let end = addr.checked_add(len)?;
        let (start, stop) = (Maddr::new(addr), Maddr::new(end));
        if end > LOW_MEMORY && !super::is_ram(start, stop) {
            return None;
        }
        // SAFETY: the direct map covers the range for ever.
        Some(unsafe { core::slice::from_raw_parts(super::direct_map(start), len as usize) })
    }
}

impl PhysRead for DirectMapMemory {
    fn bytes(&self, addr: u64, len: u64) -> Option<&[u8]> {
        Self::bytes_at(addr, len)
    }
}
