//! Hypercalls with arguments that would reach what is not the guest's, if they were believed.

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::{DomId, callback, console, sched, segment, trap, vcpu_op};
use xenocryst_guest::hypercall;

use crate::tell::tell;

/// Addresses that are not the guest's.
const FORBIDDEN: [(u64, &str); 6] = [
    (0xffff_82d0_8020_0000, "image"),
    (0xffff_8300_0000_0000, "direct map"),
    (0xffff_87ff_ffff_fff8, "range end"),
    (0xffff_8000_0000_0000, "m2p"),
    (0x0000_7fff_ffff_fffc, "half end"),
    (0x0000_8000_0000_0000, "non-canonical"),
];

/// Everything of this file. What is registered by mistake is replaced afterwards by [`xenocryst_guest::trap::register`].
pub fn all() {
    pointers(&FORBIDDEN, || ());
    handlers();
    segment_bases();
    debug_registers();
    continuations();
    xenocryst_guest::trap::register();
}

/// Makes a hypercall and tells its answer.
fn ask(what: core::fmt::Arguments<'_>, number: u64, arguments: [u64; 5]) -> i64 {
    // SAFETY: what is asked for is refused, or undone before this kernel relies on it again.
    let answer = unsafe { hypercall::call(number, arguments) };
    tell("requests", what, answer);
    answer
}

/// Pointers to what is not the guest's, in every hypercall that takes one (I95, I100).
pub fn pointers(places: &[(u64, &str)], prepare: fn()) {
    let own = u64::from(DomId::SELF.0);
    let calls: [(&str, u64, [u64; 5], usize); 24] = [
        ("set_trap_table", number::SET_TRAP_TABLE, [0; 5], 0),
        ("mmu_update", number::MMU_UPDATE, [0, 1, 0, own, 0], 0),
        ("mmuext_op", number::MMUEXT_OP, [0, 1, 0, own, 0], 0),
        ("set_gdt", number::SET_GDT, [0, 8, 0, 0, 0], 0),
        ("platform_op", number::PLATFORM_OP, [0; 5], 0),
        ("memory_op current", number::MEMORY_OP, [3, 0, 0, 0, 0], 1),
        ("memory_op exchange", number::MEMORY_OP, [11, 0, 0, 0, 0], 1),
        ("memory_op machphys", number::MEMORY_OP, [12, 0, 0, 0, 0], 1),
        ("multicall", number::MULTICALL, [0, 1, 0, 0, 0], 0),
        ("xen_version extra", number::XEN_VERSION, [1, 0, 0, 0, 0], 1),
        (
            "xen_version compile",
            number::XEN_VERSION,
            [2, 0, 0, 0, 0],
            1,
        ),
        (
            "xen_version capabilities",
            number::XEN_VERSION,
            [3, 0, 0, 0, 0],
            1,
        ),
        (
            "xen_version command line",
            number::XEN_VERSION,
            [9, 0, 0, 0, 0],
            1,
        ),
        (
            "console write",
            number::CONSOLE_IO,
            [console::WRITE as u64, 16, 0, 0, 0],
            2,
        ),
        (
            "console write much",
            number::CONSOLE_IO,
            [console::WRITE as u64, 1 << 20, 0, 0, 0],
            2,
        ),
        (
            "console read",
            number::CONSOLE_IO,
            [console::READ as u64, 0, 0, 0, 0],
            2,
        ),
        (
            "grant table setup",
            number::GRANT_TABLE_OP,
            [2, 0, 1, 0, 0],
            1,
        ),
        (
            "grant table copy",
            number::GRANT_TABLE_OP,
            [5, 0, 1, 0, 0],
            1,
        ),
        (
            "vcpu runstate",
            number::VCPU_OP,
            [vcpu_op::op::GET_RUNSTATE_INFO as u64, 0, 0, 0, 0],
            2,
        ),
        (
            "vcpu info",
            number::VCPU_OP,
            [vcpu_op::op::REGISTER_VCPU_INFO as u64, 0, 0, 0, 0],
            2,
        ),
        (
            "sched shutdown code",
            number::SCHED_OP,
            [sched::op::SHUTDOWN_CODE as u64, 0, 0, 0, 0],
            1,
        ),
        (
            "callback",
            number::CALLBACK_OP,
            [callback::op::REGISTER as u64, 0, 0, 0, 0],
            1,
        ),
        ("events alloc", number::EVENT_CHANNEL_OP, [6, 0, 0, 0, 0], 1),
        ("physdev", number::PHYSDEV_OP, [6, 0, 0, 0, 0], 1),
    ];
    for &(address, place) in places {
        for (name, call, mut arguments, position) in calls {
            // What the M2P holds is not the same everywhere; only what would be written is asked for there.
            let reads = !name.starts_with("xen_version") && name != "memory_op machphys";
            if place == "m2p" && reads {
                continue;
            }
            arguments[position] = address;
            prepare();
            ask(format_args!("{name} at {place}"), call, arguments);
        }
    }
}

/// Handlers and callbacks at addresses that are not the guest's, or in ring 0 (I93).
fn handlers() {
    for (address, place) in FORBIDDEN {
        for kind in 0..9_u16 {
            let request = callback::CallbackRegister {
                kind,
                flags: 0,
                pad: 0,
                address,
            };
            ask(
                format_args!("callback {kind} at {place}"),
                number::CALLBACK_OP,
                [
                    u64::from(callback::op::REGISTER),
                    &raw const request as u64,
                    0,
                    0,
                    0,
                ],
            );
        }
        ask(
            format_args!("callbacks at {place}"),
            number::SET_CALLBACKS,
            [address, address, address, 0, 0],
        );
        ask(
            format_args!("nmi callback at {place}"),
            number::NMI_OP,
            [0, &raw const address as u64, 0, 0, 0],
        );
        xenocryst_guest::trap::register();
        for (cs, name) in [
            (segment::FLAT_KERNEL_CS, "flat"),
            (0xe008, "ring 0"),
            (0, "null"),
        ] {
            let table = [handler(200, cs, address), handler(0, 0, 0)];
            ask(
                format_args!("trap 200 at {place}, {name}"),
                number::SET_TRAP_TABLE,
                [table.as_ptr() as u64, 0, 0, 0, 0],
            );
        }
        for ss in [u64::from(segment::FLAT_KERNEL_SS), 0, 0xe010, 0x1_0000] {
            ask(
                format_args!("stack at {place}, {ss:x}"),
                number::STACK_SWITCH,
                [ss, address, 0, 0, 0],
            );
        }
    }
}

/// One entry of the trap table.
fn handler(vector: u8, cs: u16, address: u64) -> trap::TrapInfo {
    trap::TrapInfo {
        vector,
        flags: 0,
        cs,
        pad: 0,
        address,
    }
}

/// Segment bases (I93).
fn segment_bases() {
    for (address, place) in FORBIDDEN {
        for which in 0..5 {
            // The fourth takes a selector.
            if which == u64::from(segment::base::GS_USER_SEL) {
                continue;
            }
            ask(
                format_args!("base {which} at {place}"),
                number::SET_SEGMENT_BASE,
                [which, address, 0, 0, 0],
            );
        }
    }
    for selector in [
        0,
        3,
        0x10,
        0x33,
        0xe008,
        0xe010,
        0xe02b,
        0xe033,
        0xe040,
        0xfff8,
        0x1_0000,
        0xffff_ffff,
    ] {
        ask(
            format_args!("user GS {selector:x}"),
            number::SET_SEGMENT_BASE,
            [u64::from(segment::base::GS_USER_SEL), selector, 0, 0, 0],
        );
    }
    for which in 0..4 {
        ask(
            format_args!("base {which} back"),
            number::SET_SEGMENT_BASE,
            [which, 0, 0, 0, 0],
        );
    }
}

/// Breakpoints in the hypervisor, and what is reserved in the debug registers (I94).
fn debug_registers() {
    for (address, place) in FORBIDDEN {
        for register in [0, 3] {
            ask(
                format_args!("breakpoint {register} at {place}"),
                number::SET_DEBUGREG,
                [register, address, 0, 0, 0],
            );
        }
    }
    for register in 0..9 {
        for value in [0, 0x400, 0x2000, 0x2_0000, 0xffff_ffff, 1 << 32, u64::MAX] {
            // A breakpoint somewhere in this kernel would be one.
            if register < 4 && value != 0 {
                continue;
            }
            ask(
                format_args!("debug register {register} = {value:x}"),
                number::SET_DEBUGREG,
                [register, value, 0, 0, 0],
            );
        }
        ask(
            format_args!("debug register {register}"),
            number::GET_DEBUGREG,
            [register, 0, 0, 0, 0],
        );
        ask(
            format_args!("debug register {register} = 0"),
            number::SET_DEBUGREG,
            [register, if register == 7 { 0x400 } else { 0 }, 0, 0, 0],
        );
    }
}

/// Hypercalls that claim to go on from where they never were (I82).
fn continuations() {
    let reservation = [0_u64, 3, 0, u64::from(DomId::SELF.0)];
    let at = reservation.as_ptr() as u64;
    for start in [1_u64, 3, 4, 1 << 40, u64::MAX >> 6] {
        for operation in [0, 1, 6] {
            ask(
                format_args!("memory_op {operation} from {start:x}"),
                number::MEMORY_OP,
                [operation | start << 6, at, 0, 0, 0],
            );
        }
    }
    let own = u64::from(DomId::SELF.0);
    for count in [0x8000_0001_u64, 0xffff_ffff, 0xc000_0000] {
        for call in [number::MMU_UPDATE, number::MMUEXT_OP] {
            ask(
                format_args!("{call} goes on, {count:x}"),
                call,
                [0, count, 0, own, 0],
            );
        }
    }
    ask(
        format_args!("vm_assist"),
        number::VM_ASSIST,
        [u64::MAX, u64::MAX, 0, 0, 0],
    );
}
