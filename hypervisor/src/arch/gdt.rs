//! Each CPU's own descriptor page, interrupt table and SYSCALL registers.
//!
//! Keeps true: the hypervisor's descriptors stand at the selectors of the ABI (`FLAT_RING3_*`, from 0xe000 up, one page
//! above the 14 pages a guest may fill), so that they are the same whatever descriptor table a guest installs.
//! Neighbours: `arch::cpu_block` (where the page lies), `arch::entry` (the stubs), `domain::descriptors` (a guest's own table
//! below the reserved page).

use core::arch::asm;
use core::mem::size_of;

use super::cpu_block::{Tss, reserved_page};
use super::entry;

/// First selector of the reserved page (`FIRST_RESERVED_GDT_BYTE`).
pub const FIRST_RESERVED: u64 = 14 * 4096;
/// The hypervisor's code selector.
pub const HYPERVISOR_CS: u16 = 0xe008;
/// The hypervisor's data selector.
pub const HYPERVISOR_DS: u16 = 0xe010;
/// `FLAT_RING3_CS32`: the base from which SYSRET counts.
const RING3_BASE: u16 = 0xe023;
/// The task state segment's selector.
const TSS_SELECTOR: u16 = 0xe040;
/// The local descriptor table's selector.
pub const LDT_SELECTOR: u16 = 0xe050;

/// The page of the hypervisor's descriptors at [`FIRST_RESERVED`].
#[repr(C, align(4096))]
pub struct GdtPage([u64; 512]);

#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

#[repr(C, align(16))]
struct Idt([[u64; 2]; 256]);

static IDT: spin::Once<Idt> = spin::Once::new();

impl GdtPage {
    /// Writes the hypervisor's descriptors, that of the task state segment for the one at `tss`.
    pub fn fill(&mut self, tss: u64) {
        let at = |selector: u16| (selector as usize & 0xfff) >> 3;
        self.0[at(HYPERVISOR_CS)] = 0x00af_9b00_0000_ffff;
        self.0[at(HYPERVISOR_DS)] = 0x00cf_9300_0000_ffff;
        self.0[at(RING3_BASE)] = 0x00cf_fb00_0000_ffff;
        self.0[at(RING3_BASE) + 1] = 0x00cf_f300_0000_ffff;
        self.0[at(RING3_BASE) + 2] = 0x00af_fb00_0000_ffff;
        let (low, high) = system_descriptor(tss, size_of::<Tss>() as u64 - 1, 0x89);
        self.0[at(TSS_SELECTOR)] = low;
        self.0[at(TSS_SELECTOR) + 1] = high;
    }
}

/// The two words of a 16-byte system descriptor.
pub fn system_descriptor(base: u64, limit: u64, kind: u64) -> (u64, u64) {
    let low = (limit & 0xffff)
        | (base & 0xff_ffff) << 16
        | kind << 40
        | (limit >> 16 & 0xf) << 48
        | (base >> 24 & 0xff) << 56;
    (low, base >> 32)
}

/// Loads the table whose reserved page is at linear address `reserved`; a guest's pages stand below it.
///
/// # Safety
/// The page at `reserved` must hold the hypervisor's descriptors of the running CPU and stay mapped.
pub unsafe fn load_gdt(reserved: u64) {
    let pointer = TablePointer {
        limit: (FIRST_RESERVED + 4096 - 1) as u16,
        base: reserved.wrapping_sub(FIRST_RESERVED),
    };
    // SAFETY: the caller's contract.
    unsafe { asm!("lgdt [{}]", in(reg) &pointer, options(readonly, nostack, preserves_flags)) };
}

/// Sets the local descriptor table to `entries` descriptors at `base`, or to none, in `cpu`'s descriptors, and loads it.
pub fn load_ldt(cpu: u32, base: u64, entries: u32) {
    let Some(page) = reserved_page(cpu) else {
        return;
    };
    let selector = if entries == 0 {
        0
    } else {
        let (low, high) = system_descriptor(base, u64::from(entries) * 8 - 1, 0x82);
        let slot = (page + (u64::from(LDT_SELECTOR) & 0xfff)) as *mut u64;
        // SAFETY: two words of this CPU's own descriptor page, which nobody else writes.
        unsafe {
            slot.write_volatile(low);
            slot.add(1).write_volatile(high);
        }
        LDT_SELECTOR
    };
    // SAFETY: the descriptor was just written and names the per-domain window, or the selector is null.
    unsafe { asm!("lldt {:x}", in(reg) selector, options(nostack, preserves_flags)) };
}

fn idt() -> &'static Idt {
    IDT.call_once(|| {
        let mut idt = Idt([[0; 2]; 256]);
        for (vector, gate) in idt.0.iter_mut().enumerate() {
            let handler = core::ptr::addr_of!(entry::vector_stubs) as u64
                + (vector * entry::VECTOR_STUB_SIZE) as u64;
            let ist = match vector {
                8 => 1,
                2 => 2,
                18 => 3,
                1 => 4,
                _ => 0,
            };
            // A guest may raise breakpoint and overflow itself; everything else by INT n goes through #GP.
            let dpl: u64 = if vector == 3 || vector == 4 { 3 } else { 0 };
            gate[0] = (handler & 0xffff)
                | u64::from(HYPERVISOR_CS) << 16
                | ist << 32
                | (0x8e | dpl << 5) << 40
                | (handler >> 16 & 0xffff) << 48;
            gate[1] = handler >> 32;
        }
        idt
    })
}

/// Loads `cpu`'s tables and SYSCALL registers into the running CPU.
///
/// # Safety
/// Must run on the CPU whose block was made for `cpu`, in ring 0 with interrupts off.
pub unsafe fn load_tables(cpu: u32) {
    let page = reserved_page(cpu).expect("the CPU's block is made first");
    let idt = TablePointer {
        limit: 4095,
        base: core::ptr::from_ref(idt()) as u64,
    };
    let tss = (page + (u64::from(TSS_SELECTOR) & 0xfff)) as *mut u64;
    // SAFETY: the tables live for ever; the selectors loaded are those that `fill` wrote; the busy bit of the TSS
    // descriptor is cleared first so that LTR does not fault.
    unsafe {
        tss.write_volatile(tss.read_volatile() & !(2 << 40));
        load_gdt(page);
        asm!(
            "push {cs}",
            "lea {tmp}, [rip + 2f]",
            "push {tmp}",
            "retfq",
            "2:",
            "mov ss, {ds:x}",
            "xor {tmp:e}, {tmp:e}",
            "mov ds, {tmp:x}",
            "mov es, {tmp:x}",
            "mov fs, {tmp:x}",
            "mov gs, {tmp:x}",
            "ltr {tr:x}",
            "lidt [{idt}]",
            cs = in(reg) u64::from(HYPERVISOR_CS),
            ds = in(reg) u64::from(HYPERVISOR_DS),
            tr = in(reg) u64::from(TSS_SELECTOR),
            idt = in(reg) &idt,
            tmp = out(reg) _,
        );
    }
    load_ldt(cpu, 0, 0);
    // SAFETY: values as the CPU manual wants for 64-bit SYSCALL; the stubs exist for every CPU number.
    unsafe { load_syscall_registers(cpu) };
}

/// # Safety
/// As [`load_tables`].
unsafe fn load_syscall_registers(cpu: u32) {
    use super::msr::{rdmsr, wrmsr};
    const EFER: u32 = 0xc000_0080;
    const STAR: u32 = 0xc000_0081;
    const LSTAR: u32 = 0xc000_0082;
    const CSTAR: u32 = 0xc000_0083;
    const SFMASK: u32 = 0xc000_0084;
    let offset = u64::from(cpu) * entry::SYSCALL_STUB_SIZE as u64;
    // SAFETY: architectural registers of a 64-bit CPU; the addresses are the stubs of this CPU.
    unsafe {
        // System calls on, no-execute on.
        wrmsr(EFER, rdmsr(EFER) | 1 | 1 << 11);
        wrmsr(
            STAR,
            u64::from(HYPERVISOR_CS) << 32 | u64::from(RING3_BASE) << 48,
        );
        wrmsr(
            LSTAR,
            core::ptr::addr_of!(entry::syscall_stubs) as u64 + offset,
        );
        wrmsr(
            CSTAR,
            core::ptr::addr_of!(entry::syscall32_stubs) as u64 + offset,
        );
        // AC, NT, RF, VM, IOPL, DF, IF, TF and the arithmetic flags are cleared on entry.
        wrmsr(SFMASK, 0x0007_7fd5);
    }
}
