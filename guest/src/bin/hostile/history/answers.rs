//! What the hypervisor writes for a guest (XSA-67, 122): every byte of it is meant; the rest of the guest's memory stays as it was.

use xenocryst_guest::abi::event_channel::{self, AllocUnbound};
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::{DomId, grant_table, memory_op, vcpu_op, version};

use super::{LIST, call, call_with};
use crate::tell::tell;

const SECTION: &str = "answers";
/// Bytes looked at.
const BYTES: usize = 2048;

/// Everything of this file (I8).
pub fn all() {
    let texts = [
        (version::op::EXTRAVERSION, 16, "extra version"),
        (version::op::COMPILE_INFO, 64, "compiler"),
        (version::op::CAPABILITIES, 1024, "capabilities"),
        (version::op::CHANGESET, 64, "change set"),
        (version::op::COMMANDLINE, 1024, "command line"),
    ];
    for (operation, length, name) in texts {
        let (answer, written) = written(number::XEN_VERSION, u64::from(operation), &[]);
        let tail = text_tail(length);
        tell(
            SECTION,
            format_args!("xsa_122 {name}"),
            format_args!("{answer}, {written}, {tail} bytes behind the text are not zero"),
        );
    }
    let own = u64::from(DomId::SELF.0);
    let mut port = AllocUnbound {
        dom: DomId::SELF,
        remote_dom: DomId::SELF,
        port: 0,
    };
    // The last of this module's files gives all ports back.
    call_with(
        number::EVENT_CHANNEL_OP,
        u64::from(event_channel::op::ALLOC_UNBOUND),
        &mut port,
    );
    let asked = [own | u64::from(port.port) << 32];
    let structures: [(&str, u64, u64, &[u64]); 9] = [
        (
            "platform parameters",
            number::XEN_VERSION,
            u64::from(version::op::PLATFORM_PARAMETERS),
            &[],
        ),
        (
            "features",
            number::XEN_VERSION,
            u64::from(version::op::GET_FEATURES),
            &[0],
        ),
        (
            "handle",
            number::XEN_VERSION,
            u64::from(version::op::GUEST_HANDLE),
            &[],
        ),
        (
            "m2p mapping",
            number::MEMORY_OP,
            u64::from(memory_op::op::MACHPHYS_MAPPING),
            &[],
        ),
        (
            "current reservation",
            number::MEMORY_OP,
            u64::from(memory_op::op::CURRENT_RESERVATION),
            &[own],
        ),
        (
            "grant table size",
            number::GRANT_TABLE_OP,
            u64::from(grant_table::op::QUERY_SIZE),
            &[own],
        ),
        (
            "grant table version",
            number::GRANT_TABLE_OP,
            u64::from(grant_table::op::GET_VERSION),
            &[own],
        ),
        (
            "time in states",
            number::VCPU_OP,
            u64::from(vcpu_op::op::GET_RUNSTATE_INFO),
            &[],
        ),
        (
            "status of a port",
            number::EVENT_CHANNEL_OP,
            u64::from(event_channel::op::STATUS),
            &asked,
        ),
    ];
    for (name, hypercall, operation, request) in structures {
        let (answer, written) = written(hypercall, operation, request);
        let answer = answer.min(0);
        tell(
            SECTION,
            format_args!("xsa_100 {name}"),
            format_args!("{answer}, {written}"),
        );
    }
}

/// The bytes that a call wrote.
struct Written {
    first: usize,
    end: usize,
    /// Of those in between, how many it left as they were.
    holes: usize,
}

impl core::fmt::Display for Written {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "bytes {} to {} but {}", self.first, self.end, self.holes)
    }
}

/// Makes the call some times with a page of different bytes, the request's words at its beginning: what is never as it was
/// before is the hypervisor's or the request's.
fn written(hypercall: u64, operation: u64, request: &[u64]) -> (i64, Written) {
    let mut untouched = [true; BYTES];
    let mut answer = 0;
    for pattern in [0x5a_u8, 0xa5, 0x3c, 0xc3] {
        LIST.fill(0, &[pattern; BYTES]);
        for (slot, word) in request.iter().enumerate() {
            LIST.set(0, slot, *word);
        }
        // Calls on grants take the number of their elements, those on a vCPU its number first.
        let at = LIST.address(0);
        let arguments = match hypercall {
            number::GRANT_TABLE_OP => [operation, at, 1, 0, 0],
            number::VCPU_OP => [operation, 0, at, 0, 0],
            _ => [operation, at, 0, 0, 0],
        };
        answer = call(hypercall, arguments);
        for (index, untouched) in untouched.iter_mut().enumerate() {
            *untouched &= byte(index) == pattern;
        }
    }
    let first = untouched.iter().position(|was| !*was).unwrap_or(0);
    let end = untouched
        .iter()
        .rposition(|was| !*was)
        .map_or(0, |last| last + 1);
    let holes = untouched.get(first..end).unwrap_or_default();
    let holes = holes.iter().filter(|was| **was).count();
    (answer, Written { first, end, holes })
}

/// Byte `index` of the page.
fn byte(index: usize) -> u8 {
    // SAFETY: within the page.
    unsafe { ((LIST.address(0) + index as u64) as *const u8).read_volatile() }
}

/// How many bytes of the field of `length` bytes behind the end of its text are not zero.
fn text_tail(length: usize) -> usize {
    let end = (0..length)
        .find(|index| byte(*index) == 0)
        .unwrap_or(length);
    (end..length).filter(|index| byte(*index) != 0).count()
}
