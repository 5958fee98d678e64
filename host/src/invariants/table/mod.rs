//! The table: one row an invariant, in order. A test is claimed only if it fails when the rule is removed.
//!
//! Neighbours: the rows are in `ownership`, `lifetime` and `operations`; this has the names that they share.

use super::{Invariant, State};

mod lifetime;
mod operations;
mod ownership;

// Where tests are.
const ALLOCATOR: &str = "memory/src/allocator/tests.rs";
const BATCHES: &str = "memory/src/history/batches.rs";
const DESCRIPTOR: &str = "memory/src/descriptor/tests.rs";
const EMULATE: &str = "memory/src/emulate/tests.rs";
const FLUSHES: &str = "memory/src/history/flushes.rs";
const FRAME: &str = "memory/src/frame/tests.rs";
const FRAMES: &str = "memory/src/history/frames.rs";
const GRANT_COPYING: &str = "memory/src/grant/tests/copying.rs";
const GRANT_ENDINGS: &str = "memory/src/grant/tests/endings.rs";
const GRANT_MAPPING: &str = "memory/src/grant/tests/mapping.rs";
const GRANT_RANDOM: &str = "memory/src/grant/tests/random.rs";
const GRANT_TABLES: &str = "memory/src/grant/tests/tables.rs";
const GRANT_UNMAPPING: &str = "memory/src/grant/tests/unmapping.rs";
const LEFTOVERS: &str = "memory/src/mmu_update/leftovers.rs";
const MMUEXT: &str = "memory/src/mmuext/tests.rs";
const MODEL: &str = "memory/src/model.rs";
const PTE: &str = "memory/src/pte/tests.rs";
const PTYPE: &str = "memory/src/ptype/tests.rs";
const RESERVATION: &str = "memory/src/reservation/tests.rs";
const STOPPED: &str = "memory/src/history/stopped.rs";
const TABLES: &str = "memory/src/history/tables.rs";
const TEARDOWN: &str = "memory/src/teardown/tests.rs";
const UPDATE: &str = "memory/src/mmu_update/tests.rs";
const DEBUG_KEYS: &str = "host/src/boot_tests/debug_keys.rs";
const GRANT_FETCHING: &str = "memory/src/grant/tests/fetching.rs";
const INTERLEAVE: &str = "memory/src/interleave/tests.rs";
const LIMIT: &str = "console/src/limit.rs";
const PREEMPTED: &str = "memory/src/history/preempted.rs";
const SHARING: &str = "host/src/boot_tests/sharing.rs";
const WALK: &str = "memory/src/walk/tests.rs";

const LAB: &str = "host/src/boot_tests/lab.rs";
const CHECKED: &str = "host/src/boot_tests/checked.rs";
const FETCHES: &str = "vcpu/src/fetches.rs";
const HOSTILE: &str = "host/src/boot_tests/hostile.rs";
const LOCK_ORDER: &str = "vcpu/src/lock_order.rs";

// What is not there yet.
const IOMMU: &str = "needs the IOMMU";
const SHADOW: &str = "needs shadow paging and log-dirty";

const fn row(title: &'static str, state: State) -> Invariant {
    Invariant { title, state }
}

/// I1 to I100.
pub(super) fn all() -> impl Iterator<Item = &'static Invariant> {
    [ownership::ROWS, lifetime::ROWS, operations::ROWS]
        .into_iter()
        .flatten()
}
