//! The assembly that the boot loader jumps to: Multiboot 1 and 2 headers, then 32-bit code up to long mode.
//!
//! Keeps true: the 32-bit part uses physical addresses only (every symbol minus [`VIRTUAL_BASE`]), and touches nothing
//! outside the image. Both headers give load addresses, so that no loader needs to understand the ELF file.
//! Specifications: Multiboot 0.6.96 sections 3.1 and 3.2, Multiboot2 2.0 sections 3.1 and 3.3.

use core::arch::global_asm;

use super::{CPU_INFO_SIZE, STACK_SIZE, VIRTUAL_BASE};

/// Page present, writable, 2 MiB page: the flags of the early mappings.
const EARLY_LARGE: u32 = 0x83;
/// Page present, writable.
const EARLY_TABLE: u32 = 0x3;

global_asm!(
    r#"
    .section .multiboot, "ax"
    .balign 8
multiboot1_header:
    .long 0x1badb002                        // magic
    .long 0x00010003                        // pages aligned, memory map wanted, address fields valid
    .long -(0x1badb002 + 0x00010003)        // checksum
    .long multiboot1_header - {base}        // header_addr
    .long image_start - {base}              // load_addr
    .long image_load_end - {base}           // load_end_addr
    .long image_end - {base}                // bss_end_addr
    .long boot_entry - {base}               // entry_addr

    .balign 8
multiboot2_header:
    .long 0xe85250d6
    .long 0                                 // protected mode i386
    .long multiboot2_header_end - multiboot2_header
    .long -(0xe85250d6 + 0 + (multiboot2_header_end - multiboot2_header))
    .balign 8
    .short 1, 0                             // information request: command line, modules, memory map, ACPI
    .long 8 + 5 * 4
    .long 1, 3, 6, 14, 15
    .balign 8
    .short 2, 0                             // address
    .long 24
    .long multiboot2_header - {base}
    .long image_start - {base}
    .long image_load_end - {base}
    .long image_end - {base}
    .balign 8
    .short 3, 0                             // entry address
    .long 12
    .long boot_entry - {base}
    .balign 8
    .short 6, 0                             // modules aligned to pages
    .long 8
    .balign 8
    .short 0, 0
    .long 8
multiboot2_header_end:

    .section .boot32, "ax"
    .code32
    .global boot_entry
boot_entry:
    cli
    cld
    mov ebp, eax                            // the loader's magic
    mov esi, ebx                            // its information

    // A loader need not clear BSS.
    mov edi, offset image_bss_start - {base}
    mov ecx, offset image_end - {base}
    sub ecx, edi
    shr ecx, 2
    xor eax, eax
    rep stosd

    mov esp, offset boot_stack - {base} + {stack_size} - {stack_gap}

    // Long mode and no-execute there? Else say so and stop.
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb 8f
    mov eax, 0x80000001
    cpuid
    mov eax, edx
    and eax, (1 << 29) | (1 << 20)
    cmp eax, (1 << 29) | (1 << 20)
    jne 8f

    // Four L2 tables map the first 4 GiB with 2 MiB pages.
    mov edi, offset boot_l2 - {base}
    mov eax, {large}
    mov ecx, 2048
2:  mov [edi], eax
    mov dword ptr [edi + 4], 0
    add eax, 0x200000
    add edi, 8
    dec ecx
    jnz 2b

    // The low L3 has all four, the image's L3 the first of them.
    mov edi, offset boot_l3_low - {base}
    mov eax, offset boot_l2 - {base} + {table}
    mov [edi], eax
    mov [offset boot_l3_image - {base} + {image_l3} * 8], eax
    add eax, 0x1000
    mov [edi + 8], eax
    add eax, 0x1000
    mov [edi + 16], eax
    add eax, 0x1000
    mov [edi + 24], eax
    mov eax, offset boot_l3_low - {base} + {table}
    mov [offset boot_l4 - {base}], eax
    mov eax, offset boot_l3_image - {base} + {table}
    mov [offset boot_l4 - {base} + {image_l4} * 8], eax

    mov eax, cr4
    or eax, (1 << 5) | (1 << 9) | (1 << 10) // PAE, FXSAVE, SIMD exceptions
    mov cr4, eax
    mov eax, offset boot_l4 - {base}
    mov cr3, eax
    mov ecx, 0xc0000080                     // EFER
    rdmsr
    or eax, (1 << 8) | (1 << 11)            // long mode, no-execute
    wrmsr
    mov eax, 0x80050033                     // paging, alignment mask, write protect, numeric errors, no emulation, protection
    mov cr0, eax
    lgdt [offset boot_gdt_pointer - {base}]
    .byte 0xea                              // far jump to 64-bit code
    .long 7f - {base}
    .short 0x8

8:  mov esi, offset boot_no_long_mode - {base}
9:  lodsb
    test al, al
    jz 3f
    mov dx, 0x3f8
    out dx, al
    jmp 9b
3:  hlt
    jmp 3b

    .code64
7:  movabs rax, offset boot_high
    jmp rax
boot_high:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    lea rsp, [rip + boot_stack + {stack_size} - {stack_gap}]
    mov edi, ebp
    // The halves of RSI above 32 bits are undefined after the mode switch.
    mov esi, esi
    xor ebp, ebp
    call {kmain}
    ud2

    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff                // 64-bit code
    .quad 0x00cf93000000ffff                // data
boot_gdt_pointer:
    .short . - boot_gdt - 1
    .long boot_gdt - {base}
    .long 0
boot_no_long_mode:
    .asciz "(XEN) This machine has no 64-bit mode with no-execute pages, which Xenocryst needs.\r\n"

    .section .bss.stack, "aw", @nobits
    .balign 4096
    .global boot_stack
boot_stack:
    .skip {stack_size}

    .section .bss.page, "aw", @nobits
    .balign 4096
boot_l4:
    .skip 4096
boot_l3_low:
    .skip 4096
boot_l3_image:
    .skip 4096
boot_l2:
    .skip 4 * 4096
    .text
"#,
    base = const VIRTUAL_BASE,
    large = const EARLY_LARGE,
    table = const EARLY_TABLE,
    image_l4 = const (VIRTUAL_BASE >> 39) & 511,
    image_l3 = const (VIRTUAL_BASE >> 30) & 511,
    stack_size = const STACK_SIZE,
    stack_gap = const CPU_INFO_SIZE,
    kmain = sym crate::kmain,
);
