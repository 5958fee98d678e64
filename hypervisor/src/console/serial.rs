//! A 16550 serial port (National Semiconductor PC16550D data sheet).
//!
//! Keeps true: sending never waits for ever, so that a port that is not there cannot stop the host.

use crate::arch::io::{inb, outb};

/// Register offsets from the port's base.
mod register {
    pub const DATA: u16 = 0;
    pub const INTERRUPT_ENABLE: u16 = 1;
    pub const FIFO_CONTROL: u16 = 2;
    pub const LINE_CONTROL: u16 = 3;
    pub const MODEM_CONTROL: u16 = 4;
    pub const LINE_STATUS: u16 = 5;
    pub const SCRATCH: u16 = 7;
}

/// Line status: a received byte waits.
const DATA_READY: u8 = 1 << 0;
/// Line status: the transmitter takes bytes, as many as its queue holds.
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// Bytes the transmitter's queue holds.
const QUEUE: usize = 16;
/// The port's clock divided by 16: the speed with divisor 1.
const MAX_BAUD: u32 = 115_200;
/// Polls before a transmitter that never gets empty is given up.
const PATIENCE: u32 = 1_000_000;

/// How a port is set up, from `com1=` or `com2=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// First of its eight I/O ports.
    pub base: u16,
    /// ISA interrupt line; 0 for none.
    pub irq: u8,
    /// Bits a second; `None` leaves what the firmware set.
    pub baud: Option<u32>,
    /// Data bits, 5 to 8.
    pub data_bits: u8,
    /// `n`, `o`, `e`, `m` or `s`.
    pub parity: u8,
    /// Stop bits, 1 or 2.
    pub stop_bits: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self::COM1
    }
}

impl Settings {
    /// The first port, 115,200 baud, 8n1.
    pub const COM1: Self = Self {
        base: 0x3f8,
        irq: 4,
        baud: Some(MAX_BAUD),
        data_bits: 8,
        parity: b'n',
        stop_bits: 1,
    };
    /// The second port.
    pub const COM2: Self = Self {
        base: 0x2f8,
        irq: 3,
        ..Self::COM1
    };

    fn line_control(&self) -> u8 {
        let parity = match self.parity {
            b'o' => 1,
            b'e' => 3,
            b'm' => 5,
            b's' => 7,
            _ => 0,
        };
        (self.data_bits.clamp(5, 8) - 5) | u8::from(self.stop_bits == 2) << 2 | parity << 3
    }
}

/// The port, or none.
pub(super) struct Serial {
    base: u16,
    irq: u8,
    present: bool,
    interrupts: bool,
}

impl Serial {
    pub(super) const fn new() -> Self {
        Self {
            base: 0,
            irq: 0,
            present: false,
            interrupts: false,
        }
    }

    fn get(&self, register: u16) -> u8 {
        // SAFETY: the port belongs to the hypervisor.
        unsafe { inb(self.base + register) }
    }

    fn set(&self, register: u16, value: u8) {
        // SAFETY: the port belongs to the hypervisor.
        unsafe { outb(self.base + register, value) }
    }

    pub(super) fn configure(&mut self, settings: &Settings) {
        if settings.base > u16::MAX - 8 {
            return;
        }
        (self.base, self.irq) = (settings.base, settings.irq);
        self.set(register::SCRATCH, 0x5a);
        self.present =
            self.get(register::SCRATCH) == 0x5a && self.get(register::LINE_STATUS) != 0xff;
        if !self.present {
            return;
        }
        let control = settings.line_control();
        self.set(register::INTERRUPT_ENABLE, 0);
        if let Some(baud) = settings.baud {
            let divisor = (MAX_BAUD / baud.max(1)).clamp(1, 0xffff);
            self.set(register::LINE_CONTROL, control | 0x80);
            self.set(register::DATA, divisor as u8);
            self.set(register::INTERRUPT_ENABLE, (divisor >> 8) as u8);
        }
        self.set(register::LINE_CONTROL, control);
        // Queues on and emptied, interrupt as soon as one byte waits.
        self.set(register::FIFO_CONTROL, 0x07);
        // Ready, and OUT2, which lets the interrupt through.
        self.set(register::MODEM_CONTROL, 0x0b);
        self.set(register::INTERRUPT_ENABLE, u8::from(self.interrupts));
    }

    pub(super) fn disable(&mut self) {
        self.present = false;
    }

    pub(super) fn base(&self) -> Option<u16> {
        self.present.then_some(self.base)
    }

    pub(super) fn enable_input_interrupt(&mut self) -> Option<u8> {
        if !self.present || self.irq == 0 {
            return None;
        }
        self.interrupts = true;
        self.set(register::INTERRUPT_ENABLE, 1);
        Some(self.irq)
    }

    /// Sends bytes, each line feed preceded by a carriage return.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if !self.present {
            return;
        }
        let mut room = 0;
        for &byte in bytes {
            if byte == b'\n' {
                self.send(b'\r', &mut room);
            }
            self.send(byte, &mut room);
        }
    }

    fn send(&mut self, byte: u8, room: &mut usize) {
        if *room == 0 {
            let mut patience = PATIENCE;
            while self.get(register::LINE_STATUS) & TRANSMITTER_EMPTY == 0 {
                patience -= 1;
                if patience == 0 {
                    self.present = false;
                    return;
                }
                core::hint::spin_loop();
            }
            *room = QUEUE;
        }
        self.set(register::DATA, byte);
        *room -= 1;
    }

    /// Takes received bytes, as many as wait and fit.
    pub(super) fn read(&mut self, to: &mut [u8]) -> usize {
        let mut count = 0;
        while let Some(slot) = to.get_mut(count)
            && self.present
            && self.get(register::LINE_STATUS) & DATA_READY != 0
        {
            *slot = self.get(register::DATA);
            count += 1;
        }
        count
    }
}
