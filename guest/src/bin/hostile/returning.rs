//! `iret` with frames that ask for more than a guest has: rings, flags, addresses (I90); and user mode.

use core::arch::asm;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::mmuext;
use xenocryst_guest::abi::vcpu_context::flag;
use xenocryst_guest::abi::{PAGE_SIZE, Pte, segment};
use xenocryst_guest::domain::{Domain, pfn_of};
use xenocryst_guest::trap::{Fault, attempt};
use xenocryst_guest::{hypercall, mmu};

use crate::page::Pages;
use crate::privileged::put;
use crate::tell::{Ended, tell};

/// Flags that a frame has when nothing is wrong with it: bit 1, and interrupts on.
const FLAGS: u64 = 0x202;
/// The stack that the kernel is entered on from user mode.
static STACK: Pages<2> = Pages::new();
/// Tables of a user's address space, its code and its stack.
static USER: Pages<6> = Pages::new();
/// Where the user's code is mapped, and its stack behind it.
const USER_CODE: u64 = 0x40_0000;
const USER_STACK: u64 = USER_CODE + PAGE_SIZE;

/// A frame for `iret`, from its lowest word: RAX, R11, RCX, flags, RIP, CS, RFLAGS, RSP, SS.
#[derive(Clone, Copy)]
pub struct Frame {
    pub flags: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl Frame {
    /// One that goes on in this kernel, at `rip`, on the page of stack.
    pub fn kernel(rip: u64) -> Self {
        Self {
            flags: flag::IN_KERNEL,
            rip,
            // Ring 3 here means user mode.
            cs: u64::from(segment::FLAT_KERNEL_CS & !3),
            rflags: FLAGS,
            rsp: STACK.address(1),
            ss: u64::from(segment::FLAT_KERNEL_SS),
        }
    }

    /// As it lies on the stack.
    pub fn words(self) -> [u64; 9] {
        [
            0,
            0,
            0,
            self.flags,
            self.rip,
            self.cs,
            self.rflags,
            self.rsp,
            self.ss,
        ]
    }

    /// Returns by it; how that ended.
    ///
    /// # Safety
    /// What it goes on at must fault, and must not write to what Rust code uses.
    pub unsafe fn go(self) -> Result<(), Fault> {
        let words = self.words();
        attempt(|| {
            // SAFETY: the caller's; the attempt's stack is found again by the fault.
            unsafe {
                asm!("mov rsp, {frame}", "mov eax, {iret}", "syscall", "ud2",
                    frame = in(reg) words.as_ptr(), iret = const number::IRET, options(noreturn));
            }
        })
    }
}

/// Everything of this file.
pub fn all(domain: &Domain) {
    frames();
    user(domain);
}

/// Frames that go on in the kernel.
fn frames() {
    let sound = put(&[0x9c, 0x58, 0x0f, 0x0b]);
    let tried = |name: core::fmt::Arguments<'_>, frame: Frame| {
        // SAFETY: the code is PUSHF; POP RAX; UD2.
        let result = unsafe { frame.go() };
        let flags = result.err().map_or(0, |fault| fault.rflags & 0x3f_7700);
        let ended = Ended {
            result,
            origin: sound,
        };
        tell("iret", format_args!("{name}, flags then {flags:x}"), ended);
    };
    let frame = Frame::kernel(sound);
    tried(format_args!("sound"), frame);
    for (bits, name) in [
        (3 << 12, "IOPL 3"),
        (1 << 14, "NT"),
        (1 << 17, "VM"),
        (1 << 18, "AC"),
        (1 << 16, "RF"),
        (3 << 19, "VIF and VIP"),
        (1 << 21, "ID"),
        (1 << 8, "TF"),
        (u64::MAX << 32, "high half"),
    ] {
        tried(
            format_args!("{name}"),
            Frame {
                rflags: FLAGS | bits,
                ..frame
            },
        );
    }
    tried(format_args!("IF clear"), Frame { rflags: 2, ..frame });
    for cs in [
        0, 0x10, 0xe008, 0xe010, 0xe028, 0xe031, 0xe040, 0xfff8, 0x30,
    ] {
        tried(format_args!("code selector {cs:x}"), Frame { cs, ..frame });
    }
    for ss in [0, 3, 0x10, 0xe010, 0xe008, 0xe033, 0xe040, 0xfff8] {
        tried(format_args!("stack selector {ss:x}"), Frame { ss, ..frame });
    }
    for (rip, name) in [
        (0x0000_8000_0000_0000, "to non-canonical"),
        (0xffff_8300_0000_0000, "to the direct map"),
        (0xffff_8000_0000_0000, "to the m2p"),
        (0x1000_0000, "to nowhere"),
    ] {
        tried(format_args!("{name}"), Frame { rip, ..frame });
    }
}

/// A frame that goes on in the user's code, which is UD2 at the end.
pub fn user_frame() -> Frame {
    Frame {
        flags: 0,
        rip: USER_CODE,
        cs: u64::from(segment::FLAT_USER_CS),
        rflags: FLAGS,
        rsp: USER_STACK + PAGE_SIZE,
        ss: u64::from(segment::FLAT_USER_SS),
    }
}

/// Builds a user's address space, and tries what a user may not.
fn user(domain: &Domain) {
    let code: [(&str, &[u8]); 9] = [
        ("ud2", &[0x0f, 0x0b]),
        ("int3", &[0xcc]),
        ("cli", &[0xfa]),
        ("syscall", &[0x0f, 0x05]),
        ("mov from cr0", &[0x0f, 0x20, 0xc0]),
        ("in 80", &[0xe4, 0x80]),
        // MOV RAX, imm64; MOV RAX, [RAX]; UD2.
        (
            "read the m2p",
            &[
                0x48, 0xb8, 0, 0, 0, 0, 0, 0x80, 0xff, 0xff, 0x48, 0x8b, 0x00, 0x0f, 0x0b,
            ],
        ),
        (
            "read the kernel",
            &[
                0x48, 0xb8, 0, 0, 0x10, 0x80, 0xff, 0xff, 0xff, 0xff, 0x48, 0x8b, 0x00, 0x0f, 0x0b,
            ],
        ),
        (
            "read the direct map",
            &[
                0x48, 0xb8, 0, 0, 0, 0, 0, 0x83, 0xff, 0xff, 0x48, 0x8b, 0x00, 0x0f, 0x0b,
            ],
        ),
    ];
    let Some(root) = user_space(domain) else {
        tell("user", format_args!("an address space"), "refused");
        return;
    };
    let stack = [
        u64::from(segment::FLAT_KERNEL_SS),
        STACK.address(1),
        0,
        0,
        0,
    ];
    // SAFETY: nothing else uses the pages of stack.
    let answers = unsafe {
        [
            mmu::extended(mmuext::NEW_USER_BASEPTR, root, 0),
            hypercall::call(number::STACK_SWITCH, stack),
        ]
    };
    tell(
        "user",
        format_args!("root and stack"),
        format_args!("{answers:?}"),
    );
    let frame = user_frame();
    for (name, bytes) in code {
        USER.fill(4, bytes);
        // SAFETY: the code faults, and can reach its own pages only.
        let result = unsafe { frame.go() };
        let ended = Ended {
            result,
            origin: USER_CODE,
        };
        tell("user", format_args!("{name}"), ended);
    }
    USER.fill(4, &[0x0f, 0x0b]);
    for (bits, name) in [(3 << 12, "IOPL 3"), (1 << 14, "NT"), (1 << 17, "VM")] {
        // SAFETY: as above.
        let result = unsafe {
            Frame {
                rflags: FLAGS | bits,
                ..frame
            }
            .go()
        };
        let flags = result.err().map_or(0, |fault| fault.rflags & 0x3f_7600);
        let ended = Ended {
            result,
            origin: USER_CODE,
        };
        tell("user", format_args!("{name}, flags then {flags:x}"), ended);
    }
}

/// Tables for the user's two pages: the frame of the root, if the hypervisor takes them.
fn user_space(domain: &Domain) -> Option<u64> {
    let frame = |n: usize| domain.mfn(pfn_of(USER.address(n))).raw();
    for level in 0..3 {
        // Root, L3 and L2 have one entry each; the L1 table maps two pages behind it.
        let slot = if level == 2 {
            (USER_CODE >> 21) as usize
        } else {
            0
        };
        USER.set(level, slot, frame(level + 1) << 12 | 0x67);
    }
    USER.set(3, 0, frame(4) << 12 | 0x67);
    USER.set(3, 1, frame(5) << 12 | 0x67);
    for level in 0..4 {
        // SAFETY: the tables are reached by address only.
        let answer = unsafe {
            mmu::set_entry(
                USER.address(level),
                Pte::from_raw(frame(level) << 12 | 0x65),
            )
        };
        if answer != 0 {
            return None;
        }
    }
    Some(frame(0))
}
