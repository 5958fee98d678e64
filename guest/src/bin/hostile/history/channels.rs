//! Event channels: pages that are given to them, in the wrong order or not at all (XSA-107, 188, 358), and ports that are none
//! (XSA-221).

use xenocryst_guest::abi::event_channel::{
    self, Close, ExpandArray, InitControl, Reset, Send, SetPriority, Unmask,
};
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::{DomId, Gfn, Vaddr, sched};
use xenocryst_guest::domain::Domain;

use super::{call_with, is_free, map_spare, spare};
use crate::tell::tell;

const SECTION: &str = "channels";
/// The page for the control block, and that for event words.
const CONTROL: usize = 4;
const WORDS: usize = 5;

/// Everything of this file.
pub fn all(domain: &Domain) {
    xsa_221_ports();
    xsa_188_pages(domain);
    xsa_221_ports();
    let mut request = Reset { dom: DomId::SELF };
    let answer = ask(event_channel::op::RESET, &mut request);
    tell(SECTION, format_args!("reset"), answer);
    tell_free(domain, "after the reset");
    for page in [CONTROL, WORDS] {
        tell(
            SECTION,
            format_args!("page {page} writable again"),
            map_spare(domain, page, true),
        );
    }
}

fn ask<T>(operation: u32, request: &mut T) -> i64 {
    call_with(number::EVENT_CHANNEL_OP, u64::from(operation), request)
}

/// Ports that do not exist (I50), by every operation on one.
fn xsa_221_ports() {
    for port in [0, 31, 1000, 4096, 131_071, 131_072, u32::MAX] {
        let mut ports = [port];
        let mut poll = sched::SchedPoll {
            ports: Vaddr::new(ports.as_mut_ptr() as u64),
            nr_ports: 1,
            pad: 0,
            timeout: 1,
        };
        let answers = [
            call_with(number::SCHED_OP, u64::from(sched::op::POLL), &mut poll),
            ask(event_channel::op::SEND, &mut Send { port }),
            ask(event_channel::op::UNMASK, &mut Unmask { port }),
            ask(event_channel::op::CLOSE, &mut Close { port }),
        ];
        tell(
            SECTION,
            format_args!("xsa_221 poll, send on, unmask, close {port}"),
            format_args!("{answers:?}"),
        );
    }
}

/// Gives pages, first such as cannot be taken (I43): nothing of them is kept. Pages that were taken can be nothing else.
fn xsa_188_pages(domain: &Domain) {
    for page in [CONTROL, WORDS] {
        tell(
            SECTION,
            format_args!("page {page} read-only"),
            map_spare(domain, page, false),
        );
    }
    let control = spare(domain, CONTROL).raw();
    let words = spare(domain, WORDS).raw();
    let none = 0xff_ffff_ffff;
    expand("xsa_358 words without a block", words);
    priority("before any block");
    init("no such vCPU", control, 0, 63);
    init("absurd vCPU", control, 0, u32::MAX);
    init("unaligned block", control, 4, 0);
    init("block over the end", control, 4096 - 64, 0);
    init("block beyond the end", control, 4096, 0);
    init("absurd offset", control, u32::MAX - 7, 0);
    init("no frame", none, 0, 0);
    init("the first frame", 0, 0, 0);
    tell_free(domain, "after refused blocks");
    expand("xsa_188 words after refused blocks", words);
    tell_free(domain, "after refused words");
    init("block", control, 0, 0);
    init("block twice", words, 0, 0);
    tell_free(domain, "with a block");
    expand("no frame of words", none);
    tell_free(domain, "after refused words");
    expand("words", words);
    priority("with a block");
    tell_free(domain, "with a block and words");
}

fn init(name: &str, frame: u64, offset: u32, vcpu: u32) {
    let mut request = InitControl {
        control_gfn: Gfn::new(frame),
        offset,
        vcpu,
        link_bits: 0,
        pad: [0; 7],
    };
    let answer = ask(event_channel::op::INIT_CONTROL, &mut request);
    tell(SECTION, format_args!("xsa_188 {name}"), answer);
}

fn expand(name: &str, frame: u64) {
    let mut request = ExpandArray {
        array_gfn: Gfn::new(frame),
    };
    let answer = ask(event_channel::op::EXPAND_ARRAY, &mut request);
    tell(SECTION, format_args!("{name}"), answer);
}

/// The priority of ports that are none.
fn priority(name: &str) {
    let answers = [0, 1000, u32::MAX].map(|port| {
        let mut request = SetPriority { port, priority: 99 };
        ask(event_channel::op::SET_PRIORITY, &mut request)
    });
    tell(
        SECTION,
        format_args!("priority {name}"),
        format_args!("{answers:?}"),
    );
}

/// Tells which of the two pages nobody holds.
fn tell_free(domain: &Domain, when: &str) {
    let free = [CONTROL, WORDS].map(|page| is_free(domain, page));
    tell(
        SECTION,
        format_args!("block and words are free {when}"),
        format_args!("{free:?}"),
    );
}
