/*
 * The smallest PV kernel: it says hello on the console and powers off. Built with one of the names below defined it
 * has one thing wrong with it, for which a hypervisor must refuse it.
 *
 *   NO_NOTES             nothing says that it is a PV kernel
 *   BITS_32              a kernel for 32-bit guests
 *   UNKNOWN_FEATURE      it requires a feature that no hypervisor has
 *   WRONG_VERSION        it is for another interface
 *   WRONG_LOADER         it wants another loader
 *   ENTRY_OUTSIDE        its entry is not in it
 *
 * And one that is started, and then asks for what it may not have:
 *
 *   FORBIDDEN_UPDATE     it maps a frame of the hypervisor's in its topmost table
 */
#define VIRT_BASE 0xffffffff80000000

#ifdef BITS_32
#define ADDRESS .long
#define BASE 0xc0000000
#else
#define ADDRESS .quad
#define BASE VIRT_BASE
#endif

/* One note of the owner "Xen": its number and its value. */
.macro note number, value:vararg
    .balign 4
    .long 4, 9002f - 9001f, \number
    .asciz "Xen"
9001:
    \value
9002:
    .balign 4
.endm

#ifndef NO_NOTES
    .section .note.Xen, "a", @note
    note 6, .asciz "tiny"
#ifdef WRONG_VERSION
    note 5, .asciz "xen-9.9"
#else
    note 5, .asciz "xen-3.0"
#endif
#ifdef WRONG_LOADER
    note 8, .asciz "peculiar"
#else
    note 8, .asciz "generic"
#endif
    note 3, ADDRESS BASE
    note 4, ADDRESS BASE
#ifdef ENTRY_OUTSIDE
    note 1, ADDRESS BASE + 0x40000000
#else
    note 1, ADDRESS _start
#endif
    note 2, ADDRESS hypercall_page
    note 9, .asciz "yes"
#ifdef UNKNOWN_FEATURE
    note 10, .asciz "!no_such_feature"
#endif
#endif

    .text
    .globl _start
_start:
#ifndef BITS_32
#ifdef FORBIDDEN_UPDATE
    /* start_info: pt_base is at 88, mfn_list at 104; the update is of the first entry of the table at pt_base. */
    mov 88(%rsi), %rax
    mov $VIRT_BASE, %rcx
    sub %rcx, %rax
    shr $12, %rax
    mov 104(%rsi), %rdx
    mov (%rdx, %rax, 8), %rax
    shl $12, %rax
    mov %rax, update(%rip)
    /* mmu_update: one, for the domain itself */
    lea update(%rip), %rdi
    mov $1, %esi
    xor %edx, %edx
    mov $0x7ff0, %r10d
    call hypercall_page + 1 * 32
    cmp $-22, %rax
    lea refused(%rip), %rdx
    mov $(refused_end - refused), %esi
    je 2f
#endif
    lea hello(%rip), %rdx
    mov $(hello_end - hello), %esi
2:
    /* console_io: write */
    xor %edi, %edi
    call hypercall_page + 18 * 32
    /* sched_op: shut down to power off */
    mov $2, %edi
    lea poweroff(%rip), %rsi
    call hypercall_page + 29 * 32
#endif
1:
    jmp 1b

    .balign 4096
hypercall_page:
    .skip 4096

    .data
poweroff:
    .long 0
hello:
    .ascii "hello from a tiny kernel\n"
hello_end:
refused:
    .ascii "the update was refused\n"
refused_end:
    .balign 8
update:
    /* Where, and what: the frame at 2 MiB, present, writable, for user mode. */
    .quad 0, 0x200007
