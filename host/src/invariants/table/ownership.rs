//! I1 to I32: ownership, types, levels, entries.

use super::super::Invariant;
use super::super::State::{Held, InPart, Open};
use super::{
    CHECKED, DESCRIPTOR, EMULATE, FLUSHES, FRAME, FRAMES, GRANT_TABLES, HOSTILE, INTERLEAVE,
    MMUEXT, MODEL, PREEMPTED, PTE, PTYPE, RESERVATION, STOPPED, TABLES, TEARDOWN, UPDATE, WALK,
    row,
};

/// In order.
pub(super) const ROWS: &[Invariant] = &[
    // Ownership and accounting
    row(
        "A guest's frame number is bounded, referenced and its owner compared before anything of the frame is used",
        Held(&[
            (
                TABLES,
                "xsa_32_frame_numbers_outside_memory_are_refused_by_every_operation",
            ),
            (
                TABLES,
                "xsa_113_a_refused_machphys_update_keeps_no_reference",
            ),
            (FRAME, "a_frame_of_another_or_of_nobody_is_not_taken"),
        ]),
    ),
    row(
        "Upper entries name frames of the table's owner; L1 entries also authorised foreign frames and permitted I/O",
        Held(&[
            (TABLES, "xsa_240_no_link_crosses_domains"),
            (TABLES, "xsa_154_no_path_leaves_a_device_mapped_cached"),
            (UPDATE, "l1_refusals_change_nothing"),
            (UPDATE, "foreign_frames_need_the_page_owner_in_the_request"),
        ]),
    ),
    row(
        "Frames that the hypervisor uses for itself have no guest as owner",
        InPart(
            &[
                (FRAMES, "xsa_248_what_the_hypervisor_holds_cannot_be_named"),
                (
                    UPDATE,
                    "the_hypervisors_own_frames_are_reached_through_no_system_owner",
                ),
            ],
            "needs shadow paging, log-dirty and the IOMMU, for their pools",
        ),
    ),
    row(
        "Frames shared with a guest stay what they are: no table, not given away, not recached",
        Held(&[
            (FRAMES, "xsa_276_and_507_shared_frames_stay_what_they_are"),
            (
                UPDATE,
                "frames_shared_by_the_hypervisor_are_mapped_write_back_only",
            ),
            (TEARDOWN, "shared_frames_are_left_to_the_hypervisor"),
            (
                GRANT_TABLES,
                "grant_frames_can_be_no_tables_and_not_given_back",
            ),
        ]),
    ),
    row(
        "A counted frame has an owner; taking one away needs that nothing but its allocation holds it",
        Held(&[
            (FRAMES, "xsa_287_taking_away_races_with_looking_up"),
            (
                FRAMES,
                "xsa_217_a_frame_that_another_domain_maps_cannot_be_taken_away",
            ),
            (RESERVATION, "a_failed_exchange_gives_every_frame_back"),
        ]),
    ),
    row(
        "Giving a frame to a domain is always the whole assignment",
        Held(&[
            (
                FRAMES,
                "xsa_284_every_way_of_giving_gives_the_whole_of_a_frame",
            ),
            (
                RESERVATION,
                "populated_frames_are_zeroed_counted_and_entered_in_the_m2p",
            ),
        ]),
    ),
    row(
        "A domain owns no more than its maximum, and the comparison cannot wrap",
        Held(&[
            (FRAMES, "xsa_385_the_sum_of_frames_does_not_wrap"),
            (RESERVATION, "a_domain_never_gets_more_than_its_maximum"),
        ]),
    ),
    row(
        "No byte of another owner or of the hypervisor becomes visible",
        Held(&[
            (
                FRAMES,
                "xsa_100_and_511_no_owner_reads_what_the_last_one_wrote",
            ),
            (
                FLUSHES,
                "xsa_511_a_frame_is_flushed_before_it_is_cleared_for_the_next_owner",
            ),
            (HOSTILE, "boot hostile-kernel"),
        ]),
    ),
    // Type counts
    row(
        "One type at a time, changed only at count 0; the count refuses to wrap",
        Held(&[
            (FRAME, "saturated_counts_refuse_instead_of_wrapping"),
            (
                FLUSHES,
                "xsa_401_and_408_a_mapping_that_is_gone_is_flushed_and_one_that_stays_refuses",
            ),
            (
                PTYPE,
                "a_writable_mapping_of_a_table_in_the_same_tree_is_refused",
            ),
            (
                DESCRIPTOR,
                "a_descriptor_page_is_validated_held_and_unwritable",
            ),
        ]),
    ),
    row(
        "A new type is published, then stale mappings are flushed, then contents are checked, then it may be used",
        InPart(
            &[
                (
                    INTERLEAVE,
                    "xsa_401_a_frame_that_changes_its_type_is_nobodys_until_it_was_flushed",
                ),
                (
                    FLUSHES,
                    "xsa_401_the_new_type_stands_before_the_flush_and_the_flush_before_the_look",
                ),
                (FLUSHES, "xsa_285_descriptor_pages_follow_the_same_order"),
            ],
            "needs the IOMMU, and tracking of non-coherent mappings, for their two steps",
        ),
    ),
    row(
        "Which flush is needed follows from the type that is left",
        Held(&[
            (FLUSHES, "xsa_408_flushes_follow_from_the_type_that_is_left"),
            (
                PTYPE,
                "promotion_flushes_what_cpus_may_hold_from_the_type_that_is_left",
            ),
        ]),
    ),
    row(
        "What was validated for one owner is not valid for the next",
        Held(&[(
            FRAMES,
            "xsa_214_a_descriptor_page_is_audited_again_after_any_change",
        )]),
    ),
    row(
        "Only de-validation drops the last type reference",
        Held(&[
            (
                INTERLEAVE,
                "two_vcpus_on_one_frame_leave_no_stale_translation_and_no_reference",
            ),
            (
                STOPPED,
                "xsa_242_the_last_use_of_a_table_and_a_write_to_it_at_once",
            ),
            (MODEL, "racing_vcpus_never_get_the_counts_wrong"),
        ]),
    ),
    row(
        "Dropping a reference and tidying up a half-validated table are different operations",
        Held(&[
            (
                STOPPED,
                "xsa_299_intruders_at_any_point_of_an_unpin_cannot_spoil_the_counts",
            ),
            (
                PTYPE,
                "a_half_validated_table_cannot_be_changed_or_used_as_something_else",
            ),
        ]),
    ),
    row(
        "Half-validated state is exact: entries below the cursor hold references, no others",
        Held(&[
            (
                PREEMPTED,
                "every_long_operation_ends_alike_whoever_comes_in_between_wherever_it_is_stopped",
            ),
            (
                STOPPED,
                "xsa_299_intruders_at_any_point_of_a_pin_cannot_spoil_the_counts",
            ),
            (PTYPE, "preemption_at_every_point_ends_in_the_same_state"),
            (
                PTYPE,
                "a_pin_that_was_given_up_half_way_is_carried_on_by_another_user_of_the_table",
            ),
        ]),
    ),
    row(
        "A validation that fails part-way is undone to the last reference",
        Held(&[
            (
                STOPPED,
                "xsa_58_a_poisoned_entry_at_any_place_costs_nothing",
            ),
            (PTYPE, "a_refused_promotion_leaves_every_count_as_it_was"),
        ]),
    ),
    row(
        "'Try again' and 'half done' are different answers and never mixed up",
        Held(&[
            (
                PREEMPTED,
                "every_long_operation_ends_alike_whoever_comes_in_between_wherever_it_is_stopped",
            ),
            (PTYPE, "a_refused_promotion_leaves_every_count_as_it_was"),
            (PTYPE, "preemption_at_every_point_ends_in_the_same_state"),
        ]),
    ),
    row(
        "A frame is pinned at most once; only unpinning or death of the owner ends that",
        Held(&[
            (MMUEXT, "a_table_is_pinned_once_and_unpinned_once"),
            (
                FRAMES,
                "xsa_252_memory_can_be_given_back_under_a_pinned_tree",
            ),
        ]),
    ),
    row(
        "Taking a dying domain's tables away brings every count to 0",
        Held(&[
            (
                PREEMPTED,
                "every_long_operation_can_be_abandoned_by_death_wherever_it_is_stopped",
            ),
            (
                STOPPED,
                "xsa_310_death_at_any_point_of_a_long_operation_frees_everything",
            ),
            (TEARDOWN, "everything_comes_back_whatever_the_budget"),
        ]),
    ),
    // Levels and linear maps
    row(
        "Root slots are the guest's or the hypervisor's by one rule for every operation",
        Held(&[
            (
                TABLES,
                "xsa_64_and_243_the_hypervisors_slots_are_nobody_elses",
            ),
            (
                PTYPE,
                "promotion_writes_the_hypervisors_slots_and_ignores_what_was_there",
            ),
        ]),
    ),
    row(
        "Same-level entries are read-only and name validated tables of the same owner",
        Held(&[
            (TABLES, "xsa_182_a_read_only_self_map_never_gains_rw"),
            (TABLES, "xsa_240_no_link_crosses_domains"),
            (
                PTYPE,
                "linear_entries_are_legal_at_l3_and_l2_and_never_reach_a_table_that_is_not_validated",
            ),
        ]),
    ),
    row(
        "Linear use is one level deep, counted exactly, and the counter refuses to overflow",
        Held(&[
            (TABLES, "xsa_240_chains_of_one_level_end_after_one_link"),
            (
                TABLES,
                "xsa_240_a_full_linear_counter_refuses_and_undoes_its_other_half",
            ),
            (
                STOPPED,
                "xsa_309_linear_counts_are_not_forgotten_on_the_way",
            ),
            (
                PTYPE,
                "linear_counts_survive_preemption_and_come_back_to_zero",
            ),
        ]),
    ),
    row(
        "The top level of 32-bit guests has four entries of special form",
        Open("needs 32-bit guests"),
    ),
    row(
        "The page-size bit is refused above L1 on every path",
        Held(&[
            (
                TABLES,
                "xsa_148_no_change_of_flags_makes_a_window_over_tables",
            ),
            (PTYPE, "a_refused_promotion_leaves_every_count_as_it_was"),
        ]),
    ),
    row(
        "Every walk checks the address and each level before following it; entries are aligned",
        Held(&[
            (TABLES, "xsa_176_a_page_size_bit_ends_a_walk"),
            (TABLES, "xsa_227_no_offset_splices_two_entries"),
            (
                TABLES,
                "xsa_279_an_address_that_cannot_be_is_refused_and_nothing_flushed",
            ),
            (WALK, "the_hypervisors_range_is_never_walked"),
        ]),
    ),
    row(
        "Frame numbers and addresses keep their full width",
        Held(&[(TABLES, "xsa_173_and_516_wide_addresses_are_refused_not_cut")]),
    ),
    // Entry flags
    row(
        "Only differences in harmless bits are written without validation",
        Held(&[
            (
                TABLES,
                "xsa_148_no_change_of_flags_makes_a_window_over_tables",
            ),
            (TABLES, "xsa_154_no_path_leaves_a_device_mapped_cached"),
            (PTE, "the_fast_path_holds_no_safety_relevant_bit"),
            (UPDATE, "losing_and_gaining_rw_is_no_harmless_change"),
        ]),
    ),
    row(
        "Flags are refused unless known to be legal at the level",
        Held(&[
            (PTE, "legal_masks_follow_the_table_of_the_architecture"),
            (
                TABLES,
                "xsa_148_no_change_of_flags_makes_a_window_over_tables",
            ),
            (UPDATE, "l1_refusals_change_nothing"),
        ]),
    ),
    row(
        "I/O frames are mapped only if permitted, never cached, and read-only where listed",
        Held(&[
            (TABLES, "xsa_154_no_path_leaves_a_device_mapped_cached"),
            (UPDATE, "io_frames_are_mapped_uncached_and_as_permitted"),
        ]),
    ),
    row(
        "RAM keeps one memory type; caches are flushed where a guest's mapping was non-coherent",
        InPart(
            &[(
                UPDATE,
                "frames_shared_by_the_hypervisor_are_mapped_write_back_only",
            )],
            "needs tracking of non-coherent mappings",
        ),
    ),
    row(
        "Not-present entries are checked too (L1TF)",
        Held(&[
            (TABLES, "xsa_273_unsafe_not_present_entries_reach_no_table"),
            (PTYPE, "a_refused_promotion_leaves_every_count_as_it_was"),
            (
                PTYPE,
                "the_l1tf_rule_crashes_the_domain_and_spares_the_control_domain",
            ),
            (HOSTILE, "boot crash-at-fault"),
        ]),
    ),
    row(
        "Emulated stores to tables are aligned, one entry at most, and go to a table that is held",
        Held(&[
            (
                EMULATE,
                "stores_that_are_not_aligned_or_leave_the_page_are_refused",
            ),
            (
                EMULATE,
                "a_table_that_is_gone_by_the_time_of_the_store_is_left_alone",
            ),
            (TABLES, "xsa_227_no_offset_splices_two_entries"),
            (
                "emulate/src/store/tests.rs",
                "loads_compares_vectors_and_wide_exchanges_are_refused",
            ),
            (CHECKED, "boot checked-debian"),
        ]),
    ),
];
