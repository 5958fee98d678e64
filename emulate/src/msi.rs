//! Message signalled interrupts: finding the capabilities in PCI configuration space, and the messages themselves
//! (PCI local bus specification 3.0, section 6.8; CPU manual volume 3, section 11.11).
//!
//! Keeps true: walks of device-provided lists are bounded; a message addresses an interrupt controller and nothing else.

/// Configuration space of one PCI function.
pub trait Config {
    /// Reads the 32 bits at `register`, a multiple of 4 below 256.
    fn read(&self, register: u8) -> u32;
    /// Writes the 32 bits at `register`.
    fn write(&self, register: u8, value: u32);

    /// Reads the 16 bits at `register`, a multiple of 2.
    fn read16(&self, register: u8) -> u16 {
        (self.read(register & 0xfc) >> ((register & 2) * 8)) as u16
    }
}

/// Capability number of MSI.
pub const CAPABILITY_MSI: u8 = 5;
/// Capability number of MSI-X.
pub const CAPABILITY_MSIX: u8 = 0x11;

/// Bytes of configuration space that can be reached.
const CONFIG_BYTES: usize = 256;

/// MSI control: enable.
pub const MSI_ENABLE: u16 = 1;
/// MSI-X control: mask all.
pub const MSIX_MASK_ALL: u16 = 1 << 14;
/// MSI-X control: enable.
pub const MSIX_ENABLE: u16 = 1 << 15;

/// Whether a function is there at all.
pub fn is_present(config: &impl Config) -> bool {
    config.read(0) as u16 != 0xffff
}

/// The offset of capability `number`, if the function has it.
pub fn find_capability(config: &impl Config, number: u8) -> Option<u8> {
    if !is_present(config) || config.read(4) >> 16 & 0x10 == 0 {
        return None;
    }
    // A CardBus bridge keeps its list elsewhere.
    let list = if config.read(0xc) >> 16 & 0x7f == 2 {
        0x14
    } else {
        0x34
    };
    let mut at = config.read(list) as u8 & 0xfc;
    // 48 capabilities fill the space: a longer list is a loop.
    for _ in 0..48 {
        if at < 0x40 {
            return None;
        }
        let header = config.read(at);
        match header as u8 {
            0xff => return None,
            found if found == number => return Some(at),
            _ => at = (header >> 8) as u8 & 0xfc,
        }
    }
    None
}

/// An MSI capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Msi {
    /// Its offset.
    pub at: u8,
    /// Base-2 logarithm of the vectors the function can use.
    pub log_vectors: u8,
    /// Whether the address has 64 bits.
    pub wide: bool,
    /// Whether vectors can be masked each.
    pub maskable: bool,
}

impl Msi {
    /// The function's MSI capability.
    pub fn find(config: &impl Config) -> Option<Self> {
        let at = find_capability(config, CAPABILITY_MSI)?;
        let control = config.read16(at + 2);
        let (wide, maskable) = (control & 0x80 != 0, control & 0x100 != 0);
        // Header, address and data; then what the device claims besides. All of it must fit before the end.
        let bytes = 12 + if wide { 4 } else { 0 } + if maskable { 8 } else { 0 };
        if usize::from(at) + bytes > CONFIG_BYTES {
            return None;
        }
        Some(Self {
            at,
            log_vectors: (control >> 1 & 7).min(5) as u8,
            wide,
            maskable,
        })
    }

    /// Writes the message.
    pub fn set_message(&self, config: &impl Config, message: Message) {
        config.write(self.at + 4, message.address as u32);
        let data = if self.wide {
            config.write(self.at + 8, (message.address >> 32) as u32);
            self.at + 12
        } else {
            self.at + 8
        };
        config.write(data, u32::from(message.data));
    }

    /// Masks or unmasks vector `index`, where the function can.
    pub fn set_mask(&self, config: &impl Config, index: u8, masked: bool) {
        if !self.maskable {
            return;
        }
        let at = self.at + if self.wide { 16 } else { 12 };
        let bit = 1u32.checked_shl(u32::from(index)).unwrap_or(0);
        let bits = config.read(at);
        config.write(at, if masked { bits | bit } else { bits & !bit });
    }

    /// Switches MSI on with `1 << log_count` vectors, or off.
    pub fn enable(&self, config: &impl Config, on: bool, log_count: u8) {
        let header = config.read(self.at);
        let mut control = (header >> 16) as u16 & !(MSI_ENABLE | 0x70);
        if on {
            control |= MSI_ENABLE | u16::from(log_count.min(self.log_vectors)) << 4;
        }
        config.write(self.at, header & 0xffff | u32::from(control) << 16);
    }
}

/// An MSI-X capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MsiX {
    /// Its offset.
    pub at: u8,
    /// Entries of its table.
    pub entries: u16,
    /// Which base address register maps the table.
    pub bar: u8,
    /// Offset of the table in that BAR, in bytes.
    pub offset: u32,
}

impl MsiX {
    /// The function's MSI-X capability.
    pub fn find(config: &impl Config) -> Option<Self> {
        let at = find_capability(config, CAPABILITY_MSIX)?;
        // Three words must fit before the end.
        if at > 0xf4 {
            return None;
        }
        let table = config.read(at + 4);
        Some(Self {
            at,
            entries: (config.read16(at + 2) & 0x7ff) + 1,
            bar: (table & 7) as u8,
            offset: table & !7,
        })
    }

    /// The machine address of the table as the base address registers have it now.
    pub fn table(&self, config: &impl Config) -> Option<u64> {
        if self.bar > 5 {
            return None;
        }
        let low = config.read(0x10 + self.bar * 4);
        if low & 1 != 0 {
            return None;
        }
        let high = match low >> 1 & 3 {
            0 => 0,
            2 if self.bar < 5 => config.read(0x14 + self.bar * 4),
            _ => return None,
        };
        let base = u64::from(high) << 32 | u64::from(low & !0xf);
        if base == 0 {
            None
        } else {
            base.checked_add(u64::from(self.offset))
        }
    }

    /// The control word.
    pub fn control(&self, config: &impl Config) -> u16 {
        config.read16(self.at + 2)
    }

    /// Sets the enable and mask-all bits of the control word.
    pub fn set_control(&self, config: &impl Config, control: u16) {
        let header = config.read(self.at) & 0xffff;
        config.write(self.at, header | u32::from(control) << 16);
    }
}

/// What a device writes to raise an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// Where it writes.
    pub address: u64,
    /// What it writes.
    pub data: u16,
}

impl Message {
    /// Edge-triggered, fixed delivery of `vector` to the CPU with `apic_id` (8 bits: xAPIC).
    pub const fn fixed(apic_id: u8, vector: u8) -> Self {
        Self {
            address: 0xfee0_0000 | (apic_id as u64) << 12,
            data: vector as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    struct Fake([Cell<u32>; 64]);

    impl Fake {
        fn new(words: &[(u8, u32)]) -> Self {
            let fake = Self([const { Cell::new(0) }; 64]);
            fake.write(0, 0x1af4_1000);
            for &(register, value) in words {
                fake.write(register, value);
            }
            fake
        }
    }

    impl Config for Fake {
        fn read(&self, register: u8) -> u32 {
            self.0[register as usize / 4].get()
        }
        fn write(&self, register: u8, value: u32) {
            self.0[register as usize / 4].set(value);
        }
    }

    #[test]
    fn capabilities_are_found_behind_others() {
        let fake = Fake::new(&[
            (4, 0x10 << 16),
            (0x34, 0x40),
            (0x40, 0x5009),
            (0x50, 0x0011),
            (0x54, 0x2003),
        ]);
        fake.write(0x50, 0x8003_0011);
        let msix = MsiX::find(&fake).unwrap();
        assert_eq!(
            (msix.at, msix.entries, msix.bar, msix.offset),
            (0x50, 4, 3, 0x2000)
        );
        assert_eq!(Msi::find(&fake), None);
    }

    #[test]
    fn endless_and_absent_lists_end() {
        let looped = Fake::new(&[(4, 0x10 << 16), (0x34, 0x40), (0x40, 0x4001)]);
        assert_eq!(find_capability(&looped, CAPABILITY_MSI), None);
        let listless = Fake::new(&[(0x34, 0x40), (0x40, 0x0005)]);
        assert_eq!(find_capability(&listless, CAPABILITY_MSI), None);
        let absent = Fake::new(&[]);
        absent.write(0, u32::MAX);
        absent.write(4, u32::MAX);
        assert_eq!(find_capability(&absent, CAPABILITY_MSI), None);
    }

    #[test]
    fn msi_messages_go_where_the_capability_has_them() {
        let fake = Fake::new(&[(4, 0x10 << 16), (0x34, 0x60), (0x60, 0x0184_0005)]);
        let msi = Msi::find(&fake).unwrap();
        assert_eq!((msi.log_vectors, msi.wide, msi.maskable), (2, true, true));
        msi.set_message(&fake, Message::fixed(3, 0x51));
        assert_eq!(
            (fake.read(0x64), fake.read(0x68), fake.read(0x6c)),
            (0xfee0_3000, 0, 0x51)
        );
        msi.set_mask(&fake, 1, true);
        assert_eq!(fake.read(0x70), 2);
        msi.enable(&fake, true, 3);
        assert_eq!(fake.read(0x60) >> 16, 0x01a5);
        msi.enable(&fake, false, 0);
        assert_eq!(fake.read(0x60) >> 16, 0x0184);
    }

    /// Found by the fuzz target `pci`: the message would have gone to the start of the header.
    #[test]
    fn a_capability_that_reaches_beyond_the_end_is_none() {
        for (at, control, fits) in [
            (0xfc, 0, false),
            (0xf8, 0, false),
            (0xf4, 0, true),
            (0xf4, 0x80, false),
            (0xf0, 0x80, true),
            (0xf0, 0x180, false),
            (0xe8, 0x180, true),
            (0xec, 0x100, true),
            (0xf0, 0x100, false),
        ] {
            let header = control << 16 | u32::from(CAPABILITY_MSI);
            let fake = Fake::new(&[(4, 0x10 << 16), (0x34, at), (at as u8, header)]);
            assert_eq!(Msi::find(&fake).is_some(), fits, "{at:#x} {control:#x}");
        }
    }

    #[test]
    fn msix_tables_lie_in_memory_bars_only() {
        let fake = Fake::new(&[(0x10, 0xc001), (0x20, 0xfebf_800c), (0x24, 1)]);
        let msix = |bar| MsiX {
            at: 0x50,
            entries: 1,
            bar,
            offset: 0x800,
        };
        assert_eq!(msix(0).table(&fake), None);
        assert_eq!(msix(4).table(&fake), Some(0x1_febf_8800));
        assert_eq!(msix(6).table(&fake), None);
        assert_eq!(msix(1).table(&fake), None);
    }
}
