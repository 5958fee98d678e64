//! What the kernel that tries to break out must say of long requests, of edges of the address space, and of its own entry and exit.
//!
//! Neighbours: [`super::hostile`] starts it and looks for these lines too.

/// Lines, and the invariant that each shows.
pub const LINES: &[(&str, &str)] = &[
    (
        "loops: multicall of 40000 -> 0, room made for events",
        "I79",
    ),
    (
        "loops: mmu_update of an entry of 80000 -> 0, room made for events",
        "I79",
    ),
    (
        "loops: mmu_update of the m2p of 80000 -> 0, room made for events",
        "I79",
    ),
    (
        "loops: mmuext_op of 40000 -> 0, room made for events",
        "I79",
    ),
    (
        "loops: grant mappings of 20000 -> 0, room made for events",
        "I79",
    ),
    (
        "loops: multicall with other elements -> 0, room made for events",
        "I82",
    ),
    (
        "loops: mmu_update of an entry becomes words of ones -> -3, met",
        "I82",
    ),
    (
        "loops: mmuext_op becomes a list in the direct map -> -14, met",
        "I82",
    ),
    (
        "loops: grant mappings becomes a list at the end -> -22, met",
        "I82",
    ),
    ("batch: what follows iret to user mode -> untouched", "I83"),
    (
        "batch: itself, 0 -> [262161, -22, 262161, -22, 262161, 262161]",
        "I83",
    ),
    ("batch: waiting, 0 -> [0, 262161, 0, 0, 0, 262161]", "I83"),
    ("indices: mmu_update at fffffffffffffff8 -> 1: -14", "I86"),
    ("indices: multicall at fffffffffffff000 -> 1: -14", "I86"),
    ("indices: grant copy at fffffffffffff000 -> 1: -14", "I86"),
    (
        "indices: memory_op 1, 2000000 of order 0 at fffffffffffff000 -> 0",
        "I86",
    ),
    (
        "indices: memory_op 6, 2000000000000000 of order 3 at 10000000 -> 0",
        "I86",
    ),
    (
        "indices: memory_op 0, 2 of order 40 at 10000000 -> 0",
        "I86",
    ),
    (
        "indices: exchange 2000000000000002 of order 0, then done 1ffff00000000000 -> -14",
        "I86",
    ),
    ("indices: vcpu_op 2 -> 2: -2", "I87"),
    ("indices: port of event 4 -> 2: -22", "I87"),
    ("indices: vcpu of bind_virq -> 2: -2", "I87"),
    ("indices: virq -> 1f: -22", "I87"),
    ("indices: pirq -> 3ff: -22", "I87"),
    ("indices: handle to unmap -> 1000: -4", "I87"),
    ("indices: reference to swap -> 1000: -3", "I87"),
    ("indices: debug register -> 8: -19", "I87"),
    ("segments: ldt of 1, load 7 -> done", "I89"),
    (
        "segments: ldt of 1, load f -> fault 13 error c rip +0",
        "I89",
    ),
    (
        "segments: ldt of 513, load 100f -> fault 13 error 100c rip +0",
        "I89",
    ),
    ("segments: no ldt, load 7 -> fault 13 error 4 rip +0", "I89"),
    (
        "segments: gdt of 512, load 1003 -> fault 13 error 1000 rip +0",
        "I89",
    ),
    ("segments: gdt of 7169 -> -22", "I89"),
    ("contexts: flags of the second -> 200602", "I90"),
    (
        "edges: stack, upper half, odd, moved by 0 -> fault 6 error 0",
        "I91",
    ),
    (
        "edges: stack, two pages, moved by 0 -> fault 6 error 0",
        "I91",
    ),
    ("contexts: user mode without a root -> -22", "I92"),
    ("contexts: event callback -> -22", "I93"),
    ("contexts: kernel stack -> -22", "I93"),
    ("contexts: user gs base -> -22", "I93"),
    ("contexts: handler -> -22", "I93"),
    ("contexts: ldt in the direct map -> -22", "I93"),
    ("breakpoints: read by a hypercall, 0 -> done", "I94"),
    (
        "breakpoints: mov ss and syscall -> fault 1 error 0 rip +2",
        "I94",
    ),
    ("breakpoints: frame of a fault -> fault 6 error 0", "I94"),
    (
        "edges: rep stosq down, upper half, first word -> fault 14 error 2 at ffff87fffffffff8 rip +9",
        "I95",
    ),
    (
        "edges: load, upper half, across its beginning -> fault 14 error 0 at ffff87fffffffffc rip +0",
        "I95",
    ),
    (
        "edges: rep insd, upper half, across its beginning -> fault 13 error 0 rip +d",
        "I95",
    ),
    (
        "edges: call, before the upper half -> fault 14 error 10 at ffff87fffffffff8",
        "I95",
    ),
    ("requests: mmu_update at mapped range end -> -14", "I95"),
    ("requests: console write at mapped half end -> -14", "I95"),
    ("contexts: control registers of the second -> 8 c", "I97"),
    ("contexts: the same after others ran -> true", "I97"),
    ("contexts: the first's as before -> true", "I97"),
    ("contexts: rdtsc of the first -> done", "I97"),
    ("contexts: floating point of the first -> done", "I97"),
];
