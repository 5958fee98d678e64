//! What belongs to one physical CPU: its stack block, the guest register frame at the top of it, and [`CpuInfo`].
//!
//! Keeps true: the block is [`STACK_SIZE`] bytes, aligned to its size, so that the running CPU is found by masking
//! `rsp` and neither FS nor GS, which are the guest's, is ever needed. Inside the block the lowest pages are the
//! stacks of the vectors that can arrive at any instruction (double fault, NMI, machine check, debug) and the CPU's
//! descriptors; the rest is the primary stack, which grows down from the guest register frame. Below each stack is a page that
//! is not mapped.
//! Neighbours: `arch::entry` (assembly that relies on the offsets asserted here), `arch::cpu_block`, `domain`.

use core::cell::Cell;
use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::domain::Vcpu;

/// Bytes of one CPU's stack block, and its alignment.
pub const STACK_SIZE: usize = 128 * 1024;
/// Bytes of each special-vector stack at the bottom of the block. A double fault's prints a report.
pub const IST_STACK_SIZE: usize = 8192;
/// The most CPUs this build drives (one bit each in a `u64` mask).
pub const MAX_CPUS: usize = 64;

/// The guest's registers as the entry code pushes them: general registers, then what the CPU pushed.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)] // One field a register, named after it.
pub struct GuestRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// Error code in the low half, entry vector in the high half.
    pub error_code: u32,
    pub vector: u32,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// Work that a CPU must do before it next enters a guest, as bits of [`CpuInfo::work`].
pub mod work {
    /// The scheduler must choose again.
    pub const SCHEDULE: u32 = 1 << 0;
    /// The timer interrupt fired: expired deadlines are to be handled.
    pub const TIMER: u32 = 1 << 1;
    /// The serial console has input.
    pub const CONSOLE: u32 = 1 << 2;
    /// A dead domain waits for this CPU to let go of what it knew of it; see `domain::grave`.
    pub const FORGET: u32 = 1 << 3;
    /// The machine is to be quiet for a moment; see `quiet`.
    pub const QUIET: u32 = 1 << 4;
}

/// Top of the stack block: the guest register frame, then what the CPU knows of itself.
#[repr(C, align(16))]
pub struct CpuInfo {
    /// Keeps the end of `guest` 16-byte aligned, as the CPU wants of `TSS.rsp0`.
    pub reserved: u64,
    /// The guest's registers while the hypervisor runs on its behalf. The hardware pushes its part here: `TSS.rsp0`
    /// is the address of the field that follows.
    pub guest: GuestRegs,
    /// The vCPU whose state is loaded on this CPU (possibly blocked while the CPU idles).
    pub current: Cell<Option<&'static Vcpu>>,
    /// This CPU's number, from 0.
    pub cpu: u32,
    /// Bits of [`work`], set by this CPU's interrupts or by others before they send an event-check interrupt.
    pub work: AtomicU32,
    /// Non-zero while this CPU waits for an interrupt.
    pub idle: AtomicU32,
    /// The number of the local APIC.
    pub apic_id: u32,
}

const _: () = {
    assert!(size_of::<GuestRegs>() == 21 * 8);
    assert!(size_of::<CpuInfo>() == 208);
    assert!(offset_of!(CpuInfo, guest) == 8);
    assert!(offset_of!(CpuInfo, current) == 176);
    assert!(offset_of!(CpuInfo, work) == 188);
    assert!(offset_of!(GuestRegs, cs) == 136);
};

/// Bytes from a block's top down to its `CpuInfo`.
pub const CPU_INFO_SIZE: usize = size_of::<CpuInfo>();

/// The running CPU's `CpuInfo`.
#[inline(always)]
pub fn this_cpu() -> &'static CpuInfo {
    let rsp: usize;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags))
    };
    let info = (rsp | (STACK_SIZE - 1)) + 1 - CPU_INFO_SIZE;
    // SAFETY: every stack the hypervisor runs on lies in an aligned block whose top holds an initialised CpuInfo that
    // lives for ever; fields that change are cells or atomics, and only this CPU uses the cells.
    unsafe { &*(info as *const CpuInfo) }
}

impl CpuInfo {
    /// The vCPU loaded here.
    ///
    /// Panics when there is none, which only happens before the first domain is entered.
    #[inline(always)]
    pub fn vcpu(&self) -> &'static Vcpu {
        match self.current.get() {
            Some(vcpu) => vcpu,
            None => no_current(),
        }
    }

    /// Asks this CPU, or from another CPU the CPU this describes, to do `bits` before it next enters a guest.
    #[inline(always)]
    pub fn raise(&self, bits: u32) {
        self.work.fetch_or(bits, Ordering::Release);
    }
}

#[cold]
fn no_current() -> ! {
    panic!("no vCPU is loaded on this CPU")
}

/// The vCPU loaded on the running CPU. See [`CpuInfo::vcpu`].
#[inline(always)]
pub fn current() -> &'static Vcpu {
    this_cpu().vcpu()
}

/// Whether something waits for this CPU or for the vCPU loaded here, so that a long operation should stop here and be
/// continued later.
///
/// The interrupts that have come since the hypervisor was entered are taken now; otherwise nothing that arrives at this CPU,
/// such as the end of a time slice, would ever be seen from inside a loop. So the caller holds no lock that an interrupt
/// needs: those of events, timers, run queues and interrupt lines.
#[inline]
pub fn must_pause() -> bool {
    let cpu = this_cpu();
    // SAFETY: as in the idle loop, what arrives runs on this stack, sets bits and wakes vCPUs. They are open for one
    // instruction: STI acts behind the one that follows it. Not `nostack`: the CPU pushes.
    unsafe { core::arch::asm!("sti", "nop", "cli") };
    cpu.work.load(Ordering::Relaxed) != 0 || cpu.current.get().is_some_and(has_event)
}

/// Whether `vcpu` has an event that it does not mask.
fn has_event(vcpu: &Vcpu) -> bool {
    let info = &vcpu.info;
    info.upcall_pending().load(Ordering::Relaxed) != 0
        && info.upcall_mask().load(Ordering::Relaxed) == 0
}
