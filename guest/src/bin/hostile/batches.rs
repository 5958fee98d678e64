//! Batches of hypercalls whose elements leave the kernel (I83), stop it, or are batches themselves.

use core::arch::asm;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::sched;
use xenocryst_guest::hypercall;
use xenocryst_guest::trap::attempt;

use crate::page::Pages;
use crate::privileged::put;
use crate::returning::{Frame, user_frame};
use crate::tell::{Ended, tell};
use crate::ticks::Ticks;

/// The elements, and a stack with a frame to return by, which is the stack too if there is no return.
static LIST: Pages<2> = Pages::new();
/// The word of that page at which the frame begins.
const FRAME: usize = 500;
/// What a result is before the batch.
const UNTOUCHED: u64 = 0x5555;

/// Everything of this file.
pub fn all() {
    leaving();
    stopping();
}

/// Fills in elements: numbers of hypercalls with two arguments.
fn fill(elements: &[(u64, u64, u64)]) {
    for (n, (call, first, second)) in elements.iter().enumerate() {
        for (word, value) in [*call, UNTOUCHED, *first, *second, 0, 0, 0, 0]
            .into_iter()
            .enumerate()
        {
            LIST.set(0, 8 * n + word, value);
        }
    }
}

/// The result of element `n`.
fn result(n: usize) -> u64 {
    // SAFETY: within the page, which the hypervisor writes.
    unsafe { ((LIST.address(0) + 64 * n as u64 + 8) as *const u64).read_volatile() }
}

/// A batch in which the kernel returns to its user mode: nothing behind that is done.
fn leaving() {
    let version = (number::XEN_VERSION, 0, 0);
    let frames = [
        ("user mode", user_frame()),
        ("kernel mode", Frame::kernel(put(&[0x0f, 0x0b]))),
    ];
    for (name, frame) in frames {
        fill(&[version, (number::IRET, 0, 0), version, version]);
        for (word, value) in frame.words().into_iter().enumerate() {
            LIST.set(1, FRAME + word, value);
        }
        let (list, stack) = (LIST.address(0), LIST.address(1) + 8 * FRAME as u64);
        let ended = attempt(|| {
            // SAFETY: UD2 comes next, here or where the frame says.
            unsafe {
                asm!("mov rsp, {frame}", "syscall", "ud2", frame = in(reg) stack,
                    in("rax") number::MULTICALL, in("rdi") list, in("rsi") 4_u64, options(noreturn));
            }
        });
        let mode = match ended {
            Err(fault) if fault.cs & 3 == 3 => "user mode",
            _ => "kernel mode",
        };
        let ended = Ended {
            result: ended,
            origin: 0,
        };
        tell(
            "batch",
            format_args!("iret to {name}, then in {mode}"),
            ended,
        );
        if name == "user mode" {
            let behind = if [result(2), result(3)] == [UNTOUCHED; 2] {
                "untouched"
            } else {
                "done"
            };
            tell("batch", format_args!("what follows iret to {name}"), behind);
        }
    }
}

/// A batch in which the vCPU waits, again and again: the elements behind are done when it goes on.
fn stopping() {
    let Some(ticks) = Ticks::start() else {
        tell("batch", format_args!("timer"), "refused");
        return;
    };
    ticks.leave_alone();
    // For nothing, until a time that has passed.
    let poll = [0_u64, 0, 1];
    let wait = (
        number::SCHED_OP,
        u64::from(sched::op::POLL),
        poll.as_ptr() as u64,
    );
    let pass = (number::SCHED_OP, u64::from(sched::op::YIELD), 0);
    let version = (number::XEN_VERSION, 0, 0);
    let batch = (number::MULTICALL, LIST.address(0), 1);
    for (name, elements) in [
        ("waiting", [wait, version, wait, wait, pass, version]),
        ("passing", [pass, pass, pass, wait, version, pass]),
        ("itself", [version, batch, version, batch, version, version]),
    ] {
        fill(&elements);
        // SAFETY: nothing is changed.
        let (answer, _) = unsafe { ticks.call(number::MULTICALL, [LIST.address(0), 6, 0, 0, 0]) };
        let results: [i64; 6] = core::array::from_fn(|n| result(n) as i64);
        tell(
            "batch",
            format_args!("{name}, {answer}"),
            format_args!("{results:?}"),
        );
    }
    drop(ticks);
    // SAFETY: nothing is asked for.
    let answer = unsafe { hypercall::call(number::MULTICALL, [LIST.address(0), 0, 0, 0, 0]) };
    tell("batch", format_args!("of nothing"), answer);
}
