//! How a kernel is entered: the ELF notes that a hypervisor's loader reads, the first instructions, and the panic handler.
//!
//! A kernel defines `guest_main` by [`crate::kernel!`]. The stack is the library's own, because the one that the
//! hypervisor gives is small.

use core::arch::global_asm;
use core::panic::PanicInfo;

use crate::domain::Domain;
use crate::hypercall;
use crate::{console, trap};

/// Bytes of the kernel's stack.
pub const STACK_SIZE: usize = 256 << 10;

global_asm!(
    // One note of the owner "Xen": its number and its value.
    ".macro guest_note number, value:vararg",
    "    .balign 4",
    "    .long 4, 9002f - 9001f, \\number",
    "    .asciz \"Xen\"",
    "9001:",
    "    \\value",
    "9002:",
    "    .balign 4",
    ".endm",
    ".pushsection .note.Xen, \"a\", @note",
    "guest_note {guest_os}, .asciz \"xenocryst-guest\"",
    "guest_note {xen_version}, .asciz \"xen-3.0\"",
    "guest_note {loader}, .asciz \"generic\"",
    "guest_note {virt_base}, .quad guest_virt_base",
    "guest_note {paddr_offset}, .quad guest_virt_base",
    "guest_note {entry}, .quad guest_entry",
    "guest_note {hypercall_page}, .quad guest_hypercall_page",
    "guest_note {pae_mode}, .asciz \"yes\"",
    "guest_note {l1_mfn_valid}, .quad 1, 1",
    ".popsection",
    // Entered with the address of start_info in RSI.
    ".pushsection .text.entry, \"ax\", @progbits",
    ".globl guest_entry",
    "guest_entry:",
    "    cld",
    "    lea rsp, [rip + guest_stack + {stack_size}]",
    "    xor ebp, ebp",
    "    mov rdi, rsi",
    "    call {start}",
    "    ud2",
    ".balign 4096",
    ".globl guest_hypercall_page",
    "guest_hypercall_page:",
    "    .skip 4096, 0xcc",
    ".popsection",
    ".pushsection .bss.stack, \"aw\", @nobits",
    ".balign 4096",
    "guest_stack:",
    "    .skip {stack_size}",
    ".popsection",
    guest_os = const xenocryst_abi::elfnote::GUEST_OS,
    xen_version = const xenocryst_abi::elfnote::XEN_VERSION,
    loader = const xenocryst_abi::elfnote::LOADER,
    virt_base = const xenocryst_abi::elfnote::VIRT_BASE,
    paddr_offset = const xenocryst_abi::elfnote::PADDR_OFFSET,
    entry = const xenocryst_abi::elfnote::ENTRY,
    hypercall_page = const xenocryst_abi::elfnote::HYPERCALL_PAGE,
    pae_mode = const xenocryst_abi::elfnote::PAE_MODE,
    l1_mfn_valid = const xenocryst_abi::elfnote::L1_MFN_VALID,
    stack_size = const STACK_SIZE,
    start = sym start,
);

unsafe extern "Rust" {
    /// The kernel's own code, made by [`crate::kernel!`].
    safe fn guest_main(domain: &Domain) -> !;
}

/// First Rust code: learns what the domain is, takes charge of its faults, and runs the kernel.
extern "C" fn start(start_info: u64) -> ! {
    // SAFETY: the hypervisor gives the address of start_info in RSI, and the entry code passes it on.
    let domain = unsafe { Domain::new(start_info) };
    console::init(&domain);
    trap::init(&domain);
    guest_main(&domain)
}

/// Makes `$main`, a `fn(&Domain) -> !`, the kernel.
#[macro_export]
macro_rules! kernel {
    ($main:path) => {
        #[unsafe(no_mangle)]
        fn guest_main(domain: &$crate::domain::Domain) -> ! {
            $main(domain)
        }
    };
}

/// Says what and where in one line, and crashes the domain.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let message = info.message();
    match info.location() {
        Some(at) => crate::println!("guest panic: {message} ({at})"),
        None => crate::println!("guest panic: {message}"),
    }
    hypercall::shutdown(xenocryst_abi::sched::shutdown::CRASH)
}

/// Nothing unwinds; the precompiled `core` names it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
