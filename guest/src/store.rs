//! The store: reading keys of the domain's own, and waiting until one changes.
//!
//! What it keeps true: one request at a time; a message is taken whole, and what does not fit where it is wanted is cut.
//! Layout: `public/io/xs_wire.h`. Neighbours: [`crate::domain`] (where the page is), [`crate::trap`] (the shared page).

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use xenocryst_abi::hypercall::number;
use xenocryst_abi::shared_info::SharedInfo;
use xenocryst_abi::{Vaddr, sched};

use crate::domain::Domain;
use crate::{hypercall, trap};

/// Bytes of each of the two rings.
const RING: usize = 1024;
/// Offsets of the indexes, and of the ring of replies.
mod offset {
    pub const REPLIES: usize = 1024;
    pub const REQUEST_PRODUCER: usize = 2052;
    pub const REQUEST_CONSUMER: usize = 2048;
    pub const REPLY_CONSUMER: usize = 2056;
    pub const REPLY_PRODUCER: usize = 2060;
}
/// What a message is (`enum xsd_sockmsg_type`).
mod kind {
    pub const READ: u32 = 2;
    pub const WATCH: u32 = 4;
    pub const WATCH_EVENT: u32 = 15;
    pub const ERROR: u32 = 16;
}
/// Bytes of a message's header: what it is, the request's number, the transaction, bytes that follow.
const HEADER: usize = 16;

/// The connection to the store.
pub struct Store {
    page: u64,
    port: u32,
    requests: u32,
    /// A watched key has changed since [`Store::changed`] was last asked.
    changed: bool,
}

impl Store {
    /// The connection of `domain`; none in the control domain, or where the loader did not map the page.
    #[must_use]
    pub fn of(domain: &Domain) -> Option<Self> {
        let (page, port) = domain.store()?;
        Some(Self {
            page,
            port,
            requests: 0,
            changed: false,
        })
    }

    /// What `key` holds, as far as it fits into `value`; nothing if there is no such key.
    pub fn read<'v>(&mut self, key: &str, value: &'v mut [u8]) -> Option<&'v [u8]> {
        let length = self.ask(kind::READ, &[key], value)?;
        value.get(..length)
    }

    /// The number that `key` holds, in decimal.
    pub fn read_number(&mut self, key: &str) -> Option<u64> {
        let mut value = [0; 24];
        let digits = self.read(key, &mut value)?;
        core::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Has changes of `key` told from now on; false if the store refuses.
    pub fn watch(&mut self, key: &str) -> bool {
        self.ask(kind::WATCH, &[key, "changed"], &mut []).is_some()
    }

    /// Waits until a watched key has changed.
    pub fn wait_for_change(&mut self) {
        while !core::mem::take(&mut self.changed) {
            self.receive(&mut []);
        }
    }

    /// Makes a request of these words, and takes the answer into `answer`: its bytes, as far as they fit.
    fn ask(&mut self, what: u32, words: &[&str], answer: &mut [u8]) -> Option<usize> {
        self.requests = self.requests.wrapping_add(1);
        let length: usize = words.iter().map(|word| word.len() + 1).sum();
        for field in [what, self.requests, 0, length as u32] {
            field
                .to_le_bytes()
                .into_iter()
                .for_each(|byte| self.put(byte));
        }
        for word in words {
            word.bytes().chain([0]).for_each(|byte| self.put(byte));
        }
        self.notify();
        loop {
            let (kind, request, length) = self.receive(answer);
            if kind != kind::WATCH_EVENT && request == self.requests {
                return (kind != kind::ERROR).then_some(length);
            }
        }
    }

    /// Takes the next message, waiting for it: what it is, the request that it answers, and its bytes in `into`.
    fn receive(&mut self, into: &mut [u8]) -> (u32, u32, usize) {
        let mut header = [0; HEADER];
        header.fill_with(|| self.get());
        let field = |index: usize| {
            let bytes = header.get(4 * index..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let (kind, request, length) = (field(0), field(1), field(3) as usize);
        for index in 0..length {
            let byte = self.get();
            if let Some(place) = into.get_mut(index) {
                *place = byte;
            }
        }
        // The store may have waited for the room.
        self.notify();
        self.changed |= kind == kind::WATCH_EVENT;
        (kind, request, length.min(into.len()))
    }

    fn put(&self, byte: u8) {
        let produced = self.index(offset::REQUEST_PRODUCER);
        let at = produced.load(Ordering::Relaxed);
        while at.wrapping_sub(self.index(offset::REQUEST_CONSUMER).load(Ordering::Acquire)) as usize
            >= RING
        {
            self.notify();
            self.wait();
        }
        self.byte(at as usize % RING).store(byte, Ordering::Relaxed);
        produced.store(at.wrapping_add(1), Ordering::Release);
    }

    fn get(&self) -> u8 {
        let consumed = self.index(offset::REPLY_CONSUMER);
        let at = consumed.load(Ordering::Relaxed);
        while self.index(offset::REPLY_PRODUCER).load(Ordering::Acquire) == at {
            self.wait();
        }
        let byte = self
            .byte(offset::REPLIES + at as usize % RING)
            .load(Ordering::Relaxed);
        consumed.store(at.wrapping_add(1), Ordering::Release);
        byte
    }

    fn index(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: the store's page, mapped for the domain's whole life, is shared with the other end and so only reached by
        // atomic accesses; the offsets of `offset` are within it and aligned.
        unsafe { &*((self.page as usize + offset) as *const AtomicU32) }
    }

    fn byte(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: as in `index`: within the two rings.
        unsafe { &*((self.page as usize + offset % (2 * RING)) as *const AtomicU8) }
    }

    /// Tells the store to look.
    fn notify(&self) {
        hypercall::notify(self.port);
    }

    /// Waits for the store's event, which may have come already; it may also come for something seen before.
    fn wait(&self) {
        let poll = sched::SchedPoll {
            ports: Vaddr::new(&raw const self.port as u64),
            nr_ports: 1,
            pad: 0,
            timeout: 0,
        };
        let arguments = [u64::from(sched::op::POLL), &raw const poll as u64, 0, 0, 0];
        // SAFETY: the hypervisor reads the request and the port.
        unsafe { hypercall::call(number::SCHED_OP, arguments) };
        self.clear_event();
    }

    fn clear_event(&self) {
        let shared = trap::shared_page();
        if shared == 0 {
            return;
        }
        let word = shared
            + core::mem::offset_of!(SharedInfo, evtchn_pending) as u64
            + u64::from(self.port / u64::BITS) * 8;
        // SAFETY: a word of the shared page's pending bits, as there are 4,096 of these at most; only reached by atomic
        // accesses, since the hypervisor changes it too.
        let word = unsafe { &*(word as *const AtomicU64) };
        word.fetch_and(!(1 << (self.port % u64::BITS)), Ordering::SeqCst);
    }
}
