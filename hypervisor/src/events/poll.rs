//! Waiting for particular ports (`SCHEDOP_poll`), with upcalls masked or not.

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::{EINVAL, Errno};

use super::{ANY_PORT, Inner};
use crate::domain::{Domain, Vcpu};
use crate::time::{self, Timer};

/// Waits until one of `ports` is pending or system time `timeout` (ns, 0 for never) has come. True if the calling vCPU
/// `vcpu` now has to wait; false if there is nothing to wait for.
///
/// # Errors
/// `EINVAL` for a port that is bound to nothing; `ENOMEM` if the timeout cannot be kept.
pub fn poll(vcpu: &'static Vcpu, ports: &[u32], timeout: u64) -> Result<bool, Errno> {
    let domain = vcpu.domain;
    let mut inner = domain.events.lock();
    let info = &vcpu.info;
    // Events are only raised under the lock we hold, so that none can slip in between looking and waiting.
    if info.upcall_pending().load(Ordering::SeqCst) != 0
        && info.upcall_mask().load(Ordering::SeqCst) == 0
    {
        return Ok(false);
    }
    for &number in ports {
        inner
            .ports
            .get(number)
            .filter(|port| port.is_usable())
            .ok_or(EINVAL)?;
        if inner.is_pending(domain, number) {
            return Ok(false);
        }
    }
    if timeout != 0 {
        time::set_timer(vcpu, Timer::Poll, timeout)?;
    }
    let polled = if let [only] = ports { *only } else { ANY_PORT };
    vcpu.events.polled.store(polled, Ordering::Relaxed);
    inner.pollers |= 1 << vcpu.id;
    crate::sched::begin_wait(vcpu);
    Ok(true)
}

/// The time given to [`poll`] has come.
pub fn poll_timed_out(vcpu: &'static Vcpu) {
    let mut inner = vcpu.domain.events.lock();
    if inner.pollers & 1 << vcpu.id != 0 {
        inner.pollers &= !(1 << vcpu.id);
        crate::sched::end_wait(vcpu);
    }
}

impl Inner {
    /// Wakes the vCPUs that poll for `number`, or for several ports, which may include it.
    pub fn wake_pollers(&mut self, domain: &'static Domain, number: u32) {
        let mut left = self.pollers;
        while left != 0 {
            let id = left.trailing_zeros();
            left &= left - 1;
            let Some(vcpu) = domain.vcpu(id) else {
                continue;
            };
            let polled = vcpu.events.polled.load(Ordering::Relaxed);
            if polled == ANY_PORT || polled == number {
                self.pollers &= !(1 << id);
                crate::sched::end_wait(vcpu);
            }
        }
    }
}
