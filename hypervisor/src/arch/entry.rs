//! The ways into the hypervisor and back out: one stub a vector, one SYSCALL stub a CPU, and the return.
//!
//! Keeps true: from a guest, the stack below [`CpuInfo::guest`](crate::percpu::CpuInfo) holds all of the guest's registers
//! before any Rust runs; from the hypervisor itself only interrupts in the idle loop and where long operations look for them
//! (`percpu::must_pause`), and faults with an entry in the exception table, are ever expected. Interrupts are off but there.
//! Neighbours: `arch::gdt` (where the stubs are installed), `traps` (who they call), `percpu` (the layout).

use core::arch::global_asm;
use core::sync::atomic::AtomicU64;

use crate::domain::Vcpu;
use crate::percpu::{CPU_INFO_SIZE, CpuInfo, GuestRegs, MAX_CPUS, STACK_SIZE};
use crate::traps::bounce::IOPL;

/// Bytes between two vectors' stubs.
pub const VECTOR_STUB_SIZE: usize = 16;
/// Bytes between two CPUs' SYSCALL stubs.
pub const SYSCALL_STUB_SIZE: usize = 64;
/// Entry vector recorded for SYSCALL (no hardware vector has it).
pub const VECTOR_SYSCALL: u32 = 0x100;
/// Entry vector recorded for SYSCALL from compatibility mode.
pub const VECTOR_SYSCALL32: u32 = 0x101;

/// What a CPU's SYSCALL stub needs before it has a stack: a place for the guest's RSP, and its own.
#[repr(C)]
pub struct SyscallScratch {
    /// The guest's RSP between the stub's first and fourth instruction.
    pub guest_rsp: AtomicU64,
    /// The end of the CPU's guest register frame.
    pub stack: AtomicU64,
}

/// One scratch area a CPU, by CPU number. The assembly addresses it by name.
#[unsafe(no_mangle)]
pub static SYSCALL_SCRATCH: [SyscallScratch; MAX_CPUS] = [const {
    SyscallScratch {
        guest_rsp: AtomicU64::new(0),
        stack: AtomicU64::new(0),
    }
}; MAX_CPUS];

unsafe extern "C" {
    /// 256 stubs, [`VECTOR_STUB_SIZE`] apart.
    pub safe static vector_stubs: u8;
    /// One stub a CPU for 64-bit SYSCALL, [`SYSCALL_STUB_SIZE`] apart.
    pub safe static syscall_stubs: u8;
    /// One stub a CPU for SYSCALL from compatibility mode.
    pub safe static syscall32_stubs: u8;
    /// The IRET that enters a guest: a fault there is the guest's doing.
    pub safe static guest_iret: u8;
    /// Enters the guest whose registers stand in the current CPU's frame.
    pub fn enter_guest() -> !;
}

global_asm!(
    r#"
    .macro PUSH_GPRS
        push rdi
        push rsi
        push rdx
        push rcx
        push rax
        push r8
        push r9
        push r10
        push r11
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
    .endm
    .macro POP_GPRS
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        pop r11
        pop r10
        pop r9
        pop r8
        pop rax
        pop rcx
        pop rdx
        pop rsi
        pop rdi
    .endm

    .section .text.entry, "ax"
    .balign 16
    .global vector_stubs
vector_stubs:
    .set vector, 0
    .rept 256
        .balign 16
        .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
        .else
            push 0
        .endif
        mov dword ptr [rsp + 4], vector
        .if (vector == 1) || (vector == 2) || (vector == 8) || (vector == 18)
            jmp special_entry
        .else
            jmp vector_entry
        .endif
        .set vector, vector + 1
    .endr

    .balign 16
vector_entry:
    cld
    PUSH_GPRS
    mov rdi, rsp
    sub rsp, 8
    test byte ptr [rdi + {cs}], 3
    jz 2f
    call {from_guest}
return_to_guest:
    lea rdi, [rsp + 8]
    call {exit_to_guest}
    add rsp, 8
    POP_GPRS
    add rsp, 8
    .global guest_iret
guest_iret:
    iretq

    .global enter_guest
enter_guest:
    mov rax, rsp
    or rax, {stack_mask}
    lea rsp, [rax + 1 - {info_size}]
    jmp return_to_guest

2:  call {from_hypervisor}
    add rsp, 8
    POP_GPRS
    add rsp, 8
    iretq

    /* Vectors with a stack of their own. From a guest, move the frame to where every other entry has it. */
    .balign 16
special_entry:
    cld
    PUSH_GPRS
    test byte ptr [rsp + {cs}], 3
    jz 3f
    mov rsi, rsp
    mov rax, rsp
    or rax, {stack_mask}
    lea rdi, [rax + 1 - {info_size} + 8]
    mov rsp, rdi
    mov ecx, {regs_words}
    rep movsq
    mov rdi, rsp
    sub rsp, 8
    call {from_guest}
    jmp return_to_guest
3:  mov rdi, rsp
    sub rsp, 8
    and rsp, -16
    mov rbx, rdi
    call {from_hypervisor}
    mov rsp, rbx
    POP_GPRS
    add rsp, 8
    iretq

    .balign 64
    .global syscall_stubs
syscall_stubs:
    .set cpu, 0
    .rept {cpus}
        .balign 64
        mov [rip + SYSCALL_SCRATCH + cpu * 16], rsp
        mov rsp, [rip + SYSCALL_SCRATCH + cpu * 16 + 8]
        push 0xe02b
        push qword ptr [rip + SYSCALL_SCRATCH + cpu * 16]
        push r11
        push 0xe033
        jmp syscall_entry
        .set cpu, cpu + 1
    .endr

    .balign 64
    .global syscall32_stubs
syscall32_stubs:
    .set cpu, 0
    .rept {cpus}
        .balign 64
        mov [rip + SYSCALL_SCRATCH + cpu * 16], rsp
        mov rsp, [rip + SYSCALL_SCRATCH + cpu * 16 + 8]
        push 0xe02b
        push qword ptr [rip + SYSCALL_SCRATCH + cpu * 16]
        push r11
        push 0xe023
        push rcx
        push 0
        mov dword ptr [rsp + 4], {vector_syscall32}
        jmp syscall_common
        .set cpu, cpu + 1
    .endr

    /* A 64-bit SYSCALL. The two cases that dominate, a system call of the guest's user mode and the return from one,
       take short ways that touch only RAX, RCX, RDX, RSI and RDI; both decide before they change anything, and leave
       every doubt to the ordinary way. */
    .balign 16
syscall_entry:
    push rcx
    push 0
    mov dword ptr [rsp + 4], {vector_syscall}
    push rdi
    push rsi
    push rdx
    push rcx
    push rax
    mov rdi, [rsp + {current} - 80]
    mov rsi, [rdi + {v_kernel_mode}]
    test rsi, rsi
    jnz 4f

    /* From user mode: enter the guest's kernel. */
    mov rax, [rdi + {v_fast_syscall}]
    test rax, rax
    jz 9f
    mov rdx, [rdi + {v_info}]
    cmp byte ptr [rdx + 1], 0
    jne 9f
    mov rsi, [rdi + {v_kernel_sp}]
    and rsi, -16
    sub rsi, 56
    mov rcx, [rip + fast_range_base]
    add rcx, rsi
    cmp rcx, [rip + fast_range_size]
    jb 9f
    mov byte ptr [rdx + 1], 1
    mov qword ptr [rdi + {v_kernel_mode}], 1
    mov rdx, [rdi + {v_kernel_cr3}]
    swapgs
    mov cr3, rdx
    mov rcx, [rsp + {rip} - 80]
    mov rdx, [rsp + {rsp_} - 80]
20: mov [rsi], rcx
21: mov [rsi + 8], r11
22: mov [rsi + 16], rcx
23: mov qword ptr [rsi + 24], 0xe033
24: mov [rsi + 32], r11
25: mov [rsi + 40], rdx
26: mov qword ptr [rsi + 48], 0xe02b
    and r11d, {flags_kept}
    mov rcx, rax
    mov rdi, rsi
    pop rax
    add rsp, 8
    pop rdx
    pop rsi
    mov [rsp + 8], rdi
    pop rdi
    mov rsp, [rsp]
    sysretq

    /* From the guest's kernel: the return hypercall, to where events are on and none waits. */
4:  cmp rax, {iret_number}
    jne 9f
    cmp qword ptr [rdi + {v_fast_syscall}], 0
    je 9f
    mov rsi, [rsp + {rsp_} - 80]
    mov rcx, [rip + fast_range_base]
    add rcx, rsi
    cmp rcx, [rip + fast_range_size]
    jb 9f
40: mov rdx, [rsi + 48]
    test edx, 0x200
    jz 9f
41: test dword ptr [rsi + 24], 0x100
    jnz 9f
    mov rax, [rdi + {v_info}]
    cmp byte ptr [rax], 0
    jne 9f
    and edx, {flags_returned}
    or edx, 2
42: movzx ecx, word ptr [rsi + 40]
    mov r11d, ecx
    or ecx, 3
    cmp dword ptr [rsp + {work} - 80], 0
    jne 9f
    test r11d, 3
    jz 5f
    cmp qword ptr [rdi + {v_user_cr3}], 0
    je 9f
    mov [rsp + {rflags} - 80], rdx
    mov [rsp + {cs} - 80], rcx
44: mov rdx, [rsi + 32]
    mov [rsp + {rip} - 80], rdx
45: movzx edx, word ptr [rsi + 64]
    or edx, 3
    mov [rsp + {ss} - 80], rdx
46: mov rdx, [rsi]
47: mov r11, [rsi + 8]
48: mov rcx, [rsi + 16]
49: mov rsi, [rsi + 56]
    mov [rsp + {rsp_} - 80], rsi
    mov byte ptr [rax + 1], 0
    mov qword ptr [rdi + {v_kernel_mode}], 0
    mov rsi, [rdi + {v_user_cr3}]
    swapgs
    mov cr3, rsi
    mov rax, rdx
    add rsp, 16
    pop rdx
    pop rsi
    pop rdi
    add rsp, 8
    jmp guest_iret

5:  mov [rsp + {rflags} - 80], rdx
    mov [rsp + {cs} - 80], rcx
54: mov rdx, [rsi + 32]
    mov [rsp + {rip} - 80], rdx
55: movzx edx, word ptr [rsi + 64]
    or edx, 3
    mov [rsp + {ss} - 80], rdx
56: mov rdx, [rsi]
57: mov r11, [rsi + 8]
58: mov rcx, [rsi + 16]
59: mov rsi, [rsi + 56]
    mov [rsp + {rsp_} - 80], rsi
    mov byte ptr [rax + 1], 0
    mov rax, rdx
    add rsp, 16
    pop rdx
    pop rsi
    pop rdi
    add rsp, 8
    jmp guest_iret

    /* The ordinary way: the five registers saved so far are where they belong. */
9:  mov rdi, [rsp + 32]
    mov rsi, [rsp + 24]
    mov rdx, [rsp + 16]
    mov rcx, [rsp + 8]
    mov rax, [rsp]
    add rsp, 40
    jmp syscall_common

    /* The guest's kernel stack faulted: its registers go into the frame, and the ordinary way finds the same. */
8:  mov rdi, [rsp + 32]
    mov rsi, [rsp + 24]
    mov rdx, [rsp + 16]
    mov rcx, [rsp + 8]
    mov rax, [rsp]
    add rsp, 40
    PUSH_GPRS
    mov rdi, rsp
    sub rsp, 8
    call {syscall_stack_fault}
    jmp return_to_guest

    .pushsection .ex_table, "a"
    .irp at, 20b, 21b, 22b, 23b, 24b, 25b, 26b
    .long \at - ., 8b - .
    .endr
    .irp at, 40b, 41b, 42b, 44b, 45b, 46b, 47b, 48b, 49b, 54b, 55b, 56b, 57b, 58b, 59b
    .long \at - ., 9b - .
    .endr
    .popsection

    .pushsection .rodata, "a"
    .balign 8
    /* An address plus the base is below the size exactly if a frame of up to 72 bytes there meets the hypervisor's range
       (or wraps, which no canonical address does). */
fast_range_base:
    .quad 72 - 0xffff800000000000
fast_range_size:
    .quad 0x80000000048
    .popsection

syscall_common:
    PUSH_GPRS
    mov rdi, rsp
    sub rsp, 8
    call {syscall_from_guest}
    jmp return_to_guest
    "#,
    cs = const core::mem::offset_of!(GuestRegs, cs),
    regs_words = const core::mem::size_of::<GuestRegs>() / 8,
    stack_mask = const STACK_SIZE - 1,
    info_size = const CPU_INFO_SIZE,
    cpus = const MAX_CPUS,
    vector_syscall = const VECTOR_SYSCALL,
    vector_syscall32 = const VECTOR_SYSCALL32,
    from_guest = sym crate::traps::from_guest,
    from_hypervisor = sym crate::traps::from_hypervisor,
    exit_to_guest = sym crate::traps::exit_to_guest,
    syscall_from_guest = sym crate::traps::syscall_from_guest,
    syscall_stack_fault = sym crate::traps::syscall_stack_fault,
    rip = const core::mem::offset_of!(GuestRegs, rip),
    rflags = const core::mem::offset_of!(GuestRegs, rflags),
    rsp_ = const core::mem::offset_of!(GuestRegs, rsp),
    ss = const core::mem::offset_of!(GuestRegs, ss),
    current = const core::mem::offset_of!(CpuInfo, current) - 8,
    work = const core::mem::offset_of!(CpuInfo, work) - 8,
    v_kernel_mode = const core::mem::offset_of!(Vcpu, kernel_mode),
    v_kernel_cr3 = const core::mem::offset_of!(Vcpu, kernel_cr3),
    v_user_cr3 = const core::mem::offset_of!(Vcpu, user_cr3),
    v_kernel_sp = const core::mem::offset_of!(Vcpu, kernel_sp),
    v_info = const core::mem::offset_of!(Vcpu, info),
    v_fast_syscall = const core::mem::offset_of!(Vcpu, fast_syscall),
    iret_number = const xenocryst_abi::hypercall::number::IRET,
    // Interrupts on, and without I/O privilege, trap, nested task, resume, virtual 8086 and alignment check.
    flags_kept = const !(IOPL | 1 << 8 | 1 << 14 | 1 << 16 | 1 << 17 | 1 << 18) as u32,
    flags_returned = const !(IOPL | 1 << 14 | 1 << 17) as u32,
);

const _: () = assert!(core::mem::offset_of!(CpuInfo, guest) == 8);
