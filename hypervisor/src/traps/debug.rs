//! Debug exceptions: single steps and hardware breakpoints that a guest asked for.

use core::arch::asm;

use super::{bounce, vector};
use crate::domain::Vcpu;
use crate::percpu::GuestRegs;

/// Status bits of DR6 that hardware sets: B0 to B3, BD, BS, BT.
const DR6_STATUS: u64 = 0xe00f;

/// Passes a debug exception on, with the guest's view of DR6 brought up to date.
pub fn from_guest(regs: &mut GuestRegs, vcpu: &'static Vcpu) {
    let status: u64;
    // SAFETY: reads and resets the debug status; only status bits are involved.
    unsafe {
        asm!("mov {}, dr6", out(reg) status, options(nomem, nostack, preserves_flags));
        asm!("mov dr6, {}", in(reg) 0xffff_0ff0_u64, options(nomem, nostack, preserves_flags));
    }
    let mut debug = vcpu.debug.get();
    debug[6] |= status & DR6_STATUS;
    vcpu.debug.set(debug);
    bounce::inject(regs, vcpu, vector::DEBUG, None);
}
