//! `HYPERVISOR_xenpmu_op`: performance counters for guests, which there are none of, as on a Xen without `vpmu=`.

use xenocryst_abi::hypercall::errno::EOPNOTSUPP;

use super::{Answer, Call};

/// Every operation is answered as on a host with the feature switched off.
pub fn handle(_call: &Call) -> Answer {
    Err(EOPNOTSUPP.into())
}
