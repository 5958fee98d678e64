//! A hypercall of our own, on the last of the numbers that Xen keeps for architectures and x86 does not use: 55
//! (`__HYPERVISOR_arch_7`). On Xen it answers `ENOSYS`.
//!
//! `xenocryst_op(0, 0)`, for the control domain: audits all frames and returns the number of discrepancies, which are
//! named on the console; `ENOMEM` if there is no room to count in. Guests do not run while it is made. Others get Xen's
//! answer.
//!
//! Keeps true: the second argument is ours, the state of the continuation; a caller that makes one up gets the result
//! of an audit all the same (I82).

use xenocryst_abi::hypercall::errno::{ENOMEM, ENOSYS};

use super::{Answer, Call};
use crate::audit;

/// Audit all frames.
const AUDIT: u64 = 0;

/// `xenocryst_op(command, ...)`.
pub fn handle(call: &Call) -> Answer {
    let [command, ticket, ..] = call.args;
    if !call.vcpu.domain.privileged {
        return Err(ENOSYS.into());
    }
    if command != AUDIT {
        return Err(ENOSYS.into());
    }
    // The ticket is the number of the audit that is waited for. One that is not made yet may have been made up: the
    // audit is asked for again, which changes nothing if it was before.
    if ticket == 0 || ticket > audit::done() {
        let ticket = audit::request() + 1;
        return Err(call.continue_with([AUDIT, ticket, 0, 0, 0, 0]));
    }
    match audit::last() {
        audit::UNKNOWN => Err(ENOMEM.into()),
        count => Ok(count),
    }
}
