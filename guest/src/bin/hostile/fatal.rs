//! Ways in which a kernel ends its own domain, and nothing else.

use core::arch::asm;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::segment;
use xenocryst_guest::abi::trap::TrapInfo;
use xenocryst_guest::domain::Domain;
use xenocryst_guest::{hypercall, println};

use crate::edges;
use crate::returning::Frame;

/// The hypervisor's direct map.
const DIRECT_MAP: u64 = 0xffff_8300_0000_0000;
/// Where nothing is mapped.
const NOWHERE: u64 = 0x1000_0000;

/// Tries the way of this number. If the kernel is still there afterwards, it says so.
pub fn die(domain: &Domain, way: u64) {
    if !edges::map(domain) {
        println!("hostile fatal: no pages");
    }
    println!("hostile fatal: way {way}");
    // SAFETY: the domain is to end; if it does not, nothing here is relied on afterwards.
    unsafe {
        match way {
            // A fault while the stack is in the hypervisor's range (I91): there is nowhere to tell it.
            0 => asm!("mov rsp, {s}", "ud2", s = in(reg) DIRECT_MAP + 0x1000, options(noreturn)),
            // The same with a stack that is not mapped.
            1 => asm!("mov rsp, {s}", "ud2", s = in(reg) NOWHERE, options(noreturn)),
            // The same at an address that is none.
            2 => asm!("mov rsp, {s}", "ud2", s = in(reg) 1_u64 << 47, options(noreturn)),
            // User mode without an address space for it (I92).
            3 => {
                let mut frame = Frame::kernel(NOWHERE);
                frame.flags = 0;
                frame.cs = u64::from(segment::FLAT_USER_CS);
                let _ = frame.go();
            }
            // No handler for what is raised.
            4 => {
                hypercall::call(number::SET_TRAP_TABLE, [0; 5]);
                asm!("ud2", options(noreturn));
            }
            // A handler that faults before it can do anything, over and over, until the stack ends (I91).
            5 => {
                let table = [handler(6, NOWHERE), handler(14, NOWHERE), handler(0, 0)];
                hypercall::call(number::SET_TRAP_TABLE, [table.as_ptr() as u64, 0, 0, 0, 0]);
                asm!("ud2", options(noreturn));
            }
            // `iret` with a frame that cannot be read.
            6 => asm!("mov rsp, {s}", "mov eax, {iret}", "syscall", s = in(reg) DIRECT_MAP,
                iret = const number::IRET, options(noreturn)),
            // The rest have pages of the kernel's own at the edges of its part of the address space. Frames of faults that
            // would be partly in the hypervisor's range, or partly where nothing is mapped (I91).
            7 => asm!("mov rsp, {s}", "ud2", s = in(reg) edges::UPPER + 0x28, options(noreturn)),
            8 => {
                asm!("mov rsp, {s}", "ud2", s = in(reg) edges::LOWER_END - 0xfe0, options(noreturn))
            }
            // Frames of `iret` across an edge: out of the hypervisor's range, and into no address.
            9 => asm!("mov rsp, {s}", "mov eax, {iret}", "syscall", s = in(reg) edges::UPPER - 8,
                iret = const number::IRET, options(noreturn)),
            10 => {
                asm!("mov rsp, {s}", "mov eax, {iret}", "syscall", s = in(reg) edges::LOWER_END - 0x40,
                iret = const number::IRET, options(noreturn))
            }
            _ => println!("there is no such way"),
        }
    }
    println!("hostile fatal: still there");
}

/// A handler of the trap table.
fn handler(vector: u8, address: u64) -> TrapInfo {
    TrapInfo {
        vector,
        flags: 0,
        cs: if address == 0 {
            0
        } else {
            segment::FLAT_KERNEL_CS
        },
        pad: 0,
        address,
    }
}
