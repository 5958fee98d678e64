//! Everything that enters the hypervisor: faults, interrupts and system calls, and the way back to a guest.
//!
//! Keeps true: a guest's fault is answered to the guest, whatever it is; only a fault of the hypervisor itself that the
//! exception table does not expect stops the host. A guest is entered only through [`exit_to_guest`].
//! Neighbours: `arch::entry` (the assembly that calls in), [`bounce`] (frames on the guest's stack), `emulate`,
//! `hypercall`, `sched`.

pub mod bounce;
pub mod crash;
mod debug;
mod exit;
mod general_protection;
mod page_fault;

use core::arch::asm;

use crate::arch::{entry, extable, guest_access};
use crate::domain::Vcpu;
use crate::percpu::{GuestRegs, current};

pub use exit::exit_to_guest;
pub use xenocryst_abi::trap::vector;

/// A vector arrived while a guest ran; its registers are in the frame.
pub extern "C" fn from_guest(regs: &mut GuestRegs) {
    guest_access::next_request();
    let vcpu = current();
    if regs.vector == u32::from(vector::PAGE_FAULT) {
        return page_fault::from_guest(regs, vcpu);
    }
    from_guest_other(regs, vcpu);
}

/// Everything but page faults, which dominate.
#[inline(never)]
fn from_guest_other(regs: &mut GuestRegs, vcpu: &'static Vcpu) {
    match regs.vector {
        13 => general_protection::from_guest(regs, vcpu),
        number @ 0x20.. => crate::irq::handle(number as u8),
        6 => invalid_opcode(regs, vcpu),
        7 => no_device(regs, vcpu),
        1 => debug::from_guest(regs, vcpu),
        2 => crate::arch::smp::on_nmi(),
        8 | 18 => crash::host_exception(regs),
        10..=12 | 17 => bounce::inject(regs, vcpu, regs.vector as u8, Some(regs.error_code)),
        number => bounce::inject(regs, vcpu, number as u8, None),
    }
}

/// A vector arrived while the hypervisor ran: an interrupt in the idle loop or between two pieces of a long operation, or a
/// fault.
pub extern "C" fn from_hypervisor(regs: &mut GuestRegs) {
    if regs.vector >= 0x20 {
        crate::irq::handle(regs.vector as u8);
        return;
    }
    if regs.vector == u32::from(vector::NMI) {
        crate::arch::smp::on_nmi();
        return;
    }
    if regs.rip == core::ptr::addr_of!(entry::guest_iret) as u64 {
        bounce::failed_entry(regs);
    }
    if regs.vector == u32::from(vector::DEBUG) {
        // A breakpoint or a pending trap carried over an entry (XSA-260): survivable, nothing to report.
        regs.rflags &= !(1 << 8);
        return;
    }
    match extable::fixup(regs.rip) {
        Some(rip) => regs.rip = rip,
        None => crash::host_exception(regs),
    }
}

/// A SYSCALL: a hypercall from the guest's kernel, a system call from its user mode.
pub extern "C" fn syscall_from_guest(regs: &mut GuestRegs) {
    let vcpu = current();
    if vcpu.in_kernel() {
        if regs.vector == entry::VECTOR_SYSCALL {
            crate::hypercall::dispatch(regs, vcpu);
        } else {
            bounce::inject(regs, vcpu, vector::GENERAL_PROTECTION, Some(0));
        }
        return;
    }
    let (callback, width) = match regs.vector {
        entry::VECTOR_SYSCALL => (vcpu.syscall.get(), 2),
        _ => (vcpu.syscall32.get(), 2),
    };
    if callback.address == 0 {
        regs.rip = regs.rip.wrapping_sub(width);
        bounce::inject(regs, vcpu, vector::GENERAL_PROTECTION, Some(0));
        return;
    }
    bounce::enter_kernel(
        regs,
        vcpu,
        &bounce::Entry {
            address: callback.address,
            error: None,
            mask_events: callback.mask_events,
        },
    );
}

/// The short way of a system call found that the kernel's stack cannot be written. The vCPU is in kernel mode already.
pub extern "C" fn syscall_stack_fault(regs: &mut GuestRegs) {
    let vcpu = current();
    let stack = vcpu.kernel_sp.get();
    vcpu.domain.crash(format_args!(
        "its kernel stack at {stack:#x} cannot take a system call (from {:#x})",
        regs.rip
    ));
}

fn invalid_opcode(regs: &mut GuestRegs, vcpu: &'static Vcpu) {
    use crate::emulate::Outcome;
    match crate::emulate::invalid_opcode(regs, vcpu) {
        Outcome::Done => {}
        Outcome::Inject { vector, error } => bounce::inject(regs, vcpu, vector, error),
        Outcome::PageFault { address, error } => {
            bounce::inject_page_fault(regs, vcpu, address, error)
        }
        Outcome::NotOurs => bounce::inject(regs, vcpu, vector::INVALID_OPCODE, None),
    }
}

fn no_device(regs: &mut GuestRegs, vcpu: &'static Vcpu) {
    // The FPU is never lazy here: the trap can only come from the guest's own CR0.TS, which hardware mirrors.
    vcpu.cr0_ts.set(false);
    // SAFETY: clears CR0.TS, which only guards the guest's own floating point state.
    unsafe { asm!("clts", options(nomem, nostack)) };
    bounce::inject(regs, vcpu, vector::DEVICE_NOT_AVAILABLE, None);
}

/// The faulting address of the last page fault on this CPU.
#[inline(always)]
pub fn read_cr2() -> u64 {
    let value: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}
