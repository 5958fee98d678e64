//! The memory routines that compiled code calls by name.
//!
//! Keeps true: general registers only (guests' vector registers stay untouched), flags restored to direction forward.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .text.entry, "ax"
    .balign 16
    .global memcpy
memcpy:                                     // (rdi to, rsi from, rdx bytes) -> rax to
    mov rax, rdi
    cmp rdx, 16
    ja 2f
    cmp edx, 8
    jae 3f
    cmp edx, 4
    jae 4f
    mov ecx, edx
    rep movsb
    ret
2:  mov r8, [rsi + rdx - 8]                 // the tail, read before an overlapping copy downwards can reach it
    lea r9, [rdi + rdx - 8]
    mov rcx, rdx
    shr rcx, 3
    rep movsq
    mov [r9], r8
    ret
3:  mov rcx, [rsi]
    mov r8, [rsi + rdx - 8]
    mov [rdi], rcx
    mov [rdi + rdx - 8], r8
    ret
4:  mov ecx, [rsi]
    mov r8d, [rsi + rdx - 4]
    mov [rdi], ecx
    mov [rdi + rdx - 4], r8d
    ret

    .balign 16
    .global memmove
memmove:
    mov rax, rdi
    sub rax, rsi
    cmp rax, rdx                            // to - from, unsigned: below the length only if copying upwards would clobber
    jae memcpy
    mov rax, rdi
    mov rcx, rdx
    lea rdi, [rdi + rdx - 1]
    lea rsi, [rsi + rdx - 1]
    std
    rep movsb
    cld
    ret

    .balign 16
    .global memset
memset:                                     // (rdi to, esi byte, rdx bytes) -> rax to
    mov r8, rdi
    movzx eax, sil
    mov rcx, rdx
    cmp rdx, 32
    ja 2f
1:  rep stosb
    mov rax, r8
    ret
2:  mov r9, 0x0101010101010101
    imul rax, r9
    shr rcx, 3
    rep stosq
    mov ecx, edx
    and ecx, 7
    jnz 1b
    mov rax, r8
    ret

    .balign 16
    .global memcmp
    .global bcmp
memcmp:                                     // (rdi one, rsi other, rdx bytes) -> eax sign of the first difference
bcmp:
    xor eax, eax
    mov rcx, rdx
    test rcx, rcx
    jz 3f
    repe cmpsb
    je 3f
    movzx eax, byte ptr [rdi - 1]
    movzx ecx, byte ptr [rsi - 1]
    sub eax, ecx
3:  ret

    .balign 16
    .global strlen
strlen:
    xor eax, eax
4:  cmp byte ptr [rdi + rax], 0
    je 5f
    inc rax
    jmp 4b
5:  ret
    .text
"#
);
