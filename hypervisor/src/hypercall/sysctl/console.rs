//! The console ring, for tools.

use xenocryst_abi::sysctl::ReadConsole;

use super::Request;
use crate::arch::guest_access;
use crate::console;
use crate::hypercall::Answer;

/// Bytes of the ring copied at once.
const PIECE: usize = 512;

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
