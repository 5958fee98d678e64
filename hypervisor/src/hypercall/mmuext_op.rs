//! `HYPERVISOR_mmuext_op`: pinning, root tables, flushes, the LDT, whole pages.
//!
//! Keeps true: as for `mmu_update` (one copy, stop at the first refusal, room for events); a root is referenced before it
//! is loaded and released after another one is (I44).

use xenocryst_abi::hypercall::errno::{EACCES, EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, Errno};
use xenocryst_abi::mmu::{MmuextOp, mmuext};
use xenocryst_abi::{DomId, Mfn, Vaddr};
use xenocryst_memory::{Budget, DomainMemory, Level, Progress, Refusal, RootRef};

use super::mmu_update::Batch;
use super::{Answer, Call, owners, report_refusal, tlb, vm_assist};
use crate::arch::{control, guest_access, smp, tlb as tlb_clock};
use crate::domain::{Domain, Vcpu, descriptors};
use crate::mm::machine::engine;

/// Bytes of `struct mmuext_op`: command, padding, two arguments.
const OP_SIZE: u64 = size_of::<MmuextOp>() as u64;

/// One operation, copied from the guest.
struct Op {
    command: u32,
    first: u64,
    second: u64,
}

/// Why one operation did not complete.
enum Unfinished {
    Errno(Errno),
    Refused(Refusal),
    Preempted,
}

impl From<Errno> for Unfinished {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Refusal> for Unfinished {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// `mmuext_op(ops, count, done, domain)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [list, count, done_at, domain, ..] = call.args;
    let mut batch = Batch::new(list, count, done_at)?;
    let pages = owners::governed_page_owner(call.vcpu.domain, DomId(domain as u16))?;
    let mut budget = Budget::hypercall();
    while batch.index < batch.count {
        let at = Vaddr::new(list.wrapping_add(batch.index * OP_SIZE));
        guest_access::next_request();
        let Ok([command, first, second]) = guest_access::read_words::<3>(at) else {
            return batch.finish(Err(EFAULT.into()));
        };
        let op = Op {
            command: command as u32,
            first,
            second,
        };
        match one(call.vcpu, pages, &op, &mut budget) {
            Ok(()) => {}
            Err(Unfinished::Preempted) => return batch.pause(call, list, OP_SIZE, domain),
            Err(Unfinished::Errno(errno)) => return batch.finish(Err(errno.into())),
            Err(Unfinished::Refused(refusal)) => {
                report_refusal(call.vcpu, &refusal);
                return batch.finish(Err(Errno::from(refusal.errno()).into()));
            }
        }
        batch.index += 1;
        // Flushes and whole pages cost nothing of the budget, and are long: each is a moment to look.
        if batch.must_pause(1, &budget) {
            return batch.pause(call, list, OP_SIZE, domain);
        }
    }
    // What unpinning and new roots left to unwind is done here, where it can be interrupted.
    if engine().finish_unwinding(pages, &mut budget) == Progress::Preempted {
        return batch.pause(call, list, OP_SIZE, domain);
    }
    batch.finish(Ok(0))
}

fn one(
    vcpu: &'static Vcpu,
    pages: &'static DomainMemory,
    op: &Op,
    budget: &mut Budget,
) -> Result<(), Unfinished> {
    let frame = Mfn::new(op.first);
    match op.command {
        mmuext::PIN_L1_TABLE..=mmuext::PIN_L4_TABLE => {
            let level = match op.command {
                0 => Level::L1,
                1 => Level::L2,
                2 => Level::L3,
                _ => Level::L4,
            };
            done(engine().pin_table(pages, frame, level, budget)?)
        }
        mmuext::UNPIN_TABLE => done(engine().unpin_table(pages, frame, budget)?),
        mmuext::CLEAR_PAGE => Ok(engine().clear_page(pages, frame)?),
        mmuext::COPY_PAGE => Ok(engine().copy_page(pages, frame, Mfn::new(op.second))?),
        mmuext::MARK_SUPER | mmuext::UNMARK_SUPER => Err(EOPNOTSUPP.into()),
        command if mmuext::name(command).is_none() => Err(ENOSYS.into()),
        _ if !core::ptr::eq(pages, &vcpu.domain.memory) => Err(EPERM.into()),
        mmuext::NEW_BASEPTR => new_kernel_root(vcpu, frame, budget),
        mmuext::NEW_USER_BASEPTR => new_user_root(vcpu, frame, budget),
        // The count is 32 bits wide.
        mmuext::SET_LDT => Ok(descriptors::set_ldt(vcpu, op.first, op.second as u32)?),
        mmuext::FLUSH_CACHE | mmuext::FLUSH_CACHE_GLOBAL => flush_cache(vcpu, op.command),
        _ => flush_tlb(vcpu, op),
    }
}

fn done(progress: Progress<()>) -> Result<(), Unfinished> {
    match progress {
        Progress::Done(()) => Ok(()),
        Progress::Preempted => Err(Unfinished::Preempted),
    }
}

/// A write to CR3 by the guest's kernel: as `MMUEXT_NEW_BASEPTR`, at once.
///
/// # Errors
/// `EINVAL` if the frame cannot be a root.
pub fn new_base_pointer(vcpu: &'static Vcpu, frame: Mfn) -> Result<(), Errno> {
    new_kernel_root(vcpu, frame, &mut Budget::unlimited()).map_err(|_| EINVAL)
}

/// `MMUEXT_NEW_BASEPTR`: the caller's kernel goes on in another address space.
fn new_kernel_root(vcpu: &'static Vcpu, frame: Mfn, budget: &mut Budget) -> Result<(), Unfinished> {
    let memory = &vcpu.domain.memory;
    let Progress::Done(root) = engine().get_root(memory, frame, budget)? else {
        return Err(Unfinished::Preempted);
    };
    show_m2p(vcpu.domain, &root);
    descriptors::drop_ldt_pages(vcpu);
    let old = RootRef::replace(&mut vcpu.roots.lock().kernel, root, |frame| {
        vcpu.kernel_cr3.set(frame.maddr().raw());
        // SAFETY: just validated and referenced; the caller is in kernel mode, so this is the root to run on.
        unsafe { control::write_cr3(frame.maddr().raw()) };
        // User pages are mapped global so that they survive system calls; they must not survive a change of process.
        tlb_clock::flush_local();
    });
    if let Some(old) = old {
        engine().put_root(memory, old, budget);
    }
    Ok(())
}

/// `MMUEXT_NEW_USER_BASEPTR`: the address space of the caller's user mode; frame 0 for none.
fn new_user_root(vcpu: &'static Vcpu, frame: Mfn, budget: &mut Budget) -> Result<(), Unfinished> {
    let memory = &vcpu.domain.memory;
    let root = if frame.raw() == 0 {
        None
    } else {
        match engine().get_root(memory, frame, budget)? {
            Progress::Done(root) => Some(root),
            Progress::Preempted => return Err(Unfinished::Preempted),
        }
    };
    if let Some(root) = &root {
        hide_m2p(vcpu.domain, root);
    }
    vcpu.user_cr3.set(if root.is_some() {
        frame.maddr().raw()
    } else {
        0
    });
    let old = core::mem::replace(&mut vcpu.roots.lock().user, root);
    if let Some(old) = old {
        engine().put_root(memory, old, budget);
    }
    Ok(())
}

/// `domain`'s kernel is to run on `root` and can read the M2P there; not so in a strict domain if user mode runs on the same
/// table.
pub fn show_m2p(domain: &Domain, root: &RootRef) {
    let frame = root.mfn().maddr().raw();
    let is_users = || domain.each_vcpu().any(|vcpu| vcpu.user_cr3.get() == frame);
    if !vm_assist::is_m2p_strict(domain) || !is_users() {
        engine().show_m2p(root);
    }
}

/// `domain`'s user mode is to run on `root`, where that of a strict domain cannot read the M2P any more. What the TLB still
/// knows of it goes with the change to user mode.
pub fn hide_m2p(domain: &Domain, root: &RootRef) {
    if vm_assist::is_m2p_strict(domain) {
        engine().hide_m2p(root);
    }
}

fn flush_cache(vcpu: &Vcpu, command: u32) -> Result<(), Unfinished> {
    let everywhere = command == mmuext::FLUSH_CACHE_GLOBAL;
    if !vcpu
        .domain
        .memory
        .change_io_access(|io| io.permits_something())
    {
        return Err(if everywhere { EINVAL } else { EACCES }.into());
    }
    control::wbinvd();
    if everywhere {
        smp::call_others(control::wbinvd);
    }
    Ok(())
}

fn flush_tlb(vcpu: &'static Vcpu, op: &Op) -> Result<(), Unfinished> {
    let domain = vcpu.domain;
    // An address that is not the guest's has no translation of the guest's: `tlb::flush` passes over it.
    let page = tlb::What::Page(Vaddr::new(op.first));
    let chosen = || tlb::of_vcpus(domain, Vaddr::new(op.second)).map_err(|_| EINVAL);
    let (scope, what) = match op.command {
        mmuext::TLB_FLUSH_LOCAL => (tlb::Scope::Local, tlb::What::All),
        mmuext::INVLPG_LOCAL => (tlb::Scope::Local, page),
        mmuext::TLB_FLUSH_MULTI => (chosen()?, tlb::What::All),
        mmuext::INVLPG_MULTI => (chosen()?, page),
        mmuext::TLB_FLUSH_ALL => (tlb::all_of(domain), tlb::What::All),
        mmuext::INVLPG_ALL => (tlb::all_of(domain), page),
        _ => return Err(ENOSYS.into()),
    };
    tlb::flush(scope, what);
    Ok(())
}
