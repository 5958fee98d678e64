//! `XENMEM_exchange`: extents of one order for extents of another, such as contiguous ones for a device.
//!
//! Keeps true: both lists are bounds-checked before anything moves (I65); a chunk is exchanged whole or not at all (I68);
//! `nr_exchanged` counts exactly the input extents of complete chunks.

use xenocryst_abi::hypercall::errno::{EFAULT, EINVAL, ENOMEM, EPERM, Errno};
use xenocryst_abi::memory_op::{MemoryExchange, op};
use xenocryst_abi::{Mfn, Pfn, Vaddr};

use super::super::owners;
use super::super::{Answer, Call, report_refusal};
use super::address_limit;
use crate::arch::guest_access;
use crate::domain::Domain;
use crate::mm::machine::engine;
use crate::percpu::must_pause;

/// Byte offset of `nr_exchanged` in `struct xen_memory_exchange`.
const NR_EXCHANGED: u64 = 64;
/// Largest order of the control domain, and of any other.
const MOST_ORDER: (u32, u32) = (18, 9);

/// Extents of each list in one chunk, the unit that is exchanged whole.
#[derive(Clone, Copy)]
struct Chunk {
    input: u64,
    output: u64,
}

/// Exchanges what is left of the request at `at`, and tells how much of it is done, also where it is refused.
pub fn handle(call: &Call, at: Vaddr) -> Answer {
    let request: MemoryExchange = guest_access::read(at)?;
    if request.nr_exchanged == request.input.nr_extents && lists_agree(call, &request).is_ok() {
        return Ok(0);
    }
    let mut done = request.nr_exchanged;
    let answer = exchange(call, at, &request, &mut done);
    guest_access::write_u64(at.wrapping_add(NR_EXCHANGED), done)?;
    answer
}

/// Exchanges chunk by chunk, beginning with the one that input extent `done` is in.
fn exchange(call: &Call, at: Vaddr, request: &MemoryExchange, done: &mut u64) -> Answer {
    lists_agree(call, request)?;
    let domain = check(call, request)?;
    let chunk = Chunk::of(request);
    *done -= *done % chunk.input;
    let first = *done;
    while *done < request.input.nr_extents {
        if *done != first && must_pause() {
            return Err(call.continue_with([u64::from(op::EXCHANGE), at.raw(), 0, 0, 0, 0]));
        }
        one_chunk(call, domain, request, chunk, *done)?;
        *done += chunk.input;
    }
    Ok(0)
}

impl Chunk {
    /// What is exchanged whole: the larger of the two orders decides.
    fn of(request: &MemoryExchange) -> Self {
        let (input, output) = (request.input.extent_order, request.output.extent_order);
        Self {
            input: 1 << output.saturating_sub(input),
            output: 1 << input.saturating_sub(output),
        }
    }
}

/// Whether both lists are of one size, of orders that the caller may ask for, and for one domain.
fn lists_agree(call: &Call, request: &MemoryExchange) -> Result<(), Errno> {
    let (input, output) = (&request.input, &request.output);
    let most = if call.vcpu.domain.privileged {
        MOST_ORDER.0
    } else {
        MOST_ORDER.1
    };
    if input.extent_order > most || output.extent_order > most {
        return Err(EPERM);
    }
    let fits = |count: u64, order: u32| count <= u64::MAX >> order;
    if request.nr_exchanged > input.nr_extents
        || input.domid != output.domid
        || !fits(input.nr_extents, input.extent_order)
        || !fits(output.nr_extents, output.extent_order)
        || input.nr_extents << input.extent_order != output.nr_extents << output.extent_order
    {
        return Err(EINVAL);
    }
    Ok(())
}

/// Whose frames are exchanged, if what is left of the lists may be the guest's and it may ask for that domain. What is read
/// and written is checked at each access.
fn check(call: &Call, request: &MemoryExchange) -> Result<&'static Domain, Errno> {
    let (input, output) = (&request.input, &request.output);
    let done = request.nr_exchanged >> output.extent_order.saturating_sub(input.extent_order)
        << input.extent_order.saturating_sub(output.extent_order);
    for (list, first) in [(input, request.nr_exchanged), (output, done)] {
        let begin = list.extent_start.wrapping_add(first.wrapping_mul(8));
        let left = list.nr_extents.wrapping_sub(first);
        if left >= u64::MAX / 8 || !guest_access::is_guest_address(begin) {
            return Err(EFAULT);
        }
    }
    let domain = owners::other(call.vcpu.domain, request.input.domid)?;
    if domain.is_stopped() {
        return Err(EINVAL);
    }
    Ok(domain)
}

fn one_chunk(
    call: &Call,
    domain: &'static Domain,
    request: &MemoryExchange,
    chunk: Chunk,
    done: u64,
) -> Result<(), Errno> {
    let (input, output) = (&request.input, &request.output);
    let memory = &domain.memory;
    let limit = address_limit(output.mem_flags);
    let refused = |refusal: xenocryst_memory::Refusal| {
        report_refusal(call.vcpu, &refusal);
        refusal.errno().into()
    };
    let mut exchange = engine()
        .begin_exchange(
            memory,
            chunk.output as u32,
            output.extent_order as u8,
            limit,
        )
        .map_err(|_| ENOMEM)?;
    for index in done..done + chunk.input {
        let taken = guest_access::read_u64(input.extent_start.wrapping_add(index.wrapping_mul(8)))
            .and_then(|first| {
                engine()
                    .exchange_in(
                        memory,
                        &mut exchange,
                        Mfn::new(first),
                        input.extent_order as u8,
                    )
                    .map_err(refused)
            });
        if let Err(errno) = taken {
            engine().abandon_exchange(memory, exchange);
            return Err(errno);
        }
    }
    let answer = give(domain, request, chunk, done, &mut exchange);
    engine().finish_exchange(memory, exchange);
    answer
}

/// Hands out the new extents. A list that cannot be read or written gets them all the same: they are the domain's.
fn give(
    domain: &'static Domain,
    request: &MemoryExchange,
    chunk: Chunk,
    done: u64,
    exchange: &mut xenocryst_memory::Exchange,
) -> Result<(), Errno> {
    let first = done / chunk.input * chunk.output;
    let mut answer = Ok(());
    for index in first..first + chunk.output {
        let slot = request
            .output
            .extent_start
            .wrapping_add(index.wrapping_mul(8));
        let pfn = guest_access::read_u64(slot).unwrap_or_else(|errno| {
            answer = Err(errno);
            u64::MAX
        });
        let Some(mfn) = engine().exchange_out(&domain.memory, exchange, Pfn::new(pfn)) else {
            return Err(ENOMEM);
        };
        if let Err(errno) = guest_access::write_u64(slot, mfn.raw()) {
            answer = Err(errno);
        }
    }
    answer
}
