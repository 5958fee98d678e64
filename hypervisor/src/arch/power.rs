//! Turning the machine off and starting it over.
//!
//! Keeps true: each function tries one way after the other, from the proper to the crude, and never returns.
//! Neighbours: `arch::acpi` (the registers), `hypercall` (`sched_op`, `platform_op`), `panic`.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Once;
use xenocryst_boot::cmdline::Reboot;

use super::io::{inb, inw, outb, outw};
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
static FIRST_METHOD: Once<Reboot> = Once::new();
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

/// Says which way of rebooting is tried first (`reboot=`).
pub fn set_reboot_method(method: Reboot) {
    FIRST_METHOD.call_once(|| method);
}

/// Starts the machine over: by the way that the options name, then by the others.
pub fn reboot() -> ! {
    super::smp::stop_others();
    if let Some(method) = FIRST_METHOD.get() {
        reset_by(*method);
    }
    for method in [Reboot::Acpi, Reboot::Pci, Reboot::Keyboard, Reboot::Triple] {
        reset_by(method);
    }
    super::stop_forever()
}

/// Tries one way of resetting the machine, and returns if it has no effect.
fn reset_by(method: Reboot) {
    // SAFETY: the reset register that the firmware's tables name, the PCI reset register (bit 2 resets, bit 1 makes it a hard
    // reset, bit 3 a power cycle), the keyboard controller's reset line: documented ways to reset the machine. The last way
    // faults without a usable interrupt table.
    unsafe {
        match method {
            Reboot::Any => return,
            Reboot::Acpi => match RESET.load(Ordering::Relaxed) {
                0 => return,
                reset => outb(reset as u16, (reset >> 32) as u8),
            },
            Reboot::Pci | Reboot::PciPower => {
                let cycle = if method == Reboot::PciPower { 8 } else { 0 };
                outb(0xcf9, 0x02 | cycle);
                clock::delay_ns(1_000_000);
                outb(0xcf9, 0x06 | cycle);
            }
            Reboot::Keyboard => {
                // Bit 1 of the status: the controller has not taken the last byte yet.
                (0..100_000).any(|_| inb(0x64) & 2 == 0);
                outb(0x64, 0xfe);
            }
            Reboot::Triple => {
                let no_table = [0_u16; 5];
                core::arch::asm!("lidt [{}]", "int3", in(reg) no_table.as_ptr(), options(nostack));
            }
        }
    }
    clock::delay_ns(50_000_000);
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
