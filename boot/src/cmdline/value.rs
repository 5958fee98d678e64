//! The notation of single option values.
//!
//! Keeps true: a value is read whole or not at all (`None`), and no number wraps. Neighbours: [`super`].

use super::{Consoles, Dom0Memory, Dom0Vcpus};

/// An amount of memory, relative to what is available: `size + percent`, or all but `size`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Amount {
    /// Bytes.
    pub size: u64,
    /// Whether the size is what to leave out rather than what to take.
    pub leave: bool,
    /// Percent of what is available, in addition (0 to 99).
    pub percent: u8,
}

impl Amount {
    /// The amount in bytes, where `available` bytes are there. May be more than that.
    pub fn bytes(self, available: u64) -> u64 {
        if self.leave {
            return available.saturating_sub(self.size);
        }
        // Divided first: the product could exceed 64 bits only for sizes nobody has, but then it must not wrap either.
        let share = (available / 100).saturating_mul(self.percent.into());
        self.size.saturating_add(share)
    }
}

/// How important a message is, or the least important one that is shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Level {
    /// Nothing is shown.
    #[default]
    None,
    /// Errors.
    Error,
    /// Warnings too.
    Warning,
    /// Information too.
    Info,
    /// Everything.
    Debug,
}

/// Which messages of one source are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Thresholds {
    /// Up to this level: always.
    pub always: Level,
    /// Beyond that, up to this level: limited in rate.
    pub limited: Level,
}

/// How to reboot the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reboot {
    /// Whatever works, tried in order.
    #[default]
    Any,
    /// The reset register of the ACPI FADT.
    Acpi,
    /// The keyboard controller.
    Keyboard,
    /// The PCI reset register at port 0xcf9: a reset.
    Pci,
    /// The same, as a power cycle.
    PciPower,
    /// A triple fault.
    Triple,
}

/// Settings of a serial port: what is absent stays as it is, or has its usual value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Serial {
    /// Baud rate; absent for `auto`.
    pub baud: Option<u32>,
    /// The port's clock in Hz.
    pub clock_hz: Option<u32>,
    /// Data bits, 5 to 8.
    pub data_bits: Option<u8>,
    /// Parity: one of `n`, `o`, `e`, `m`, `s`.
    pub parity: Option<u8>,
    /// Stop bits, 1 or 2.
    pub stop_bits: Option<u8>,
    /// First I/O port.
    pub io_base: Option<u16>,
    /// Interrupt line.
    pub irq: Option<u8>,
}

/// A number that fits 64 bits, in decimal or with a leading `0x`.
fn long(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        // `parse` would take a sign.
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

/// A number that fits 32 bits, in decimal or with a leading `0x`.
pub fn number(text: &str) -> Option<u32> {
    long(text)?.try_into().ok()
}

/// A size in bytes with the suffix B, K, M, G or T; in KiB without one, as Xen has it.
pub fn size(text: &str) -> Option<u64> {
    let digits =
        text.trim_end_matches(|last: char| last.is_ascii_alphabetic() && !text.starts_with("0x"));
    let (digits, suffix) = match text.strip_prefix("0x") {
        // In a hexadecimal number B is a digit.
        Some(hex) => text.split_at(
            2 + hex
                .find(|c: char| !c.is_ascii_hexdigit())
                .unwrap_or(hex.len()),
        ),
        None => text.split_at(digits.len()),
    };
    let shift = match suffix {
        "b" | "B" => 0,
        "" | "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return None,
    };
    long(digits)?.checked_mul(1 << shift)
}

/// `no`, `off`, `false`, `disable`, `0` and their opposites; nothing at all is yes.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "" | "yes" | "on" | "true" | "enable" | "1" => Some(true),
        "no" | "off" | "false" | "disable" | "0" => Some(false),
        _ => None,
    }
}

/// `console_timestamps`: a boolean, or one of the forms of time, of which there is one here.
pub fn timestamps(text: &str) -> Option<bool> {
    match text {
        "none" => Some(false),
        "date" | "datems" | "boot" | "raw" => Some(true),
        _ => boolean(text),
    }
}

/// One amount of `dom0_mem`: `[-]<size>` or `[<size>+]<percent>%`.
fn amount(text: &str) -> Option<Amount> {
    if let Some(text) = text.strip_prefix('-') {
        return Some(Amount {
            size: size(text)?,
            leave: true,
            percent: 0,
        });
    }
    let Some(text) = text.strip_suffix('%') else {
        return Some(Amount {
            size: size(text)?,
            leave: false,
            percent: 0,
        });
    };
    let (first, percent) = text.split_once('+').map_or(("0", text), |parts| parts);
    let percent = percent.parse().ok().filter(|&percent: &u8| percent < 100)?;
    Some(Amount {
        size: size(first)?,
        leave: false,
        percent,
    })
}

/// `dom0_mem`: amounts between commas, each with `min:`, `max:` or neither.
pub fn dom0_memory(text: &str) -> Option<Dom0Memory> {
    let mut memory = Dom0Memory::default();
    for part in text.split(',') {
        match part.split_once(':') {
            Some(("min", least)) => memory.min = Some(amount(least)?),
            Some(("max", most)) => memory.max = Some(amount(most)?),
            Some(_) => return None,
            None => memory.nominal = Some(amount(part)?),
        }
    }
    Some(memory)
}

/// `dom0_max_vcpus`: `<n>`, or `<min>-<max>` with either part optional.
pub fn vcpus(text: &str) -> Option<Dom0Vcpus> {
    let bound = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            number(text)
        }
    };
    let (min, max) = match text.split_once('-') {
        Some((min, max)) => (bound(min)?, bound(max)?),
        None => (number(text)?, number(text)?),
    };
    (max == 0 || min <= max).then_some(Dom0Vcpus { min, max })
}

/// `console`: a list between commas.
pub fn consoles(text: &str) -> Option<Consoles> {
    let mut consoles = Consoles {
        com1: false,
        com2: false,
        vga: false,
    };
    for part in text.split(',') {
        match part {
            // H and L share a port between two users by the top bit: of no use here, but the port is meant.
            "com1" | "com1H" | "com1L" => consoles.com1 = true,
            "com2" | "com2H" | "com2L" => consoles.com2 = true,
            "vga" => consoles.vga = true,
            "none" => {}
            _ => return None,
        }
    }
    Some(consoles)
}

/// `com1`: `<baud>[/<clock>][,<data bits><parity><stop bits>[,<port>[,<irq>]]]`, each part optional.
pub fn serial(text: &str) -> Option<Serial> {
    let mut serial = Serial::default();
    let mut parts = text.split(',');
    let (baud, clock) = parts
        .next()
        .map(|first| first.split_once('/').unwrap_or((first, "")))?;
    if !baud.is_empty() && baud != "auto" {
        serial.baud = Some(number(baud).filter(|&baud| baud > 0)?);
    }
    if !clock.is_empty() {
        // The clock is given as the highest baud rate it allows, or in Hz.
        let clock = number(clock)?;
        serial.clock_hz = Some(if clock <= 921_600 {
            clock.checked_mul(16)?
        } else {
            clock
        });
    }
    if let Some(format) = parts.next().filter(|format| !format.is_empty()) {
        let [data, parity, stop] = *format.as_bytes() else {
            return None;
        };
        serial.data_bits = Some(
            data.checked_sub(b'0')
                .filter(|bits| (5..=8).contains(bits))?,
        );
        serial.parity =
            Some(parity.to_ascii_lowercase()).filter(|parity| b"noems".contains(parity));
        serial.parity?;
        serial.stop_bits = Some(
            stop.checked_sub(b'0')
                .filter(|bits| (1..=2).contains(bits))?,
        );
    }
    if let Some(base) = parts.next().filter(|base| !base.is_empty()) {
        serial.io_base = Some(number(base)?.try_into().ok()?);
    }
    if let Some(irq) = parts.next().filter(|irq| !irq.is_empty()) {
        serial.irq = Some(number(irq)?.try_into().ok()?);
    }
    parts.next().is_none().then_some(serial)
}

/// `loglvl`: `<level>[/<level limited in rate>]`.
pub fn thresholds(text: &str) -> Option<Thresholds> {
    let level = |text: &str| match text {
        "none" => Some(Level::None),
        "error" => Some(Level::Error),
        "warning" => Some(Level::Warning),
        "info" => Some(Level::Info),
        "debug" | "all" => Some(Level::Debug),
        _ => None,
    };
    let (always, limited) = match text.split_once('/') {
        Some((always, limited)) => (level(always)?, level(limited)?),
        None => (level(text)?, level(text)?),
    };
    Some(Thresholds {
        always,
        limited: limited.max(always),
    })
}

/// `reboot`: the method, if one is named, and whether never to reboot after a crash. Of each word the first letter counts.
pub fn reboot(text: &str) -> Option<(Option<Reboot>, bool)> {
    let (mut how, mut never) = (None, false);
    for part in text.split(',') {
        match part.as_bytes().first()? {
            b'n' => never = true,
            b'a' => how = Some(Reboot::Acpi),
            b'k' => how = Some(Reboot::Keyboard),
            b'p' => how = Some(Reboot::Pci),
            b'P' => how = Some(Reboot::PciPower),
            b't' => how = Some(Reboot::Triple),
            // Warm, cold, through EFI, "0" for the default: all leave the choice open.
            b'w' | b'c' | b'e' | b'0' => {}
            _ => return None,
        }
    }
    Some((how, never))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes_and_default_to_kib() {
        assert_eq!(size("512M"), Some(512 << 20));
        assert_eq!(size("4"), Some(4096));
        assert_eq!(size("100b"), Some(100));
        assert_eq!(size("0x10k"), Some(16384));
        assert_eq!(size("1T"), Some(1 << 40));
        for wrong in [
            "",
            "M",
            "12Q",
            "-4M",
            "+4M",
            "4MM",
            "99999999999999999999",
            "17179869184G",
            "0x",
        ] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dom0_memory_takes_every_form() {
        assert_eq!(
            dom0_memory("1G+25%")
                .unwrap()
                .nominal
                .unwrap()
                .bytes(256 << 30)
                >> 30,
            64
        );
        assert_eq!(
            dom0_memory("-128M").unwrap().bytes(1 << 30),
            (1 << 30) - (128 << 20)
        );
        let memory = dom0_memory("min:1G,max:2G").unwrap();
        assert_eq!(memory.bytes(8 << 30), 2 << 30);
        assert_eq!(memory.bytes(512 << 20), 512 << 20);
        for wrong in ["", "1G,", "min:", "mid:1G", "100%", "1G+", "%"] {
            assert_eq!(dom0_memory(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn serial_settings_are_positional() {
        let full = serial("115200/1843200,8n1,0x3f8,4").unwrap();
        assert_eq!(full.baud, Some(115_200));
        assert_eq!(full.clock_hz, Some(1_843_200));
        assert_eq!(
            (full.data_bits, full.parity, full.stop_bits),
            (Some(8), Some(b'n'), Some(1))
        );
        assert_eq!((full.io_base, full.irq), (Some(0x3f8), Some(4)));
        assert_eq!(serial("auto,,0x2f8").unwrap().io_base, Some(0x2f8));
        assert_eq!(serial("").unwrap(), Serial::default());
        for wrong in [
            "0",
            "fast",
            "9600,9n1",
            "9600,8x1",
            "9600,8n",
            "9600,8n1,0x3f80000",
            "9600,8n1,pci",
        ] {
            assert_eq!(serial(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn log_levels_come_alone_or_in_pairs() {
        assert_eq!(
            thresholds("all"),
            Some(Thresholds {
                always: Level::Debug,
                limited: Level::Debug
            })
        );
        assert_eq!(
            thresholds("none/error"),
            Some(Thresholds {
                always: Level::None,
                limited: Level::Error
            })
        );
        assert_eq!(thresholds("loud"), None);
        assert_eq!(thresholds("all/"), None);
    }

    #[test]
    fn vcpus_are_a_number_or_a_range() {
        assert_eq!(vcpus("4").unwrap().count(9), 4);
        assert_eq!(vcpus("-2").unwrap().count(9), 2);
        assert_eq!(vcpus("4-").unwrap().count(1), 4);
        assert_eq!(vcpus("5-4"), None);
        assert_eq!(vcpus(""), None);
    }
}
