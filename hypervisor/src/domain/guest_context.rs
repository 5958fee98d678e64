//! Filling a vCPU from the context structure of the ABI: start of day, `VCPUOP_initialise`, the tools' `setvcpucontext`.
//!
//! Keeps true: nothing from the structure reaches the CPU unchecked: selectors and flags are a ring 3 program's, addresses
//! are canonical (I93), roots and descriptor pages are validated and referenced.
//! Neighbours: `hypercall::vcpu_op`, `builder`.

use xenocryst_abi::hypercall::errno::{EBUSY, EINVAL, Errno};
use xenocryst_abi::vcpu_context::{CpuUserRegs, VcpuGuestContext, flag};
use xenocryst_abi::{Mfn, PAGE_SIZE, Vaddr};
use xenocryst_memory::{Budget, Progress, RootRef};

use super::{Callback, Vcpu, descriptors};
use crate::hypercall::{cpu_state, trap_table};
use crate::mm::machine::engine;
use crate::percpu::GuestRegs;
use crate::traps::bounce::{FLAT_CS64, FLAT_SS, IF, IOPL};

/// Flags a guest cannot have: nested task, virtual 8086 mode.
const FORBIDDEN: u64 = 1 << 14 | 1 << 17;

/// Loads `context` into `vcpu`, which must not be running.
///
/// # Errors
/// `EINVAL` for an address, root or descriptor page that may not be; `EBUSY` if the vCPU was initialised before.
pub fn load(vcpu: &'static Vcpu, context: &VcpuGuestContext) -> Result<(), Errno> {
    if vcpu.kernel_cr3.get() != 0 {
        return Err(EBUSY);
    }
    check_addresses(context)?;
    for (vector, trap) in context.trap_ctxt.iter().enumerate() {
        trap_table::store_trap(vcpu, vector as u8, trap.flags, trap.address)?;
    }
    for register in [0, 1, 2, 3, 6, 7] {
        cpu_state::store_debug_register(vcpu, register, context.debugreg[register as usize])?;
    }
    descriptors::set_gdt(
        vcpu,
        &context.gdt_frames[..14],
        usize::try_from(context.gdt_ents).map_err(|_| EINVAL)?,
    )?;
    load_roots(vcpu, context)?;
    load_registers(vcpu, context);
    Ok(())
}

fn check_addresses(context: &VcpuGuestContext) -> Result<(), Errno> {
    let addresses = [
        context.event_callback_eip,
        context.failsafe_callback_eip,
        context.syscall_callback_eip,
        context.fs_base,
        context.gs_base_kernel,
        context.gs_base_user,
        context.ldt_base,
    ];
    let ldt_ok = context.ldt_ents <= 8192 && context.ldt_base.is_multiple_of(PAGE_SIZE);
    let canonical = addresses
        .iter()
        .all(|address| Vaddr::new(*address).is_canonical());
    if canonical && ldt_ok {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// Takes the kernel's root from CR3 and the user mode's, if any, from CR1.
fn load_roots(vcpu: &'static Vcpu, context: &VcpuGuestContext) -> Result<(), Errno> {
    let kernel = root(vcpu, context.ctrlreg[3])?;
    let user = match context.ctrlreg[1] {
        0 => None,
        user => match root(vcpu, user) {
            Ok(user) => Some(user),
            Err(errno) => {
                engine().put_root(&vcpu.domain.memory, kernel, &mut Budget::unlimited());
                return Err(errno);
            }
        },
    };
    vcpu.kernel_cr3.set(kernel.mfn().maddr().raw());
    vcpu.user_cr3
        .set(user.as_ref().map_or(0, |user| user.mfn().maddr().raw()));
    let mut roots = vcpu.roots.lock();
    roots.kernel = Some(kernel);
    roots.user = user;
    Ok(())
}

fn root(vcpu: &Vcpu, cr3: u64) -> Result<RootRef, Errno> {
    // A root that a running vCPU brings up another with is pinned as a rule, so this is one step.
    let mut budget = Budget::unlimited();
    match engine().get_root(&vcpu.domain.memory, Mfn::new(cr3 / PAGE_SIZE), &mut budget) {
        Ok(Progress::Done(root)) => Ok(root),
        Ok(Progress::Preempted) | Err(_) => Err(EINVAL),
    }
}

fn load_registers(vcpu: &'static Vcpu, context: &VcpuGuestContext) {
    let in_kernel = context.flags & flag::IN_KERNEL != 0 || vcpu.user_cr3.get() == 0;
    vcpu.kernel_mode.set(u64::from(in_kernel));
    vcpu.kernel_ss.set((context.kernel_ss & 0xffff) | 3);
    vcpu.kernel_sp.set(context.kernel_sp);
    let callback = |address, masks: u64| Callback {
        address,
        mask_events: context.flags & masks != 0,
    };
    vcpu.event_callback
        .set(callback(context.event_callback_eip, 0));
    vcpu.failsafe_callback.set(callback(
        context.failsafe_callback_eip,
        flag::FAILSAFE_DISABLES_EVENTS,
    ));
    vcpu.set_syscall(callback(
        context.syscall_callback_eip,
        flag::SYSCALL_DISABLES_EVENTS,
    ));
    vcpu.fs_base.set(context.fs_base);
    vcpu.gs_base_kernel.set(context.gs_base_kernel);
    vcpu.gs_base_user.set(context.gs_base_user);
    vcpu.ldt_base.set(context.ldt_base);
    vcpu.ldt_entries.set(context.ldt_ents as u32);
    let user = &context.user_regs;
    vcpu.iopl.set((user.rflags >> 12 & 3) as u8);
    vcpu.selectors.set([user.ds, user.es, user.fs, user.gs]);
    if context.flags & flag::I387_VALID != 0 {
        // SAFETY: the area is the vCPU's own, 4096 bytes, and the vCPU is not loaded anywhere.
        unsafe {
            core::ptr::copy_nonoverlapping(
                context.fpu_ctxt.as_ptr(),
                vcpu.fpu,
                context.fpu_ctxt.len(),
            )
        };
        mask_mxcsr(vcpu);
    }
    // SAFETY: the vCPU is not running, so nobody else touches its saved registers.
    unsafe { *vcpu.saved_regs.get() = registers(user) };
}

/// Clears MXCSR bits that would make FXRSTOR fault.
fn mask_mxcsr(vcpu: &Vcpu) {
    // SAFETY: inside the vCPU's own area (MXCSR at byte 24, XSAVE header from byte 512).
    unsafe {
        let mxcsr = vcpu.fpu.add(24).cast::<u32>();
        mxcsr.write(mxcsr.read() & 0xffbf);
        // XSTATE_BV: the x87 and SSE parts are meaningful.
        vcpu.fpu.add(512).cast::<u64>().write(3);
    }
}

/// The registers as a ring 3 program may have them.
fn registers(user: &CpuUserRegs) -> GuestRegs {
    let selector = |given: u16, flat: u64| {
        if given & !3 == 0 {
            flat
        } else {
            u64::from(given | 3)
        }
    };
    GuestRegs {
        r15: user.r15,
        r14: user.r14,
        r13: user.r13,
        r12: user.r12,
        rbp: user.rbp,
        rbx: user.rbx,
        r11: user.r11,
        r10: user.r10,
        r9: user.r9,
        r8: user.r8,
        rax: user.rax,
        rcx: user.rcx,
        rdx: user.rdx,
        rsi: user.rsi,
        rdi: user.rdi,
        error_code: 0,
        vector: 0,
        rip: user.rip,
        cs: selector(user.cs, FLAT_CS64),
        rflags: (user.rflags & !(IOPL | FORBIDDEN)) | IF | 2,
        rsp: user.rsp,
        ss: selector(user.ss, FLAT_SS),
    }
}
