//! The hypervisor's options, as parsed from its command line.
//!
//! Neighbours: `xenocryst_boot::cmdline` (the parser and the meaning of each option).

use alloc::string::String;

use spin::Once;
use xenocryst_boot::cmdline::{self, Fault, Options};

use crate::console::{self, Level, Settings, Source, Thresholds, log};

static OPTIONS: Once<Options<'static>> = Once::new();
static LINE: Once<&'static str> = Once::new();

/// The options.
///
/// # Panics
/// Before [`init`].
pub fn options() -> &'static Options<'static> {
    OPTIONS.get().expect("the options are not parsed yet")
}

/// The command line as given (`XENVER_commandline`).
pub fn command_line() -> &'static str {
    LINE.get().copied().unwrap_or("")
}

/// Parses the command line, keeps a copy of it, and applies what concerns the console.
pub fn init(line: &str) {
    let line: &'static str = LINE.call_once(|| String::from(line).leak());
    let options = OPTIONS.call_once(|| Options::parse(line));
    apply_console(options);
    for (source, thresholds) in [
        (Source::Hypervisor, options.loglvl),
        (Source::Guest, options.guest_loglvl),
    ] {
        console::set_thresholds(
            source,
            Thresholds {
                always: count(thresholds.always),
                limited: count(thresholds.limited),
            },
        );
    }
    crate::arch::power::set_noreboot(options.noreboot);
    crate::arch::power::set_reboot_method(options.reboot);
    console::set_timestamps(options.console_timestamps);
    console::keep_all(options.console_to_ring);
    if let Some(bytes) = options.conring_size {
        console::resize_ring(bytes);
    }
    for complaint in options.complaints() {
        let what = match complaint.fault {
            Fault::Unknown => "is not known",
            Fault::BadValue => "has a value that cannot be read",
        };
        log!(
            Source::Hypervisor,
            Level::Warning,
            "Option '{}' {} and is ignored",
            complaint.option,
            what
        );
    }
}

/// How many levels a threshold lets through.
fn count(level: cmdline::Level) -> u8 {
    match level {
        cmdline::Level::None => 0,
        cmdline::Level::Error => 1,
        cmdline::Level::Warning => 2,
        cmdline::Level::Info => 3,
        cmdline::Level::Debug => 4,
    }
}

/// Sets up the serial port that `console=` names with the settings of its own option.
fn apply_console(options: &Options<'_>) {
    let port = if options.console.com1 {
        Some((Settings::COM1, options.com[0]))
    } else if options.console.com2 {
        Some((Settings::COM2, options.com[1]))
    } else {
        None
    };
    let settings = port.map(|(usual, given)| {
        let given = given.unwrap_or_default();
        Settings {
            base: given.io_base.unwrap_or(usual.base),
            irq: given.irq.unwrap_or(usual.irq),
            baud: given.baud.or(usual.baud),
            data_bits: given.data_bits.unwrap_or(usual.data_bits),
            parity: given.parity.unwrap_or(usual.parity),
            stop_bits: given.stop_bits.unwrap_or(usual.stop_bits),
        }
    });
    console::configure(settings.as_ref());
    if options.console.vga {
        console::start_display();
    }
}
