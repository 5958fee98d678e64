//! Which I/O ports a domain may reach, and where an access goes.
//!
//! Keeps true: ports that the hypervisor lives on (interrupt controllers, timer, PCI configuration, clock, its console)
//! are never touched directly by a guest; a wide access is let through whole only if all its ports are.

/// A set of all 65,536 ports.
pub struct PortSet {
    words: [u64; 1024],
}

impl PortSet {
    /// No port.
    pub const fn none() -> Self {
        Self { words: [0; 1024] }
    }

    /// Every port.
    pub const fn all() -> Self {
        Self {
            words: [u64::MAX; 1024],
        }
    }

    /// Adds ports `first` to `last`.
    pub const fn add(&mut self, first: u16, last: u16) {
        let mut port = first as u32;
        while port <= last as u32 {
            self.words[(port >> 6) as usize] |= 1 << (port & 63);
            port += 1;
        }
    }

    /// Takes ports `first` to `last` away.
    pub const fn remove(&mut self, first: u16, last: u16) {
        let mut port = first as u32;
        while port <= last as u32 {
            self.words[(port >> 6) as usize] &= !(1 << (port & 63));
            port += 1;
        }
    }

    /// Whether all of the `bytes` (1, 2 or 4) ports from `port` are in the set. Ports above 0xffff are not.
    #[inline(always)]
    pub fn contains(&self, port: u16, bytes: u32) -> bool {
        let first = u32::from(port);
        let mask = (1u64 << bytes) - 1;
        let shift = first & 63;
        if shift + bytes <= 64 {
            self.words[(first >> 6) as usize] & mask << shift == mask << shift
        } else {
            (first..first + bytes).all(|each| {
                each <= 0xffff && self.words[(each >> 6) as usize] & 1 << (each & 63) != 0
            })
        }
    }
}

/// What the hypervisor keeps of the hardware domain's ports: interrupt controllers, timer, speaker gate, clock and PCI
/// configuration data. The caller removes the PM timer and its own console's ports.
pub const fn hardware_domain() -> PortSet {
    let mut ports = PortSet::all();
    ports.remove(0x20, 0x21);
    ports.remove(0xa0, 0xa1);
    ports.remove(0x40, 0x43);
    ports.remove(0x61, 0x61);
    ports.remove(0x70, 0x71);
    ports.remove(0xcfc, 0xcff);
    ports
}

/// A PCI configuration address, as port 0xcf8 takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfigAddress(pub u32);

impl ConfigAddress {
    /// The register `register` (a byte offset below 256) of `function` (`bus << 8 | devfn`).
    pub const fn new(function: u16, register: u8) -> Self {
        Self(1 << 31 | (function as u32) << 8 | (register & 0xfc) as u32)
    }

    /// Whether data accesses go to PCI configuration space.
    pub const fn enabled(self) -> bool {
        self.0 >> 31 != 0
    }

    /// `bus << 8 | devfn`.
    pub const fn function(self) -> u16 {
        (self.0 >> 8) as u16
    }

    /// The byte offset of an access to data port `port` (0xcfc to 0xcff).
    pub const fn register(self, port: u16) -> u8 {
        (self.0 & 0xfc) as u8 | (port & 3) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hypervisors_ports_are_out_of_reach_at_any_width() {
        let ports = hardware_domain();
        for port in [
            0x20, 0x21, 0xa0, 0xa1, 0x40, 0x43, 0x61, 0x70, 0x71, 0xcfc, 0xcff,
        ] {
            assert!(!ports.contains(port, 1), "{port:#x}");
        }
        // The access begins outside and reaches in.
        assert!(!ports.contains(0x1f, 2));
        assert!(!ports.contains(0x3e, 4));
        assert!(!ports.contains(0xcf9, 4));
        assert!(ports.contains(0x60, 1));
        assert!(ports.contains(0x3d4, 2));
    }

    #[test]
    fn accesses_over_a_word_of_the_set_and_over_the_end() {
        let mut ports = PortSet::all();
        assert!(ports.contains(0x3e, 4));
        ports.remove(0x41, 0x41);
        assert!(!ports.contains(0x3e, 4));
        assert!(ports.contains(0xffff, 1));
        assert!(!ports.contains(0xfffe, 4));
        ports.add(0x41, 0x41);
        assert!(ports.contains(0x3e, 4));
        assert!(!PortSet::none().contains(0, 1));
    }

    #[test]
    fn configuration_addresses_take_apart_as_they_are_put_together() {
        let address = ConfigAddress::new(0x0110, 0x3d);
        assert_eq!(address.0, 0x8001_103c);
        assert!(address.enabled());
        assert_eq!((address.function(), address.register(0xcfd)), (0x110, 0x3d));
    }
}
