//! A vCPU's registers as they are given to and taken from the hypervisor (`public/arch-x86/xen.h`, `xen-x86_64.h`).

use crate::macros::wire;
use crate::trap::TrapInfo;

/// Bits of [`VcpuGuestContext::flags`].
pub mod flag {
    use crate::macros::numbers;
    numbers! { u64;
        /// The FPU part is meaningful.
        I387_VALID = 1 << 0, "VGCF_i387_valid";
        /// The vCPU is in kernel mode.
        IN_KERNEL = 1 << 2, "VGCF_in_kernel";
        /// The failsafe callback starts with events masked.
        FAILSAFE_DISABLES_EVENTS = 1 << 3, "VGCF_failsafe_disables_events";
        /// The syscall callback starts with events masked.
        SYSCALL_DISABLES_EVENTS = 1 << 4, "VGCF_syscall_disables_events";
        /// The vCPU runs.
        ONLINE = 1 << 5, "VGCF_online";
        /// In an [`super::IretContext`]: return with SYSRET, RCX and R11 need not be restored.
        IN_SYSCALL = 1 << 8, "VGCF_in_syscall";
    }
}

wire! {
    /// The general registers (`struct cpu_user_regs`).
    CpuUserRegs {
        /// R15.
        r15: u64,
        /// R14.
        r14: u64,
        /// R13.
        r13: u64,
        /// R12.
        r12: u64,
        /// RBP.
        rbp: u64,
        /// RBX.
        rbx: u64,
        /// R11.
        r11: u64,
        /// R10.
        r10: u64,
        /// R9.
        r9: u64,
        /// R8.
        r8: u64,
        /// RAX.
        rax: u64,
        /// RCX.
        rcx: u64,
        /// RDX.
        rdx: u64,
        /// RSI.
        rsi: u64,
        /// RDI.
        rdi: u64,
        /// Private to the hypervisor.
        error_code: u32,
        /// Private to the hypervisor.
        entry_vector: u32,
        /// RIP.
        rip: u64,
        /// CS.
        cs: u16,
        /// Padding.
        pad0: u16,
        /// The event mask when the registers were saved.
        saved_upcall_mask: u8,
        /// Padding.
        pad1: [u8; 3],
        /// RFLAGS; IF is the inverse of the event mask.
        rflags: u64,
        /// RSP.
        rsp: u64,
        /// SS.
        ss: u16,
        /// Padding.
        pad2: [u16; 3],
        /// ES.
        es: u16,
        /// Padding.
        pad3: [u16; 3],
        /// DS.
        ds: u16,
        /// Padding.
        pad4: [u16; 3],
        /// FS.
        fs: u16,
        /// Padding.
        pad5: [u16; 3],
        /// GS.
        gs: u16,
        /// Padding.
        pad6: [u16; 3],
    }
    /// All a vCPU's state (`struct vcpu_guest_context`): `VCPUOP_initialise` and the tools' get and set.
    VcpuGuestContext {
        /// FXSAVE image.
        fpu_ctxt: [u8; 512],
        /// [`flag`] bits.
        flags: u64,
        /// General registers.
        user_regs: CpuUserRegs,
        /// The virtual IDT.
        trap_ctxt: [TrapInfo; 256],
        /// LDT: linear address.
        ldt_base: u64,
        /// LDT: entries.
        ldt_ents: u64,
        /// GDT: frames.
        gdt_frames: [u64; 16],
        /// GDT: entries.
        gdt_ents: u64,
        /// Kernel stack segment.
        kernel_ss: u64,
        /// Kernel stack pointer.
        kernel_sp: u64,
        /// CR0 to CR7. CR3 holds the kernel's root, CR1 the user's, both as `frame << 12`.
        ctrlreg: [u64; 8],
        /// DR0 to DR7.
        debugreg: [u64; 8],
        /// Event callback.
        event_callback_eip: u64,
        /// Failsafe callback.
        failsafe_callback_eip: u64,
        /// Syscall callback.
        syscall_callback_eip: u64,
        /// Assists that are on ([`crate::assist::kind`]), a bitmap.
        vm_assist: u64,
        /// FS base.
        fs_base: u64,
        /// GS base of kernel mode.
        gs_base_kernel: u64,
        /// GS base of user mode.
        gs_base_user: u64,
    }
    /// What lies on the kernel stack when it calls `iret` (`struct iret_context`).
    IretContext {
        /// RAX, restored always.
        rax: u64,
        /// R11, restored unless [`flag::IN_SYSCALL`].
        r11: u64,
        /// RCX, restored unless [`flag::IN_SYSCALL`].
        rcx: u64,
        /// [`flag::IN_SYSCALL`] or 0.
        flags: u64,
        /// RIP.
        rip: u64,
        /// CS.
        cs: u64,
        /// RFLAGS.
        rflags: u64,
        /// RSP.
        rsp: u64,
        /// SS.
        ss: u64,
    }
}
