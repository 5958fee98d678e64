//! Random hypercalls: every number, with arguments from a pool of what could be and what could not (I100).
//!
//! What it keeps true: whatever the answers are, this kernel's own code, stack and tables stay as they are. So what would be
//! its own end is left out, by name: returning by a frame, stopping, switching to other tables, unmasking what it has no
//! handler for, waking a vCPU that has nothing to do, and what only the control domain may ask for and real hardware would
//! answer. Everything that frames, addresses and lists are asked for with is this file's own, not there, or not the guest's.

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::{DomId, grant_table, memory_op, mmu, vcpu_op};
use xenocryst_guest::domain::{Domain, pfn_of};
use xenocryst_guest::trap::attempt;
use xenocryst_guest::{hypercall, println, trap};

use crate::page::Pages;

/// Frames that may become anything.
static FRAMES: Pages<8> = Pages::new();
/// Structures and lists.
static LISTS: Pages<4> = Pages::new();
/// Addresses that may be mapped to anything.
static ARENA: Pages<8> = Pages::new();

/// Hypercalls with five words of any kind; those with lists have kinds of their own below.
const CALLS: [u64; 20] = [
    0, 2, 3, 4, 5, 9, 11, 15, 17, 21, 25, 27, 31, 34, 38, 39, 40, 41, 42, 63,
];

/// Numbers, one after another.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// What requests are made of.
struct Source<'d> {
    domain: &'d Domain,
    random: Random,
}

/// Makes `count` hypercalls that follow from `seed`.
pub fn run(domain: &Domain, seed: u64, count: u64) {
    let mut source = Source {
        domain,
        random: Random(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15) | 1),
    };
    let (mut done, mut faults) = (0_u64, 0_u64);
    for _ in 0..count {
        let (number, arguments) = source.request();
        let mut answer = -1;
        let result = attempt(|| {
            // SAFETY: what the module says is left out.
            answer = unsafe { hypercall::call(number, arguments) };
        });
        done += u64::from(answer >= 0);
        faults += u64::from(result.is_err());
        recover(number);
    }
    println!(
        "hostile random: {count} hypercalls, {}",
        told(done, faults, count)
    );
    // SAFETY: nothing is changed. It is a hypercall that Xen does not have.
    let wrong = unsafe { hypercall::call(number::ARCH_7, [0; 5]) };
    println!("hostile random: audit -> {wrong}");
}

/// What came of them, in words that are the same for every seed: some must have been right, and not all.
fn told(done: u64, faults: u64, count: u64) -> &'static str {
    match (done > count / 50 && done < count, faults < count / 2) {
        (true, true) => "some done, some refused",
        (true, false) => "too many faults",
        _ => "all of one kind",
    }
}

/// Puts right what a call may have changed of how this kernel is entered.
fn recover(number: u64) {
    if matches!(
        number,
        number::SET_TRAP_TABLE | number::SET_CALLBACKS | number::CALLBACK_OP | number::MULTICALL
    ) {
        trap::register();
    }
    // SAFETY: floating point as this kernel has it, no breakpoints, and the stack for user mode, of which there is none.
    unsafe {
        hypercall::call(number::FPU_TASKSWITCH, [0; 5]);
        hypercall::call(number::SET_DEBUGREG, [7, 0x400, 0, 0, 0]);
    }
}

impl Source<'_> {
    /// A hypercall.
    fn request(&mut self) -> (u64, [u64; 5]) {
        for page in 0..2 {
            for slot in 0..24 {
                let word = self.word();
                LISTS.set(page, slot, word);
            }
        }
        match self.random.below(10) {
            0 => self.update(),
            1 => self.extended(),
            2 => self.memory(),
            3 => self.grant(),
            4 => self.vcpu(),
            5 => self.events(),
            6 => self.multicall(),
            _ => {
                let number = self.random.of(&CALLS);
                let arguments = core::array::from_fn(|_| self.word());
                (number, arguments)
            }
        }
    }

    /// A word: a small number, a bit, an address, a frame, an entry, or anything.
    fn word(&mut self) -> u64 {
        let small = self.random.below(0x24);
        let shift = self.random.below(64);
        let frame = self.frame();
        match self.random.below(12) {
            0..=3 => small,
            4 => 1 << shift,
            5 => u64::MAX << shift,
            6 | 7 => self.address(),
            8 => frame,
            9 => {
                frame << 12
                    | self
                        .random
                        .of(&[0x61, 0x63, 0x65, 0x67, 0xe7, 0, 1, 8, 9, 0x1e3])
            }
            10 => u64::from(DomId::SELF.0) - small.min(4),
            // No frame or address of this kernel's: those have other high halves.
            _ => self.random.next() | 1 << 62,
        }
    }

    fn frame(&mut self) -> u64 {
        let own = FRAMES.address(self.random.below(8) as usize);
        let own = self.domain.mfn(pfn_of(own)).raw();
        let other = self.random.of(&[
            0,
            0x200,
            0xf_ec00,
            0xf_ee00,
            0xff_ffff,
            1 << 40,
            u64::MAX >> 12,
            u64::MAX,
        ]);
        if self.random.below(3) == 0 {
            other
        } else {
            own
        }
    }

    fn address(&mut self) -> u64 {
        // The last page of each is for what is written across the end of another.
        let page = self.random.below(7) as usize;
        let offset = self.random.of(&[0, 8, 0x7f8, 0xff0, 0xff8, 0xffc, 0xfff]);
        match self.random.below(4) {
            0 => LISTS.address(page % 3) + offset,
            1 | 2 => ARENA.address(page) + offset,
            _ => self.random.of(&[
                0,
                0xffff_8000_0000_0000,
                0xffff_82d0_8020_0000,
                0xffff_8300_0000_0000,
                0xffff_87ff_ffff_fff8,
                0x7fff_ffff_fffc,
                1 << 47,
                u64::MAX - 7,
            ]),
        }
    }

    /// A list's address: mostly one.
    fn list(&mut self) -> u64 {
        if self.random.below(8) == 0 {
            self.address()
        } else {
            LISTS.address(self.random.below(2) as usize)
        }
    }

    /// A list's length: mostly short.
    fn length(&mut self) -> u64 {
        if self.random.below(8) == 0 {
            self.word()
        } else {
            self.random.below(5)
        }
    }

    /// Entries of tables: of this file's frames, or mapped in its arena.
    fn update(&mut self) -> (u64, [u64; 5]) {
        let (domain, count) = (self.whose(), self.length());
        if self.random.below(2) == 0 {
            let at = ARENA.address(self.random.below(8) as usize);
            let flags = self.random.below(16);
            return (
                number::UPDATE_VA_MAPPING,
                [at, self.word(), flags, domain, 0],
            );
        }
        if self.random.below(8) == 0 {
            let at = self.frame() << 12 | self.random.below(512) << 3;
            return (number::UPDATE_DESCRIPTOR, [at, self.word(), 0, 0, 0]);
        }
        for element in 0..4 {
            let at = self.frame() << 12 | self.random.below(512) << 3 | self.random.below(4);
            LISTS.set(0, 2 * element, at);
        }
        (
            number::MMU_UPDATE,
            [LISTS.address(0), count.min(4), self.done(), domain, 0],
        )
    }

    /// A place for the number done: mostly none.
    fn done(&mut self) -> u64 {
        if self.random.below(4) == 0 {
            self.address()
        } else {
            0
        }
    }

    fn whose(&mut self) -> u64 {
        let own = u64::from(DomId::SELF.0);
        self.random.of(&[
            own,
            own,
            own,
            own,
            0,
            0x7ff1,
            0x7ff2,
            0x7ff4,
            5,
            1 << 16 | own,
            3 << 16,
        ])
    }

    fn extended(&mut self) -> (u64, [u64; 5]) {
        for element in 0..4 {
            let mut command = self.random.below(22);
            if command == u64::from(mmu::mmuext::NEW_BASEPTR) {
                command = u64::from(mmu::mmuext::UNPIN_TABLE);
            }
            LISTS.set(0, 3 * element, command);
            let frame = self.frame();
            LISTS.set(0, 3 * element + 1, frame);
        }
        let count = self.length().min(4);
        (
            number::MMUEXT_OP,
            [LISTS.address(0), count, self.done(), self.whose(), 0],
        )
    }

    fn memory(&mut self) -> (u64, [u64; 5]) {
        let operation =
            self.random.below(30) | self.random.of(&[0, 0, 0, 1 << 6, 1 << 40, u64::MAX << 6]);
        let (list, whose) = (LISTS.address(1), self.whose());
        // Frames to give back are this file's.
        for slot in 0..24 {
            let frame = self.frame();
            LISTS.set(1, slot, frame);
        }
        let order = self.random.of(&[0, 0, 1, 9, 64, u64::MAX]);
        // What is had is written to the list, as far as that goes.
        let count = if order < 64 {
            self.random.below(5)
        } else {
            self.length()
        };
        for (slot, word) in [
            list,
            count,
            order,
            whose & 0xffff,
            list,
            count,
            order,
            whose & 0xffff,
            0,
        ]
        .into_iter()
        .enumerate()
        {
            LISTS.set(0, slot, word);
        }
        let reservation =
            operation & 0x3f < 9 || operation & 0x3f == u64::from(memory_op::op::EXCHANGE);
        let at = if reservation {
            LISTS.address(0)
        } else {
            self.list()
        };
        (number::MEMORY_OP, [operation, at, 0, 0, 0])
    }

    fn grant(&mut self) -> (u64, [u64; 5]) {
        let operation = self.random.below(14);
        // A transfer gives frames away for good.
        let operation = if operation == u64::from(grant_table::op::TRANSFER) {
            13
        } else {
            operation
        };
        // Where mappings come and go.
        let at = ARENA.address(self.random.below(8) as usize);
        LISTS.set(0, 0, at);
        LISTS.set(0, 4, at);
        (
            number::GRANT_TABLE_OP,
            [operation, LISTS.address(0), self.length().min(3), 0, 0],
        )
    }

    fn vcpu(&mut self) -> (u64, [u64; 5]) {
        let operation = self.random.below(15);
        let mut vcpu = self.random.of(&[0, 0, 1, 1, 2, 63, 64, 0xffff_ffff]);
        if operation == u64::from(vcpu_op::op::UP)
            || operation == u64::from(vcpu_op::op::DOWN)
            || operation == u64::from(vcpu_op::op::REGISTER_VCPU_INFO)
        {
            vcpu |= 2;
        }
        (number::VCPU_OP, [operation, vcpu, self.list(), 0, 0])
    }

    fn events(&mut self) -> (u64, [u64; 5]) {
        match self.random.below(4) {
            0 => (
                number::SET_DEBUGREG,
                [self.random.below(8), self.word(), 0, 0, 0],
            ),
            1 => (
                number::SCHED_OP,
                [self.random.of(&[0, 9, 10, 1 << 31]), self.list(), 0, 0, 0],
            ),
            _ => (
                number::EVENT_CHANNEL_OP,
                [self.random.below(16), self.list(), 0, 0, 0],
            ),
        }
    }

    /// A batch of what is not a batch. Lists of the elements are one list, so that some are of another's.
    fn multicall(&mut self) -> (u64, [u64; 5]) {
        let count = self.random.below(6);
        for element in 0..count as usize {
            let (number, arguments) = match self.random.below(4) {
                0 => self.update(),
                1 => self.extended(),
                2 => self.vcpu(),
                _ => (
                    number::XEN_VERSION,
                    [self.random.below(16), ARENA.address(0), 0, 0, 0],
                ),
            };
            LISTS.set(2, 8 * element, number);
            for (word, argument) in arguments.into_iter().enumerate() {
                LISTS.set(2, 8 * element + 2 + word, argument);
            }
        }
        (number::MULTICALL, [LISTS.address(2), count, 0, 0, 0])
    }
}
