//! Instructions that a kernel in ring 3 may not execute, or not as the CPU has them.

use core::arch::asm;
use core::cell::UnsafeCell;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::physdev;
use xenocryst_guest::hypercall;
use xenocryst_guest::trap::attempt;

use crate::tell::{Ended, tell};

/// A page that code is put in.
#[repr(C, align(4096))]
struct CodePage(UnsafeCell<[u8; 4096]>);

// SAFETY: there is one vCPU and no interrupt, and the page is only reached by address.
unsafe impl Sync for CodePage {}

static CODE: CodePage = CodePage(UnsafeCell::new([0; 4096]));

/// Puts code, with a return behind it, and says where.
pub fn put(code: &[u8]) -> u64 {
    let page = CODE.0.get();
    // SAFETY: the page is reached from here only, and nothing runs in it now.
    unsafe {
        let bytes = &mut *page;
        bytes[..code.len()].copy_from_slice(code);
        bytes[code.len()] = 0xc3;
    }
    page as u64
}

/// Runs code with these registers; how it ended, and RAX.
pub fn run(code: &[u8], rax: u64, rcx: u64, rdx: u64) -> (Ended, u64) {
    let origin = put(code);
    let mut result = rax;
    let ended = attempt(|| {
        // SAFETY: the code is what this kernel is about: it faults, or returns with only general registers changed.
        unsafe {
            asm!("push rbx", "call {code}", "pop rbx", code = in(reg) origin,
                inout("rax") result, inout("rcx") rcx => _, inout("rdx") rdx => _,
                out("rsi") _, out("rdi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        }
    });
    (
        Ended {
            result: ended,
            origin,
        },
        result,
    )
}

/// Instructions and what they are called. None of them is told what RAX is afterwards.
const INSTRUCTIONS: &[(&str, &[u8])] = &[
    ("cli", &[0xfa]),
    ("sti", &[0xfb, 0xfa]),
    ("clts", &[0x0f, 0x06]),
    ("invd", &[0x0f, 0x08]),
    ("wbinvd", &[0x0f, 0x09]),
    ("mov cr2", &[0x0f, 0x22, 0xd0]),
    ("mov cr8", &[0x44, 0x0f, 0x22, 0xc0]),
    ("mov from cr8", &[0x44, 0x0f, 0x20, 0xc0]),
    ("mov from cr1", &[0x0f, 0x20, 0xc8]),
    ("mov from dr7", &[0x0f, 0x21, 0xf8]),
    ("mov dr7", &[0x0f, 0x23, 0xf8]),
    ("lmsw", &[0x0f, 0x01, 0xf0]),
    ("lgdt", &[0x0f, 0x01, 0x14, 0x24]),
    ("lidt", &[0x0f, 0x01, 0x1c, 0x24]),
    ("lldt", &[0x0f, 0x00, 0xd0]),
    ("ltr", &[0x0f, 0x00, 0xd8]),
    ("invlpg", &[0x0f, 0x01, 0x3c, 0x24]),
    ("swapgs", &[0x0f, 0x01, 0xf8]),
    ("sysret", &[0x48, 0x0f, 0x07]),
    ("sysexit", &[0x48, 0x0f, 0x35]),
    ("sysenter", &[0x0f, 0x34]),
    ("rsm", &[0x0f, 0xaa]),
    ("xsetbv", &[0x0f, 0x01, 0xd1]),
    ("rdpmc", &[0x0f, 0x33]),
    ("monitor", &[0x0f, 0x01, 0xc8]),
    ("mwait", &[0x0f, 0x01, 0xc9]),
    ("vmcall", &[0x0f, 0x01, 0xc1]),
    ("vmmcall", &[0x0f, 0x01, 0xd9]),
    ("ud2", &[0x0f, 0x0b]),
    ("int3", &[0xcc]),
    ("mov cs", &[0x8e, 0xc8]),
    ("far jump", &[0xff, 0x2c, 0x24]),
    (
        "iretq of zeros",
        &[0x6a, 0, 0x6a, 0, 0x6a, 0, 0x6a, 0, 0x6a, 0, 0x48, 0xcf],
    ),
    (
        "far return to ring 0",
        &[0x68, 0x08, 0xe0, 0, 0, 0x6a, 0, 0x48, 0xcb],
    ),
    ("mov ss, null", &[0x31, 0xc0, 0x8e, 0xd0]),
    ("mov ss, ring 0", &[0xb8, 0x10, 0xe0, 0, 0, 0x8e, 0xd0]),
    ("mov ds, ring 0 code", &[0xb8, 0x08, 0xe0, 0, 0, 0x8e, 0xd8]),
    ("mov ds, task state", &[0xb8, 0x40, 0xe0, 0, 0, 0x8e, 0xd8]),
    ("mov ds, beyond", &[0xb8, 0xf8, 0xff, 0, 0, 0x8e, 0xd8]),
    ("in 20", &[0xe4, 0x20]),
    ("in 21", &[0xe4, 0x21]),
    ("out 20", &[0xe6, 0x20]),
    ("out a0", &[0xe6, 0xa0]),
    ("in 40", &[0xe4, 0x40]),
    ("out 43", &[0xe6, 0x43]),
    ("in 80", &[0xe4, 0x80]),
    ("out 80", &[0xe6, 0x80]),
];

/// Model-specific registers that are written with zero and read.
const REGISTERS: [(u64, &str); 14] = [
    (0x1b, "APIC base"),
    (0x10, "TSC"),
    (0x174, "SYSENTER CS"),
    (0x176, "SYSENTER EIP"),
    (0x1a0, "MISC_ENABLE"),
    (0x277, "PAT"),
    (0x2ff, "MTRR default"),
    (0xc000_0081, "STAR"),
    (0xc000_0082, "LSTAR"),
    (0xc000_0084, "SFMASK"),
    (0xc001_0117, "VM_HSAVE"),
    (0x1_2345, "nothing"),
    (0x4000_0000, "hypercall page"),
    (0x800, "x2APIC"),
];

/// Every instruction and register (I97, I100).
pub fn all() {
    instructions("privileged");
    // With the I/O privilege that the kernel of the control domain may ask for.
    let iopl = 1_u32;
    let arguments = [
        u64::from(physdev::op::SET_IOPL),
        &raw const iopl as u64,
        0,
        0,
        0,
    ];
    // SAFETY: what it may do with ports is tried below; none of them does anything.
    let answer = unsafe { hypercall::call(number::PHYSDEV_OP, arguments) };
    tell("privileged", format_args!("set_iopl 1"), answer);
    instructions("with iopl");
    registers();
    control_registers();
    flags();
}

/// Every instruction.
fn instructions(section: &str) {
    for (name, code) in INSTRUCTIONS {
        let (ended, _) = run(code, 0, 0, 0);
        tell(section, format_args!("{name}"), ended);
        // SAFETY: the empty selector is what DS has.
        unsafe { asm!("mov ds, {s:e}", s = in(reg) 0, options(nostack)) };
    }
}

/// Model-specific registers.
fn registers() {
    for (register, name) in REGISTERS {
        let (ended, _) = run(&[0x0f, 0x30], 0, register, 0);
        tell("privileged", format_args!("wrmsr {name} = 0"), ended);
    }
    for register in [0x1_2345, 0xc000_0082, 0xc001_0117, 0x800] {
        let (ended, _) = run(&[0x0f, 0x32], 0, register, 0);
        tell("privileged", format_args!("rdmsr {register:x}"), ended);
    }
    for (register, name) in [
        (0xc000_0100, "FS base"),
        (0xc000_0101, "GS base"),
        (0xc000_0102, "kernel GS base"),
    ] {
        for high in [0x8000, 0xffff_8300, 0xffff_ffff, 0] {
            let (ended, _) = run(&[0x0f, 0x30], 0, register, high);
            tell(
                "privileged",
                format_args!("wrmsr {name} = {high:x}00000000"),
                ended,
            );
        }
    }
}

/// CR0, CR3 and CR4 (I97).
fn control_registers() {
    for value in [
        0,
        1,
        0x8005_0033,
        0x8005_003b,
        0x8001_0033,
        u64::MAX,
        1 << 63,
    ] {
        let (ended, _) = run(&[0x0f, 0x22, 0xc0], value, 0, 0);
        tell("privileged", format_args!("mov cr0, {value:x}"), ended);
    }
    let (ended, value) = run(&[0x0f, 0x20, 0xc0], 0, 0, 0);
    tell("privileged", format_args!("mov from cr0 {value:x}"), ended);
    let (ended, value) = run(&[0x0f, 0x01, 0xe0], 0, 0, 0);
    tell("privileged", format_args!("smsw {value:x}"), ended);
    let _ = run(&[0x0f, 0x06], 0, 0, 0);
    for value in [1, 0xfff, u64::MAX, 1 << 52] {
        let (ended, _) = run(&[0x0f, 0x22, 0xd8], value, 0, 0);
        tell("privileged", format_args!("mov cr3, {value:x}"), ended);
    }
    for value in [0, 0x660, 0x2660, 1 << 13, 1 << 17, u64::MAX] {
        let (ended, _) = run(&[0x0f, 0x22, 0xe0], value, 0, 0);
        tell("privileged", format_args!("mov cr4, {value:x}"), ended);
    }
}

/// POPF with flags that are not the kernel's to set (I90).
fn flags() {
    for (bits, name) in [
        (0, "none"),
        (3 << 12, "IOPL"),
        (1 << 9, "IF"),
        (1 << 14, "NT"),
        (1 << 17, "VM"),
        (1 << 18, "AC"),
        (1 << 19 | 1 << 20, "VIF and VIP"),
    ] {
        // PUSH RAX; POPF; PUSHF; POP RAX; then none again.
        let code = [0x50, 0x9d, 0x9c, 0x58, 0x6a, 0x02, 0x9d];
        let (ended, now) = run(&code, bits, 0, 0);
        let now = now & 0x3f_7600;
        tell(
            "privileged",
            format_args!("popf {name}, now {now:x}"),
            ended,
        );
    }
}
