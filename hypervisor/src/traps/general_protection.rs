//! General protection faults of a guest: software interrupts, privileged instructions, and real faults.

use super::{bounce, vector};
use crate::arch::guest_access;
use crate::domain::Vcpu;
use crate::emulate::{self, Outcome};
use crate::percpu::GuestRegs;
use xenocryst_abi::Vaddr;

/// Error code bit that says the fault came from a gate of the interrupt table.
const ERROR_IDT: u32 = 2;
/// Error code bit that says the event was external to the program.
const ERROR_EXTERNAL: u32 = 1;

/// Answers a general protection fault.
pub fn from_guest(regs: &mut GuestRegs, vcpu: &'static Vcpu) {
    if regs.error_code & (ERROR_IDT | ERROR_EXTERNAL) == ERROR_IDT && software_interrupt(regs, vcpu)
    {
        return;
    }
    if regs.error_code == 0 {
        match emulate::general_protection(regs, vcpu) {
            Outcome::Done => return,
            Outcome::Inject { vector, error } => return bounce::inject(regs, vcpu, vector, error),
            Outcome::PageFault { address, error } => {
                return bounce::inject_page_fault(regs, vcpu, address, error);
            }
            Outcome::NotOurs => {}
        }
    }
    bounce::inject(
        regs,
        vcpu,
        vector::GENERAL_PROTECTION,
        Some(regs.error_code),
    );
}

/// `INT n`: enters the guest's gate if it has one that its privilege allows.
///
/// The number comes from the instruction (`CD ib`) and not from the error code, which one emulator gets wrong.
fn software_interrupt(regs: &mut GuestRegs, vcpu: &'static Vcpu) -> bool {
    let mut bytes = [0; 2];
    if guest_access::copy_from(&mut bytes, Vaddr::new(regs.rip)).is_err() || bytes[0] != 0xcd {
        return false;
    }
    let handler = vcpu.trap_entry(bytes[1]);
    let privilege = if vcpu.in_kernel() { 0 } else { 3 };
    if handler.address == 0 || (handler.flags & 3) < privilege {
        regs.error_code = u32::from(bytes[1]) << 3 | ERROR_IDT;
        return false;
    }
    regs.rip = regs.rip.wrapping_add(2);
    bounce::inject(regs, vcpu, bytes[1], None);
    true
}
