//! The hypervisor's own memory: its address space, its frames, its heap, and the engine's storage.
//!
//! Keeps true: after [`init`] the identity mapping is gone, RAM is reached through the direct map only, and every frame of RAM
//! is either in the engine's free list or noted there as the hypervisor's own.
//! Neighbours: `boot` (the loader's tables that this replaces), `xenocryst-memory` (which takes over all free RAM).

pub mod early;
pub mod frames;
pub mod heap;
mod image;
pub mod ioremap;
pub mod layout;
pub mod machine;
pub mod per_domain;
pub mod scratch;
pub mod snapshot;
pub mod stacks;
pub mod storage;
pub mod tables;

use spin::Once;
use xenocryst_abi::Maddr;
use xenocryst_boot::info::BootInfo;
use xenocryst_boot::regions::Regions;

pub use ioremap::{Caching, ioremap};
pub use layout::direct_map;
pub use machine::engine;

/// Physical memory below this is never given to anyone: firmware data, video memory, the CPUs' trampoline.
pub const LOW_MEMORY: u64 = 1 << 20;

/// What the firmware says is RAM, whole pages of it, as far as the hypervisor uses it.
static RAM: Once<Regions> = Once::new();

/// The machine's RAM.
///
/// # Panics
/// Before [`init`].
pub fn ram() -> &'static Regions {
    RAM.get().expect("RAM is not known yet")
}

/// Whether every byte of `start..end` is RAM, and so in the direct map.
pub fn is_ram(start: Maddr, end: Maddr) -> bool {
    RAM.get()
        .is_some_and(|ram| ram.contains(start.raw(), end.raw()))
}

/// Builds the hypervisor's address space and loads it, starts the heap, and makes the engine, which gets all free RAM.
/// `loader` is what the boot loader's information occupies: it stays as it is. RAM from `limit` up is not
/// used.
///
/// # Panics
/// When the machine has too little memory for the hypervisor's own tables.
pub fn init(info: &BootInfo<'_>, loader: &Regions, limit: u64) {
    let plan = early::plan(info, loader, limit);
    frames::init(plan.free);
    let ram = RAM.call_once(|| plan.ram);
    build(ram).expect("too little memory for the hypervisor's own tables");
    heap::init();
    storage::start_engine(ram);
}

/// Makes the final page tables and switches to them.
fn build(ram: &Regions) -> Result<(), tables::NoFrame> {
    let root = tables::build()?;
    image::map()?;
    let largest = if crate::arch::cpu::features().gib_pages {
        3
    } else {
        2
    };
    // All of the first MiB, whatever is in it: firmware tables, the trampoline.
    tables::map(
        layout::DIRECT_MAP,
        Maddr::new(0),
        LOW_MEMORY,
        tables::DATA,
        1,
    )?;
    for region in ram.as_slice() {
        let start = region.start.max(LOW_MEMORY);
        if start < region.end {
            tables::map(
                layout::DIRECT_MAP + start,
                Maddr::new(start),
                region.end - start,
                tables::DATA,
                largest,
            )?;
        }
    }
    storage::map(ram)?;
    if let Some(page) = early::trampoline_page() {
        tables::build_trampoline(Maddr::new(page))?;
    }
    // SAFETY: the tables map the running code, its stack and data (the image) at the addresses they have now, and all tables.
    unsafe { crate::arch::control::write_cr3(root.raw()) };
    crate::arch::control::flush_tlb_local();
    tables::use_direct_map();
    Ok(())
}
