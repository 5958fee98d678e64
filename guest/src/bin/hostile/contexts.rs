//! A second vCPU: contexts that it must not start from (I92 to I94), and one that asks for more than it gets (I90, I97).

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::trap::TrapInfo;
use xenocryst_guest::abi::vcpu_context::{CpuUserRegs, VcpuGuestContext, flag};
use xenocryst_guest::abi::vcpu_op::op;
use xenocryst_guest::abi::{sched, segment};
use xenocryst_guest::domain::Domain;
use xenocryst_guest::hypercall;

use crate::page::Pages;
use crate::privileged::run;
use crate::tell::tell;

/// The vCPU.
const SECOND: u64 = 1;
/// Its stack.
static STACK: Pages<1> = Pages::new();
/// What it has seen: its flags, CR0, CR4, CR0 and CR4 after others ran, how often it ran.
static SEEN: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];

unsafe extern "C" {
    static hostile_second: [u8; 0];
}

global_asm!(
    ".pushsection .text.second, \"ax\", @progbits",
    ".globl hostile_second",
    "hostile_second:",
    "    pushfq",
    "    pop rax",
    "    mov [rip + {seen}], rax",
    // Floating point off, RDTSC forbidden: its own affair.
    "    mov eax, {task_switched}",
    "    mov edi, 1",
    "    syscall",
    "    mov rax, cr4",
    "    or rax, 12",
    "    mov cr4, rax",
    "    mov rax, cr0",
    "    mov [rip + {seen} + 8], rax",
    "    mov rax, cr4",
    "    mov [rip + {seen} + 16], rax",
    "1:  mov eax, {sched}",
    "    mov edi, {pass}",
    "    syscall",
    "    mov rax, cr0",
    "    mov [rip + {seen} + 24], rax",
    "    mov rax, cr4",
    "    mov [rip + {seen} + 32], rax",
    "    inc qword ptr [rip + {seen} + 40]",
    "    cmp qword ptr [rip + {seen} + 40], 8",
    "    jb 1b",
    "    mov eax, {vcpu_op}",
    "    mov edi, {down}",
    "    mov esi, 1",
    "    syscall",
    "    ud2",
    ".popsection",
    seen = sym SEEN,
    task_switched = const number::FPU_TASKSWITCH,
    sched = const number::SCHED_OP,
    pass = const sched::op::YIELD,
    vcpu_op = const number::VCPU_OP,
    down = const op::DOWN,
);

/// What it chooses: CR0.TS, CR4.TSD, CR4.DE.
const CR0_TS: u64 = 1 << 3;
const CR4_TSD: u64 = 1 << 2;
const CR4_DE: u64 = 1 << 3;

/// A change of a context.
type Change = fn(&mut VcpuGuestContext);

/// No address.
const NONE: u64 = 1 << 47;
/// The hypervisor's.
const DIRECT_MAP: u64 = 0xffff_8300_0000_0000;

/// Contexts that are refused.
const REFUSED: &[(&str, Change)] = &[
    ("event callback", |context| {
        context.event_callback_eip = NONE
    }),
    ("failsafe callback", |context| {
        context.failsafe_callback_eip = NONE
    }),
    ("syscall callback", |context| {
        context.syscall_callback_eip = NONE
    }),
    ("fs base", |context| context.fs_base = NONE),
    ("kernel gs base", |context| context.gs_base_kernel = NONE),
    ("user gs base", |context| context.gs_base_user = NONE),
    ("kernel stack", |context| context.kernel_sp = NONE),
    ("rip", |context| context.user_regs.rip = NONE),
    ("rsp", |context| context.user_regs.rsp = NONE),
    ("handler", |context| context.trap_ctxt[200].address = NONE),
    ("ldt that is none", |context| {
        (context.ldt_base, context.ldt_ents) = (NONE, 1)
    }),
    ("ldt in the direct map", |context| {
        (context.ldt_base, context.ldt_ents) = (DIRECT_MAP, 1)
    }),
    ("ldt across pages", |context| {
        (context.ldt_base, context.ldt_ents) = (0x1010, 1)
    }),
    ("ldt too long", |context| {
        (context.ldt_base, context.ldt_ents) = (0x1000, 8193)
    }),
    ("gdt too long", |context| context.gdt_ents = 14 * 512 + 1),
    ("gdt much too long", |context| context.gdt_ents = u64::MAX),
    ("gdt of no frame", |context| {
        (context.gdt_frames[0], context.gdt_ents) = (u64::MAX, 1)
    }),
    ("root that is none", |context| {
        context.ctrlreg[3] = u64::MAX << 12
    }),
    ("root that is data", |context| {
        context.ctrlreg[3] = context.user_regs.r15
    }),
    ("user root that is data", |context| {
        context.ctrlreg[1] = context.user_regs.r15
    }),
    ("user mode without a root", |context| context.flags = 0),
];

/// Everything of this file.
pub fn all(domain: &Domain) {
    for (name, change) in REFUSED {
        let mut context = sound(domain);
        change(&mut context);
        tell("contexts", format_args!("{name}"), initialise(&context));
    }
    let up = call([u64::from(op::UP), SECOND, 0, 0, 0]);
    tell("contexts", format_args!("up without any"), up);
    let mut context = sound(domain);
    context.user_regs.rflags = !(1 << 8 | 1 << 18);
    (context.user_regs.cs, context.user_regs.ss) = (0xe030, 0xe028);
    tell(
        "contexts",
        format_args!("flags of ones"),
        initialise(&context),
    );
    tell("contexts", format_args!("again"), initialise(&context));
    let up = call([u64::from(op::UP), SECOND, 0, 0, 0]);
    tell("contexts", format_args!("up"), up);
    together();
}

/// Runs beside the second vCPU, on the same CPU.
fn together() {
    let before = state();
    for _ in 0..10_000 {
        // SAFETY: the second has its own stack and writes what it has seen.
        unsafe { hypercall::call(number::SCHED_OP, [u64::from(sched::op::YIELD), 0, 0, 0, 0]) };
        if call([u64::from(op::IS_UP), SECOND, 0, 0, 0]) == 0 {
            break;
        }
    }
    let seen: [u64; 6] = core::array::from_fn(|n| SEEN[n].load(Ordering::Relaxed));
    tell(
        "contexts",
        format_args!("flags of the second"),
        format_args!("{:x}", seen[0] & 0x3f_3702),
    );
    tell(
        "contexts",
        format_args!("control registers of the second"),
        format_args!("{:x} {:x}", seen[1] & CR0_TS, seen[2] & (CR4_TSD | CR4_DE)),
    );
    tell(
        "contexts",
        format_args!("the same after others ran"),
        seen[1..3] == seen[3..5],
    );
    tell(
        "contexts",
        format_args!("the first's as before"),
        before == state(),
    );
    let (ended, _) = run(&[0x0f, 0x31], 0, 0, 0);
    tell("contexts", format_args!("rdtsc of the first"), ended);
    // PXOR XMM0, XMM0.
    let (ended, _) = run(&[0x66, 0x0f, 0xef, 0xc0], 0, 0, 0);
    tell(
        "contexts",
        format_args!("floating point of the first"),
        ended,
    );
    tell("contexts", format_args!("turns of the second"), seen[5]);
}

/// CR0 and CR4.
fn state() -> [u64; 2] {
    [
        run(&[0x0f, 0x20, 0xc0], 0, 0, 0).1,
        run(&[0x0f, 0x20, 0xe0], 0, 0, 0).1,
    ]
}

fn call(arguments: [u64; 5]) -> i64 {
    // SAFETY: the second vCPU has a stack and code of its own.
    unsafe { hypercall::call(number::VCPU_OP, arguments) }
}

fn initialise(context: &VcpuGuestContext) -> i64 {
    let at = core::ptr::from_ref(context) as u64;
    call([u64::from(op::INITIALISE), SECOND, at, 0, 0])
}

/// A context that nothing is wrong with.
fn sound(domain: &Domain) -> VcpuGuestContext {
    // SAFETY: numbers only.
    let mut context: VcpuGuestContext = unsafe { core::mem::zeroed() };
    let none = TrapInfo {
        vector: 0,
        flags: 0,
        cs: segment::FLAT_KERNEL_CS,
        pad: 0,
        address: 0,
    };
    context.trap_ctxt = [none; 256];
    context.flags = flag::IN_KERNEL;
    context.ctrlreg[3] = domain.mfn(domain.root()).maddr().raw();
    context.kernel_ss = u64::from(segment::FLAT_KERNEL_SS);
    context.kernel_sp = STACK.address(1);
    context.user_regs = CpuUserRegs {
        rip: &raw const hostile_second as u64,
        rsp: STACK.address(1),
        cs: segment::FLAT_KERNEL_CS,
        ss: segment::FLAT_KERNEL_SS,
        rflags: 0x202,
        // A frame that is no table, for those who want one.
        r15: domain
            .mfn(xenocryst_guest::domain::pfn_of(STACK.address(0)))
            .maddr()
            .raw(),
        ..context.user_regs
    };
    context
}
