//! `HYPERVISOR_console_io`: the control domain's console.
//!
//! Keeps true: text is copied in bounded pieces; what it says is not interpreted.

use xenocryst_abi::hypercall::errno::{E2BIG, ENOSYS, EPERM};
use xenocryst_abi::{Vaddr, console as abi};

use super::{Answer, Call};
use crate::arch::guest_access;
use crate::console;
use crate::percpu::must_pause;

/// Bytes of text copied at once.
const PIECE: usize = 256;

/// `console_io(cmd, count, buffer)`.
#[inline(never)]
pub fn handle(call: &Call) -> Answer {
    let [command, count, buffer, ..] = call.args;
    if !call.vcpu.domain.privileged {
        return Err(EPERM.into());
    }
    // The ABI's count has 32 bits.
    let count = u64::from(count as u32);
    match command as u32 {
        abi::WRITE => write(call, count, buffer),
        abi::READ => read(count, buffer),
        _ => Err(ENOSYS.into()),
    }
}

fn write(call: &Call, mut count: u64, mut buffer: u64) -> Answer {
    let mut text = [0; PIECE];
    while count > 0 {
        let length = count.min(PIECE as u64) as usize;
        let piece = text.get_mut(..length).unwrap_or(&mut []);
        guest_access::copy_from(piece, Vaddr::new(buffer))?;
        console::write_raw(piece);
        count -= length as u64;
        buffer = buffer.wrapping_add(length as u64);
        if count > 0 && must_pause() {
            return Err(call.continue_with([call.args[0], count, buffer, 0, 0, 0]));
        }
    }
    Ok(0)
}

fn read(count: u64, buffer: u64) -> Answer {
    if count > i32::MAX as u64 {
        return Err(E2BIG.into());
    }
    let mut done = 0;
    let mut text = [0; PIECE];
    while done < count {
        let room = (count - done).min(PIECE as u64) as usize;
        let piece = text.get_mut(..room).unwrap_or(&mut []);
        let taken = console::take_input(piece);
        if taken == 0 {
            break;
        }
        guest_access::copy_to(
            Vaddr::new(buffer.wrapping_add(done)),
            piece.get(..taken).unwrap_or(&[]),
        )?;
        done += taken as u64;
    }
    Ok(done)
}
