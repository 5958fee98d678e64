//! Asking the hypervisor: the instruction, and the calls that every kernel makes.
//!
//! What it keeps true: arguments go in registers and memory operands are really in memory when the call is made.
//! Numbers and structures: [`xenocryst_abi`].

use core::arch::asm;

use xenocryst_abi::hypercall::number;
use xenocryst_abi::{console, event_channel, sched};

/// Makes the hypercall `number` with up to five arguments; the answer is the hypervisor's RAX: zero or more, or a
/// negated [`xenocryst_abi::Errno`].
///
/// # Safety
/// What is asked for must leave the kernel's own code, data, stack and tables as it relies on them, and pointers among the
/// arguments must be to memory that the hypervisor may read and write as the call says.
#[inline]
pub unsafe fn call(number: u64, arguments: [u64; 5]) -> i64 {
    let [a1, a2, a3, a4, a5] = arguments;
    let answer: i64;
    // SAFETY: the caller's. The hypervisor may change these five argument registers when it carries a call on, and no other:
    // Linux relies on that for R9.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as i64 => answer,
            inlateout("rdi") a1 => _,
            inlateout("rsi") a2 => _,
            inlateout("rdx") a3 => _,
            inlateout("r10") a4 => _,
            inlateout("r8") a5 => _,
            out("rcx") _,
            out("r11") _,
        );
    }
    answer
}

/// Writes text to the hypervisor's console (`console_io`): for the control domain.
pub fn console_write(text: &[u8]) {
    let arguments = [
        u64::from(console::WRITE),
        text.len() as u64,
        text.as_ptr() as u64,
        0,
        0,
    ];
    // SAFETY: the hypervisor reads the text and changes nothing.
    unsafe { call(number::CONSOLE_IO, arguments) };
}

/// Tells the other end of the event channel `port`.
pub fn notify(port: u32) {
    let send = event_channel::Send { port };
    let arguments = [
        u64::from(event_channel::op::SEND),
        &raw const send as u64,
        0,
        0,
        0,
    ];
    // SAFETY: an event to the other end; nothing of ours changes.
    unsafe { call(number::EVENT_CHANNEL_OP, arguments) };
}

/// Ends the domain for `reason` ([`sched::shutdown`]).
pub fn shutdown(reason: u32) -> ! {
    let request = sched::SchedShutdown { reason };
    loop {
        let arguments = [
            u64::from(sched::op::SHUTDOWN),
            &raw const request as u64,
            0,
            0,
            0,
        ];
        // SAFETY: the hypervisor reads the request; after it nothing of the domain runs.
        unsafe { call(number::SCHED_OP, arguments) };
    }
}
