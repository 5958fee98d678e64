//! `HYPERVISOR_mmu_update`, `HYPERVISOR_update_va_mapping` and its form for another domain's frames.
//!
//! Keeps true: each request is copied once; a batch stops at the first refusal, with the number done reported; a long
//! batch makes room for events (I79), and its continuation stands wholly in its arguments (I82).
//! Neighbours: the engine decides; `hypercall::tlb` flushes what the guest asks for.

use xenocryst_abi::hypercall::errno::{EFAULT, ESRCH, Errno};
use xenocryst_abi::mmu::{MmuUpdate, UPDATE_PREEMPTED, uvmf};
use xenocryst_abi::{DomId, Mfn, PAGE_SIZE, Vaddr};
use xenocryst_memory::{Actors, Budget, Flush, Progress};

use super::{Answer, Call, owners, refused, tlb};
use crate::arch::{control, guest_access};
use crate::domain::Domain;
use crate::mm::machine::engine;
use crate::percpu::must_pause;

/// Requests between two looks at what waits. Most cost nothing of a budget, which is for work on whole tables.
const CHECK_EVERY: u64 = 64;
/// Bytes of `struct mmu_update`.
const REQUEST_SIZE: u64 = size_of::<MmuUpdate>() as u64;
/// Set in the count of a batch that goes on (`MMU_UPDATE_PREEMPTED`, Xen's own, not in the public headers).
pub const PREEMPTED: u64 = UPDATE_PREEMPTED as u64;

/// `mmu_update(requests, count, done, domains)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [list, count, done_at, domains, ..] = call.args;
    let domain = call.vcpu.domain;
    if count == 1 && done_at == 0 && domains == u64::from(DomId::SELF.0) {
        return single(call, list);
    }
    let mut batch = Batch::new(list, count, done_at)?;
    let tables = table_owner(domain, domains)?;
    let pages = match owners::page_owner(domain, DomId(domains as u16)) {
        Ok(pages) => pages,
        Err(errno) => return batch.finish(Err(errno.into())),
    };
    let actors = Actors {
        caller: &domain.memory,
        tables,
        pages,
    };
    let mut budget = Budget::hypercall();
    while batch.index < batch.count {
        let at = Vaddr::new(list.wrapping_add(batch.index * REQUEST_SIZE));
        let Ok([ptr, val]) = guest_access::read_words::<2>(at) else {
            return batch.finish(Err(EFAULT.into()));
        };
        match engine().mmu_update(&actors, ptr, val, &mut budget) {
            Ok(Progress::Done(flush)) => owed(flush),
            Ok(Progress::Preempted) => return batch.pause(call, list, REQUEST_SIZE, domains),
            Err(refusal) => return batch.finish(Err(refused(call, &refusal))),
        }
        batch.index += 1;
        if batch.must_pause(CHECK_EVERY, &budget) {
            return batch.pause(call, list, REQUEST_SIZE, domains);
        }
    }
    batch.finish(Ok(0))
}

/// One request for the caller's own tables and frames: what a guest asks for most.
#[inline]
fn single(call: &Call, at: u64) -> Answer {
    let [ptr, val] = guest_access::read_words::<2>(Vaddr::new(at))?;
    let actors = Actors::own(&call.vcpu.domain.memory);
    match engine().mmu_update(&actors, ptr, val, &mut Budget::hypercall()) {
        Ok(Progress::Done(flush)) => {
            owed(flush);
            Ok(0)
        }
        Ok(Progress::Preempted) => Err(call.continue_with(call.args)),
        Err(refusal) => Err(refused(call, &refusal)),
    }
}

/// Does what the engine leaves to its caller.
#[inline]
fn owed(flush: Flush) {
    if flush == Flush::Local {
        // SAFETY: the same root again.
        unsafe { control::write_cr3(control::read_cr3()) };
    }
}

/// The owner of the tables, from the high half of `mmu_update`'s last argument: its number plus one, 0 for the caller. (The
/// low half says whose the frames are.)
fn table_owner(
    domain: &'static Domain,
    domains: u64,
) -> Result<&'static xenocryst_memory::DomainMemory, Errno> {
    match (domains >> 16) as u16 {
        0 => Ok(&domain.memory),
        number => match DomId(number - 1) {
            DomId::SELF => Err(ESRCH),
            id => Ok(&owners::other(domain, id)?.memory),
        },
    }
}

/// How far a batch of `mmu_update` or `mmuext_op` has come.
pub struct Batch {
    /// Requests done in this call.
    pub index: u64,
    /// Requests to do in this call.
    pub count: u64,
    /// Where the guest wants the total, if anywhere.
    done_at: u64,
    /// Requests done in earlier calls of the same batch.
    before: u64,
}

impl Batch {
    /// A batch of `count` requests at `list`, new or (with the [`PREEMPTED`] mark) going on.
    ///
    /// # Errors
    /// `EFAULT` if the list cannot be the guest's.
    pub fn new(list: u64, count: u64, done_at: u64) -> Result<Self, Errno> {
        let count = u64::from(count as u32);
        let mut before = 0;
        if count & PREEMPTED != 0 && done_at != 0 {
            // Where it cannot be read it could not be written: then nobody is told.
            before = guest_access::read::<u32>(Vaddr::new(done_at)).map_or(0, u64::from);
        }
        if !guest_access::is_guest_address(Vaddr::new(list)) {
            return Err(EFAULT);
        }
        Ok(Self {
            index: 0,
            count: count & !PREEMPTED,
            done_at,
            before,
        })
    }

    /// Whether to make room for something else before the next request: when the budget is spent, or when something waits,
    /// which is looked for after every so many requests.
    #[inline]
    pub fn must_pause(&self, every: u64, budget: &Budget) -> bool {
        self.index < self.count
            && (budget.is_exhausted() || self.index.is_multiple_of(every) && must_pause())
    }

    /// Ends the batch with `answer`, and tells the guest how many requests were done.
    #[inline]
    pub fn finish(&self, answer: Answer) -> Answer {
        if self.done_at != 0 {
            self.report();
        }
        answer
    }

    /// Tells the guest how many were done, if the place that it gave can be written.
    fn report(&self) {
        let total = (self.before + self.index) as u32;
        let _ = guest_access::write(Vaddr::new(self.done_at), &total);
    }

    /// Leaves the rest of the batch to a continuation.
    #[cold]
    pub fn pause(&self, call: &Call, list: u64, size: u64, domains: u64) -> Answer {
        if self.done_at != 0 {
            self.report();
        }
        let rest = (self.count - self.index) | PREEMPTED;
        Err(call.continue_with([
            list.wrapping_add(self.index * size),
            rest,
            self.done_at,
            domains,
            0,
            0,
        ]))
    }
}

/// `update_va_mapping(address, value, flags)`.
#[inline(never)]
pub fn update_va_mapping(call: &Call) -> Answer {
    let [address, value, flags, ..] = call.args;
    update_one(call, address, value, flags, &call.vcpu.domain.memory)
}

/// `update_va_mapping_otherdomain(address, value, flags, domain)`.
#[inline(never)]
pub fn update_va_mapping_other(call: &Call) -> Answer {
    let [address, value, flags, owner, ..] = call.args;
    let pages = owners::governed_page_owner(call.vcpu.domain, DomId(owner as u16))?;
    update_one(call, address, value, flags, pages)
}

#[inline]
fn update_one(
    call: &Call,
    address: u64,
    value: u64,
    flags: u64,
    pages: &'static xenocryst_memory::DomainMemory,
) -> Answer {
    let memory = &call.vcpu.domain.memory;
    let actors = Actors {
        caller: memory,
        tables: memory,
        pages,
    };
    let root = Mfn::new(call.vcpu.kernel_cr3.get() / PAGE_SIZE);
    if let Err(refusal) = engine().update_va_mapping(&actors, root, Vaddr::new(address), value) {
        return Err(refused(call, &refusal));
    }
    let what = match flags & uvmf::FLUSHTYPE_MASK {
        uvmf::TLB_FLUSH => tlb::What::All,
        uvmf::INVLPG => tlb::What::Page(Vaddr::new(address)),
        // The fourth value means nothing either.
        _ => return Ok(0),
    };
    let scope = match flags & !uvmf::FLUSHTYPE_MASK {
        0 => tlb::Scope::Local,
        uvmf::ALL => tlb::all_of(call.vcpu.domain),
        bitmap => tlb::of_vcpus(call.vcpu.domain, Vaddr::new(bitmap))?,
    };
    tlb::flush(scope, what);
    Ok(0)
}
