//! Breakpoints on this kernel's own memory, met by itself and by the hypervisor on its behalf (I94).

use core::arch::asm;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::hypercall;
use xenocryst_guest::trap::attempt;

use crate::page::Pages;
use crate::privileged::{put, run};
use crate::tell::{Ended, tell};

/// What is watched.
static WATCHED: Pages<1> = Pages::new();
/// DR7: the first breakpoint, on reads and writes of 8 bytes.
const WATCH: u64 = 0xb_0401;
/// DR7: the first breakpoint, on execution.
const EXECUTE: u64 = 0x401;
/// DR7: none.
const NONE: u64 = 0x400;

/// Everything of this file.
pub fn all() {
    let at = WATCHED.address(0);
    // An element of a batch that asks for nothing.
    WATCHED.set(0, 0, number::XEN_VERSION);
    set(at, WATCH);
    let (ended, _) = run(&[0x48, 0x8b, 0x01], 0, at, 0);
    tell("breakpoints", format_args!("load"), ended);
    say_status();
    let (ended, _) = run(&[0x48, 0x89, 0x01], number::XEN_VERSION, at, 0);
    tell("breakpoints", format_args!("store"), ended);
    say_status();
    hypercalls(at);
    // MOV SS from what is watched, and a hypercall at once (XSA-260): the breakpoint is met in the hypervisor.
    set(0, NONE);
    WATCHED.set(0, 0, 0xe02b);
    set(at, WATCH);
    let (ended, _) = run(&[0x8e, 0x11, 0x0f, 0x05], number::XEN_VERSION, at, 0);
    tell("breakpoints", format_args!("mov ss and syscall"), ended);
    say_status();
    let (ended, _) = run(&[0x8e, 0x11, 0xcd, 0x80], 0, at, 0);
    tell("breakpoints", format_args!("mov ss and int 80"), ended);
    say_status();
    let (ended, _) = run(&[0x8e, 0x11, 0xcc], 0, at, 0);
    tell("breakpoints", format_args!("mov ss and int3"), ended);
    set(put(&[0x90, 0x0f, 0x0b]), EXECUTE);
    let (ended, _) = run(&[0x90, 0x0f, 0x0b], 0, 0, 0);
    tell("breakpoints", format_args!("execute"), ended);
    // The stack, which an event's frame would be written to.
    let top = WATCHED.address(1);
    set(top - 0x38, WATCH);
    let result = attempt(|| {
        // SAFETY: the frame of the fault is on a page that nothing else uses.
        unsafe { asm!("mov rsp, {s}", "ud2", s = in(reg) top, options(noreturn)) }
    });
    tell(
        "breakpoints",
        format_args!("frame of a fault"),
        Ended { result, origin: 0 },
    );
    set(0, NONE);
}

/// Hypercalls that read and write what is watched.
fn hypercalls(at: u64) {
    for (name, number, arguments) in [
        ("read", number::MULTICALL, [at, 1, 0, 0, 0]),
        ("written", number::XEN_VERSION, [1, at, 0, 0, 0]),
    ] {
        let mut answer = 0;
        let result = attempt(|| {
            // SAFETY: the page is there for that.
            answer = unsafe { hypercall::call(number, arguments) };
        });
        tell(
            "breakpoints",
            format_args!("{name} by a hypercall, {answer}"),
            Ended { result, origin: 0 },
        );
        say_status();
    }
}

/// Sets the first breakpoint.
fn set(address: u64, control: u64) {
    for (register, value) in [(7, NONE), (0, address), (7, control)] {
        // SAFETY: what is met is told within an attempt.
        let answer = unsafe { hypercall::call(number::SET_DEBUGREG, [register, value, 0, 0, 0]) };
        if answer != 0 {
            tell("breakpoints", format_args!("register {register}"), answer);
        }
    }
}

/// Tells what has been met, and forgets it.
fn say_status() {
    // SAFETY: reads and writes the status.
    let status = unsafe {
        let status = hypercall::call(number::GET_DEBUGREG, [6, 0, 0, 0, 0]);
        hypercall::call(number::SET_DEBUGREG, [6, 0, 0, 0, 0]);
        status
    };
    tell(
        "breakpoints",
        format_args!("status"),
        format_args!("{status:x}"),
    );
}
