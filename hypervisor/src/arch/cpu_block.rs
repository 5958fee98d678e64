//! Each CPU's block of memory: its stacks, descriptor page and task state segment.
//!
//! Keeps true: below each stack is a page that is not mapped, so that what runs off its end is stopped and told of.
//! Neighbours: `percpu` (the top of the block), `mm::stacks` (maps it), `arch::gdt` (what is in the descriptor page).

use core::alloc::Layout;
use core::mem::{offset_of, size_of};

use xenocryst_abi::{Maddr, Mfn};

use super::entry;
use super::gdt::GdtPage;
use crate::mm::{layout, stacks};
use crate::percpu::{CPU_INFO_SIZE, CpuInfo, GuestRegs, IST_STACK_SIZE, MAX_CPUS, STACK_SIZE};

/// The 64-bit task state segment (CPU manual volume 3, "64-bit TSS"), without an I/O bitmap: ring 3 has no port.
#[repr(C, packed(4))]
pub struct Tss {
    reserved0: u32,
    rsp: [u64; 3],
    reserved1: u64,
    ist: [u64; 7],
    reserved2: u64,
    reserved3: u16,
    io_bitmap: u16,
}
const _: () = assert!(size_of::<Tss>() == 104);

/// One CPU's stacks, descriptor page and task state segment, aligned to its size.
#[repr(C, align(131072))]
struct CpuBlock {
    special: [SpecialStack; SPECIAL_STACKS],
    gdt: GdtPage,
    tss: TssPage,
    guard: GuardPage,
    stack: [u8; STACK_SIZE - (SPECIAL_STACKS * SPECIAL_PAGES + 3) * PAGE],
}
const _: () = assert!(size_of::<CpuBlock>() == STACK_SIZE);

const PAGE: usize = 4096;

/// The stack of a vector that has its own.
#[repr(C)]
struct SpecialStack {
    guard: GuardPage,
    stack: [u8; IST_STACK_SIZE],
}

/// Pages of a [`SpecialStack`].
const SPECIAL_PAGES: usize = size_of::<SpecialStack>() / PAGE;

/// Where nothing is mapped.
#[repr(C, align(4096))]
struct GuardPage([u8; PAGE]);

#[repr(C, align(4096))]
struct TssPage(Tss);

/// Vectors with a stack of their own.
const SPECIAL_STACKS: usize = 4;

/// The offsets of the pages of a block that are not mapped.
const GUARDS: [u64; SPECIAL_STACKS + 1] = {
    let mut guards = [offset_of!(CpuBlock, guard) as u64; SPECIAL_STACKS + 1];
    let mut special = 0;
    while special < SPECIAL_STACKS {
        guards[special] =
            (offset_of!(CpuBlock, special) + special * size_of::<SpecialStack>()) as u64;
        special += 1;
    }
    guards
};

static BLOCKS: [spin::Once<Block>; MAX_CPUS] = [const { spin::Once::new() }; MAX_CPUS];

/// Where a CPU's block is.
struct Block {
    /// Where the CPU uses it.
    at: u64,
    memory: Maddr,
}

/// The address of the `CpuInfo` of `cpu`, once its block was made.
pub fn cpu_info(cpu: u32) -> Option<&'static CpuInfo> {
    let block = BLOCKS.get(cpu as usize)?.get()?;
    // SAFETY: blocks are leaked, aligned, and hold an initialised CpuInfo at the top of their stack.
    Some(unsafe { &*((block.at + INFO) as *const CpuInfo) })
}

/// The linear address of `cpu`'s reserved descriptor page, once its block was made.
pub fn reserved_page(cpu: u32) -> Option<u64> {
    let block = BLOCKS.get(cpu as usize)?.get()?;
    Some(block.at + offset_of!(CpuBlock, gdt) as u64)
}

/// The frame of `cpu`'s reserved descriptor page, once its block was made.
pub fn reserved_frame(cpu: u32) -> Option<Mfn> {
    let block = BLOCKS.get(cpu as usize)?.get()?;
    Some(Maddr::new(block.memory.raw() + offset_of!(CpuBlock, gdt) as u64).mfn())
}

/// The CPU below one of whose stacks `address` is, in the page that is not mapped.
pub fn cpu_guarded_at(address: u64) -> Option<u32> {
    let cpu = u32::try_from(address.checked_sub(layout::STACKS)? / STACK_SIZE as u64).ok()?;
    let block = BLOCKS.get(cpu as usize)?.get()?;
    let page = (address - block.at) & !(PAGE as u64 - 1);
    GUARDS.contains(&page).then_some(cpu)
}

/// The offset of the `CpuInfo` in a block.
const INFO: u64 = (STACK_SIZE - CPU_INFO_SIZE) as u64;

/// Makes `cpu`'s block. Returns the top of the stack that the CPU is to run on.
///
/// # Panics
/// If the CPU number is out of range or already used, or memory runs out.
pub fn make_block(cpu: u32, apic_id: u32) -> u64 {
    // SAFETY: a block has a size; a null answer is checked.
    let memory = unsafe { alloc::alloc::alloc_zeroed(Layout::new::<CpuBlock>()) } as u64;
    let memory = layout::maddr_of(memory).expect("no memory for a CPU's stacks");
    let at = stacks::map(cpu, memory, STACK_SIZE as u64, &GUARDS)
        .unwrap_or_else(|_| panic!("no memory to map the stacks of CPU {cpu}"));
    let rsp0 = at + INFO + 8 + size_of::<GuestRegs>() as u64;
    let tss_at = at + offset_of!(CpuBlock, tss) as u64;
    // SAFETY: three different parts of the new block, aligned, mapped, of which all-zero bytes are valid values; nobody
    // else uses them before the CPU runs, and they are never freed.
    unsafe {
        ((at + INFO) as *mut CpuInfo).write(CpuInfo {
            reserved: 0,
            guest: GuestRegs::default(),
            current: core::cell::Cell::new(None),
            cpu,
            work: 0.into(),
            idle: 0.into(),
            apic_id,
        });
        (*(tss_at as *mut Tss)).fill(rsp0, at);
        (*((at + offset_of!(CpuBlock, gdt) as u64) as *mut GdtPage)).fill(tss_at);
    }
    let scratch = &entry::SYSCALL_SCRATCH[cpu as usize];
    scratch
        .stack
        .store(rsp0, core::sync::atomic::Ordering::Release);
    BLOCKS[cpu as usize].call_once(|| Block { at, memory });
    at + INFO
}

impl Tss {
    /// Enters the stacks of the block at `block`, the primary one from `rsp0` down.
    fn fill(&mut self, rsp0: u64, block: u64) {
        self.rsp[0] = rsp0;
        for (special, guard) in GUARDS.into_iter().enumerate().take(SPECIAL_STACKS) {
            self.ist[special] = block + guard + size_of::<SpecialStack>() as u64;
        }
        self.io_bitmap = size_of::<Self>() as u16;
    }
}
