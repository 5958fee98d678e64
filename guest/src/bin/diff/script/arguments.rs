//! Arguments that are no good: pointers to nothing, to what is not the guest's, to the end of a page; counts beyond bounds;
//! and multicalls.

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::mmuext;
use xenocryst_guest::abi::{DomId, PAGE_SIZE};

use super::Script;
use crate::request::{BAD_POINTERS, word};
use crate::world::{DATA_FLAGS, Frame};

/// The domain itself as the domains argument.
const SELF: u64 = DomId::SELF.0 as u64;

/// Hypercalls with a pointer, and where it stands among the arguments; the others are as given.
const POINTED: [(u64, usize, [u64; 5]); 13] = [
    (number::SET_TRAP_TABLE, 0, [0; 5]),
    (number::MMU_UPDATE, 0, [0, 1, 0, SELF, 0]),
    (number::MMU_UPDATE, 0, [0, 0, 0, SELF, 0]),
    (number::MMUEXT_OP, 0, [0, 1, 0, SELF, 0]),
    (number::MMUEXT_OP, 0, [0, 0, 0, SELF, 0]),
    (number::SET_GDT, 0, [0, 1, 0, 0, 0]),
    (number::SET_GDT, 0, [0, 0, 0, 0, 0]),
    (number::MEMORY_OP, 1, [1, 0, 0, 0, 0]),
    (number::MEMORY_OP, 1, [3, 0, 0, 0, 0]),
    (number::MEMORY_OP, 1, [11, 0, 0, 0, 0]),
    (number::MULTICALL, 0, [0, 1, 0, 0, 0]),
    (number::MULTICALL, 0, [0, 0, 0, 0, 0]),
    (number::XEN_VERSION, 1, [6, 0, 0, 0, 0]),
];

impl Script<'_, '_> {
    /// Pointers and counts.
    pub(super) fn bad_arguments(&mut self) {
        for (address, name) in BAD_POINTERS {
            for (call, place, mut arguments) in POINTED {
                // No trap table, or a multicall of zeros, which asks for none, would be a request of its own.
                if call == number::SET_TRAP_TABLE && matches!(name, "null" | "read-only")
                    || call == number::MULTICALL && name == "read-only"
                {
                    continue;
                }
                // What is there is not the same everywhere.
                if name == "m2p" {
                    continue;
                }
                arguments[place] = address;
                let rest = arguments[1 - place.min(1)];
                self.call(format_args!("{call} {rest} at {name}"), call, arguments);
            }
            // Where the number done is wanted.
            let value = self.entry(Frame::Data, DATA_FLAGS);
            let list = self.memory.put(&[self.pool(5) * PAGE_SIZE, value]);
            if address != 0 {
                self.call(
                    format_args!("mmu_update, done at {name}"),
                    number::MMU_UPDATE,
                    [list, 1, address, SELF, 0],
                );
            }
            for flags in [1, 2] {
                let value = self.entry(Frame::Data, 0x65);
                self.call(
                    format_args!("update_va_mapping {flags}, bitmap at {name}"),
                    number::UPDATE_VA_MAPPING,
                    [crate::world::arena(6), value, address & !7 | flags, 0, 0],
                );
            }
            for command in [mmuext::TLB_FLUSH_MULTI, mmuext::INVLPG_MULTI] {
                // SAFETY: a flush changes nothing.
                let answer = unsafe { xenocryst_guest::mmu::extended(command, 0, address) };
                self.tell(format_args!("mmuext/{command} bitmap at {name}"), answer);
            }
        }
        self.counts();
    }

    /// Counts that the list does not have, and the mark of a call that goes on.
    fn counts(&mut self) {
        for count in [
            1,
            2,
            3,
            0x7fff_ffff,
            0x8000_0000,
            0x8000_0001,
            0xffff_ffff,
            1 << 32,
            (1 << 32) + 1,
        ] {
            for (call, words) in [
                (
                    number::MMU_UPDATE,
                    [
                        self.pool(5) * PAGE_SIZE + 8,
                        0,
                        self.pool(5) * PAGE_SIZE + 16,
                        0,
                        0,
                        0,
                    ],
                ),
                (
                    number::MMUEXT_OP,
                    [
                        u64::from(mmuext::TLB_FLUSH_LOCAL),
                        0,
                        0,
                        u64::from(mmuext::TLB_FLUSH_LOCAL),
                        0,
                        0,
                    ],
                ),
            ] {
                let size = if call == number::MMU_UPDATE { 4 } else { 6 };
                let list = self.memory.put_at_edge(&words[..size]);
                let done = self.memory.put(&[7]);
                self.call(
                    format_args!("{call} count {count:x} of 2"),
                    call,
                    [list, count, done, SELF, 0],
                );
                self.tell(format_args!("done"), word(done));
            }
        }
        for count in [1, 2, 0x8000_0000, 0xffff_ffff, 1 << 32] {
            let list = self
                .memory
                .put_at_edge(&[number::XEN_VERSION, 0, 7, 0, 0, 0, 0, 0]);
            self.call(
                format_args!("multicall count {count:x} of 1"),
                number::MULTICALL,
                [list, count, 0, 0, 0],
            );
            self.tell(format_args!("answer"), word(list + 8));
        }
    }

    /// Calls in a multicall that are not calls, or multicalls themselves.
    pub(super) fn multicalls(&mut self) {
        let inner = self.memory.put(&[number::XEN_VERSION, 0, 7, 0, 0, 0, 0, 0]);
        for (call, arguments) in [
            (number::MULTICALL, [inner, 1, 0, 0, 0, 0]),
            (number::IRET, [0; 6]),
            (11, [0; 6]),
            (u64::MAX, [0; 6]),
            (64, [0; 6]),
            (number::STACK_SWITCH, [0, 0, 0, 0, 0, 0]),
            (number::SET_CALLBACKS, [0; 6]),
            (number::XEN_VERSION, [7, 0, 0, 0, 0, 0]),
        ] {
            let mut words = [0; 24];
            words[0] = number::XEN_VERSION;
            words[2] = 7;
            words[8] = call;
            words[10..16].copy_from_slice(&arguments);
            words[16] = number::XEN_VERSION;
            words[18] = 7;
            if call == number::IRET {
                // Leaving the middle of a multicall by it is for the hostile guest.
                continue;
            }
            let list = self.memory.put(&words);
            self.call(
                format_args!("{call:x} between others"),
                number::MULTICALL,
                [list, 3, 0, 0, 0],
            );
            let answers = [8, 72, 136].map(|offset| word(list + offset) as i64);
            self.tell(
                format_args!("answers"),
                format_args!("{} {} {}", answers[0], answers[1], answers[2]),
            );
        }
    }
}
