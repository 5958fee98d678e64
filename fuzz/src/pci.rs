//! Configuration space of a PCI function: 256 bytes of it, of which a device may say anything; then a message and what to do.

use std::cell::RefCell;
use xenocryst_emulate::msi::{
    CAPABILITY_MSI, CAPABILITY_MSIX, Config, Message, Msi, MsiX, find_capability,
};

struct Space(RefCell<[u8; 256]>);

impl Config for Space {
    fn read(&self, register: u8) -> u32 {
        let at = usize::from(register);
        assert!(at.is_multiple_of(4));
        let space = self.0.borrow();
        u32::from_le_bytes([space[at], space[at + 1], space[at + 2], space[at + 3]])
    }

    fn write(&self, register: u8, value: u32) {
        let at = usize::from(register);
        assert!(at.is_multiple_of(4));
        assert!(at >= 0x40, "the header was written");
        self.0.borrow_mut()[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

/// Finds what interrupts the function can send, and sets them up.
pub fn run(data: &[u8]) {
    let mut bytes = [0; 256];
    let length = data.len().min(256);
    bytes[..length].copy_from_slice(&data[..length]);
    let more = |at: usize| data.get(256 + at).copied().unwrap_or(0);
    let space = Space(RefCell::new(bytes));
    for number in [CAPABILITY_MSI, CAPABILITY_MSIX, more(0)] {
        assert!(find_capability(&space, number).is_none_or(|at| at >= 0x40 && at % 4 == 0));
    }
    if let Some(msi) = Msi::find(&space) {
        assert!(msi.log_vectors <= 5);
        let message = Message {
            address: 0xfee0_0000 | u64::from(more(1)) << 12,
            data: more(2).into(),
        };
        msi.set_message(&space, message);
        msi.set_mask(&space, more(3), more(4) & 1 != 0);
        msi.enable(&space, more(4) & 2 != 0, more(5));
    }
    if let Some(msix) = MsiX::find(&space) {
        let _ = msix.table(&space);
        msix.set_control(&space, msix.control(&space) ^ u16::from(more(6)));
    }
}

/// A function with both kinds of capability.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut space = vec![0; 264];
    space[..8].copy_from_slice(&[0x86, 0x80, 0x10, 0, 7, 0, 0x10, 0]);
    space[0x14..0x18].copy_from_slice(&[0x0c, 0, 0, 0xfe]);
    space[0x34] = 0x50;
    space[0x50..0x54].copy_from_slice(&[CAPABILITY_MSI, 0x70, 0x8a, 1]);
    space[0x70..0x7c].copy_from_slice(&[CAPABILITY_MSIX, 0, 4, 0, 1, 0, 0, 0, 1, 8, 0, 0]);
    vec![space]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_has_both_capabilities() {
        let mut bytes = [0; 256];
        bytes.copy_from_slice(&seeds()[0][..256]);
        let space = Space(RefCell::new(bytes));
        assert!(Msi::find(&space).is_some() && MsiX::find(&space).is_some());
    }
}
