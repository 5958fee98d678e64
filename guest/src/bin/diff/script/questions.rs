//! What a guest may ask: every sub-call of `memory_op` and `xen_version`, and hypercalls that do not exist.

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::memory_op::op;

use super::Script;

/// Sub-calls of `memory_op` whose answers are the machine's and not the interface's: only tried with bad arguments.
const OF_THE_MACHINE: [u32; 3] = [
    op::MAXIMUM_RAM_PAGE,
    op::MACHINE_MEMORY_MAP,
    op::MACHPHYS_MFN_LIST,
];

impl Script<'_, '_> {
    /// Every sub-call of `memory_op`, with nothing, with zeros, and going on from the middle.
    pub(super) fn memory_op(&mut self) {
        for operation in 0..36_u32 {
            let name = op::name(operation).unwrap_or("?");
            if !OF_THE_MACHINE.contains(&operation) {
                let zeros = self.memory.put(&[0; 16]);
                self.call(
                    format_args!("{operation} {name} zeros"),
                    number::MEMORY_OP,
                    [u64::from(operation), zeros, 0, 0, 0],
                );
            }
            self.call(
                format_args!("{operation} {name} null"),
                number::MEMORY_OP,
                [u64::from(operation), 0, 0, 0, 0],
            );
            let zeros = self.memory.put(&[0; 16]);
            self.call(
                format_args!("{operation} {name} going on"),
                number::MEMORY_OP,
                [u64::from(operation) | 3 << 6, zeros, 0, 0, 0],
            );
        }
        for domain in [0, 1, 0x7ff0, 0x7ff1, 0x7ff2, 0x7ff3, 0x7ff4, 0x7fff, 0xffff] {
            for operation in [
                op::CURRENT_RESERVATION,
                op::MAXIMUM_RESERVATION,
                op::MAXIMUM_GPFN,
            ] {
                let request = self.memory.put(&[domain]);
                self.call(
                    format_args!("{operation} of {domain:x}"),
                    number::MEMORY_OP,
                    [u64::from(operation), request, 0, 0, 0],
                );
            }
        }
        let mapping = self.memory.put(&[0; 3]);
        self.call(
            format_args!("machphys mapping"),
            number::MEMORY_OP,
            [u64::from(op::MACHPHYS_MAPPING), mapping, 0, 0, 0],
        );
        for n in 0..3 {
            self.tell(
                format_args!("word {n}"),
                format_args!("{:x}", crate::request::word(mapping + 8 * n)),
            );
        }
    }

    /// Every sub-call of `xen_version`.
    pub(super) fn version(&mut self) {
        for operation in 0..14 {
            for (address, name) in [(0, "null"), (self.memory.put(&[0; 160]), "zeros")] {
                // Where numbers are lengths, they are the hypervisor's own.
                let answer = self.version_call(operation, address);
                self.tell(format_args!("{operation} {name}"), answer);
            }
        }
        for submap in [0, 1, u64::from(u32::MAX)] {
            let request = self.memory.put(&[submap]);
            let answer = self.version_call(6, request);
            let features = crate::request::word(request) >> 32;
            self.tell(format_args!("features {submap:x} = {features:x}"), answer);
        }
        let parameters = self.memory.put(&[0]);
        let answer = self.version_call(5, parameters);
        let start = crate::request::word(parameters);
        self.tell(format_args!("platform parameters {start:x}"), answer);
    }

    fn version_call(&mut self, operation: u64, address: u64) -> i64 {
        // SAFETY: a question; where there is an address there are 160 words.
        unsafe {
            xenocryst_guest::hypercall::call(number::XEN_VERSION, [operation, address, 0, 0, 0])
        }
    }

    /// Hypercalls that do not exist, or not for this guest.
    pub(super) fn unknown(&mut self) {
        for number in (38..48)
            .chain(49..72)
            .chain([11, 27, 31, 34, u64::MAX, 1 << 32])
        {
            self.call(format_args!("hypercall {number:x}"), number, [0; 5]);
        }
    }
}
