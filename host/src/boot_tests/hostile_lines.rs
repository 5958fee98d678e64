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
];
