//! The two ends: a domain that cannot go on, and a host that cannot.

use core::fmt::Arguments;
use core::sync::atomic::Ordering;

use xenocryst_abi::sched::shutdown;
use xenocryst_abi::trap::vector;

use crate::arch::cpu_block;
use crate::console::{Level, Source, log};
use crate::domain::Domain;
use crate::percpu::{GuestRegs, this_cpu, work};

/// `SHUTDOWN_crash` (`public/sched.h`), plus one as `Domain::shutdown` keeps it.
const CRASHED: u32 = shutdown::CRASH + 1;

/// Stops `domain` and says why, with the registers of the vCPU at fault when it is the one loaded here.
#[cold]
pub fn crash_domain(domain: &'static Domain, reason: Arguments<'_>) {
    // What the tools are told, unless the domain said something else before.
    crate::sched::record_reason(domain, shutdown::CRASH);
    if domain
        .shutdown
        .compare_exchange(0, CRASHED, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
    {
        return;
    }
    log!(
        Source::Hypervisor,
        Level::Error,
        "{}: domain crashed: {}",
        domain.id,
        reason
    );
    let cpu = this_cpu();
    if let Some(vcpu) = cpu.current.get()
        && core::ptr::eq(vcpu.domain, domain)
    {
        log!(
            Source::Hypervisor,
            Level::Error,
            "{}v{} on CPU {}:",
            domain.id,
            vcpu.id,
            cpu.cpu
        );
        show_registers(&cpu.guest);
        show_stack(&cpu.guest);
    }
    cpu.raise(work::SCHEDULE);
    crate::sched::domain_stopped(domain);
}

/// Prints a guest's registers.
pub fn show_registers(regs: &GuestRegs) {
    let print = |text: Arguments<'_>| log!(Source::Hypervisor, Level::Error, "{}", text);
    print(format_args!(
        "RIP {:04x}:{:016x}  RFLAGS {:08x}  vector {:#x} error {:#x}",
        regs.cs, regs.rip, regs.rflags, regs.vector, regs.error_code
    ));
    print(format_args!(
        "RSP {:04x}:{:016x}  CR2 {:016x}",
        regs.ss,
        regs.rsp,
        super::read_cr2()
    ));
    print(format_args!(
        "rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}",
        regs.rax, regs.rbx, regs.rcx, regs.rdx
    ));
    print(format_args!(
        "rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}",
        regs.rsi, regs.rdi, regs.rbp, regs.r8
    ));
    print(format_args!(
        "r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}",
        regs.r9, regs.r10, regs.r11, regs.r12
    ));
    print(format_args!(
        "r13 {:016x} r14 {:016x} r15 {:016x}",
        regs.r13, regs.r14, regs.r15
    ));
}

/// Prints the first words of a guest's stack, as far as they can be read.
pub fn show_stack(regs: &GuestRegs) {
    for line in 0..8_u64 {
        let mut words = [0_u64; 4];
        for (index, word) in words.iter_mut().enumerate() {
            let at = regs.rsp.wrapping_add(line * 32 + index as u64 * 8);
            match crate::arch::guest_access::read_u64(xenocryst_abi::Vaddr::new(at)) {
                Ok(value) => *word = value,
                Err(_) => return,
            }
        }
        log!(
            Source::Hypervisor,
            Level::Error,
            "  {:016x} {:016x} {:016x} {:016x}",
            words[0],
            words[1],
            words[2],
            words[3]
        );
    }
}

/// An exception in the hypervisor that nothing expects: the host stops.
#[cold]
pub fn host_exception(regs: &GuestRegs) -> ! {
    // What was interrupted may hold the console.
    crate::console::enter_emergency();
    show_registers(regs);
    // Otherwise CR2 is what some fault before has left: a guest may have tried that very page.
    if regs.vector == u32::from(vector::DOUBLE_FAULT)
        && let Some(cpu) = cpu_block::cpu_guarded_at(super::read_cr2())
    {
        panic!("CPU {cpu} ran off its stack at {:#x}", regs.rip);
    }
    panic!(
        "exception {} (error code {:#x}) in the hypervisor at {:#x}",
        regs.vector, regs.error_code, regs.rip
    )
}
