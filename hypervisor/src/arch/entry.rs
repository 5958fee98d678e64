//! The ways into the hypervisor and back out: one stub a vector, one SYSCALL stub a CPU, and the return.
//!
//! Keeps true: from a guest, the stack below [`CpuInfo::guest`](crate::percpu::CpuInfo) holds all of the guest's registers
//! before any Rust runs; from the hypervisor itself only interrupts in the idle loop and faults with an entry in the
//! exception table are ever expected. Interrupts are off throughout.
//! Neighbours: `arch::gdt` (where the stubs are installed), `traps` (who they call), `percpu` (the layout).

use core::arch::global_asm;
use core::sync::atomic::AtomicU64;

use crate::percpu::{CPU_INFO_SIZE, CpuInfo, GuestRegs, MAX_CPUS, STACK_SIZE};

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
pub static SYSCALL_SCRATCH: [SyscallScratch; MAX_CPUS] =
    [const { SyscallScratch { guest_rsp: AtomicU64::new(0), stack: AtomicU64::new(0) } }; MAX_CPUS];

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

    .balign 16
syscall_entry:
    push rcx
    push 0
    mov dword ptr [rsp + 4], {vector_syscall}
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
);

const _: () = assert!(core::mem::offset_of!(CpuInfo, guest) == 8);
