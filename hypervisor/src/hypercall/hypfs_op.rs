//! `HYPERVISOR_hypfs_op`: the hypervisor's parameters as a file system. It is empty so far.

use xenocryst_abi::hypercall::errno::{EINVAL, ENOENT, EOPNOTSUPP, EPERM};
use xenocryst_abi::hypfs::{VERSION, op};

use super::{Answer, Call};

/// `hypfs_op(cmd, path, length, buffer, size)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [command, path, length, buffer, size, _] = call.args;
    if !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    match command as u32 {
        op::GET_VERSION if path != 0 || length != 0 || buffer != 0 || size != 0 => {
            Err(EINVAL.into())
        }
        op::GET_VERSION => Ok(u64::from(VERSION)),
        op::READ | op::WRITE_CONTENTS => Err(ENOENT.into()),
        _ => Err(EOPNOTSUPP.into()),
    }
}
