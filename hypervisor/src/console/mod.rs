//! The console: a serial port in both directions, the display until dom0 has it, a ring of past output, and the log.
//!
//! Keeps true: everything that is printed goes through one lock, the last in the lock order; what the hypervisor says goes
//! into the ring as well as to the port. Messages of the hypervisor come as whole lines that begin with `(XEN) `, as tools expect. A message that a
//! guest can provoke is of [`Source::Guest`]: it is subject to `guest_loglvl` and can be rate-limited.
//! Neighbours: `options` (thresholds, port settings), `hypercall` (`console_io`, `SYSCTL_readconsole`), `irq` (input).

mod display;
mod levels;
mod ring;
mod serial;

use core::fmt::{self, Arguments, Write};
use core::sync::atomic::{AtomicBool, Ordering};

pub use levels::{Level, Source, Thresholds, set_thresholds};
pub use ring::RingRead;
pub use serial::Settings;

use xenocryst_console::switch::Switch;

pub use xenocryst_console::switch::Receiver;

use display::Display;
use ring::Ring;
use serial::Serial;

use crate::sync::{Mutex, Rank};

/// Bytes of typed input that wait for the control domain.
const INPUT_BYTES: usize = 256;

/// What is behind the console's lock.
struct Console {
    serial: Serial,
    display: Display,
    ring: Ring,
    /// Whether the last byte printed did not end a line.
    mid_line: bool,
    /// Whether the hypervisor's lines tell the time.
    timestamps: bool,
    /// Whether the ring keeps the control domain's output too.
    keep_all: bool,
}

/// Typed input, oldest first.
struct Input {
    /// Who gets it.
    switch: Switch,
    bytes: [u8; INPUT_BYTES],
    first: usize,
    len: usize,
}

static CONSOLE: Mutex<Console> = Mutex::new(
    Rank::Console,
    Console {
        serial: Serial::new(),
        display: Display::new(),
        ring: Ring::new(),
        mid_line: false,
        timestamps: false,
        keep_all: false,
    },
);
static INPUT: Mutex<Input> = Mutex::new(
    Rank::Input,
    Input {
        switch: Switch::new(),
        bytes: [0; INPUT_BYTES],
        first: 0,
        len: 0,
    },
);

/// Set by a panic: from then on the lock is not waited for.
static EMERGENCY: AtomicBool = AtomicBool::new(false);

/// Logs one line: `log!(Source::Guest, Level::Warning, "format", arguments)`.
macro_rules! log {
    ($source:expr, $level:expr, $($format:tt)+) => {
        if $crate::console::wanted($source, $level) {
            $crate::console::print(::core::format_args!($($format)+))
        }
    };
}
pub(crate) use log;

/// Prints one line whatever the log levels are: what the hypervisor says of its own start and end.
macro_rules! say {
    ($($format:tt)+) => { $crate::console::print(::core::format_args!($($format)+)) };
}
pub(crate) use say;

/// Makes output work on the first serial port at its usual speed, before options are known.
pub fn init_early() {
    CONSOLE.lock().serial.configure(&Settings::default());
}

/// Applies the options: whether there is a serial console, its port and speed.
pub fn configure(settings: Option<&Settings>) {
    let mut console = CONSOLE.lock();
    match settings {
        Some(settings) => console.serial.configure(settings),
        None => console.serial.disable(),
    }
}

/// Uses the display too, from now on.
pub fn start_display() {
    CONSOLE.lock().display.start();
}

/// Leaves the display to dom0.
pub fn release_display() {
    CONSOLE.lock().display.stop();
}

/// Begins each of the hypervisor's lines with system time in seconds, or no longer.
pub fn set_timestamps(on: bool) {
    CONSOLE.lock().timestamps = on;
}

/// Keeps the control domain's output in the ring too, or no longer: it would push out what the hypervisor said.
pub fn keep_all(on: bool) {
    CONSOLE.lock().keep_all = on;
}

/// Moves the ring to a buffer of `bytes` bytes (rounded up to a power of two, 16 KiB at least), once there is a heap.
pub fn resize_ring(bytes: u64) {
    CONSOLE.lock().ring.resize(bytes);
}

/// Prints what this is.
pub fn banner() {
    say!(
        "Xenocryst version {} (Xen 4.17 PV ABI)",
        env!("CARGO_PKG_VERSION")
    );
}

/// Whether a message of this source and level is to be printed now. Part of [`log!`].
#[inline]
pub fn wanted(source: Source, level: Level) -> bool {
    match levels::admit(source, level) {
        levels::Verdict::Print => true,
        levels::Verdict::Drop => false,
        levels::Verdict::PrintAfterLoss(lost) => {
            say!("{lost} guest messages were suppressed");
            true
        }
    }
}

/// Prints one line. Part of [`log!`] and [`say!`].
#[cold]
#[inline(never)]
pub fn print(text: Arguments<'_>) {
    with_console(|console| {
        if console.mid_line {
            // Of the control domain's text, which the ring has only if it keeps all.
            if console.keep_all {
                console.put(b"\n");
            } else {
                console.show(b"\n");
            }
        }
        console.put(b"(XEN) ");
        // Writing to the console cannot fail.
        if console.timestamps {
            let us = crate::arch::clock::uptime_ns() / 1000;
            let _ = write!(console, "[{:5}.{:06}] ", us / 1_000_000, us % 1_000_000);
        }
        let _ = console.write_fmt(text);
        if console.mid_line {
            console.put(b"\n");
        }
    });
}

/// Prints bytes as they are: the control domain's own console output.
pub fn write_raw(bytes: &[u8]) {
    with_console(|console| {
        if console.keep_all {
            console.put(bytes);
        } else {
            console.show(bytes);
        }
    });
}

/// Copies past output from position `from` on into `to`; see [`RingRead`]. `None` stands for the position up to which it was
/// cleared, or the oldest there is.
pub fn read_ring(from: Option<u32>, to: &mut [u8]) -> RingRead {
    with_console(|console| console.ring.read(from, to))
}

/// Forgets past output as far as `read_ring(None, ..)` is concerned.
pub fn clear_ring() {
    with_console(|console| console.ring.clear());
}

/// Takes what was typed out of the port, and tells the control domain if input waits for it. Called for the port's interrupt.
pub fn on_input() {
    if receive() {
        crate::events::send_dom0_virq(xenocryst_abi::virq::CONSOLE);
    }
}

/// Moves what the port received to the waiting input, or to the debug keys. The answer is whether any input waits.
fn receive() -> bool {
    let mut typed = [0; 64];
    let mut waiting = INPUT.lock();
    loop {
        let count = with_console(|console| console.serial.read(&mut typed));
        for &byte in typed.iter().take(count) {
            waiting.typed(byte);
        }
        if count < typed.len() {
            return waiting.len > 0;
        }
    }
}

/// Moves typed input to `to`, oldest first, and returns how many bytes.
pub fn take_input(to: &mut [u8]) -> usize {
    let mut input = INPUT.lock();
    let mut count = 0;
    while let Some(slot) = to.get_mut(count)
        && let Some(byte) = input.pop()
    {
        *slot = byte;
        count += 1;
    }
    count
}

/// Lets the port interrupt when input arrives, and returns the ISA interrupt line it uses, if there is a port.
pub fn enable_input_interrupt() -> Option<u8> {
    CONSOLE.lock().serial.enable_input_interrupt()
}

/// The base of the port's eight I/O ports, if there is a serial console: they are the hypervisor's, not the control domain's.
pub fn port_base() -> Option<u16> {
    CONSOLE.lock().serial.base()
}

/// From now on printing does not wait for the lock: the one who holds it may never let go.
pub fn enter_emergency() {
    EMERGENCY.store(true, Ordering::SeqCst);
    crate::sync::stop_checking();
}

/// Runs `work` on the console. In an emergency the lock is tried for a while, then broken.
fn with_console<R>(work: impl FnOnce(&mut Console) -> R) -> R {
    if !EMERGENCY.load(Ordering::Relaxed) {
        return work(&mut CONSOLE.lock());
    }
    for _ in 0..1_000_000 {
        if let Some(mut console) = CONSOLE.try_lock() {
            return work(&mut console);
        }
        core::hint::spin_loop();
    }
    // SAFETY: the host is going down and the other CPUs were told to stop; a garbled line is better than none.
    unsafe { CONSOLE.force_unlock() };
    work(&mut CONSOLE.lock())
}

impl Console {
    /// Prints and keeps.
    fn put(&mut self, bytes: &[u8]) {
        self.ring.write(bytes);
        self.show(bytes);
    }

    /// Prints.
    fn show(&mut self, bytes: &[u8]) {
        self.serial.write(bytes);
        self.display.write(bytes);
        if let Some(last) = bytes.last() {
            self.mid_line = *last != b'\n';
        }
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// Says who gets what is typed.
pub fn announce_input(receiver: Receiver) {
    let (now, other) = match receiver {
        Receiver::Dom0 => ("dom0", "Xenocryst"),
        Receiver::Hypervisor => ("Xenocryst ('h' lists its keys)", "dom0"),
    };
    say!("Input goes to {now}; Ctrl-A three times switches it to {other}");
}

impl Input {
    /// Passes a byte to whoever it is for.
    fn typed(&mut self, byte: u8) {
        let mut switch = self.switch;
        let switched = switch.typed(byte, |receiver, byte| match receiver {
            Receiver::Dom0 => self.push(byte),
            Receiver::Hypervisor if byte.is_ascii_whitespace() || crate::quiet::press(byte) => {}
            Receiver::Hypervisor => say!("No such key; 'h' lists them"),
        });
        self.switch = switch;
        switched.into_iter().for_each(announce_input);
    }

    /// Adds a byte; what does not fit is lost, as on a real port.
    fn push(&mut self, byte: u8) {
        let at = (self.first + self.len) % INPUT_BYTES;
        if self.len < INPUT_BYTES
            && let Some(slot) = self.bytes.get_mut(at)
        {
            *slot = byte;
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<u8> {
        if self.len == 0 {
            return None;
        }
        let byte = self.bytes.get(self.first).copied();
        self.first = (self.first + 1) % INPUT_BYTES;
        self.len -= 1;
        byte
    }
}
