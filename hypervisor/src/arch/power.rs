//! Turning the machine off and starting it over.
//!
//! Keeps true: each function tries one way after the other, from the proper to the crude, and never returns.
//! Neighbours: `arch::acpi` (the registers), `hypercall` (`sched_op`, `platform_op`), `panic`.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::io::{inb, inw, outb, outl, outw};
use super::{clock, control};
use crate::console::say;

/// `SLP_EN` in a PM1 control register (ACPI 4.8.3.2.1).
const SLEEP_ENABLE: u16 = 1 << 13;

/// I/O ports of PM1a and PM1b control, packed as `a | b << 16`; 0 for none.
static PM1_CONTROL: AtomicU64 = AtomicU64::new(0);
/// `SLP_TYPa | SLP_TYPb << 8 | 1 << 16` of the S5 state; 0 while unknown.
static S5: AtomicU64 = AtomicU64::new(0);
/// The reset register: `1 << 40 | value << 32 | port` for an I/O port; 0 for none.
static RESET: AtomicU64 = AtomicU64::new(0);
static NO_REBOOT: AtomicBool = AtomicBool::new(false);

/// Notes the ports of the PM1a and PM1b control registers (0 for none).
pub fn set_pm1_control(a: u16, b: u16) {
    PM1_CONTROL.store(u64::from(a) | u64::from(b) << 16, Ordering::Relaxed);
}

/// Notes the sleep types that mean "off".
pub fn set_s5(type_a: u8, type_b: u8) {
    S5.store(
        1 << 16 | u64::from(type_a & 7) | u64::from(type_b & 7) << 8,
        Ordering::Relaxed,
    );
}

/// Notes the reset register's port and the value that resets.
pub fn set_reset_port(port: u16, value: u8) {
    RESET.store(
        1 << 40 | u64::from(value) << 32 | u64::from(port),
        Ordering::Relaxed,
    );
}

/// Says whether a crash leaves the machine standing rather than rebooting it.
pub fn set_noreboot(noreboot: bool) {
    NO_REBOOT.store(noreboot, Ordering::Relaxed);
}

/// Whether a crash leaves the machine standing.
pub fn noreboot() -> bool {
    NO_REBOOT.load(Ordering::Relaxed)
}

/// Enters an ACPI sleep state with the register values given, as the control domain asks
/// (`XENPF_enter_acpi_sleep`). Returns if the machine did not.
pub fn enter_sleep(pm1a: u16, pm1b: u16) {
    let ports = PM1_CONTROL.load(Ordering::Relaxed);
    let (a, b) = (ports as u16, (ports >> 16) as u16);
    // SAFETY: the PM1 control registers as the firmware's tables name them; the machine goes off.
    unsafe {
        if a != 0 {
            outw(a, pm1a | SLEEP_ENABLE);
        }
        if b != 0 {
            outw(b, pm1b | SLEEP_ENABLE);
        }
    }
    clock::delay_ns(100_000_000);
}

/// Turns the machine off; if it cannot be, halts it.
pub fn power_off() -> ! {
    say!("Powering off");
    let s5 = S5.load(Ordering::Relaxed);
    let ports = PM1_CONTROL.load(Ordering::Relaxed);
    if s5 != 0 && ports as u16 != 0 {
        // SAFETY: reads the register that is written next, whose other bits are kept.
        let kept = unsafe { inw(ports as u16) } & !(7 << 10 | SLEEP_ENABLE);
        enter_sleep(
            kept | ((s5 & 7) << 10) as u16,
            kept | ((s5 >> 8 & 7) << 10) as u16,
        );
    }
    say!("The machine did not power off: halting");
    halt_all()
}

/// Starts the machine over.
pub fn reboot() -> ! {
    super::smp::stop_others();
    let reset = RESET.load(Ordering::Relaxed);
    // SAFETY: the reset register that the firmware's tables name, then the PCI reset register, then the keyboard controller's
    // reset line: documented ways to reset the machine. The last one faults without a usable interrupt table.
    unsafe {
        if reset != 0 {
            outb(reset as u16, (reset >> 32) as u8);
            clock::delay_ns(50_000_000);
        }
        outb(0xcf9, 0x02);
        clock::delay_ns(1_000_000);
        outb(0xcf9, 0x06);
        clock::delay_ns(50_000_000);
        for _ in 0..100_000 {
            if inb(0x64) & 2 == 0 {
                break;
            }
        }
        outb(0x64, 0xfe);
        clock::delay_ns(50_000_000);
        outl(0xcf8, 0);
        let no_table = [0_u16; 5];
        core::arch::asm!("lidt [{}]", "int3", in(reg) no_table.as_ptr(), options(nostack));
    }
    super::stop_forever()
}

/// Stops every CPU, for good.
pub fn halt_all() -> ! {
    super::smp::stop_others();
    super::stop_forever()
}

/// What follows a crash of the host or of the control domain: a reboot after a few seconds, or a halt.
pub fn stop_host() -> ! {
    super::smp::stop_others();
    if noreboot() {
        say!("Manual reset required ('noreboot' specified)");
        halt_all()
    }
    say!("Reboot in five seconds...");
    for _ in 0..500 {
        clock::delay_ns(10_000_000);
        control::pause();
    }
    reboot()
}
