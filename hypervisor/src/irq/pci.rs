//! PCI configuration space through the two ports, shared between the hypervisor and the hardware domain.
//!
//! Keeps true: the address and the data access are one step under one lock, whoever makes it; a guest's address register is
//! its own and is loaded for each access (PCI local bus specification 3.0, section 3.2.2.3.2).

use xenocryst_emulate::Width;
use xenocryst_emulate::msi::Config;
use xenocryst_emulate::ports::ConfigAddress;

use crate::arch::io;
use crate::sync::{Mutex, Rank};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

static ACCESS: Mutex<()> = Mutex::new(Rank::Pci, ());

/// Reads `width` at data port `port` (0xcfc to 0xcff) with `address` in the address register.
#[inline]
pub fn read_raw(address: ConfigAddress, port: u16, width: Width) -> u32 {
    let _guard = ACCESS.lock();
    // SAFETY: the two ports are the hypervisor's; the access is one step under the lock. A read may act on a device, which is
    // the hardware domain's.
    unsafe {
        io::outl(ADDRESS, address.0);
        match width {
            Width::Byte => u32::from(io::inb(port)),
            Width::Word => u32::from(io::inw(port)),
            _ => io::inl(port),
        }
    }
}

/// Writes `width` of `value` at data port `port` with `address` in the address register.
#[inline]
pub fn write_raw(address: ConfigAddress, port: u16, width: Width, value: u32) {
    let _guard = ACCESS.lock();
    // SAFETY: as in `read_raw`.
    unsafe {
        io::outl(ADDRESS, address.0);
        match width {
            Width::Byte => io::outb(port, value as u8),
            Width::Word => io::outw(port, value as u16),
            _ => io::outl(port, value),
        }
    }
}

/// One function on segment 0: `bus << 8 | devfn`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function(pub u16);

impl Config for Function {
    fn read(&self, register: u8) -> u32 {
        read_raw(ConfigAddress::new(self.0, register), DATA, Width::Double)
    }

    fn write(&self, register: u8, value: u32) {
        write_raw(
            ConfigAddress::new(self.0, register),
            DATA,
            Width::Double,
            value,
        );
    }
}
