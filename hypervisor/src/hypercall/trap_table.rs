//! What a guest registers to be entered at: its trap table and its callbacks.
//!
//! Keeps true: an address is canonical when it is stored (I93).

use xenocryst_abi::Vaddr;
use xenocryst_abi::callback::{flag, kind, op};
use xenocryst_abi::hypercall::errno::{EFAULT, EINVAL, ENOSYS, Errno};
use xenocryst_abi::trap::TrapInfo;

use super::{Answer, Call, Stop};
use crate::arch::guest_access;
use crate::domain::{Callback, TrapEntry, Vcpu};

/// Bytes of `struct trap_info`: vector, flags, code selector, padding, address.
const TRAP_INFO_SIZE: u64 = size_of::<TrapInfo>() as u64;

/// `set_trap_table(table)`: entries up to one whose address is 0; a null table clears all.
pub fn set_trap_table(call: &Call) -> Answer {
    let table = call.args[0];
    if table == 0 {
        (0..=255).for_each(|vector| call.vcpu.set_trap_entry(vector, TrapEntry::default()));
        return Ok(0);
    }
    // 256 vectors and the end mark: a longer list repeats itself, and is not our time to spend.
    for index in 0..=256 {
        let at = Vaddr::new(table.wrapping_add(index * TRAP_INFO_SIZE));
        let [head, address]: [u64; 2] = guest_access::read(at)?;
        if address == 0 {
            return Ok(0);
        }
        store_trap(call.vcpu, head as u8, (head >> 8) as u8, address)?;
    }
    Ok(0)
}

/// Checks and keeps one trap table entry. Its code selector does not matter: handlers are entered with the flat one.
///
/// # Errors
/// `EINVAL` for an address that is not canonical.
pub fn store_trap(vcpu: &Vcpu, vector: u8, flags: u8, address: u64) -> Result<(), Errno> {
    if !Vaddr::new(address).is_canonical() {
        return Err(EINVAL);
    }
    vcpu.set_trap_entry(vector, TrapEntry { address, flags });
    Ok(())
}

/// `set_callbacks(event, failsafe, syscall)`: the three old ones at once.
pub fn set_callbacks(call: &Call) -> Answer {
    let [event, failsafe, syscall, ..] = call.args;
    for (what, address) in [
        (kind::EVENT, event),
        (kind::FAILSAFE, failsafe),
        (kind::SYSCALL, syscall),
    ] {
        // One that is refused stays as it was, and nobody is told.
        let _ = register(call.vcpu, what, 0, address);
    }
    Ok(0)
}

/// `callback_op(cmd, arg)`.
pub fn callback_op(call: &Call) -> Answer {
    let [command, argument, ..] = call.args;
    match u32::try_from(command) {
        Ok(op::REGISTER) => {
            let [head, address]: [u64; 2] = guest_access::read(Vaddr::new(argument))?;
            register(call.vcpu, head as u16, (head >> 16) as u16, address)?;
            Ok(0)
        }
        Ok(op::UNREGISTER) => {
            let head: u32 = guest_access::read(Vaddr::new(argument))?;
            unregister(head as u16).map(|()| 0).map_err(Stop::from)
        }
        _ => Err(ENOSYS.into()),
    }
}

/// Checks and keeps a callback. Also used when a whole context is loaded.
///
/// # Errors
/// `EINVAL` for an address that is not canonical, `ENOSYS` for a kind there is none of.
pub fn register(vcpu: &Vcpu, what: u16, flags: u16, address: u64) -> Result<(), Errno> {
    if !Vaddr::new(address).is_canonical() {
        return Err(EINVAL);
    }
    let callback = Callback {
        address,
        mask_events: flags & flag::MASK_EVENTS != 0,
    };
    match what {
        kind::EVENT => vcpu.event_callback.set(callback),
        kind::FAILSAFE => vcpu.failsafe_callback.set(callback),
        kind::SYSCALL => vcpu.set_syscall(callback),
        kind::SYSENTER => vcpu.sysenter.set(callback),
        kind::SYSCALL32 => vcpu.syscall32.set(callback),
        kind::NMI => vcpu.nmi_callback.set(address),
        _ => return Err(ENOSYS),
    }
    Ok(())
}

fn unregister(what: u16) -> Result<(), Errno> {
    match what {
        kind::EVENT
        | kind::FAILSAFE
        | kind::SYSCALL
        | kind::SYSENTER
        | kind::SYSENTER_DEPRECATED => Err(EINVAL),
        kind::NMI => Ok(()),
        _ => Err(ENOSYS),
    }
}

/// `nmi_op(cmd, arg)`: `XENNMI_register_callback` (0), `XENNMI_unregister_callback` (1).
pub fn nmi_op(call: &Call) -> Answer {
    match call.args[0] {
        0 => {
            let [address, _context]: [u64; 2] =
                guest_access::read(Vaddr::new(call.args[1])).map_err(|_| EFAULT)?;
            register(call.vcpu, kind::NMI, 0, address)?;
            Ok(0)
        }
        1 => {
            call.vcpu.nmi_callback.set(0);
            Ok(0)
        }
        _ => Err(ENOSYS.into()),
    }
}
