//! The local interrupt controller of each CPU: interprocessor interrupts, end of interrupt, and the one-shot timer.
//!
//! Keeps true: one mode for all CPUs, chosen by the boot CPU: x2APIC (registers are MSRs) if the firmware left it on or the
//! CPU is virtual and has it, else xAPIC (registers in memory). IPIs are sent with interrupts off, so that the two writes
//! of an xAPIC command are not interleaved.
//! Specification: Intel SDM volume 3, chapter 11.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use xenocryst_abi::Maddr;

use super::clock;
use super::control;
use super::cpu::features;
use super::msr;
use crate::mm::{Caching, ioremap};
use crate::percpu::MAX_CPUS;

/// The timer's vector.
pub const TIMER_VECTOR: u8 = 0xf0;
/// "Look at your work": wakes a CPU.
pub const EVENT_CHECK_VECTOR: u8 = 0xf1;
/// Runs a function handed over by another CPU.
pub const CALL_VECTOR: u8 = 0xf3;
/// Interrupts that went away before they were taken.
pub const SPURIOUS_VECTOR: u8 = 0xff;

/// Register numbers: the MSR is 0x800 plus this, the memory offset 16 times this.
mod register {
    pub const ID: u32 = 0x2;
    pub const TASK_PRIORITY: u32 = 0x8;
    pub const END_OF_INTERRUPT: u32 = 0xb;
    pub const LOGICAL_DESTINATION: u32 = 0xd;
    pub const DESTINATION_FORMAT: u32 = 0xe;
    pub const SPURIOUS: u32 = 0xf;
    pub const ERROR_STATUS: u32 = 0x28;
    pub const COMMAND: u32 = 0x30;
    pub const COMMAND_HIGH: u32 = 0x31;
    pub const LVT_TIMER: u32 = 0x32;
    pub const LVT_THERMAL: u32 = 0x33;
    pub const LVT_PERFORMANCE: u32 = 0x34;
    pub const LVT_LINT0: u32 = 0x35;
    pub const LVT_LINT1: u32 = 0x36;
    pub const LVT_ERROR: u32 = 0x37;
    pub const TIMER_INITIAL: u32 = 0x38;
    pub const TIMER_CURRENT: u32 = 0x39;
    pub const TIMER_DIVIDE: u32 = 0x3e;
}

const MASKED: u32 = 1 << 16;
const DELIVERY_NMI: u32 = 4 << 8;
const DELIVERY_INIT: u32 = 5 << 8;
const DELIVERY_STARTUP: u32 = 6 << 8;
const LEVEL_ASSERT: u32 = 1 << 14;
const COMMAND_BUSY: u32 = 1 << 12;
const DEADLINE_MODE: u32 = 2 << 17;
const SOFTWARE_ENABLE: u32 = 1 << 8;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
/// Timer divided by 1.
const DIVIDE_BY_1: u32 = 0xb;

static X2APIC: AtomicBool = AtomicBool::new(false);
static DEADLINE: AtomicBool = AtomicBool::new(false);
/// Address of the registers in xAPIC mode.
static REGISTERS: AtomicU64 = AtomicU64::new(0);
/// Timer ticks a nanosecond (see [`clock::ticks_per_ns`]), where the timer counts by itself.
static TIMER_TICKS_PER_NS: AtomicU64 = AtomicU64::new(1 << 32);
/// The number of each CPU's APIC.
static APIC_ID: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(u32::MAX) }; MAX_CPUS];

#[inline(always)]
fn read(register: u32) -> u32 {
    if X2APIC.load(Ordering::Relaxed) {
        return msr::rdmsr(msr::X2APIC_FIRST + register) as u32;
    }
    let at = REGISTERS.load(Ordering::Relaxed) + u64::from(register) * 16;
    // SAFETY: a register of this CPU's APIC, mapped by `init` before any use.
    unsafe { (at as *const u32).read_volatile() }
}

#[inline(always)]
fn write(register: u32, value: u32) {
    if X2APIC.load(Ordering::Relaxed) {
        // SAFETY: an APIC register that exists in this mode; none of them affects memory.
        unsafe { msr::wrmsr(msr::X2APIC_FIRST + register, u64::from(value)) };
        return;
    }
    let at = REGISTERS.load(Ordering::Relaxed) + u64::from(register) * 16;
    // SAFETY: as in `read`.
    unsafe { (at as *mut u32).write_volatile(value) };
}

/// Chooses the mode, maps the registers, and sets up the boot CPU's controller.
///
/// # Panics
/// When the registers cannot be mapped.
pub fn init() {
    let base = msr::rdmsr(msr::APIC_BASE);
    let features = features();
    let x2apic = base & BASE_X2APIC != 0 || (features.x2apic && features.virtualised);
    if !x2apic {
        let at = Maddr::new(base & 0x000f_ffff_ffff_f000);
        let registers =
            ioremap(at, 4096, Caching::Device).expect("no page tables for the local APIC");
        REGISTERS.store(registers as u64, Ordering::Relaxed);
    }
    X2APIC.store(x2apic, Ordering::Relaxed);
    DEADLINE.store(features.tsc_deadline, Ordering::Relaxed);
    init_cpu(0);
}

/// Sets up the running CPU's controller and notes that it is CPU `cpu`'s.
pub fn init_cpu(cpu: u32) {
    let base = msr::rdmsr(msr::APIC_BASE);
    let mode = if X2APIC.load(Ordering::Relaxed) {
        BASE_X2APIC
    } else {
        0
    };
    // SAFETY: switches the controller on where it is, in the mode chosen for all CPUs.
    unsafe { msr::wrmsr(msr::APIC_BASE, base | BASE_ENABLE | mode) };
    for vector in [
        register::LVT_TIMER,
        register::LVT_LINT0,
        register::LVT_ERROR,
    ] {
        write(vector, MASKED);
    }
    write(
        register::LVT_LINT1,
        if cpu == 0 { DELIVERY_NMI } else { MASKED },
    );
    for vector in [register::LVT_THERMAL, register::LVT_PERFORMANCE] {
        write(vector, MASKED);
    }
    if mode == 0 {
        write(register::DESTINATION_FORMAT, u32::MAX);
        write(register::LOGICAL_DESTINATION, 0);
    }
    write(register::TASK_PRIORITY, 0);
    write(
        register::SPURIOUS,
        SOFTWARE_ENABLE | u32::from(SPURIOUS_VECTOR),
    );
    write(register::ERROR_STATUS, 0);
    write(register::TIMER_DIVIDE, DIVIDE_BY_1);
    let mode = if DEADLINE.load(Ordering::Relaxed) {
        DEADLINE_MODE
    } else {
        0
    };
    write(register::LVT_TIMER, u32::from(TIMER_VECTOR) | mode);
    if let Some(slot) = APIC_ID.get(cpu as usize) {
        slot.store(own_id(), Ordering::Release);
    }
}

/// The number of the running CPU's APIC.
pub fn own_id() -> u32 {
    let id = read(register::ID);
    if X2APIC.load(Ordering::Relaxed) {
        id
    } else {
        id >> 24
    }
}

/// The APIC number of `cpu`, once it was set up.
pub fn id_of(cpu: u32) -> Option<u32> {
    let id = APIC_ID.get(cpu as usize)?.load(Ordering::Acquire);
    (id != u32::MAX).then_some(id)
}

/// Whether the controllers are in x2APIC mode.
pub fn is_x2apic() -> bool {
    X2APIC.load(Ordering::Relaxed)
}

/// Tells the controller that the interrupt in service was dealt with.
#[inline(always)]
pub fn end_of_interrupt() {
    write(register::END_OF_INTERRUPT, 0);
}

/// Interrupts `cpu` with `vector`. A CPU that is not up is not interrupted.
#[inline]
pub fn send_ipi(cpu: u32, vector: u8) {
    if let Some(id) = id_of(cpu) {
        command(id, LEVEL_ASSERT | u32::from(vector));
    }
}

/// Sends `cpu` a non-maskable interrupt.
pub fn send_nmi(cpu: u32) {
    if let Some(id) = id_of(cpu) {
        command(id, LEVEL_ASSERT | DELIVERY_NMI);
    }
}

/// Resets the CPU whose APIC has number `id`.
pub(super) fn send_init(id: u32) {
    command(id, LEVEL_ASSERT | DELIVERY_INIT | 1 << 15);
    if !X2APIC.load(Ordering::Relaxed) {
        clock::delay_ns(200_000);
        command(id, DELIVERY_INIT | 1 << 15);
    }
}

/// Starts the CPU whose APIC has number `id` at physical page `page`, in real mode.
pub(super) fn send_startup(id: u32, page: u8) {
    command(id, LEVEL_ASSERT | DELIVERY_STARTUP | u32::from(page));
}

/// Writes the interrupt command register.
fn command(id: u32, command: u32) {
    if X2APIC.load(Ordering::Relaxed) {
        // Earlier stores must be seen before the interrupt: this write does not order by itself.
        // SAFETY: fences order memory; the command register only sends interrupts.
        unsafe {
            core::arch::asm!("mfence", "lfence", options(nostack, preserves_flags));
            msr::wrmsr(
                msr::X2APIC_FIRST + register::COMMAND,
                u64::from(id) << 32 | u64::from(command),
            );
        }
        return;
    }
    let mut patience = 100_000;
    while read(register::COMMAND) & COMMAND_BUSY != 0 && patience > 0 {
        patience -= 1;
        control::pause();
    }
    write(register::COMMAND_HIGH, id << 24);
    write(register::COMMAND, command);
}

/// Lets the timer interrupt this CPU once system time reaches `deadline_ns` (at once if it has), in place of what was set
/// before; `None` for never. It may come a little early if the deadline is further off than the counter reaches.
#[inline]
pub fn arm_timer(deadline_ns: Option<u64>) {
    let Some(deadline) = deadline_ns else {
        disarm();
        return;
    };
    let left = deadline.saturating_sub(clock::now_ns());
    if DEADLINE.load(Ordering::Relaxed) {
        let at = control::rdtsc()
            .saturating_add(clock::ticks_of_ns(left))
            .max(1);
        // SAFETY: the register exists where the feature does; it only sets the time of an interrupt.
        unsafe { msr::wrmsr(msr::TSC_DEADLINE, at) };
        return;
    }
    let ticks = clock::ticks(left, TIMER_TICKS_PER_NS.load(Ordering::Relaxed));
    write(
        register::TIMER_INITIAL,
        u32::try_from(ticks).unwrap_or(u32::MAX).max(1),
    );
}

fn disarm() {
    if DEADLINE.load(Ordering::Relaxed) {
        // SAFETY: as in `arm_timer`.
        unsafe { msr::wrmsr(msr::TSC_DEADLINE, 0) };
    } else {
        write(register::TIMER_INITIAL, 0);
    }
}

/// Starts the timer's counter from its top, for calibration.
pub(super) fn start_counting() {
    write(register::LVT_TIMER, u32::from(TIMER_VECTOR) | MASKED);
    write(register::TIMER_INITIAL, u32::MAX);
}

/// Ticks since [`start_counting`].
pub(super) fn counted() -> u32 {
    u32::MAX - read(register::TIMER_CURRENT)
}

/// Ends calibration: the timer runs at `hertz` and may interrupt again.
pub(super) fn finish_calibration(hertz: u64) {
    write(register::TIMER_INITIAL, 0);
    TIMER_TICKS_PER_NS.store(clock::ticks_per_ns(hertz), Ordering::Relaxed);
    let mode = if DEADLINE.load(Ordering::Relaxed) {
        DEADLINE_MODE
    } else {
        0
    };
    write(register::LVT_TIMER, u32::from(TIMER_VECTOR) | mode);
}
