//! `HYPERVISOR_grant_table_op`: memory that one domain lends, gives or shows to another (`public/grant_table.h`).
//!
//! Keeps true: each element is copied once, and its own status says how it went; only what makes the list itself
//! unreadable ends a batch. A batch makes room for events between elements (I79), and what is left of it stands wholly in
//! the arguments of its continuation (I82). `GNTTABOP_dump_table` does not exist, as in Xen 4.17.
//! Neighbours: the engine's `grant` module decides; `grants` has each domain's table.

mod cache;
mod mapping;
mod moving;
mod tables;

use xenocryst_abi::grant_table::{op, status};
use xenocryst_abi::hypercall::errno::{EFAULT, EINVAL, ENOSYS, EPERM, Errno};
use xenocryst_abi::{DomId, Vaddr};
use xenocryst_memory::Refusal;

use super::{Answer, Call, owners, report_refusal};
use crate::arch::guest_access;
use crate::domain::Domain;
use crate::percpu::must_pause;

/// The command's bits that name the sub-call; Xen keeps how far a cache flush came above them.
const COMMAND_BITS: u32 = 12;

/// A list of elements, and how much of it was done.
struct List {
    command: u64,
    at: u64,
    count: u64,
    done: u64,
}

/// `grant_table_op(cmd, list, count)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [command, at, count, ..] = call.args;
    let count = count as u32;
    if count > i32::MAX as u32 || command as u32 >> COMMAND_BITS != 0 {
        return Err(EINVAL.into());
    }
    let mut list = List {
        command,
        at,
        count: u64::from(count),
        done: 0,
    };
    match command as u32 {
        op::MAP_GRANT_REF => list.each(call, mapping::MAP_SIZE, mapping::map),
        op::UNMAP_GRANT_REF => mapping::unmap(call, &mut list, mapping::Kind::Unmap),
        op::UNMAP_AND_REPLACE => mapping::unmap(call, &mut list, mapping::Kind::Replace),
        op::TRANSFER => list.each(call, moving::TRANSFER_SIZE, moving::transfer),
        op::COPY => list.each(call, moving::COPY_SIZE, moving::copy),
        op::SWAP_GRANT_REF => list.each(call, tables::SWAP_SIZE, tables::swap),
        op::CACHE_FLUSH => list.each(call, cache::SIZE, cache::flush),
        op::SETUP_TABLE => list.only(call, tables::setup),
        op::QUERY_SIZE => list.only(call, tables::query_size),
        op::GET_STATUS_FRAMES => list.only(call, tables::status_frames),
        // These two take one element, whatever is said.
        op::SET_VERSION => done(tables::set_version(call, Vaddr::new(at))),
        op::GET_VERSION => done(tables::get_version(call, Vaddr::new(at))),
        _ => Err(ENOSYS.into()),
    }
}

fn done(result: Result<(), Errno>) -> Answer {
    result.map(|()| 0).map_err(Into::into)
}

impl List {
    /// Whether the list lies in the guest's part of the address space.
    fn check(&self, size: u64) -> Result<(), Errno> {
        if guest_access::is_guest_range(Vaddr::new(self.at), self.count * size) {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    /// The address of the next element.
    fn next(&self, size: u64) -> Vaddr {
        Vaddr::new(self.at.wrapping_add(self.done * size))
    }

    /// Whether to make room for something else before the next element.
    fn must_pause(&self) -> bool {
        self.done != 0 && self.done < self.count && must_pause()
    }

    /// Leaves the rest to a continuation.
    fn pause(&self, call: &Call, size: u64) -> Answer {
        let rest = self.count - self.done;
        Err(call.continue_with([self.command, self.next(size).raw(), rest, 0, 0, 0]))
    }

    /// Does every element by itself.
    fn each(
        &mut self,
        call: &Call,
        size: u64,
        one: fn(&Call, Vaddr) -> Result<(), Errno>,
    ) -> Answer {
        self.check(size)?;
        while self.done < self.count {
            if self.must_pause() {
                return self.pause(call, size);
            }
            one(call, self.next(size))?;
            self.done += 1;
        }
        Ok(0)
    }

    /// Does the one element that there must be.
    fn only(&self, call: &Call, one: fn(&Call, Vaddr) -> Result<(), Errno>) -> Answer {
        if self.count != 1 {
            return Err(EINVAL.into());
        }
        done(one(call, Vaddr::new(self.at)))
    }
}

/// The domain whose table `caller` may look at, or the status that says why not.
fn subject(caller: &'static Domain, id: DomId) -> Result<&'static Domain, i16> {
    owners::other(caller, id).map_err(|errno| match errno {
        EPERM => status::PERMISSION_DENIED,
        _ => status::BAD_DOMAIN,
    })
}

/// Logs a refusal; the answer is what the element is told.
#[cold]
fn refused(call: &Call, refusal: &Refusal) -> i16 {
    report_refusal(call.vcpu, refusal);
    refusal.grant_status()
}

/// The status of an element that ended with `result`.
fn status_of(call: &Call, result: Result<(), Refusal>) -> i16 {
    match result {
        Ok(()) => status::OKAY,
        Err(refusal) => refused(call, &refusal),
    }
}
