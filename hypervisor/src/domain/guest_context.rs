//! Filling a vCPU from the context structure of the ABI: start of day, `VCPUOP_initialise`, the tools' `setvcpucontext`.
//!
//! Keeps true: nothing from the structure reaches the CPU unchecked: selectors and flags are a ring 3 program's, addresses
//! are canonical (I93), roots and descriptor pages are validated and referenced.
//! Neighbours: `hypercall::vcpu_op`, `hypercall::domctl`, `builder`.

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::{EINVAL, EOPNOTSUPP, Errno};
use xenocryst_abi::vcpu_context::{CpuUserRegs, VcpuGuestContext, flag};
use xenocryst_abi::{Mfn, PAGE_SIZE, Vaddr};
use xenocryst_memory::{Budget, Progress, RootRef};
use zerocopy::FromZeros;

use super::{Callback, Vcpu, descriptors};
use crate::arch::guest_access;
use crate::hypercall::{cpu_state, mmuext_op, trap_table, vm_assist};
use crate::mm::machine::engine;
use crate::percpu::GuestRegs;
use crate::traps::bounce::{FLAT_CS64, FLAT_SS, IF, IOPL};

/// CR0: floating point instructions fault.
const CR0_TS: u64 = 1 << 3;
/// Flags a guest cannot have: nested task, virtual 8086 mode.
const FORBIDDEN: u64 = 1 << 14 | 1 << 17;

/// Loads `context` into `vcpu`, which must not be running. A vCPU that was initialised before keeps its address spaces and
/// descriptor tables, which the context must agree with. Preempted, nothing that counts has changed; the same call carries on.
///
/// # Errors
/// `EINVAL` for an address, root or descriptor page that may not be; `EOPNOTSUPP` for other tables than it has.
pub fn load(
    vcpu: &'static Vcpu,
    context: &VcpuGuestContext,
    budget: &mut Budget,
) -> Result<Progress<()>, Errno> {
    check_addresses(context)?;
    let again = vcpu.kernel_cr3.get() != 0;
    if again && !has_same_tables(vcpu, context) {
        return Err(EOPNOTSUPP);
    }
    for (vector, trap) in context.trap_ctxt.iter().enumerate() {
        trap_table::store_trap(vcpu, vector as u8, trap.flags, trap.address)?;
    }
    for register in [0, 1, 2, 3, 6, 7] {
        cpu_state::store_debug_register(vcpu, register, context.debugreg[register as usize])?;
    }
    if !again {
        let entries = usize::try_from(context.gdt_ents).map_err(|_| EINVAL)?;
        descriptors::set_gdt(vcpu, &context.gdt_frames[..14], entries)?;
        if vcpu.id == 0 {
            let wanted = context.vm_assist & vm_assist::KNOWN;
            vcpu.domain.vm_assist.fetch_or(wanted, Ordering::AcqRel);
            vm_assist::changed(vcpu.domain);
        }
        if load_roots(vcpu, context, budget)? == Progress::Preempted {
            return Ok(Progress::Preempted);
        }
        vcpu.ldt_base.set(context.ldt_base);
        vcpu.ldt_entries.set(context.ldt_ents as u32);
    }
    load_registers(vcpu, context);
    if vcpu.id == 0 {
        // Builders clear the shared page, or fill it with what was saved on another host.
        crate::time::show_wall_clock(vcpu.domain);
    }
    Ok(Progress::Done(()))
}

/// Whether `context` names the roots and descriptor tables that `vcpu` has.
fn has_same_tables(vcpu: &Vcpu, context: &VcpuGuestContext) -> bool {
    let frame = |cr3: u64| Mfn::new(cr3 / PAGE_SIZE).maddr().raw();
    let gdt = descriptors::gdt_frames(vcpu);
    frame(context.ctrlreg[3]) == vcpu.kernel_cr3.get()
        && frame(context.ctrlreg[1]) == vcpu.user_cr3.get()
        && context.gdt_ents == u64::from(vcpu.gdt_entries.get())
        && gdt
            .iter()
            .zip(&context.gdt_frames)
            .all(|(now, given)| now == given)
        && context.ldt_ents == u64::from(vcpu.ldt_entries.get())
        && (context.ldt_ents == 0 || context.ldt_base == vcpu.ldt_base.get())
}

fn check_addresses(context: &VcpuGuestContext) -> Result<(), Errno> {
    let addresses = [
        context.event_callback_eip,
        context.failsafe_callback_eip,
        context.syscall_callback_eip,
        context.fs_base,
        context.gs_base_kernel,
        context.gs_base_user,
        context.user_regs.rip,
        context.user_regs.rsp,
        context.kernel_sp,
    ];
    let ldt_ok = context.ldt_ents <= 8192
        && context.ldt_base.is_multiple_of(PAGE_SIZE)
        && guest_access::is_guest_address(Vaddr::new(context.ldt_base));
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
fn load_roots(
    vcpu: &'static Vcpu,
    context: &VcpuGuestContext,
    budget: &mut Budget,
) -> Result<Progress<()>, Errno> {
    let wanted = |cr3: u64| Mfn::new(cr3 / PAGE_SIZE);
    let in_kernel = context.flags & flag::IN_KERNEL != 0;
    if !in_kernel && context.ctrlreg[1] == 0 {
        return Err(EINVAL);
    }
    // What was had before a preemption is kept, so that each call gets further.
    let mut roots = vcpu.roots.lock();
    let kernel = take_root(
        vcpu,
        &mut roots.kernel,
        Some(wanted(context.ctrlreg[3])),
        budget,
    )?;
    let user = (context.ctrlreg[1] != 0).then(|| wanted(context.ctrlreg[1]));
    let user = take_root(vcpu, &mut roots.user, user, budget)?;
    let (Progress::Done(kernel), Progress::Done(user)) = (kernel, user) else {
        return Ok(Progress::Preempted);
    };
    vcpu.user_cr3.set(user);
    if let Some(root) = &roots.user {
        mmuext_op::hide_m2p(vcpu.domain, root);
    }
    if let Some(root) = &roots.kernel {
        mmuext_op::show_m2p(vcpu.domain, root);
    }
    vcpu.kernel_cr3.set(kernel);
    Ok(Progress::Done(()))
}

/// Makes `slot` hold a reference on the root `wanted`, or none. Answers the root's address, 0 for none.
fn take_root(
    vcpu: &Vcpu,
    slot: &mut Option<RootRef>,
    wanted: Option<Mfn>,
    budget: &mut Budget,
) -> Result<Progress<u64>, Errno> {
    let memory = &vcpu.domain.memory;
    if slot.as_ref().map(RootRef::mfn) != wanted
        && let Some(other) = slot.take()
    {
        engine().put_root(memory, other, budget);
    }
    let Some(frame) = wanted else {
        return Ok(Progress::Done(0));
    };
    if slot.is_none() {
        match engine().get_root(memory, frame, budget) {
            Ok(Progress::Done(root)) => *slot = Some(root),
            Ok(Progress::Preempted) => return Ok(Progress::Preempted),
            Err(_) => return Err(EINVAL),
        }
    }
    Ok(Progress::Done(frame.maddr().raw()))
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
    vcpu.cr0_ts.set(context.ctrlreg[0] & CR0_TS != 0);
    vcpu.cr4
        .set(crate::emulate::allowed_cr4(vcpu, context.ctrlreg[4]));
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
pub fn mask_mxcsr(vcpu: &Vcpu) {
    // SAFETY: inside the vCPU's own area (MXCSR at byte 24, XSAVE header from byte 512).
    unsafe {
        let mxcsr = vcpu.fpu.add(24).cast::<u32>();
        mxcsr.write(mxcsr.read() & 0xffbf);
        // XSTATE_BV: the x87 and SSE parts are meaningful.
        let used = vcpu.fpu.add(512).cast::<u64>();
        used.write(used.read() | 3);
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

/// A context of zeros.
pub fn empty() -> VcpuGuestContext {
    VcpuGuestContext::new_zeroed()
}

/// Writes the state of `vcpu`, which is loaded nowhere, to `context`, which is all zero: what [`load`] makes the same state of.
pub fn store(vcpu: &'static Vcpu, context: &mut VcpuGuestContext) {
    // SAFETY: the area is the vCPU's own, of 4096 bytes, and the vCPU is not loaded anywhere.
    let fpu = unsafe { core::slice::from_raw_parts(vcpu.fpu, context.fpu_ctxt.len()) };
    context.fpu_ctxt.copy_from_slice(fpu);
    context.flags = flags(vcpu);
    for (vector, trap) in context.trap_ctxt.iter_mut().enumerate() {
        let entry = vcpu.trap_entry(vector as u8);
        (trap.vector, trap.flags) = (vector as u8, entry.flags);
        (trap.cs, trap.address) = (FLAT_CS64 as u16, entry.address);
    }
    context.ldt_ents = u64::from(vcpu.ldt_entries.get());
    context.ldt_base = if context.ldt_ents == 0 {
        0
    } else {
        vcpu.ldt_base.get()
    };
    let gdt = descriptors::gdt_frames(vcpu);
    context.gdt_frames[..gdt.len()].copy_from_slice(&gdt);
    context.gdt_ents = u64::from(vcpu.gdt_entries.get());
    (context.kernel_ss, context.kernel_sp) = (vcpu.kernel_ss.get(), vcpu.kernel_sp.get());
    context.ctrlreg = control_registers(vcpu);
    context.debugreg = vcpu.debug.get();
    context.event_callback_eip = vcpu.event_callback.get().address;
    context.failsafe_callback_eip = vcpu.failsafe_callback.get().address;
    context.syscall_callback_eip = vcpu.syscall.get().address;
    context.vm_assist = vcpu.domain.vm_assist.load(Ordering::Acquire);
    context.fs_base = vcpu.fs_base.get();
    context.gs_base_kernel = vcpu.gs_base_kernel.get();
    context.gs_base_user = vcpu.gs_base_user.get();
    // SAFETY: the vCPU is not loaded anywhere, so nobody else touches its saved registers.
    let regs = unsafe { *vcpu.saved_regs.get() };
    context.user_regs = user_registers(vcpu, &regs);
}

fn flags(vcpu: &Vcpu) -> u64 {
    let mut flags = flag::I387_VALID;
    let mut set = |condition: bool, bit: u64| {
        if condition {
            flags |= bit;
        }
    };
    set(vcpu.in_kernel(), flag::IN_KERNEL);
    set(crate::sched::is_up(vcpu), flag::ONLINE);
    let (failsafe, syscall) = (vcpu.failsafe_callback.get(), vcpu.syscall.get());
    set(failsafe.mask_events, flag::FAILSAFE_DISABLES_EVENTS);
    set(syscall.mask_events, flag::SYSCALL_DISABLES_EVENTS);
    flags
}

fn control_registers(vcpu: &Vcpu) -> [u64; 8] {
    let mut registers = [0; 8];
    let shown = |number| crate::emulate::read_cr(vcpu, number).unwrap_or(0);
    (registers[0], registers[2], registers[4]) = (shown(0), shown(2), shown(4));
    // As page frame numbers, shifted like addresses.
    (registers[1], registers[3]) = (vcpu.user_cr3.get(), vcpu.kernel_cr3.get());
    registers
}

fn user_registers(vcpu: &Vcpu, regs: &GuestRegs) -> CpuUserRegs {
    let [ds, es, fs, gs] = vcpu.selectors.get();
    CpuUserRegs {
        r15: regs.r15,
        r14: regs.r14,
        r13: regs.r13,
        r12: regs.r12,
        rbp: regs.rbp,
        rbx: regs.rbx,
        r11: regs.r11,
        r10: regs.r10,
        r9: regs.r9,
        r8: regs.r8,
        rax: regs.rax,
        rcx: regs.rcx,
        rdx: regs.rdx,
        rsi: regs.rsi,
        rdi: regs.rdi,
        rip: regs.rip,
        cs: regs.cs as u16,
        rflags: regs.rflags & !IOPL | u64::from(vcpu.iopl.get()) << 12,
        rsp: regs.rsp,
        ss: regs.ss as u16,
        es,
        ds,
        fs,
        gs,
        ..CpuUserRegs::new_zeroed()
    }
}
