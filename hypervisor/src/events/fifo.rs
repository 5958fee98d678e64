//! The FIFO format's memory: the guest's pages of event words and control blocks, and when they are given.
//!
//! Layout: `struct evtchn_fifo_control_block` in `public/event_channel.h`: the ready mask, a reserved word, and a head
//! for each queue.

use core::sync::atomic::AtomicU32;

use alloc::vec::Vec;
use xenocryst_abi::hypercall::errno::{
    EACCES, EINVAL, ENOENT, ENOMEM, ENOSPC, ENOSYS, EOPNOTSUPP, Errno,
};
use xenocryst_abi::{Mfn, PAGE_SIZE};
use xenocryst_vcpu::fifo::{
    Control, DEFAULT_PRIORITY, MAX_PAGES, Memory, QUEUES, QueueId, WORDS_PER_PAGE,
};
use xenocryst_vcpu::two_level;

use super::{GuestPage, Inner};
use crate::domain::Domain;

/// Bytes of a control block.
const CONTROL_BLOCK_SIZE: u32 = 8 + 4 * QUEUES as u32;
/// Offset of the heads in it.
const HEADS: usize = 8;

/// What one vCPU has.
#[derive(Default)]
struct Queues {
    /// The page with the control block, and the block's offset there.
    control: Option<(GuestPage, usize)>,
    tails: [AtomicU32; QUEUES],
}

/// The FIFO state of one domain.
pub struct Fifo {
    pages: Vec<GuestPage>,
    vcpus: Vec<Queues>,
}

impl Fifo {
    /// Tells `tell` of every page held.
    pub(super) fn each_page(&self, tell: &mut dyn FnMut(Mfn)) {
        let control = self.vcpus.iter().filter_map(|vcpu| vcpu.control.as_ref());
        let blocks = control.map(|(page, _)| page);
        self.pages
            .iter()
            .chain(blocks)
            .for_each(|page| tell(page.mfn()));
    }
}

impl Memory for Fifo {
    #[inline]
    fn word(&self, port: u32) -> Option<&AtomicU32> {
        let page = self.pages.get((port / WORDS_PER_PAGE) as usize)?;
        Some(page.word((port % WORDS_PER_PAGE) as usize * 4))
    }

    #[inline]
    fn control(&self, queue: QueueId) -> Option<Control<'_>> {
        let (page, offset) = self.vcpus.get(usize::from(queue.vcpu))?.control.as_ref()?;
        let head = offset + HEADS + usize::from(queue.priority) * 4;
        Some(Control {
            head: page.word(head),
            ready: page.word(*offset),
        })
    }

    #[inline]
    fn tail(&self, queue: QueueId) -> Option<&AtomicU32> {
        self.vcpus
            .get(usize::from(queue.vcpu))?
            .tails
            .get(usize::from(queue.priority))
    }
}

impl Fifo {
    fn new(vcpus: usize) -> Result<Self, Errno> {
        let mut fifo = Self {
            pages: Vec::new(),
            vcpus: Vec::new(),
        };
        fifo.vcpus.try_reserve_exact(vcpus).map_err(|_| ENOMEM)?;
        fifo.vcpus.resize_with(vcpus, Queues::default);
        Ok(fifo)
    }

    /// Gives all its pages back.
    pub fn release(self) {
        let controls = self.vcpus.into_iter().filter_map(|queues| queues.control);
        self.pages
            .into_iter()
            .chain(controls.map(|(page, _)| page))
            .for_each(GuestPage::release);
    }
}

/// `EVTCHNOP_init_control`: the control block of `vcpu` is in `frame` at `offset`. The first such call switches the
/// domain to the FIFO format.
///
/// # Errors
/// `ENOENT` without that vCPU; `EINVAL` for an unaligned or crossing offset, a frame that cannot be held, or a vCPU that
/// has a block already; `ENOMEM`.
pub fn init_control(
    domain: &'static Domain,
    vcpu: u32,
    frame: Mfn,
    offset: u32,
) -> Result<(), Errno> {
    domain.vcpu(vcpu).ok_or(ENOENT)?;
    if offset > PAGE_SIZE as u32 - CONTROL_BLOCK_SIZE || !offset.is_multiple_of(8) {
        return Err(EINVAL);
    }
    // Holding a frame may wait for other CPUs, which may wait for the lock: so it comes first.
    let page = GuestPage::hold(domain, frame)?;
    match domain
        .events
        .lock()
        .add_control(domain, vcpu, page, offset as usize)
    {
        Ok(()) => Ok(()),
        Err((errno, page)) => {
            page.release();
            Err(errno)
        }
    }
}

impl Inner {
    fn add_control(
        &mut self,
        domain: &Domain,
        vcpu: u32,
        page: GuestPage,
        offset: usize,
    ) -> Result<(), (Errno, GuestPage)> {
        if self.fifo.is_none() {
            match Fifo::new(domain.max_vcpus as usize) {
                Ok(fifo) => self.fifo = Some(fifo),
                Err(errno) => return Err((errno, page)),
            }
            self.carry_over(domain);
        }
        match self
            .fifo
            .as_mut()
            .and_then(|fifo| fifo.vcpus.get_mut(vcpu as usize))
        {
            Some(queues) if queues.control.is_none() => {
                queues.control = Some((page, offset));
                Ok(())
            }
            _ => Err((EINVAL, page)),
        }
    }

    /// Takes what is pending in the two-level format over into the FIFO format, which has no event words yet.
    fn carry_over(&mut self, domain: &Domain) {
        for number in 1..self.ports.end() {
            let pending = two_level::is_pending(&domain.shared_info, number);
            if let Some(port) = self.ports.get_mut(number) {
                port.waits_for_word |= pending;
                port.priority = DEFAULT_PRIORITY;
            }
        }
    }
}

/// `EVTCHNOP_expand_array`: `frame` holds the next 1024 event words.
///
/// # Errors
/// `EOPNOTSUPP` before [`init_control`]; `ENOSPC` with all words given; `EINVAL` if the frame cannot be held; `ENOMEM`.
pub fn expand_array(domain: &'static Domain, frame: Mfn) -> Result<(), Errno> {
    let page = GuestPage::hold(domain, frame)?;
    match domain.events.lock().add_words(domain, page) {
        Ok(()) => Ok(()),
        Err((errno, page)) => {
            page.release();
            Err(errno)
        }
    }
}

impl Inner {
    fn add_words(
        &mut self,
        domain: &'static Domain,
        page: GuestPage,
    ) -> Result<(), (Errno, GuestPage)> {
        let Some(fifo) = self.fifo.as_mut() else {
            return Err((EOPNOTSUPP, page));
        };
        if fifo.pages.len() >= MAX_PAGES {
            return Err((ENOSPC, page));
        }
        if fifo.pages.try_reserve(1).is_err() {
            return Err((ENOMEM, page));
        }
        let first = fifo.pages.len() as u32 * WORDS_PER_PAGE;
        fifo.pages.push(page);
        for number in first..self.ports.end().min(first + WORDS_PER_PAGE) {
            if let Some(port) = self.ports.get_mut(number)
                && core::mem::take(&mut port.waits_for_word)
            {
                self.raise(domain, number);
            }
        }
        Ok(())
    }
}

/// `EVTCHNOP_set_priority`: events of `port` go to queue `priority` from now on.
///
/// # Errors
/// `EINVAL` without that port or priority; `ENOSYS` in the two-level format; `EACCES` for a port bound to nothing.
pub fn set_priority(domain: &'static Domain, port: u32, priority: u32) -> Result<(), Errno> {
    let mut inner = domain.events.lock();
    let two_level = inner.fifo.is_none();
    let port = inner.ports.get_mut(port).ok_or(EINVAL)?;
    if two_level {
        return Err(ENOSYS);
    }
    if !port.is_usable() {
        return Err(EACCES);
    }
    if priority >= QUEUES as u32 {
        return Err(EINVAL);
    }
    port.priority = priority as u8;
    Ok(())
}
