//! I33 to I64: flushes, references, grants.

use super::super::Invariant;
use super::super::State::{Held, InPart, Open};
use super::{
    ALLOCATOR, BATCHES, CHECKED, EMULATE, FETCHES, FLUSHES, FRAME, FRAMES, GRANT_COPYING,
    GRANT_ENDINGS, GRANT_FETCHING, GRANT_MAPPING, GRANT_RANDOM, GRANT_TABLES, GRANT_UNMAPPING,
    HOSTILE, INTERLEAVE, IOMMU, LAB, LEFTOVERS, LOCK_ORDER, MMUEXT, MODEL, PREEMPTED, PTYPE,
    RESERVATION, SHARING, STOPPED, TABLES, TEARDOWN, UPDATE, row,
};

/// In order.
pub(super) const ROWS: &[Invariant] = &[
    // TLB and flush
    row(
        "No stale writable mapping of a frame is left when it stops being writable or changes owner",
        Held(&[
            (
                INTERLEAVE,
                "two_vcpus_on_one_frame_leave_no_stale_translation_and_no_reference",
            ),
            (
                INTERLEAVE,
                "three_vcpus_on_one_frame_leave_no_stale_translation_and_no_reference",
            ),
            (MODEL, "random_guests_leave_nothing_dangerous_in_a_tlb"),
            (
                FLUSHES,
                "xsa_511_a_frame_is_flushed_before_it_is_cleared_for_the_next_owner",
            ),
            (
                RESERVATION,
                "frames_that_come_back_from_a_failed_exchange_are_flushed_first_whatever_they_were",
            ),
            (
                FLUSHES,
                "a_frame_that_another_domain_could_write_becomes_a_table_only_after_a_flush_of_every_cpu",
            ),
            (
                GRANT_UNMAPPING,
                "a_lent_frame_becomes_a_table_only_after_a_flush_of_all_cpus",
            ),
        ]),
    ),
    row(
        "The time of a frame's last use is recorded exactly when that use ends",
        InPart(
            &[
                (
                    INTERLEAVE,
                    "two_vcpus_on_one_frame_leave_no_stale_translation_and_no_reference",
                ),
                (
                    PTYPE,
                    "promotion_flushes_what_cpus_may_hold_from_the_type_that_is_left",
                ),
                (ALLOCATOR, "joining_keeps_the_later_time"),
                (
                    GRANT_COPYING,
                    "a_frame_that_comes_back_from_a_refused_transfer_is_still_known_to_have_been_a_table",
                ),
            ],
            "needs a CPU that holds stores back, to show the fence that hypervisor/src/arch/tlb.rs puts before the clock: no emulated one does",
        ),
    ),
    row(
        "A change above L1 is flushed before the next item of a batch uses it",
        Held(&[
            (
                TABLES,
                "xsa_286_the_next_update_goes_through_the_new_tables",
            ),
            (HOSTILE, "boot hostile-kernel"),
        ]),
    ),
    row(
        "Copies of a root are brought up to date before the guest goes on",
        Open("needs XPTI"),
    ),
    row(
        "With tagged TLBs, switches flush the tags affected",
        Open("needs PCID"),
    ),
    row(
        "Guest addresses reach flush instructions only if valid, and only after a change",
        Held(&[
            (
                TABLES,
                "xsa_279_an_address_that_cannot_be_is_refused_and_nothing_flushed",
            ),
            (HOSTILE, "boot hostile-kernel"),
            (CHECKED, "boot checked-hostile"),
        ]),
    ),
    row(
        "While a flush is postponed, frames cannot be used anew",
        InPart(
            &[
                (
                    ALLOCATOR,
                    "a_reused_block_is_flushed_for_since_it_was_freed",
                ),
                (GRANT_UNMAPPING, "references_are_held_until_the_flush"),
            ],
            IOMMU,
        ),
    ),
    row(
        "Updates of the hypervisor's own tables are serialised",
        Held(&[
            (CHECKED, "boot checked-hostile"),
            (CHECKED, "boot checked-devices"),
        ]),
    ),
    // References and lifetime
    row(
        "A reference outlives every use",
        Held(&[
            (
                FRAMES,
                "xsa_384_a_frame_in_use_by_the_hypervisor_outlives_its_owners_letting_go",
            ),
            (MMUEXT, "references_keep_a_frame_from_its_other_uses"),
            (GRANT_ENDINGS, "a_table_waits_for_those_who_map_its_frames"),
            (GRANT_ENDINGS, "the_granter_dies_first"),
        ]),
    ),
    row(
        "Every counter is checked before it is raised or lowered",
        InPart(
            &[
                (FRAME, "saturated_counts_refuse_instead_of_wrapping"),
                (
                    FRAME,
                    "the_linear_counter_is_signed_and_refuses_to_overflow",
                ),
                (
                    TABLES,
                    "xsa_240_a_full_linear_counter_refuses_and_undoes_its_other_half",
                ),
                (GRANT_MAPPING, "pins_stop_at_their_limit"),
                (
                    TEARDOWN,
                    "a_frame_that_as_many_hold_as_can_be_counted_goes_with_the_last_of_them",
                ),
            ],
            "needs shadow paging, for its counters",
        ),
    ),
    row(
        "An entry or pointer is installed only after its reference was obtained",
        Held(&[
            (UPDATE, "l1_refusals_change_nothing"),
            (UPDATE, "upper_refusals_change_nothing_whatever_the_budget"),
            (HOSTILE, "boot hostile-kernel"),
        ]),
    ),
    row(
        "The root that a CPU runs on stays referenced until it has loaded another",
        Held(&[
            (MMUEXT, "roots_are_held_until_they_are_given_back"),
            (
                MMUEXT,
                "a_root_can_be_given_back_only_after_another_was_loaded",
            ),
        ]),
    ),
    row(
        "Every exit path gives back each lock and reference exactly once",
        Held(&[
            (
                TABLES,
                "xsa_32_frame_numbers_outside_memory_are_refused_by_every_operation",
            ),
            (
                TABLES,
                "xsa_113_a_refused_machphys_update_keeps_no_reference",
            ),
            (MODEL, "random_guests_never_get_the_counts_wrong"),
            (HOSTILE, "boot hostile-kernel"),
            (CHECKED, "boot checked-hostile"),
        ]),
    ),
    row(
        "What was read before a lock was dropped is read again after",
        Held(&[
            (
                EMULATE,
                "a_table_that_is_gone_by_the_time_of_the_store_is_left_alone",
            ),
            (
                EMULATE,
                "a_table_that_was_one_only_by_an_unwinding_left_over_takes_no_store",
            ),
            (
                LEFTOVERS,
                "a_frame_that_goes_with_an_unwinding_left_over_cannot_be_updated",
            ),
            (
                LEFTOVERS,
                "an_update_does_not_follow_a_frame_to_its_next_owner",
            ),
            (
                GRANT_MAPPING,
                "a_grant_that_changed_while_used_serves_nothing_more",
            ),
            (
                GRANT_TABLES,
                "references_are_bounded_by_the_table_in_its_present_version",
            ),
        ]),
    ),
    row(
        "A word that a guest can change is fetched once",
        Held(&[
            (
                GRANT_FETCHING,
                "a_grant_that_changes_after_any_fetch_is_mapped_as_it_was_or_not_at_all",
            ),
            (
                FETCHES,
                "a_byte_that_is_read_again_is_found_wherever_it_lies",
            ),
            (CHECKED, "boot checked-hostile"),
            (CHECKED, "boot checked-debian"),
        ]),
    ),
    row(
        "Nothing new is made for a dying domain, and teardown finds everything",
        Held(&[
            (
                PREEMPTED,
                "every_long_operation_can_be_abandoned_by_death_wherever_it_is_stopped",
            ),
            (
                BATCHES,
                "a_request_of_many_parts_can_be_abandoned_by_the_callers_death_between_any_two",
            ),
            (BATCHES, "the_granter_can_die_between_any_two_parts"),
            (
                STOPPED,
                "xsa_310_death_at_any_point_of_a_long_operation_frees_everything",
            ),
            (
                FRAMES,
                "xsa_159_death_at_any_step_of_an_exchange_loses_no_frame",
            ),
            (MMUEXT, "a_dying_domain_gets_no_new_tables"),
            (
                GRANT_ENDINGS,
                "a_frame_that_arrives_after_the_receivers_memory_was_taken_is_taken_too",
            ),
            (LAB, "boot lab-deaths"),
            (HOSTILE, "boot hostile-kernel"),
        ]),
    ),
    row(
        "Locks have one order",
        Held(&[
            (LOCK_ORDER, "locks_are_taken_upwards_only"),
            (LOCK_ORDER, "of_two_opposite_orders_one_is_always_caught"),
            (CHECKED, "boot checked-hostile"),
            (CHECKED, "boot checked-debian"),
            (CHECKED, "boot checked-devices"),
            (CHECKED, "boot checked-lab"),
        ]),
    ),
    row(
        "Tables are published data first, bound after",
        Held(&[
            (
                GRANT_TABLES,
                "a_table_that_grows_is_never_seen_larger_than_it_is",
            ),
            (HOSTILE, "boot hostile-kernel"),
        ]),
    ),
    // Grants
    row(
        "A grant mapping takes references for host and device separately, all or none",
        Held(&[
            (
                GRANT_MAPPING,
                "a_mapping_holds_references_marks_the_grant_and_gives_all_back",
            ),
            (
                GRANT_MAPPING,
                "the_two_parts_of_a_mapping_are_counted_apart",
            ),
            (
                GRANT_MAPPING,
                "what_the_entry_does_not_permit_is_refused_and_leaves_nothing",
            ),
            (
                GRANT_RANDOM,
                "whatever_both_guests_do_the_counts_are_right_and_death_gives_all_back",
            ),
        ]),
    ),
    row(
        "An unmapping follows what was recorded at mapping, found out wholly before it starts",
        Held(&[
            (
                GRANT_UNMAPPING,
                "an_entry_that_the_guest_rewrote_is_not_taken_for_the_mapping",
            ),
            (
                GRANT_UNMAPPING,
                "replacing_moves_an_entry_and_counts_stay_right",
            ),
            (
                GRANT_MAPPING,
                "the_two_parts_of_a_mapping_are_counted_apart",
            ),
        ]),
    ),
    row(
        "A mapping handle is freed exactly once",
        Held(&[
            (
                GRANT_UNMAPPING,
                "handles_are_freed_once_and_never_given_twice",
            ),
            (GRANT_UNMAPPING, "handles_end_at_the_limit_of_the_track"),
        ]),
    ),
    row(
        "A grant entry lies aligned in a locked table, and is replaced only if unchanged",
        Held(&[
            (
                GRANT_MAPPING,
                "an_entry_address_must_be_aligned_and_in_an_own_l1_table",
            ),
            (
                GRANT_UNMAPPING,
                "an_entry_that_the_guest_rewrote_is_not_taken_for_the_mapping",
            ),
        ]),
    ),
    row(
        "In-use marks go with the last pin of their kind",
        Held(&[
            (
                GRANT_MAPPING,
                "the_two_parts_of_a_mapping_are_counted_apart",
            ),
            (
                GRANT_COPYING,
                "a_copy_does_not_clear_the_marks_of_a_device_mapping",
            ),
        ]),
    ),
    row(
        "A pin is no page reference",
        Held(&[
            (GRANT_UNMAPPING, "references_are_held_until_the_flush"),
            (GRANT_ENDINGS, "the_granter_dies_first"),
            (GRANT_MAPPING, "pins_stop_at_their_limit"),
        ]),
    ),
    row(
        "A cached copy source is used again only for the very same request",
        Held(&[
            (GRANT_COPYING, "only_own_frames_can_be_named_by_number"),
            (
                GRANT_COPYING,
                "a_copy_stays_inside_the_page_and_the_part_granted",
            ),
        ]),
    ),
    row(
        "Transitive grants have one hop",
        Held(&[(GRANT_COPYING, "transitive_grants_are_refused")]),
    ),
    row(
        "Grant references are bounded by the table's present version",
        Held(&[(
            GRANT_TABLES,
            "references_are_bounded_by_the_table_in_its_present_version",
        )]),
    ),
    row(
        "A version changes only when nothing of the old one is in use",
        Held(&[
            (
                GRANT_TABLES,
                "the_version_changes_only_when_no_ordinary_grant_is_used",
            ),
            (
                GRANT_TABLES,
                "version_2_stays_while_a_status_frame_is_mapped",
            ),
        ]),
    ),
    row(
        "Lists of status frames stay within the caller's room",
        Held(&[(SHARING, "boot grant-operations")]),
    ),
    row(
        "The owner behind a frame may be a system domain without grants",
        Held(&[
            (GRANT_MAPPING, "only_ram_of_the_granter_can_be_granted"),
            (HOSTILE, "boot hostile-kernel"),
        ]),
    ),
    row(
        "Each element of a batch has its own status",
        Held(&[
            (GRANT_TABLES, "every_rule_of_grants_tells_a_negative_status"),
            (SHARING, "boot grant-operations"),
        ]),
    ),
    row(
        "DMA permission of granted frames is counted for each frame",
        Open(IOMMU),
    ),
];
