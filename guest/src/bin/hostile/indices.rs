//! Numbers that hypercalls look up in arrays: vCPUs, ports, interrupts, grants (I87); and lists at the end of the address
//! space, whose length with their address would wrap (I86).

use core::fmt;

use xenocryst_guest::abi::event_channel::op as event;
use xenocryst_guest::abi::grant_table::op as grant;
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::memory_op::op as memory;
use xenocryst_guest::abi::vcpu_op::op as vcpu;
use xenocryst_guest::abi::{DomId, sched};
use xenocryst_guest::hypercall;

use crate::tell::tell;

/// Numbers about the ends of arrays, and of numbers.
const NUMBERS: [u64; 12] = [
    2,
    31,
    32,
    64,
    128,
    1023,
    4095,
    4096,
    0x2_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// Everything of this file.
pub fn all() {
    vcpus();
    ports();
    interrupts();
    grants();
    calls();
    ends();
}

/// Answers to the same question about several numbers, once each time that the answer changes.
struct Answers([(u64, i64); 16], usize);

impl Answers {
    fn of(numbers: &[u64], mut ask: impl FnMut(u64) -> i64) -> Self {
        let mut answers = Self([(0, 0); 16], 0);
        for number in numbers {
            let answer = ask(*number);
            if answers.1 == 0 || answers.0[answers.1 - 1].1 != answer {
                answers.0[answers.1] = (*number, answer);
                answers.1 += 1;
            }
        }
        answers
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (number, answer)) in self.0[..self.1].iter().enumerate() {
            write!(f, "{}{number:x}: {answer}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// A hypercall that is refused.
fn call(number: u64, arguments: [u64; 5]) -> i64 {
    // SAFETY: what is asked for is refused, or of no consequence.
    unsafe { hypercall::call(number, arguments) }
}

/// A hypercall with a sub-call and a structure of 32-bit words.
fn with(number: u64, operation: u32, words: &mut [u32; 16]) -> i64 {
    call(
        number,
        [u64::from(operation), words.as_mut_ptr() as u64, 0, 0, 0],
    )
}

/// vCPUs that there are not.
fn vcpus() {
    for operation in 0..=vcpu::REGISTER_VCPU_TIME_MEMORY_AREA {
        let area = [0_u64; 8];
        let answers = Answers::of(&NUMBERS, |number| {
            call(
                number::VCPU_OP,
                [u64::from(operation), number, area.as_ptr() as u64, 0, 0],
            )
        });
        tell("indices", format_args!("vcpu_op {operation}"), answers);
    }
}

/// Ports that there are not, and vCPUs to bind them to.
fn ports() {
    for operation in [
        event::CLOSE,
        event::SEND,
        event::UNMASK,
        event::SET_PRIORITY,
    ] {
        let answers = Answers::of(&NUMBERS, |port| {
            let mut words = [0; 16];
            words[0] = port as u32;
            with(number::EVENT_CHANNEL_OP, operation, &mut words)
        });
        tell(
            "indices",
            format_args!("port of event {operation}"),
            answers,
        );
    }
    let own = u32::from(DomId::SELF.0);
    let answers = Answers::of(&NUMBERS, |port| {
        let mut words = [0; 16];
        (words[0], words[1]) = (own, port as u32);
        with(number::EVENT_CHANNEL_OP, event::STATUS, &mut words)
    });
    tell("indices", format_args!("port of status"), answers);
    let answers = Answers::of(&NUMBERS, |port| {
        let mut words = [0; 16];
        (words[0], words[1]) = (own, port as u32);
        with(
            number::EVENT_CHANNEL_OP,
            event::BIND_INTERDOMAIN,
            &mut words,
        )
    });
    tell("indices", format_args!("port of a peer"), answers);
    let answers = Answers::of(&NUMBERS, |number| {
        let mut words = [0; 16];
        words[0] = number as u32;
        with(number::EVENT_CHANNEL_OP, event::BIND_IPI, &mut words)
    });
    tell("indices", format_args!("vcpu of bind_ipi"), answers);
    let answers = Answers::of(&NUMBERS, |number| {
        let mut words = [0; 16];
        words[1] = number as u32;
        with(number::EVENT_CHANNEL_OP, event::BIND_VIRQ, &mut words)
    });
    tell("indices", format_args!("vcpu of bind_virq"), answers);
    let answers = Answers::of(&NUMBERS, |count| {
        let ports = [4000_u32; 2];
        let poll = [ports.as_ptr() as u64, count, 1];
        call(
            number::SCHED_OP,
            [u64::from(sched::op::POLL), poll.as_ptr() as u64, 0, 0, 0],
        )
    });
    tell("indices", format_args!("count of poll"), answers);
}

/// Virtual and physical interrupts that there are not.
fn interrupts() {
    let answers = Answers::of(&NUMBERS[1..], |virq| {
        let mut words = [0; 16];
        words[0] = virq as u32;
        with(number::EVENT_CHANNEL_OP, event::BIND_VIRQ, &mut words)
    });
    tell("indices", format_args!("virq"), answers);
    let answers = Answers::of(&NUMBERS[5..], |pirq| {
        let mut words = [0; 16];
        words[0] = pirq as u32;
        with(number::EVENT_CHANNEL_OP, event::BIND_PIRQ, &mut words)
    });
    tell("indices", format_args!("pirq"), answers);
    for operation in [5, 12] {
        let answers = Answers::of(&NUMBERS[7..], |irq| {
            let mut words = [0; 16];
            words[0] = irq as u32;
            with(number::PHYSDEV_OP, operation, &mut words)
        });
        tell(
            "indices",
            format_args!("irq of physdev {operation}"),
            answers,
        );
    }
}

/// References and handles that there are not.
fn grants() {
    let own = u32::from(DomId::SELF.0);
    for (name, operation, place) in [
        ("reference to map", grant::MAP_GRANT_REF, 3),
        ("handle to unmap", grant::UNMAP_GRANT_REF, 4),
        ("handle to replace", grant::UNMAP_AND_REPLACE, 4),
        ("reference to copy from", grant::COPY, 0),
        ("reference to swap", grant::SWAP_GRANT_REF, 0),
    ] {
        // Where the status is left, as the half of a word.
        let (status, half) = match operation {
            grant::MAP_GRANT_REF => (4, 1),
            grant::UNMAP_GRANT_REF | grant::UNMAP_AND_REPLACE => (5, 0),
            grant::COPY => (9, 0),
            _ => (2, 0),
        };
        let answers = Answers::of(&NUMBERS[7..], |reference| {
            let mut words = [0; 16];
            words[place] = reference as u32;
            match operation {
                grant::MAP_GRANT_REF => (words[2], words[4]) = (2, own),
                // By reference from its own table, to frame 0.
                grant::COPY => {
                    (words[2], words[6], words[8]) = (own, own, 16 | 1 << 16);
                }
                _ => {}
            }
            let at = words.as_mut_ptr() as u64;
            let answer = call(number::GRANT_TABLE_OP, [u64::from(operation), at, 1, 0, 0]);
            if answer != 0 {
                return answer;
            }
            // SAFETY: the hypervisor wrote it.
            let word = unsafe { (&raw const words[status]).read_volatile() };
            i64::from((word >> (16 * half)) as i16)
        });
        tell("indices", format_args!("{name}"), answers);
    }
}

/// Hypercalls and registers that there are not.
fn calls() {
    let answers = Answers::of(&[56, 63, 64, 4096, 0xffff_ffff], |number| {
        call(number, [0; 5])
    });
    tell("indices", format_args!("hypercall"), answers);
    let answers = Answers::of(&[8, 9, 31, 64, 0x7fff_ffff, 0xffff_ffff], |register| {
        call(number::GET_DEBUGREG, [register, 0, 0, 0, 0])
    });
    tell("indices", format_args!("debug register"), answers);
    let answers = Answers::of(&[4, 5, 255, 0xffff_ffff], |which| {
        call(number::SET_SEGMENT_BASE, [which, 0, 0, 0, 0])
    });
    tell("indices", format_args!("segment base"), answers);
}

/// Lists whose end would be beyond the last address.
fn ends() {
    let own = u64::from(DomId::SELF.0);
    let lists: [(&str, u64, [u64; 5], usize, usize); 9] = [
        ("mmu_update", number::MMU_UPDATE, [0, 0, 0, own, 0], 0, 1),
        ("mmuext_op", number::MMUEXT_OP, [0, 0, 0, own, 0], 0, 1),
        ("multicall", number::MULTICALL, [0; 5], 0, 1),
        ("set_gdt", number::SET_GDT, [0; 5], 0, 1),
        ("grant map", number::GRANT_TABLE_OP, [0; 5], 1, 2),
        ("grant unmap", number::GRANT_TABLE_OP, [1, 0, 0, 0, 0], 1, 2),
        ("grant copy", number::GRANT_TABLE_OP, [5, 0, 0, 0, 0], 1, 2),
        ("grant swap", number::GRANT_TABLE_OP, [11, 0, 0, 0, 0], 1, 2),
        ("console write", number::CONSOLE_IO, [0; 5], 2, 1),
    ];
    for (name, number, mut arguments, at, length) in lists {
        for place in [u64::MAX - 7, u64::MAX - 0xfff] {
            let answers = Answers::of(&[1, 2, 513, 0x7fff_ffff], |count| {
                (arguments[at], arguments[length]) = (place, count);
                call(number, arguments)
            });
            tell("indices", format_args!("{name} at {place:x}"), answers);
        }
    }
    extents(own);
}

/// Extents whose number, size and place wrap.
fn extents(own: u64) {
    for operation in [
        memory::INCREASE_RESERVATION,
        memory::DECREASE_RESERVATION,
        memory::POPULATE_PHYSMAP,
    ] {
        for (start, count, order) in [
            (u64::MAX - 7, 2, 0),
            (u64::MAX - 0xfff, 1 << 25, 0),
            (u64::MAX, u64::MAX, 0),
            (0x1000_0000, 1 << 61, 3),
            (0x1000_0000, 2, 63),
            (0x1000_0000, 2, 64),
            (0x1000_0000, 2, 0xffff_ffff),
        ] {
            // An increase of pages that nobody is told of would be had.
            if operation == memory::INCREASE_RESERVATION && order == 0 && count > 2 {
                continue;
            }
            let words = [start, count, order, own];
            let answer = call(
                number::MEMORY_OP,
                [u64::from(operation), words.as_ptr() as u64, 0, 0, 0],
            );
            tell(
                "indices",
                format_args!("memory_op {operation}, {count:x} of order {order:x} at {start:x}"),
                answer,
            );
        }
    }
    for (count, orders, done) in [
        (1 << 63, (1, 1), 0),
        (u64::MAX, (0, 0), u64::MAX - 1),
        (1 << 61, (3, 3), 1 << 60),
        (2, (64, 64), 0),
        (2, (0xffff_ffff, 0), 1),
        // XSA-212: an element long done, from an address that would wrap into what is not the guest's.
        (0x2000_0000_0000_0002, (0, 0), 0x1fff_f000_0000_0000),
    ] {
        let mut words = [0_u64; 10];
        (words[0], words[1], words[2], words[3]) = (0x1000_0000, count, orders.0, own);
        (words[4], words[5], words[6], words[7]) = (0x1000_0000, count, orders.1, own);
        words[8] = done;
        let answer = call(
            number::MEMORY_OP,
            [
                u64::from(memory::EXCHANGE),
                words.as_mut_ptr() as u64,
                0,
                0,
                0,
            ],
        );
        // SAFETY: the hypervisor writes it.
        let done = unsafe { (&raw const words[8]).read_volatile() };
        tell(
            "indices",
            format_args!(
                "exchange {count:x} of order {:x}, then done {done:x}",
                orders.0
            ),
            answer,
        );
    }
}
