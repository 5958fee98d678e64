//! `HYPERVISOR_multicall`: several hypercalls in one.
//!
//! Keeps true: each element is copied once; its result is written before the next begins; a batch stops as soon as an
//! element leaves the guest's kernel mode (I83), and makes room for events between elements (I79).

use xenocryst_abi::Vaddr;
use xenocryst_abi::hypercall::errno::{EFAULT, EINVAL};

use super::{Answer, Call, Stop, errno_word, invoke, number};
use crate::arch::guest_access;
use crate::percpu::{must_pause, this_cpu};

/// Bytes of `struct multicall_entry`: op, result, six arguments.
const ENTRY_SIZE: u64 = 64;

/// Runs the list of `args[1]` elements at `args[0]`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [list, count, ..] = call.args;
    let count = u64::from(count as u32);
    if !guest_access::is_guest_address(Vaddr::new(list)) {
        return Err(EFAULT.into());
    }
    for index in 0..count {
        let rest = |done: u64| {
            [
                list.wrapping_add(done * ENTRY_SIZE),
                count - done,
                0,
                0,
                0,
                0,
            ]
        };
        if index != 0 && must_pause() {
            return Err(call.continue_with(rest(index)));
        }
        let at = Vaddr::new(list.wrapping_add(index * ENTRY_SIZE));
        guest_access::next_request();
        let entry = guest_access::read_words::<8>(at)?;
        let [op, _, a, b, c, d, e, f] = entry;
        if op == number::IRET {
            // Leaving kernel mode ends a batch; nothing in the ABI needs it inside one.
            return Err(xenocryst_abi::hypercall::errno::ENOSYS.into());
        }
        let inner = Call {
            vcpu: call.vcpu,
            args: [a, b, c, d, e, f],
        };
        let answer = if op == number::MULTICALL {
            // One batch at a time: there is one continuation.
            Err(EINVAL.into())
        } else {
            invoke(op, &inner)
        };
        let result = match answer {
            Ok(value) => value,
            Err(Stop::Errno(errno)) => errno_word(errno),
            Err(Stop::Continue) => {
                guest_access::write(at.wrapping_add(16), &call.vcpu.continuation.get())?;
                return Err(call.continue_with(rest(index)));
            }
            Err(Stop::Reschedule) => {
                this_cpu().raise(crate::percpu::work::SCHEDULE);
                0
            }
        };
        guest_access::write_u64(at.wrapping_add(8), result).map_err(|_| EFAULT)?;
    }
    Ok(0)
}
