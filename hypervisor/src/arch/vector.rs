//! Keeping the guest's vector registers across code that uses them.
//!
//! The image's own code uses general registers only. The precompiled `core` does not: its formatting and panic code uses
//! XMM registers. Whoever calls into that does so through [`preserve`].

use core::arch::asm;

use super::control::{read_cr0, write_cr0};

/// CR0: task switched.
const CR0_TS: u64 = 1 << 3;

/// The legacy region of the FPU's state: x87 registers, XMM registers, MXCSR.
#[repr(C, align(16))]
struct Area([u8; 512]);

/// Runs `work`, which may use x87 and XMM registers, and puts those registers and CR0.TS back as they were.
///
/// The upper halves of YMM and ZMM registers are not saved: legacy SSE instructions leave them alone.
pub fn preserve<R>(work: impl FnOnce() -> R) -> R {
    let cr0 = read_cr0();
    let mut area = core::mem::MaybeUninit::<Area>::uninit();
    // SAFETY: CR4.OSFXSR is set from the first Rust code on, TS is cleared first, and the area is 512 aligned bytes of our own.
    unsafe {
        asm!("clts", "fxsave64 [{}]", in(reg) area.as_mut_ptr(), options(nostack, preserves_flags));
    }
    let result = work();
    // SAFETY: the area holds what was saved above; CR0 gets its earlier value.
    unsafe {
        asm!("fxrstor64 [{}]", in(reg) area.as_ptr(), options(nostack, preserves_flags));
        if cr0 & CR0_TS != 0 {
            write_cr0(cr0);
        }
    }
    result
}
