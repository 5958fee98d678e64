//! From the boot loader to Rust: Multiboot headers, the 32-bit entry, the first page tables.
//!
//! Keeps true: when [`crate::kmain`] runs, the CPU is in long mode at the image's high addresses with interrupts off, on
//! the boot CPU's stack block, BSS is zero, and the first 4 GiB of physical memory are mapped at address 0 until
//! [`crate::mm::init`] replaces these tables.
//! Neighbours: `image.ld` (symbols), `mm` (the final tables), `arch::smp` (other CPUs enter through their own trampoline).

mod entry;

/// Where physical address 0 is mapped for the image: its link address minus its load address.
pub const VIRTUAL_BASE: u64 = 0xffff_82d0_8000_0000;

/// Bytes left free at the top of the first stack for the boot CPU's `CpuInfo`.
const BOOT_STACK_TOP_GAP: usize = 208;
/// Bytes of a stack block.
pub const STACK_SIZE: usize = 32 * 1024;
