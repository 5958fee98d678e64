//! Taking all of a domain's channels away: when it asks for that, and when it goes.

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::{EAGAIN, EBUSY, EINVAL, Errno};

use super::close;
use crate::domain::Domain;
use crate::percpu::must_pause;

/// Ports closed between two looks at whether something else waits for this CPU.
const BATCH: u32 = 64;

/// Closes the ports of `domain` from `from` on. Returns where to go on if it was interrupted.
fn close_from(domain: &'static Domain, from: u32) -> Option<u32> {
    let end = domain.events.lock().ports.end();
    for number in from..end {
        // A port that is not in use, or that another vCPU is closing, needs nothing from us.
        let _ = close(domain, number);
        if (number + 1).is_multiple_of(BATCH) && must_pause() {
            return Some(number + 1);
        }
    }
    None
}

/// `EVTCHNOP_reset`: closes everything and goes back to the two-level format. `resuming` continues a reset that this
/// function has interrupted. True when it is done; false if it must be called again, resuming.
///
/// # Errors
/// `EBUSY` while another reset is under way, `EAGAIN` if ports were bound meanwhile.
pub fn reset(domain: &'static Domain, resuming: bool) -> Result<bool, Errno> {
    let from = {
        let mut inner = domain.events.lock();
        match (resuming, inner.next_reset) {
            (true, 0) => return Err(EBUSY),
            (true, next) => next,
            (false, 0) => {
                inner.next_reset = 1;
                1
            }
            (false, _) => return Err(EBUSY),
        }
    };
    let next = close_from(domain, from);
    let mut inner = domain.events.lock();
    inner.next_reset = next.unwrap_or(0);
    if next.is_some() {
        return Ok(false);
    }
    if inner.ports.active() != 0 {
        return Err(EAGAIN);
    }
    let fifo = inner.fifo.take();
    drop(inner);
    if let Some(fifo) = fifo {
        fifo.release();
    }
    Ok(true)
}

/// Gives up everything events hold for `domain`, which is going away and runs no more. True when it is done; false if it
/// must be called again.
///
/// # Errors
/// `EINVAL` if the domain is not going away.
pub fn destroy(domain: &'static Domain) -> Result<bool, Errno> {
    if !domain.dying.load(Ordering::Acquire) {
        return Err(EINVAL);
    }
    super::give_up_handlers(domain);
    let from = domain.events.lock().next_reset.max(1);
    let next = close_from(domain, from);
    let mut inner = domain.events.lock();
    inner.next_reset = next.unwrap_or(0);
    if next.is_some() {
        return Ok(false);
    }
    let fifo = inner.fifo.take();
    drop(inner);
    if let Some(fifo) = fifo {
        fifo.release();
    }
    for vcpu in domain.each_vcpu() {
        super::info::move_back(vcpu);
    }
    Ok(true)
}
