//! `HYPERVISOR_vm_assist(cmd, type)`: what the guest wants help with.

use core::sync::atomic::Ordering;

use xenocryst_abi::assist::{command, kind};
use xenocryst_abi::hypercall::errno::{EINVAL, ENOSYS};

use super::{Answer, Call};
use crate::domain::Domain;

/// `VMASST_CMD_enable`.
const ENABLE: u64 = command::ENABLE as u64;
/// `VMASST_CMD_disable`.
const DISABLE: u64 = command::DISABLE as u64;
/// Bits of the assists a 64-bit guest may switch (`public/xen.h`): 4 GiB segments (0), their notification (1), writable
/// page tables (2), PAE extended CR3 (3), architectural IOPL (4), runstate update flag (5), M2P strict (32).
pub const KNOWN: u64 = 0b11_1111 | 1 << 32;
/// `VMASST_TYPE_architectural_iopl`.
pub const ARCHITECTURAL_IOPL: u64 = 1 << kind::ARCHITECTURAL_IOPL;

/// `VMASST_TYPE_m2p_strict`.
const M2P_STRICT: u64 = 1 << kind::M2P_STRICT;

/// Switches one assist on or off.
pub fn handle(call: &Call) -> Answer {
    let [command, kind, ..] = call.args;
    // Both arguments are 32 bits wide.
    let bit = 1_u64.checked_shl(kind as u32).unwrap_or(0);
    if bit & KNOWN == 0 {
        return Err(EINVAL.into());
    }
    match u64::from(command as u32) {
        ENABLE => call.vcpu.domain.vm_assist.fetch_or(bit, Ordering::AcqRel),
        DISABLE => call.vcpu.domain.vm_assist.fetch_and(!bit, Ordering::AcqRel),
        _ => return Err(ENOSYS.into()),
    };
    changed(call.vcpu.domain);
    if bit == ARCHITECTURAL_IOPL {
        // Only the caller's own short way is looked at again: other vCPUs register theirs when they come up, later.
        call.vcpu.set_syscall(call.vcpu.syscall.get());
    }
    Ok(0)
}

/// `domain`'s assists were changed: what it wants of new tables follows.
pub fn changed(domain: &Domain) {
    domain.memory.set_m2p_in_new_roots(is_m2p_strict(domain));
}

/// Whether `domain` wants the M2P hidden from its user mode even in tables that its kernel has run on.
#[inline]
pub fn is_m2p_strict(domain: &Domain) -> bool {
    domain.vm_assist.load(Ordering::Relaxed) & M2P_STRICT != 0
}
