//! Small pieces of vCPU state that a guest sets for itself: kernel stack, segment bases, task-switched flag, debug registers.
//!
//! Keeps true: an address is canonical when it is stored (I93); a breakpoint never matches a hypervisor address (I94).

use core::arch::asm;

use xenocryst_abi::Vaddr;
use xenocryst_abi::hypercall::errno::{EINVAL, ENODEV, EPERM, Errno};

use super::{Answer, Call};
use crate::arch::guest_access::{HYPERVISOR_END, HYPERVISOR_START};
use crate::arch::{fpu, msr};
use crate::domain::Vcpu;
use crate::domain::context::{self, MSR_FS_BASE, MSR_GS_BASE, MSR_SHADOW_GS_BASE};

/// `SEGBASE_*`, as wide as the argument.
mod segbase {
    use xenocryst_abi::segment::base;

    pub const FS: u64 = base::FS as u64;
    pub const GS_USER: u64 = base::GS_USER as u64;
    pub const GS_KERNEL: u64 = base::GS_KERNEL as u64;
    pub const GS_USER_SEL: u64 = base::GS_USER_SEL as u64;
}

/// CR4.DE: debugging extensions.
const CR4_DE: u64 = 1 << 3;
/// Bits of DR6 that always read as one.
const DR6_ONES: u64 = 0xffff_0ff0;
/// Bits of DR6 that always read as zero.
const DR6_ZEROS: u64 = 1 << 12;
/// Bits of DR7 that always read as one.
const DR7_ONES: u64 = 1 << 10;
/// Bits of DR7 that always read as zero.
const DR7_ZEROS: u64 = 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15;
/// DR7: general detect.
const DR7_GENERAL_DETECT: u64 = 1 << 13;
/// DR7: the enable bits of the four breakpoints.
const DR7_ACTIVE: u64 = 0xff;

/// `stack_switch(ss, sp)`: where the kernel's stack is on entry from user mode.
pub fn stack_switch(call: &Call) -> Answer {
    let [ss, sp, ..] = call.args;
    call.vcpu.kernel_ss.set((ss & 0xffff) | 3);
    call.vcpu.kernel_sp.set(sp);
    Ok(0)
}

/// `set_segment_base(which, base)`.
pub fn set_segment_base(call: &Call) -> Answer {
    let [which, base, ..] = call.args;
    if which == segbase::GS_USER_SEL {
        context::load_user_gs_selector((base & 0xffff) as u16);
        return Ok(0);
    }
    if !Vaddr::new(base).is_canonical() {
        return Err(EINVAL.into());
    }
    // The caller is in kernel mode, so GS base is the kernel's and the hidden one the user's.
    let register = match which {
        segbase::FS => MSR_FS_BASE,
        segbase::GS_USER => MSR_SHADOW_GS_BASE,
        segbase::GS_KERNEL => MSR_GS_BASE,
        _ => return Err(EINVAL.into()),
    };
    // SAFETY: a canonical address in a register that only the guest's own accesses use.
    unsafe { msr::wrmsr(register, base) };
    Ok(0)
}

/// `fpu_taskswitch(set)`.
pub fn fpu_taskswitch(call: &Call) -> Answer {
    let on = call.args[0] != 0;
    call.vcpu.cr0_ts.set(on);
    fpu::set_task_switched(on);
    Ok(0)
}

/// `set_debugreg(reg, value)`.
pub fn set_debugreg(call: &Call) -> Answer {
    let [register, value, ..] = call.args;
    store_debug_register(call.vcpu, register, value)?;
    load_debug_registers(call.vcpu);
    Ok(0)
}

/// `get_debugreg(reg)`: the value, or `EINVAL`.
pub fn get_debugreg(call: &Call) -> Answer {
    let debug = call.vcpu.debug.get();
    match call.args[0] {
        register @ (0..=3 | 6 | 7) => Ok(debug[register as usize]),
        4 if call.vcpu.cr4.get() & CR4_DE == 0 => Ok(debug[6]),
        5 if call.vcpu.cr4.get() & CR4_DE == 0 => Ok(debug[7]),
        _ => Err(ENODEV.into()),
    }
}

/// Checks and keeps a debug register's value. Also used when a whole context is loaded.
///
/// # Errors
/// `EPERM` for a breakpoint in the hypervisor's range or a privileged bit, `EINVAL` for bits above 32, `ENODEV` for a
/// register there is none of.
pub fn store_debug_register(vcpu: &Vcpu, register: u64, value: u64) -> Result<(), Errno> {
    let mut debug = vcpu.debug.get();
    let aliased = vcpu.cr4.get() & CR4_DE == 0;
    match register {
        0..=3 => {
            // A breakpoint may be masked to cover up to 4 GiB, so keep that far from the hypervisor as well.
            let canonical = Vaddr::new(value).is_canonical();
            if !canonical || (HYPERVISOR_START..HYPERVISOR_END).contains(&value) {
                return Err(EPERM);
            }
            debug[register as usize] = value;
        }
        4 | 5 if !aliased => return Err(ENODEV),
        4 | 6 => {
            if value >> 32 != 0 {
                return Err(EINVAL);
            }
            debug[6] = (value & !DR6_ZEROS) | DR6_ONES;
        }
        5 | 7 => debug[7] = check_dr7(value, aliased)?,
        _ => return Err(ENODEV),
    }
    vcpu.debug.set(debug);
    Ok(())
}

fn check_dr7(value: u64, no_extensions: bool) -> Result<u64, Errno> {
    if value >> 32 != 0 {
        return Err(EINVAL);
    }
    let mut value = (value & !DR7_ZEROS) | DR7_ONES;
    if value & DR7_GENERAL_DETECT != 0 {
        return Err(EPERM);
    }
    if value & DR7_ACTIVE == 0 {
        return Ok(value);
    }
    for breakpoint in 0..4 {
        let is_io = value >> (16 + breakpoint * 4) & 3 == 2;
        if is_io && no_extensions {
            return Err(EPERM);
        }
        if is_io {
            // I/O breakpoints would match the hypervisor's own port accesses.
            value &= !(3 << (breakpoint * 2));
        }
    }
    Ok(value)
}

/// Loads the vCPU's debug registers into the CPU, or switches breakpoints off if it has none active.
pub fn load_debug_registers(vcpu: &Vcpu) {
    let debug = vcpu.debug.get();
    // SAFETY: the addresses were checked not to be the hypervisor's, and DR7 not to have privileged bits, when stored.
    unsafe {
        if debug[7] & DR7_ACTIVE != 0 {
            asm!("mov dr0, {}", in(reg) debug[0], options(nomem, nostack, preserves_flags));
            asm!("mov dr1, {}", in(reg) debug[1], options(nomem, nostack, preserves_flags));
            asm!("mov dr2, {}", in(reg) debug[2], options(nomem, nostack, preserves_flags));
            asm!("mov dr3, {}", in(reg) debug[3], options(nomem, nostack, preserves_flags));
            asm!("mov dr7, {}", in(reg) debug[7], options(nomem, nostack, preserves_flags));
        } else {
            asm!("mov dr7, {}", in(reg) DR7_ONES, options(nomem, nostack, preserves_flags));
        }
    }
}
