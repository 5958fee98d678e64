//! Loading a vCPU into a CPU and taking it out again, and filling a vCPU from the context the ABI describes.
//!
//! Keeps true: at most one CPU has a vCPU's state loaded; the address space loaded on a CPU is that of the vCPU loaded
//! there, whose root tables stay referenced until another is loaded (I44); a vCPU counts as loaded until its address space
//! was left.
//! Neighbours: `traps::exit` (which switches), `arch::gdt`, `domain::descriptors`, `sched`.

use core::arch::asm;
use core::sync::atomic::Ordering;

use super::{Vcpu, descriptors};
use crate::arch::msr::{rdmsr, wrmsr};
use crate::arch::{control, fpu, tlb};
use crate::mm::tables;
use crate::percpu::{CpuInfo, GuestRegs};

/// Model-specific registers of the segment bases.
pub const MSR_FS_BASE: u32 = 0xc000_0100;
/// The GS base in force.
pub const MSR_GS_BASE: u32 = 0xc000_0101;
/// What RDTSCP and RDPID give.
const MSR_TSC_AUX: u32 = 0xc000_0103;
/// The GS base that SWAPGS brings in.
pub const MSR_SHADOW_GS_BASE: u32 = 0xc000_0102;

/// The data selectors in force: DS, ES, FS, GS.
pub fn read_selectors() -> [u16; 4] {
    let (ds, es, fs, gs): (u16, u16, u16, u16);
    // SAFETY: reads registers.
    unsafe {
        asm!("mov {0:x}, ds", "mov {1:x}, es", "mov {2:x}, fs", "mov {3:x}, gs",
            out(reg) ds, out(reg) es, out(reg) fs, out(reg) gs, options(nomem, nostack, preserves_flags));
    }
    [ds, es, fs, gs]
}

/// Makes `next` the vCPU whose state is loaded on `cpu`, with its registers in `regs`.
pub fn switch_to(cpu: &'static CpuInfo, next: &'static Vcpu, regs: &mut GuestRegs) {
    let previous = cpu.current.get();
    if let Some(previous) = previous {
        if core::ptr::eq(previous, next) {
            return;
        }
        save(previous, regs);
    }
    while next.loaded.swap(true, Ordering::AcqRel) {
        // Who leaves it may be waiting for this CPU to flush.
        crate::arch::smp::serve();
        core::hint::spin_loop();
    }
    load_address_space(cpu, next);
    if let Some(previous) = previous {
        release(previous);
    }
    cpu.current.set(Some(next));
    load(cpu, next, regs);
}

/// Takes the vCPU that is loaded on `cpu`, the calling CPU, out of it: the CPU goes on in the hypervisor's own address space
/// and on its own descriptors, so that what was loaded may be looked at, moved, or destroyed. Its registers are in `regs`.
pub fn unload(cpu: &'static CpuInfo, regs: &GuestRegs) {
    let Some(previous) = cpu.current.take() else {
        return;
    };
    save(previous, regs);
    descriptors::unload(cpu.cpu);
    // SAFETY: the hypervisor's own root has everything the hypervisor uses, this CPU's stack and descriptors included.
    unsafe { control::write_cr3(tables::root().raw()) };
    tlb::guest_left(cpu.cpu);
    previous.domain.memory.clear_cpu_dirty(cpu.cpu);
    release(previous);
}

/// `vcpu` is no longer loaded here. This comes after its address space was left: whoever sees it may destroy that.
fn release(vcpu: &'static Vcpu) {
    vcpu.loaded.store(false, Ordering::Release);
    crate::sched::left_cpu(vcpu);
}

fn save(vcpu: &'static Vcpu, regs: &GuestRegs) {
    // SAFETY: this CPU has the vCPU loaded, so nobody else touches its saved registers.
    unsafe { *vcpu.saved_regs.get() = *regs };
    vcpu.selectors.set(read_selectors());
    // SAFETY: architectural registers; only the guest's own values are in them.
    unsafe {
        vcpu.fs_base.set(rdmsr(MSR_FS_BASE));
        let (active, other) = (rdmsr(MSR_GS_BASE), rdmsr(MSR_SHADOW_GS_BASE));
        let (kernel, user) = if vcpu.in_kernel() {
            (active, other)
        } else {
            (other, active)
        };
        vcpu.gs_base_kernel.set(kernel);
        vcpu.gs_base_user.set(user);
        fpu::save(vcpu.fpu);
    }
}

fn load_address_space(cpu: &CpuInfo, next: &'static Vcpu) {
    next.domain.memory.set_cpu_dirty(cpu.cpu);
    tlb::guest_enters(cpu.cpu);
    let cr3 = if next.in_kernel() {
        next.kernel_cr3.get()
    } else {
        next.user_cr3.get()
    };
    // SAFETY: a vCPU that may run has a validated root in force, which carries the hypervisor's slots.
    unsafe { control::write_cr3(cr3) };
    if let Some(previous) = cpu.current.get() {
        // Of the same domain too: user pages are mapped global, and it may run another process.
        tlb::flush_local();
        if !core::ptr::eq(previous.domain, next.domain) {
            previous.domain.memory.clear_cpu_dirty(cpu.cpu);
        }
    }
}

fn load(cpu: &CpuInfo, next: &'static Vcpu, regs: &mut GuestRegs) {
    // SAFETY: `loaded` is ours, so nobody else touches the saved registers.
    *regs = unsafe { *next.saved_regs.get() };
    descriptors::load(cpu.cpu, next);
    load_selectors(next.selectors.get());
    let (active, other) = if next.in_kernel() {
        (next.gs_base_kernel.get(), next.gs_base_user.get())
    } else {
        (next.gs_base_user.get(), next.gs_base_kernel.get())
    };
    // SAFETY: the bases were checked canonical when they were stored; the FPU area is the vCPU's own.
    unsafe {
        wrmsr(MSR_FS_BASE, next.fs_base.get());
        wrmsr(MSR_GS_BASE, active);
        wrmsr(MSR_SHADOW_GS_BASE, other);
        fpu::restore(next.fpu);
    }
    if crate::cpuid::policy().has_tsc_aux() {
        // SAFETY: the register holds nothing but a number for the guest's own use.
        unsafe { wrmsr(MSR_TSC_AUX, u64::from(next.tsc_aux.get())) };
    }
    fpu::set_task_switched(next.cr0_ts.get());
    crate::emulate::load_cr4(next);
    crate::hypercall::cpu_state::load_debug_registers(next);
    crate::time::switched_in(next);
}

/// Loads the data selectors; one that faults is loaded as null.
pub fn load_selectors(selectors: [u16; 4]) {
    macro_rules! load {
        ($register:literal, $value:expr) => {
            // SAFETY: loading a data selector changes nothing the hypervisor uses; a fault retries with null.
            unsafe {
                asm!(
                    concat!("2: mov ", $register, ", {value:x}"),
                    ".pushsection .ex_table, \"a\"",
                    ".long 2b - ., 3f - .",
                    ".popsection",
                    ".pushsection .text.fixup, \"ax\"",
                    "3: xor {value:e}, {value:e}",
                    "jmp 2b",
                    ".popsection",
                    value = inout(reg) u32::from($value) => _,
                );
            }
        };
    }
    load!("ds", selectors[0]);
    load!("es", selectors[1]);
    load!("fs", selectors[2]);
    load!("gs", selectors[3]);
}

/// Loads a GS selector for the guest's user mode, as `SEGBASE_GS_USER_SEL` asks: hidden behind SWAPGS.
pub fn load_user_gs_selector(selector: u16) {
    // SAFETY: as in `load_selectors`; SWAPGS around it makes the load act on the base that is not in force.
    unsafe {
        asm!("swapgs", options(nostack, preserves_flags));
        asm!(
            "2: mov gs, {value:x}",
            ".pushsection .ex_table, \"a\"",
            ".long 2b - ., 3f - .",
            ".popsection",
            ".pushsection .text.fixup, \"ax\"",
            "3: xor {value:e}, {value:e}",
            "jmp 2b",
            ".popsection",
            value = inout(reg) u32::from(selector) => _,
        );
        asm!("swapgs", options(nostack, preserves_flags));
    }
}
