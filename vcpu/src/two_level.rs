//! Two-level event delivery: a pending bit and a mask bit for each port in the page shared with the domain, and above
//! them one selector word for each vCPU (`public/xen.h`, `struct shared_info` and `struct vcpu_info`).
//!
//! Keeps true: the pending bit is set before the selector, the selector before the vCPU is notified, so that a guest that
//! reads in the opposite order never loses an event.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::Raised;

/// Ports that this format can express on x86-64: 64 words of 64 bits.
pub const PORTS: u32 = xenocryst_abi::event_channel::TWO_LEVEL_CHANNELS;

/// The bit arrays of one domain. `word` is below 64 in every call.
pub trait SharedBits {
    /// Word `word` of the pending bits.
    fn pending(&self, word: usize) -> &AtomicU64;
    /// Word `word` of the mask bits.
    fn mask(&self, word: usize) -> &AtomicU64;
}

/// The word and the bit of `port`; `None` if this format cannot express it.
fn place(port: u32) -> Option<(usize, u64)> {
    (port < PORTS).then_some(((port / 64) as usize, 1 << (port % 64)))
}

/// Tells the vCPU that owns `selector` to look at `word`. True if it was not told before.
fn select(selector: &AtomicU64, word: usize) -> bool {
    let bit = 1 << word;
    selector.fetch_or(bit, Ordering::SeqCst) & bit == 0
}

/// Makes `port` pending for the vCPU whose selector word is `selector`.
pub fn raise(bits: &impl SharedBits, selector: &AtomicU64, port: u32) -> Raised {
    let Some((word, bit)) = place(port) else {
        return Raised::default();
    };
    if bits.pending(word).fetch_or(bit, Ordering::SeqCst) & bit != 0 {
        return Raised::default();
    }
    let masked = bits.mask(word).load(Ordering::SeqCst) & bit != 0;
    Raised {
        newly_pending: true,
        notify: !masked && select(selector, word),
    }
}

/// Clears the mask bit of `port`. True if the vCPU that owns `selector` must be notified of what was held back.
pub fn unmask(bits: &impl SharedBits, selector: &AtomicU64, port: u32) -> bool {
    let Some((word, bit)) = place(port) else {
        return false;
    };
    let was_masked = bits.mask(word).fetch_and(!bit, Ordering::SeqCst) & bit != 0;
    was_masked && bits.pending(word).load(Ordering::SeqCst) & bit != 0 && select(selector, word)
}

/// Clears the pending bit of `port`.
pub fn clear(bits: &impl SharedBits, port: u32) {
    if let Some((word, bit)) = place(port) {
        bits.pending(word).fetch_and(!bit, Ordering::SeqCst);
    }
}

/// Whether `port` is pending.
pub fn is_pending(bits: &impl SharedBits, port: u32) -> bool {
    place(port).is_some_and(|(word, bit)| bits.pending(word).load(Ordering::SeqCst) & bit != 0)
}

/// Whether `port` is masked. A port beyond the format's reach is.
pub fn is_masked(bits: &impl SharedBits, port: u32) -> bool {
    place(port).is_none_or(|(word, bit)| bits.mask(word).load(Ordering::SeqCst) & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Page {
        pending: [AtomicU64; 64],
        mask: [AtomicU64; 64],
    }

    impl Page {
        fn new() -> Self {
            Self {
                pending: [const { AtomicU64::new(0) }; 64],
                mask: [const { AtomicU64::new(0) }; 64],
            }
        }
    }

    impl SharedBits for Page {
        fn pending(&self, word: usize) -> &AtomicU64 {
            &self.pending[word]
        }
        fn mask(&self, word: usize) -> &AtomicU64 {
            &self.mask[word]
        }
    }

    #[test]
    fn first_event_notifies_and_repeats_are_silent() {
        let (page, selector) = (Page::new(), AtomicU64::new(0));
        assert_eq!(
            raise(&page, &selector, 65),
            Raised {
                newly_pending: true,
                notify: true
            }
        );
        assert_eq!(page.pending[1].load(Ordering::Relaxed), 2);
        assert_eq!(selector.load(Ordering::Relaxed), 2);
        assert_eq!(raise(&page, &selector, 65), Raised::default());
        assert_eq!(
            raise(&page, &selector, 66),
            Raised {
                newly_pending: true,
                notify: false
            }
        );
    }

    #[test]
    fn masked_event_waits_for_its_unmasking() {
        let (page, selector) = (Page::new(), AtomicU64::new(0));
        page.mask[0].store(1 << 5, Ordering::Relaxed);
        assert_eq!(
            raise(&page, &selector, 5),
            Raised {
                newly_pending: true,
                notify: false
            }
        );
        assert_eq!(selector.load(Ordering::Relaxed), 0);
        assert!(unmask(&page, &selector, 5));
        assert_eq!(selector.load(Ordering::Relaxed), 1);
        assert!(!unmask(&page, &selector, 5), "it is no longer masked");
    }

    #[test]
    fn ports_beyond_the_format_are_inert() {
        let (page, selector) = (Page::new(), AtomicU64::new(0));
        assert_eq!(raise(&page, &selector, PORTS), Raised::default());
        assert!(!unmask(&page, &selector, u32::MAX));
        assert!(is_masked(&page, PORTS) && !is_pending(&page, PORTS));
        clear(&page, PORTS);
    }
}
