//! `HYPERVISOR_iret`: the guest's kernel returns to what it interrupted, its own code or its user mode.
//!
//! Keeps true: whatever the guest's frame says, the registers that result are ones a ring 3 program may have: interrupts
//! on, no I/O privilege, selectors at ring 3 (I90); user mode is entered only with a user root table (I92).

use core::sync::atomic::Ordering;

use xenocryst_abi::Vaddr;

use super::vm_assist::ARCHITECTURAL_IOPL;
use crate::arch::guest_access;
use crate::domain::Vcpu;
use crate::percpu::GuestRegs;
use crate::traps::bounce::{IF, IOPL, toggle_mode};

/// `VGCF_in_syscall`: R11 and RCX are not restored.
const VGCF_IN_SYSCALL: u64 = 1 << 8;
/// Flags a guest cannot set: nested task, virtual 8086 mode (and I/O privilege).
const FORBIDDEN: u64 = 1 << 14 | 1 << 17;

/// Performs the return. The frame (`struct iret_context`) stands at the guest's RSP:
/// RAX, R11, RCX, flags, RIP, CS, RFLAGS, RSP, SS.
#[inline(never)]
pub fn iret(regs: &mut GuestRegs, vcpu: &'static Vcpu) {
    let Ok(frame) = guest_access::read_words::<9>(Vaddr::new(regs.rsp)) else {
        vcpu.domain.crash(format_args!(
            "its return frame at {:#x} cannot be read",
            regs.rsp
        ));
        return;
    };
    let [rax, r11, rcx, flags, rip, cs, rflags, rsp, ss] = frame;
    if cs & 3 == 3 {
        if vcpu.user_cr3.get() == 0 {
            vcpu.domain.crash(format_args!(
                "it returns to user mode without a user root table"
            ));
            return;
        }
        toggle_mode(vcpu);
    }
    if vcpu.domain.vm_assist.load(Ordering::Relaxed) & ARCHITECTURAL_IOPL != 0 {
        vcpu.iopl.set((rflags >> 12 & 3) as u8);
    }
    regs.rip = rip;
    regs.cs = (cs & 0xffff) | 3;
    regs.rflags = (rflags & !(IOPL | FORBIDDEN)) | IF | 2;
    regs.rsp = rsp;
    regs.ss = (ss & 0xffff) | 3;
    if flags & VGCF_IN_SYSCALL == 0 {
        regs.r11 = r11;
        regs.rcx = rcx;
    }
    regs.rax = rax;
    vcpu.info
        .upcall_mask()
        .store(u8::from(rflags & IF == 0), Ordering::Relaxed);
}
