//! FIFO event delivery: one word for each port in pages the guest gives, linked into sixteen queues for each vCPU by
//! priority (`public/event_channel.h`, "FIFO ABI").
//!
//! Keeps true: every word, head and ready mask belongs to the guest, which may write anything at any time: links read
//! from it are never followed, loops on it are bounded, and what the hypervisor must be sure of (the tail of each queue)
//! it keeps itself. A guest that breaks the protocol loses its own events and nobody else's.
//! All calls for one domain are made under one lock.

use core::sync::atomic::{AtomicU32, Ordering};

use xenocryst_abi::event_channel::fifo;

use crate::Raised;

/// Bit of an event word: the event is pending.
pub const PENDING: u32 = 1 << fifo::PENDING;
/// Bit: the guest does not want the event now.
pub const MASKED: u32 = 1 << fifo::MASKED;
/// Bit: the event is on a queue.
pub const LINKED: u32 = 1 << fifo::LINKED;
/// Bit: the hypervisor is about to change the link; the guest waits with unmasking.
pub const BUSY: u32 = 1 << fifo::BUSY;
/// The part of an event word that names the next event of the queue (`EVTCHN_FIFO_LINK_BITS` is 17).
pub const LINK_MASK: u32 = fifo::LINK_MASK;
/// Bits of a link.
pub const LINK_BITS: u32 = fifo::LINK_BITS;
/// Ports that this format can express.
pub const PORTS: u32 = fifo::NR_CHANNELS;
/// Event words in one page.
pub const WORDS_PER_PAGE: u32 = 1024;
/// Most pages of event words.
pub const MAX_PAGES: usize = (PORTS / WORDS_PER_PAGE) as usize;
/// Queues of one vCPU; a priority is below this, and 0 is the most urgent.
pub const QUEUES: usize = fifo::MAX_QUEUES as usize;
/// The priority of a port for which the guest chose none.
pub const DEFAULT_PRIORITY: u8 = fifo::PRIORITY_DEFAULT as u8;

/// Changes that a guest keeping the protocol can make to a linked word between two looks at it: set and clear the mask,
/// clear pending, unlink. Further attempts only help a guest that does not.
const ATTEMPTS: u32 = 5;

/// Names one queue of a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueId {
    /// The vCPU it belongs to.
    pub vcpu: u16,
    /// The priority of its events, below [`QUEUES`].
    pub priority: u8,
}

/// The words of one queue in the vCPU's control block.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// The port of the queue's first event.
    pub head: &'a AtomicU32,
    /// A bit for each priority whose queue has become non-empty.
    pub ready: &'a AtomicU32,
}

/// What a domain gave for its events.
pub trait Memory {
    /// The event word of `port`, if the guest has given the page for it.
    fn word(&self, port: u32) -> Option<&AtomicU32>;
    /// The control words of `queue`, if its vCPU has a control block.
    fn control(&self, queue: QueueId) -> Option<Control<'_>>;
    /// The hypervisor's own note of the last port put on `queue`; 0 for none. `None` if there is no such vCPU.
    fn tail(&self, queue: QueueId) -> Option<&AtomicU32>;
}

/// What became of an event that was raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is pending; act on the answer.
    Raised(Raised),
    /// The guest has not given the page for its word yet: remember it until [`Memory::word`] knows it.
    NoWord,
    /// The target vCPU has no control block: the event is lost, as the ABI says.
    NoControlBlock,
}

/// Makes `port` pending on queue `target`. `last` is the queue the port was last put on, and is kept up to date.
pub fn raise(memory: &impl Memory, port: u32, target: QueueId, last: &mut QueueId) -> Outcome {
    let Some(word) = memory.word(port) else {
        return Outcome::NoWord;
    };
    let Some((control, tail)) = memory.control(target).zip(memory.tail(target)) else {
        return Outcome::NoControlBlock;
    };
    let before = word.fetch_or(PENDING, Ordering::SeqCst);
    let newly_pending = before & PENDING == 0;
    if before & MASKED != 0 || word.fetch_or(LINKED, Ordering::SeqCst) & LINKED != 0 {
        return Outcome::Raised(Raised {
            newly_pending,
            notify: false,
        });
    }
    // If the event was the end of the queue it last stood on, the guest has emptied that queue since. Forgetting the
    // end keeps the next event from being hung behind this one, which now stands elsewhere.
    if let Some(old_tail) = memory.tail(*last)
        && old_tail.load(Ordering::Relaxed) == port
    {
        old_tail.store(0, Ordering::Relaxed);
    }
    *last = target;
    let appended = match tail.load(Ordering::Relaxed) {
        0 => false,
        end => memory
            .word(end)
            .is_some_and(|end_word| append(end_word, port)),
    };
    tail.store(port, Ordering::Relaxed);
    if appended {
        return Outcome::Raised(Raised {
            newly_pending,
            notify: false,
        });
    }
    control.head.store(port, Ordering::Release);
    let bit = 1 << target.priority;
    let notify = control.ready.fetch_or(bit, Ordering::SeqCst) & bit == 0;
    Outcome::Raised(Raised {
        newly_pending,
        notify,
    })
}

/// Links `port` behind the event whose word is `end`, provided that one is still on its queue. False if it is not: the
/// queue is empty.
fn append(end: &AtomicU32, port: u32) -> bool {
    let mut seen = end.load(Ordering::SeqCst);
    for attempt in 0..ATTEMPTS {
        if seen & LINKED == 0 {
            end.fetch_and(!BUSY, Ordering::SeqCst);
            return false;
        }
        let linked = (seen & !(BUSY | LINK_MASK)) | port;
        match end.compare_exchange(seen, linked, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return true,
            // The guest changed the word meanwhile. It may not unmask a busy one, so few changes are left to it.
            Err(_) if attempt == 0 => seen = end.fetch_or(BUSY, Ordering::SeqCst) | BUSY,
            Err(now) => seen = now,
        }
    }
    // Only a guest that breaks the protocol gets here. Starting the queue anew at `port` is all that can be done.
    end.fetch_and(!BUSY, Ordering::SeqCst);
    false
}

/// Clears the mask of `port`. True if the event is pending and must now be raised.
pub fn unmask(memory: &impl Memory, port: u32) -> bool {
    memory
        .word(port)
        .is_some_and(|word| word.fetch_and(!MASKED, Ordering::SeqCst) & PENDING != 0)
}

/// Clears the pending bit of `port`. It stays on its queue: the guest passes over what is not pending.
pub fn clear(memory: &impl Memory, port: u32) {
    if let Some(word) = memory.word(port) {
        word.fetch_and(!PENDING, Ordering::SeqCst);
    }
}

/// Whether `port` is pending.
pub fn is_pending(memory: &impl Memory, port: u32) -> bool {
    memory
        .word(port)
        .is_some_and(|word| word.load(Ordering::SeqCst) & PENDING != 0)
}

/// Whether `port` is masked; one without a word is.
pub fn is_masked(memory: &impl Memory, port: u32) -> bool {
    memory
        .word(port)
        .is_none_or(|word| word.load(Ordering::SeqCst) & MASKED != 0)
}

/// Whether `port` still stands on a queue, so that it must not be given to a new user.
pub fn is_linked(memory: &impl Memory, port: u32) -> bool {
    memory
        .word(port)
        .is_some_and(|word| word.load(Ordering::SeqCst) & LINKED != 0)
}

#[cfg(test)]
mod tests;
