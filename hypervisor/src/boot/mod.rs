//! From the boot loader to Rust: Multiboot headers, the 32-bit entry, the first page tables, the loader's information.
//!
//! Keeps true: when [`crate::kmain`] runs, the CPU is in long mode at the image's high addresses with interrupts off, on
//! the boot stack, BSS is zero, and the first 4 GiB of physical memory are mapped at address 0 until
//! [`crate::mm::init`] replaces these tables.
//! Neighbours: `image.ld` (symbols), `mm` (the final tables), `arch::smp` (other CPUs enter through their own trampoline).

mod entry;

use spin::Once;
use xenocryst_boot::info::BootInfo;
use xenocryst_boot::phys::PhysRead;
use xenocryst_boot::{multiboot1, multiboot2};

use crate::mm::early::DirectMapMemory;
use crate::percpu::{CPU_INFO_SIZE, STACK_SIZE};

/// Where physical address 0 is mapped for the image: its link address minus its load address.
pub const VIRTUAL_BASE: u64 = 0xffff_82d0_8000_0000;

/// What EAX holds at entry from a Multiboot 1 loader.
const MULTIBOOT1_MAGIC: u32 = 0x2bad_b002;
/// What EAX holds at entry from a Multiboot 2 loader.
const MULTIBOOT2_MAGIC: u32 = 0x36d7_6289;

static INFO: Once<BootInfo<'static>> = Once::new();

/// Reads the loader's information at physical address `at`. `None` when there is no sense in it.
pub fn parse<M: PhysRead + ?Sized>(memory: &M, magic: u32, at: u32) -> Option<BootInfo<'_>> {
    match magic {
        MULTIBOOT1_MAGIC => multiboot1::parse(memory, u64::from(at)),
        MULTIBOOT2_MAGIC => multiboot2::parse(memory, u64::from(at)),
        _ => None,
    }
}

/// Reads the loader's information again, now through the direct map, and keeps it.
///
/// # Panics
/// If it no longer makes sense.
pub fn keep(magic: u32, at: u32) -> &'static BootInfo<'static> {
    static MEMORY: DirectMapMemory = DirectMapMemory;
    INFO.call_once(|| {
        parse(&MEMORY, magic, at).expect("the boot loader's information was overwritten")
    })
}

/// What the boot loader said.
///
/// # Panics
/// Before [`keep`].
pub fn info() -> &'static BootInfo<'static> {
    INFO.get()
        .expect("the boot loader's information is not read yet")
}
