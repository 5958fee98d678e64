//! The edges of the guest's part of the address space, with a page of its own at each: what goes across is refused (I95), and
//! a frame on a stack there is written whole or not at all (I91).

use core::arch::asm;

use xenocryst_guest::abi::Mfn;
use xenocryst_guest::domain::{Domain, pfn_of};
use xenocryst_guest::mmu;
use xenocryst_guest::trap::attempt;

use crate::page::Pages;
use crate::privileged::run;
use crate::tables::{self, TABLE, WRITABLE};
use crate::tell::{Ended, tell};

/// Tables of three levels whose first and last entries lead to the next, and the page behind them.
static TABLES: Pages<4> = Pages::new();
/// Stacks.
static STACK: Pages<2> = Pages::new();

/// First address behind the lower half.
pub const LOWER_END: u64 = 1 << 47;
/// First address behind the hypervisor's.
pub const UPPER: u64 = 0xffff_8800_0000_0000;

/// A word of UD2.
const UNDEFINED: u64 = 0x0b0f_0b0f_0b0f_0b0f;

/// Instructions that reach memory at RCX, 8 bytes and more, up- and downwards.
const ACCESSES: &[(&str, &[u8])] = &[
    ("load", &[0x48, 0x8b, 0x01]),
    ("store", &[0x48, 0x89, 0x01]),
    ("locked add", &[0xf0, 0x48, 0x01, 0x01]),
    ("fxsave", &[0x0f, 0xae, 0x01]),
    // MOV RDI, RCX; MOV ECX, 4; REP STOSQ.
    (
        "rep stosq",
        &[0x48, 0x89, 0xcf, 0xb9, 4, 0, 0, 0, 0xf3, 0x48, 0xab],
    ),
    // The same with STD before and CLD behind.
    (
        "rep stosq down",
        &[
            0x48, 0x89, 0xcf, 0xb9, 4, 0, 0, 0, 0xfd, 0xf3, 0x48, 0xab, 0xfc,
        ],
    ),
    // MOV RSI, RCX; MOV ECX, 4; REP LODSQ.
    (
        "rep lodsq",
        &[0x48, 0x89, 0xce, 0xb9, 4, 0, 0, 0, 0xf3, 0x48, 0xad],
    ),
    // Ports, which the hypervisor carries out: MOV RSI, RCX; MOV EDX, 80; MOV ECX, 4; REP OUTSD, REP INSD.
    (
        "rep outsd",
        &[
            0x48, 0x89, 0xce, 0xba, 0x80, 0, 0, 0, 0xb9, 4, 0, 0, 0, 0xf3, 0x6f,
        ],
    ),
    (
        "rep insd",
        &[
            0x48, 0x89, 0xcf, 0xba, 0x80, 0, 0, 0, 0xb9, 4, 0, 0, 0, 0xf3, 0x6d,
        ],
    ),
    ("call", &[0xff, 0xd1]),
];

/// Everything of this file.
pub fn all(domain: &Domain) {
    if !map(domain) {
        tell("edges", format_args!("pages"), "refused");
        return;
    }
    for (address, place) in [
        (LOWER_END - 8, "lower half, last word"),
        (LOWER_END - 4, "lower half, across its end"),
        (LOWER_END, "behind the lower half"),
        (UPPER, "upper half, first word"),
        (UPPER - 4, "upper half, across its beginning"),
        (UPPER - 8, "before the upper half"),
        (u64::MAX - 7, "last word"),
        (u64::MAX - 3, "across the end"),
    ] {
        for (name, code) in ACCESSES {
            // What the hypervisor itself reads or writes there: more bytes, or fewer, than the instruction has.
            if place.contains("across") && *name == "call"
                || address > UPPER && (*name == "call" || name.ends_with("sd"))
            {
                continue;
            }
            fill();
            let (mut ended, _) = run(code, 0, address, 0);
            if let Err(fault) = &mut ended.result {
                // SAFETY: clears the direction flag, which a fault may have left.
                unsafe { asm!("cld", options(nostack)) };
                // What is mapped in the hypervisor's range is its own business.
                if fault.vector == 14 && fault.address < UPPER && fault.address >= LOWER_END {
                    fault.error &= !1;
                }
            }
            tell("edges", format_args!("{name}, {place}"), ended);
        }
    }
    let places = [
        (LOWER_END - 4, "mapped half end"),
        (UPPER - 4, "mapped range end"),
        (u64::MAX, "mapped end"),
    ];
    crate::requests::pointers(&places, fill);
    code_at_the_edge();
    stacks();
}

/// Makes the page one of UD2.
fn fill() {
    for slot in 0..512 {
        TABLES.set(3, slot, UNDEFINED);
    }
}

/// Instructions cut off by the end of the lower half: fetched by the CPU, and by the hypervisor to carry them out.
fn code_at_the_edge() {
    for (name, bytes) in [
        ("cli", &[0xfa_u8][..]),
        ("half of a wrmsr", &[0x0f]),
        ("in al, dx", &[0xec]),
        ("half of an in", &[0xe4]),
        (
            "forced cpuid without its end",
            &[0x0f, 0x0b, 0x78, 0x65, 0x6e],
        ),
        ("forced cpuid", &[0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2]),
        ("syscall", &[0x0f, 0x05]),
    ] {
        let at = LOWER_END - bytes.len() as u64;
        for (offset, byte) in (4096 - bytes.len() as u64..).zip(bytes) {
            // SAFETY: within the page, which is reached by address only.
            unsafe { ((TABLES.address(3) + offset) as *mut u8).write_volatile(*byte) };
        }
        let result = attempt(|| {
            // SAFETY: nothing but those bytes is there to be run; what they call is no hypercall.
            unsafe {
                asm!("push rbx", "call {at}", "pop rbx", at = in(reg) at, in("eax") 0x100, clobber_abi("C"));
            }
        });
        tell(
            "edges",
            format_args!("run {name}"),
            Ended { result, origin: at },
        );
    }
}

/// Faults with stacks at edges where their frame has room, or not quite.
fn stacks() {
    for (stack, place) in [
        (UPPER + 0x800, "upper half"),
        (UPPER + 0x807, "upper half, odd"),
        (LOWER_END, "end of the lower half"),
        (LOWER_END - 1, "end of the lower half, odd"),
        (STACK.address(1) + 0x13, "two pages"),
    ] {
        let result = attempt(|| {
            // SAFETY: the fault's frame is on pages that nothing else uses.
            unsafe { asm!("mov rsp, {s}", "ud2", s = in(reg) stack, options(noreturn)) }
        });
        let shift = match &result {
            Err(fault) => fault.rsp.wrapping_sub(stack),
            Ok(()) => 0,
        };
        tell(
            "edges",
            format_args!("stack, {place}, moved by {shift:x}"),
            Ended { result, origin: 0 },
        );
    }
}

/// Maps the page at the end of the lower half, behind the hypervisor, and at the very end.
pub fn map(domain: &Domain) -> bool {
    let frame = |n: usize| domain.mfn(pfn_of(TABLES.address(n))).maddr().raw();
    for level in 0..3 {
        let flags = if level == 2 { WRITABLE } else { TABLE };
        for slot in [0, 511] {
            TABLES.set(level, slot, frame(level + 1) | flags);
        }
    }
    let root = domain.mfn(domain.root());
    let last = mmu::entry(domain, xenocryst_guest::domain::VIRT_BASE, 3);
    (0..3).all(|level| tables::protect(domain, TABLES.address(level)))
        && tables::write(root, 255, frame(0) | TABLE)
        && tables::write(root, 272, frame(0) | TABLE)
        && last
            .is_some_and(|(at, _)| tables::write(Mfn::new(at.raw() >> 12), 511, frame(1) | TABLE))
}
