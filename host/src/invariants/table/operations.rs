//! I65 to I100: operations, preemption, bounds, entry and exit, failure.

use super::super::Invariant;
use super::super::State::{Held, InPart, Open};
use super::{
    ALLOCATOR, DEBUG_KEYS, DESCRIPTOR, FLUSHES, FRAME, FRAMES, GRANT_COPYING, HOSTILE, IOMMU,
    LIMIT, MMUEXT, MODEL, RESERVATION, SHADOW, STOPPED, TABLES, TEARDOWN, UPDATE, row,
};

// The guest that tries to break out: what it survives, what it does not, and what it does at random.
const KERNEL: &str = "boot hostile-kernel";
const ENDS_ITSELF: &str = "boot hostile-kernel-ends-itself";
const AT_RANDOM: &str = "boot hostile-kernel-at-random";

/// In order.
pub(super) const ROWS: &[Invariant] = &[
    // memory_op
    row(
        "Array arguments with a resume index are checked for exactly the part used",
        Held(&[(HOSTILE, "boot hostile-kernel")]),
    ),
    row(
        "Extent orders are capped by privilege before any shift or loop",
        Held(&[(
            FRAMES,
            "xsa_31_and_158_orders_are_capped_before_anything_is_counted",
        )]),
    ),
    row(
        "Node, width and feature bits of memory flags are checked",
        Held(&[
            (
                ALLOCATOR,
                "address_limits_are_kept_and_high_frames_go_first",
            ),
            (HOSTILE, "boot hostile-kernel"),
        ]),
    ),
    row(
        "A failed exchange gives every frame back, or frees it if its domain is dying",
        Held(&[
            (
                FRAMES,
                "xsa_159_death_at_any_step_of_an_exchange_loses_no_frame",
            ),
            (RESERVATION, "a_failed_exchange_gives_every_frame_back"),
            (HOSTILE, "boot hostile-kernel"),
        ]),
    ),
    row(
        "Operations for translated guests are errors for PV guests, and the other way round",
        InPart(
            &[(HOSTILE, "boot hostile-kernel")],
            "needs translated guests, for the other way round",
        ),
    ),
    row(
        "A frame is freed only after its mapping is gone",
        InPart(
            &[
                (
                    RESERVATION,
                    "a_frame_given_back_while_mapped_goes_with_its_last_mapping",
                ),
                (
                    FRAMES,
                    "xsa_252_memory_can_be_given_back_under_a_pinned_tree",
                ),
            ],
            "needs translated guests, for their P2M",
        ),
    ),
    row(
        "A hypervisor page that can be freed is in one place of a physmap",
        Open("needs translated guests"),
    ),
    row(
        "M2P and P2M are guest data: hints that nothing is decided by",
        Held(&[(FRAMES, "xsa_251_no_value_in_the_m2p_means_anything")]),
    ),
    row(
        "Acquired resources are checked, owned and referenced",
        Held(&[(HOSTILE, "boot hostile-kernel")]),
    ),
    // Log-dirty and shadow
    row(
        "A shadow root has exactly the hypervisor slots of the real one",
        Open(SHADOW),
    ),
    row(
        "Shadow memory is reserved before an operation starts",
        Open(SHADOW),
    ),
    row(
        "Fields shared by type tracking and shadows do not overlap",
        Open(SHADOW),
    ),
    row("Changes of dirty tracking exclude each other", Open(SHADOW)),
    row(
        "Shadow operations first establish that the frame exists",
        Open(SHADOW),
    ),
    // Preemption and continuation
    row(
        "Every loop whose length a guest controls is cut into short slices",
        Held(&[
            (FLUSHES, "xsa_45_every_slice_of_a_wide_tree_is_short"),
            (
                STOPPED,
                "xsa_290_a_tree_that_multiplies_itself_is_left_in_slices_too",
            ),
            (HOSTILE, KERNEL),
        ]),
    ),
    row(
        "What is left to undo is kept in one place and finished before the next operation",
        Held(&[
            (
                UPDATE,
                "a_leftover_unwinding_is_invisible_to_the_next_operation",
            ),
            (MMUEXT, "two_roots_can_be_given_back_with_no_budget_at_all"),
            (
                STOPPED,
                "xsa_299_intruders_at_any_point_of_an_unpin_cannot_spoil_the_counts",
            ),
        ]),
    ),
    row(
        "Each slice makes progress",
        Held(&[
            (FLUSHES, "xsa_45_every_slice_of_a_wide_tree_is_short"),
            (TEARDOWN, "everything_comes_back_whatever_the_budget"),
        ]),
    ),
    row(
        "A continuation holds its whole state and survives any register contents",
        Held(&[(HOSTILE, KERNEL)]),
    ),
    row(
        "A batch ends when an element leaves the guest's kernel mode",
        Held(&[(HOSTILE, KERNEL)]),
    ),
    row(
        "Call depth does not depend on guest data",
        Held(&[
            (TABLES, "xsa_240_chains_of_one_level_end_after_one_link"),
            (GRANT_COPYING, "transitive_grants_are_refused"),
        ]),
    ),
    row(
        "Messages that guests can cause are limited in rate",
        Held(&[
            (
                LIMIT,
                "a_guest_that_floods_gets_a_burst_and_then_two_a_second",
            ),
            (LIMIT, "the_losses_are_told_once_and_exactly"),
            (DEBUG_KEYS, "boot message-flood"),
        ]),
    ),
    // Arithmetic and bounds
    row(
        "Sums and products of guest numbers cannot wrap",
        Held(&[
            (FRAMES, "xsa_385_the_sum_of_frames_does_not_wrap"),
            (
                TABLES,
                "xsa_279_an_address_that_cannot_be_is_refused_and_nothing_flushed",
            ),
            (HOSTILE, KERNEL),
        ]),
    ),
    row(
        "An index is compared with the size of what it indexes",
        Held(&[
            (
                TABLES,
                "xsa_32_frame_numbers_outside_memory_are_refused_by_every_operation",
            ),
            ("vcpu/src/port.rs", "limit_is_kept_across_buckets"),
            ("vcpu/src/two_level.rs", "ports_beyond_the_format_are_inert"),
            (HOSTILE, KERNEL),
        ]),
    ),
    // Traps, descriptors, guest entry and exit
    row(
        "A descriptor page holds audited descriptors only",
        Held(&[
            (DESCRIPTOR, "segments_are_raised_to_ring_3"),
            (DESCRIPTOR, "call_gates_are_made_to_fault"),
            (DESCRIPTOR, "everything_else_is_refused"),
            (
                DESCRIPTOR,
                "descriptors_are_written_one_by_one_where_that_is_safe",
            ),
            (
                FRAMES,
                "xsa_214_a_descriptor_page_is_audited_again_after_any_change",
            ),
        ]),
    ),
    row(
        "Descriptor look-ups honour limits; descriptor pages are mapped as held",
        Held(&[
            (
                DESCRIPTOR,
                "a_descriptor_page_is_validated_held_and_unwritable",
            ),
            (HOSTILE, KERNEL),
        ]),
    ),
    row(
        "The guest is resumed with safe registers, whatever the path",
        Held(&[(HOSTILE, KERNEL)]),
    ),
    row(
        "A frame built on a guest's stack is checked whole, and one event is delivered once",
        Held(&[(HOSTILE, KERNEL), (HOSTILE, ENDS_ITSELF)]),
    ),
    row(
        "User mode is entered only with a user root",
        Held(&[(HOSTILE, KERNEL), (HOSTILE, ENDS_ITSELF)]),
    ),
    row(
        "Addresses kept for hardware are checked when they are stored",
        Held(&[
            ("emulate/src/msr.rs", "bases_must_be_canonical"),
            (HOSTILE, KERNEL),
        ]),
    ),
    row(
        "Breakpoints match guest addresses only",
        Held(&[(HOSTILE, KERNEL)]),
    ),
    row(
        "A guest's access to the hypervisor's range ends as its own fault",
        Held(&[(HOSTILE, KERNEL)]),
    ),
    row(
        "Entry and exit code touches only what is mapped at the time",
        Open("needs XPTI"),
    ),
    row(
        "Control registers and MSRs in force are those that the guest believes in",
        Held(&[(HOSTILE, KERNEL)]),
    ),
    // Devices and IOMMU
    row(
        "A frame is reachable by a domain's devices exactly while it is writable",
        Open(IOMMU),
    ),
    row("Devices change domains whole, and flushed", Open(IOMMU)),
    // Failure policy
    row(
        "No guest input stops the host",
        Held(&[
            (MODEL, "random_guests_never_get_the_counts_wrong"),
            (FRAME, "saturated_counts_refuse_instead_of_wrapping"),
            ("emulate/src/store/tests.rs", "no_byte_sequence_panics"),
            (HOSTILE, KERNEL),
            (HOSTILE, AT_RANDOM),
        ]),
    ),
];
