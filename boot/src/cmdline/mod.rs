//! The hypervisor's options, spelled as Xen's.
//!
//! Keeps true: whatever stands on the command line, the result is a full set of options: what is unknown, malformed or too much is
//! named in [`Options::complaints`], for a warning once there is a console, and leaves the default.
//! Neighbours: [`value`] for the notation of single values; the hypervisor's start-up, which acts on the result.

pub mod value;

pub use value::{Amount, Level, Reboot, Serial, Thresholds};

/// The most complaints that are kept.
pub const MAX_COMPLAINTS: usize = 16;

/// What is wrong with an option.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fault {
    /// Nothing here knows it.
    #[default]
    Unknown,
    /// Its value cannot be read.
    BadValue,
}

/// An option that was not obeyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Complaint<'a> {
    /// The option, as it was written.
    pub option: &'a str,
    /// Why.
    pub fault: Fault,
}

/// Initial memory of dom0: each part absent unless given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dom0Memory {
    /// The amount.
    pub nominal: Option<Amount>,
    /// At least this.
    pub min: Option<Amount>,
    /// At most this; also the limit of later growth.
    pub max: Option<Amount>,
}

impl Dom0Memory {
    /// Bytes dom0 starts with, out of `available` bytes. Without options: all but a sixteenth, which is at most 128 MiB.
    pub fn bytes(&self, available: u64) -> u64 {
        let reserve = (available / 16).min(128 << 20);
        let nominal = self
            .nominal
            .map_or(available - reserve, |amount| amount.bytes(available));
        let at_least = self.min.map_or(0, |amount| amount.bytes(available));
        let at_most = self.max.map_or(u64::MAX, |amount| amount.bytes(available));
        nominal.max(at_least).min(at_most).min(available)
    }

    /// Bytes dom0 may grow to, if there is a limit.
    pub fn limit(&self, available: u64) -> Option<u64> {
        self.max.map(|amount| amount.bytes(available))
    }
}

/// Virtual CPUs of dom0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dom0Vcpus {
    /// At least this many; 0 if not given.
    pub min: u32,
    /// At most this many; 0 if not given.
    pub max: u32,
}

impl Dom0Vcpus {
    /// Virtual CPUs for a machine with `cpus` physical ones: never 0.
    pub fn count(&self, cpus: u32) -> u32 {
        let most = if self.max == 0 { u32::MAX } else { self.max };
        cpus.max(self.min).min(most).max(1)
    }
}

/// The consoles to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Consoles {
    /// The first serial port.
    pub com1: bool,
    /// The second serial port.
    pub com2: bool,
    /// The display.
    pub vga: bool,
}

/// Every option, with its default where the command line says nothing.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// `dom0_mem=`.
    pub dom0_mem: Dom0Memory,
    /// `dom0_max_vcpus=`.
    pub dom0_max_vcpus: Dom0Vcpus,
    /// `maxcpus=` (and `nosmp`, which is 1): physical CPUs to use, at most.
    pub maxcpus: Option<u32>,
    /// `console=`.
    pub console: Consoles,
    /// `com1=`, `com2=`.
    pub com: [Option<Serial>; 2],
    /// `loglvl=`.
    pub loglvl: Thresholds,
    /// `guest_loglvl=`.
    pub guest_loglvl: Thresholds,
    /// `conring_size=`: bytes of console ring.
    pub conring_size: Option<u64>,
    /// `noreboot`, `reboot=no`: stop rather than reboot after a crash.
    pub noreboot: bool,
    /// `reboot=`: how to reboot.
    pub reboot: Reboot,
    /// `mem=`: bytes of RAM to use, at most.
    pub mem: Option<u64>,
    /// `sync_console`: never drop console output, at the price of waiting for the port.
    pub sync_console: bool,
    /// `console_timestamps`: begin each line with the time.
    pub console_timestamps: bool,
    /// `console_to_ring`: keep the control domain's own output in the console ring too.
    pub console_to_ring: bool,
    complaints: [Complaint<'a>; MAX_COMPLAINTS],
    complaint_count: usize,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            dom0_mem: Dom0Memory::default(),
            dom0_max_vcpus: Dom0Vcpus::default(),
            maxcpus: None,
            console: Consoles {
                com1: true,
                com2: false,
                vga: true,
            },
            com: [None; 2],
            loglvl: Thresholds {
                always: Level::Warning,
                limited: Level::Warning,
            },
            guest_loglvl: Thresholds {
                always: Level::None,
                limited: Level::Warning,
            },
            conring_size: None,
            noreboot: false,
            reboot: Reboot::default(),
            mem: None,
            sync_console: false,
            console_timestamps: false,
            console_to_ring: false,
            complaints: [Complaint {
                option: "",
                fault: Fault::Unknown,
            }; MAX_COMPLAINTS],
            complaint_count: 0,
        }
    }
}

impl<'a> Options<'a> {
    /// Reads a command line without the image's own name (see [`crate::info::BootInfo::options`]). The last one wins of
    /// several settings of one option.
    pub fn parse(line: &'a str) -> Self {
        let mut options = Self::default();
        for word in line.split_whitespace() {
            if word == "--" {
                break;
            }
            let outcome = match word.split_once('=') {
                Some((name, value)) => options.set(name, value),
                None => match word.strip_prefix("no-") {
                    Some(name) if !IGNORED.contains(&word) => options.set(name, "no"),
                    _ => options.set(word, ""),
                },
            };
            if let Err(fault) = outcome {
                options.complain(Complaint {
                    option: word,
                    fault,
                });
            }
        }
        options
    }

    /// The options that were not obeyed, in the order they were written (the first [`MAX_COMPLAINTS`] of them).
    pub fn complaints(&self) -> &[Complaint<'a>] {
        self.complaints.get(..self.complaint_count).unwrap_or(&[])
    }

    fn complain(&mut self, complaint: Complaint<'a>) {
        if let Some(slot) = self.complaints.get_mut(self.complaint_count) {
            *slot = complaint;
            self.complaint_count += 1;
        }
    }

    /// Sets one option; an option without `=` comes with an empty value.
    fn set(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        match name {
            "dom0_mem" => value::dom0_memory(text).map(|memory| self.dom0_mem = memory),
            "dom0_max_vcpus" => value::vcpus(text).map(|vcpus| self.dom0_max_vcpus = vcpus),
            "maxcpus" => value::number(text).map(|cpus| self.maxcpus = Some(cpus.max(1))),
            "nosmp" => {
                value::boolean(text).map(|on| self.maxcpus = if on { Some(1) } else { None })
            }
            "console" => value::consoles(text).map(|consoles| self.console = consoles),
            "com1" => value::serial(text).map(|serial| self.com[0] = Some(serial)),
            "com2" => value::serial(text).map(|serial| self.com[1] = Some(serial)),
            "loglvl" => value::thresholds(text).map(|thresholds| self.loglvl = thresholds),
            "guest_loglvl" => {
                value::thresholds(text).map(|thresholds| self.guest_loglvl = thresholds)
            }
            "conring_size" => value::size(text).map(|size| self.conring_size = Some(size)),
            "mem" => value::size(text).map(|size| self.mem = Some(size)),
            "noreboot" => value::boolean(text).map(|on| self.noreboot = on),
            "reboot" => value::reboot(text).map(|(how, never)| {
                self.reboot = how.unwrap_or(self.reboot);
                self.noreboot |= never;
            }),
            "sync_console" => value::boolean(text).map(|on| self.sync_console = on),
            "console_timestamps" => value::timestamps(text).map(|on| self.console_timestamps = on),
            "console_to_ring" => value::boolean(text).map(|on| self.console_to_ring = on),
            _ if IGNORED.contains(&name) => Some(()),
            _ => return Err(Fault::Unknown),
        }
        .ok_or(Fault::BadValue)
    }
}

/// What boot scripts put on every hypervisor's command line and what asks for nothing here.
const IGNORED: [&str; 3] = ["placeholder", "no-real-mode", "edd"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_gives_the_defaults() {
        let options = Options::parse("  ");
        assert!(options.console.com1 && options.console.vga && !options.console.com2);
        assert_eq!(options.loglvl.always, Level::Warning);
        assert!(options.complaints().is_empty());
        assert_eq!(options.dom0_mem.bytes(16 << 30), (16 << 30) - (128 << 20));
        assert_eq!(options.dom0_mem.bytes(256 << 20), 240 << 20);
    }

    #[test]
    fn the_usual_line_is_understood() {
        let options = Options::parse(
            "placeholder dom0_mem=512M,max:1G console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all/none \
             noreboot conring_size=64k console_to_ring dom0_max_vcpus=2-4 maxcpus=3 no-real-mode edd=off",
        );
        assert!(
            options.complaints().is_empty(),
            "{:?}",
            options.complaints()
        );
        assert_eq!(options.dom0_mem.bytes(8 << 30), 512 << 20);
        assert_eq!(options.dom0_mem.limit(8 << 30), Some(1 << 30));
        assert!(options.console.com1 && !options.console.vga);
        assert_eq!(options.com[0].unwrap().baud, Some(115_200));
        assert_eq!(options.loglvl.always, Level::Debug);
        assert!(options.noreboot);
        assert_eq!(options.conring_size, Some(65536));
        assert!(options.console_to_ring);
        assert_eq!(options.dom0_max_vcpus.count(1), 2);
        assert_eq!(options.dom0_max_vcpus.count(3), 3);
        assert_eq!(options.dom0_max_vcpus.count(9), 4);
        assert_eq!(options.maxcpus, Some(3));
    }

    #[test]
    fn what_is_unknown_or_malformed_is_named() {
        let options = Options::parse("frobnicate dom0_mem=lots no-noreboot iommu=off");
        let named = options.complaints();
        assert_eq!(named.len(), 3);
        assert_eq!(
            named[0],
            Complaint {
                option: "frobnicate",
                fault: Fault::Unknown
            }
        );
        assert_eq!(
            named[1],
            Complaint {
                option: "dom0_mem=lots",
                fault: Fault::BadValue
            }
        );
        assert_eq!(named[2].option, "iommu=off");
        assert_eq!(options.dom0_mem, Dom0Memory::default());
        assert!(!options.noreboot);
    }

    #[test]
    fn surplus_complaints_are_dropped() {
        let options = Options::parse("a b c d e f g h i j k l m n o p q r s t u v w x y z");
        assert_eq!(options.complaints().len(), MAX_COMPLAINTS);
    }

    #[test]
    fn reboot_no_is_noreboot_and_the_last_setting_wins() {
        assert!(Options::parse("reboot=no").noreboot);
        assert_eq!(
            Options::parse("reboot=acpi reboot=k").reboot,
            Reboot::Keyboard
        );
        assert!(!Options::parse("noreboot noreboot=off").noreboot);
    }

    #[test]
    fn absurd_amounts_do_not_overflow() {
        let options =
            Options::parse("dom0_mem=18446744073709551615T,min:99999999999G,max:-1T+300%");
        assert!(!options.complaints().is_empty());
        let options = Options::parse("dom0_mem=min:8000000T");
        assert!(options.dom0_mem.bytes(1 << 30) <= 1 << 30);
        assert_eq!(Options::parse("dom0_mem=-4T").dom0_mem.bytes(1 << 30), 0);
    }
}
