//! The console ring, for tools.

use xenocryst_abi::hypercall::errno::E2BIG;
use xenocryst_abi::sysctl::{DebugKeys, ReadConsole};

use super::Request;
use crate::arch::guest_access;
use crate::console;
use crate::hypercall::Answer;
use crate::quiet;

/// Bytes of the ring copied at once.
const PIECE: usize = 512;
/// Debug keys pressed at once: more than there are.
const KEYS: usize = 128;

/// `XEN_SYSCTL_debug_keys`: what the keys ask for is on the console before the caller goes on. Those that are none are
/// passed over, as by Xen.
///
/// # Errors
/// `E2BIG` for more than [`KEYS`] at once; `EFAULT`.
pub fn debug_keys(request: &Request) -> Answer {
    let part: DebugKeys = request.part()?;
    let mut keys = [0; KEYS];
    let keys = keys.get_mut(..part.nr_keys as usize).ok_or(E2BIG)?;
    guest_access::copy_from(keys, part.keys)?;
    for &key in &*keys {
        quiet::press(key);
    }
    Ok(0)
}

pub fn read_console(request: &Request) -> Answer {
    let mut part: ReadConsole = request.part()?;
    let mut from = (part.incremental != 0).then_some(part.index);
    let mut done = 0;
    let mut text = [0; PIECE];
    while done < part.count {
        let room = (part.count - done).min(PIECE as u32) as usize;
        let read = console::read_ring(from, text.get_mut(..room).unwrap_or(&mut []));
        if read.count == 0 {
            break;
        }
        let piece = text.get(..read.count).unwrap_or(&[]);
        guest_access::copy_to(part.buffer.wrapping_add(u64::from(done)), piece)?;
        done += read.count as u32;
        part.index = read.next;
        from = Some(read.next);
    }
    if part.clear != 0 {
        console::clear_ring();
    }
    part.count = done;
    request.answer(&part)
}
