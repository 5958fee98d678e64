//! Who gets what is typed on the serial console: the control domain, or the hypervisor itself.
//!
//! As on Xen, pressing Ctrl-A three times in a row switches between the two. The presses are held back until it is
//! clear that there are not three of them.

/// Ctrl-A.
pub const SWITCH_KEY: u8 = 1;
/// How often it must be pressed.
const PRESSES: u8 = 3;

/// Who gets the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receiver {
    /// The control domain.
    Dom0,
    /// The hypervisor: each byte is a debug key.
    Hypervisor,
}

/// The switch. Input goes to the control domain at first.
#[derive(Clone, Copy, Debug)]
pub struct Switch {
    receiver: Receiver,
    /// Presses of the switch key that were held back.
    held: u8,
}

impl Default for Switch {
    fn default() -> Self {
        Self::new()
    }
}

impl Switch {
    /// To the control domain.
    pub const fn new() -> Self {
        Self {
            receiver: Receiver::Dom0,
            held: 0,
        }
    }

    /// Handles one typed byte: gives what is to be passed on to `pass`, in order. Returns the new receiver if it changed.
    pub fn typed(&mut self, byte: u8, mut pass: impl FnMut(Receiver, u8)) -> Option<Receiver> {
        if byte != SWITCH_KEY {
            for _ in 0..core::mem::take(&mut self.held) {
                pass(self.receiver, SWITCH_KEY);
            }
            pass(self.receiver, byte);
            return None;
        }
        self.held += 1;
        if self.held < PRESSES {
            return None;
        }
        self.held = 0;
        self.receiver = match self.receiver {
            Receiver::Dom0 => Receiver::Hypervisor,
            Receiver::Hypervisor => Receiver::Dom0,
        };
        Some(self.receiver)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// What dom0 and the hypervisor get of `typed`.
    fn passed(typed: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut switch = Switch::new();
        let (mut dom0, mut hypervisor) = (Vec::new(), Vec::new());
        for &byte in typed {
            switch.typed(byte, |receiver, byte| match receiver {
                Receiver::Dom0 => dom0.push(byte),
                Receiver::Hypervisor => hypervisor.push(byte),
            });
        }
        (dom0, hypervisor)
    }

    #[test]
    fn three_presses_switch_and_three_more_switch_back() {
        assert_eq!(
            passed(b"ls\n\x01\x01\x01hq\x01\x01\x01exit"),
            (b"ls\nexit".to_vec(), b"hq".to_vec())
        );
    }

    #[test]
    fn fewer_presses_reach_whoever_they_were_for() {
        assert_eq!(
            passed(b"\x01a\x01\x01b"),
            (b"\x01a\x01\x01b".to_vec(), Vec::new())
        );
        assert_eq!(
            passed(b"\x01\x01\x01\x01x"),
            (Vec::new(), b"\x01x".to_vec())
        );
    }

    #[test]
    fn the_change_is_told_when_it_happens() {
        let mut switch = Switch::new();
        let mut told = [1, 1, 1, b'h', 1, 1, 1].map(|byte| switch.typed(byte, |_, _| {}));
        assert_eq!(told[2].take(), Some(Receiver::Hypervisor));
        assert_eq!(told[6].take(), Some(Receiver::Dom0));
        assert_eq!(told, [None; 7]);
    }
}
