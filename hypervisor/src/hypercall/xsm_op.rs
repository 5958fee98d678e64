//! `HYPERVISOR_xsm_op`: the security module, which there is none of, as on a Xen built without Flask.

use xenocryst_abi::hypercall::errno::ENOSYS;

use super::{Answer, Call};

/// Every operation is answered as on a host without a module.
pub fn handle(_call: &Call) -> Answer {
    Err(ENOSYS.into())
}
