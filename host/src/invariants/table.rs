//! The table: one row an invariant, in order. A test is claimed only if it fails when the rule is removed.

use super::Invariant;
use super::State::{Held, InPart, Open};

// Where tests are.
const ALLOCATOR: &str = "memory/src/allocator/tests.rs";
const DESCRIPTOR: &str = "memory/src/descriptor/tests.rs";
const EMULATE: &str = "memory/src/emulate/tests.rs";
const FLUSHES: &str = "memory/src/history/flushes.rs";
const FRAME: &str = "memory/src/frame/tests.rs";
const FRAMES: &str = "memory/src/history/frames.rs";
const MMUEXT: &str = "memory/src/mmuext/tests.rs";
const MODEL: &str = "memory/src/model.rs";
const PTE: &str = "memory/src/pte/tests.rs";
const PTYPE: &str = "memory/src/ptype/tests.rs";
const RESERVATION: &str = "memory/src/reservation/tests.rs";
const STOPPED: &str = "memory/src/history/stopped.rs";
const TABLES: &str = "memory/src/history/tables.rs";
const TEARDOWN: &str = "memory/src/teardown/tests.rs";
const UPDATE: &str = "memory/src/mmu_update/tests.rs";
const WALK: &str = "memory/src/walk/tests.rs";

// What is not there yet.
const GRANTS: &str = "needs grants";
const SHADOW: &str = "needs shadow paging and log-dirty";
const IOMMU: &str = "needs the IOMMU";
const NO_TEST: &str = "no test yet";

const fn row(title: &'static str, state: super::State) -> Invariant {
    Invariant { title, state }
}

/// I1 to I100.
pub(super) const INVARIANTS: &[Invariant] = &[
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
        InPart(
            &[
                (FRAMES, "xsa_276_and_507_shared_frames_stay_what_they_are"),
                (
                    UPDATE,
                    "frames_shared_by_the_hypervisor_are_mapped_write_back_only",
                ),
                (TEARDOWN, "shared_frames_are_left_to_the_hypervisor"),
            ],
            "needs grants, for their frames",
        ),
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
        InPart(
            &[
                (
                    FRAMES,
                    "xsa_100_and_511_no_owner_reads_what_the_last_one_wrote",
                ),
                (
                    FLUSHES,
                    "xsa_511_a_frame_is_flushed_before_it_is_cleared_for_the_next_owner",
                ),
            ],
            "no test yet of padding in structures copied to guests",
        ),
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
        ]),
    ),
    row(
        "Emulated stores to tables are aligned, one entry at most, and go to a table that is held",
        InPart(
            &[
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
                    "emulate/src/store.rs",
                    "loads_compares_vectors_and_wide_exchanges_are_refused",
                ),
            ],
            "no test yet that an instruction's bytes are fetched once",
        ),
    ),
    // TLB and flush
    row(
        "No stale writable mapping of a frame is left when it stops being writable or changes owner",
        InPart(
            &[
                (MODEL, "random_guests_leave_nothing_dangerous_in_a_tlb"),
                (
                    FLUSHES,
                    "xsa_511_a_frame_is_flushed_before_it_is_cleared_for_the_next_owner",
                ),
                (
                    RESERVATION,
                    "frames_that_come_back_from_a_failed_exchange_are_still_flushed_before_they_become_tables",
                ),
            ],
            "no test yet of CPUs on which another domain had mapped the frame",
        ),
    ),
    row(
        "The time of a frame's last use is recorded exactly when that use ends",
        InPart(
            &[
                (
                    PTYPE,
                    "promotion_flushes_what_cpus_may_hold_from_the_type_that_is_left",
                ),
                (ALLOCATOR, "joining_keeps_the_later_time"),
            ],
            "no test yet of flushes that come between reading the clock and storing it",
        ),
    ),
    row(
        "A change above L1 is flushed before the next item of a batch uses it",
        InPart(
            &[(
                TABLES,
                "xsa_286_the_next_update_goes_through_the_new_tables",
            )],
            "no test yet that the hypercall layer carries the flush out",
        ),
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
        InPart(
            &[(
                TABLES,
                "xsa_279_an_address_that_cannot_be_is_refused_and_nothing_flushed",
            )],
            "no test yet of the flush operations of mmuext_op",
        ),
    ),
    row(
        "While a flush is postponed, frames cannot be used anew",
        InPart(
            &[(
                ALLOCATOR,
                "a_reused_block_is_flushed_for_since_it_was_freed",
            )],
            "needs grants and the IOMMU",
        ),
    ),
    row(
        "Updates of the hypervisor's own tables are serialised",
        Open(NO_TEST),
    ),
    // References and lifetime
    row(
        "A reference outlives every use",
        InPart(
            &[
                (
                    FRAMES,
                    "xsa_384_a_frame_in_use_by_the_hypervisor_outlives_its_owners_letting_go",
                ),
                (MMUEXT, "references_keep_a_frame_from_its_other_uses"),
            ],
            GRANTS,
        ),
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
            ],
            "needs grants and shadow paging, for their counters",
        ),
    ),
    row(
        "An entry or pointer is installed only after its reference was obtained",
        InPart(
            &[
                (UPDATE, "l1_refusals_change_nothing"),
                (UPDATE, "upper_refusals_change_nothing_whatever_the_budget"),
            ],
            "no test yet of event channel control blocks",
        ),
    ),
    row(
        "The root that a CPU runs on stays referenced until it has loaded another",
        InPart(
            &[(MMUEXT, "roots_are_held_until_they_are_given_back")],
            "no test yet of the order of loading and giving back",
        ),
    ),
    row(
        "Every exit path gives back each lock and reference exactly once",
        InPart(
            &[
                (
                    TABLES,
                    "xsa_32_frame_numbers_outside_memory_are_refused_by_every_operation",
                ),
                (
                    TABLES,
                    "xsa_113_a_refused_machphys_update_keeps_no_reference",
                ),
                (MODEL, "random_guests_never_get_the_counts_wrong"),
            ],
            "no test yet of the hypercall layer",
        ),
    ),
    row(
        "What was read before a lock was dropped is read again after",
        InPart(
            &[(
                EMULATE,
                "a_table_that_is_gone_by_the_time_of_the_store_is_left_alone",
            )],
            GRANTS,
        ),
    ),
    row(
        "A word that a guest can change is fetched once",
        Open(NO_TEST),
    ),
    row(
        "Nothing new is made for a dying domain, and teardown finds everything",
        InPart(
            &[
                (
                    STOPPED,
                    "xsa_310_death_at_any_point_of_a_long_operation_frees_everything",
                ),
                (
                    FRAMES,
                    "xsa_159_death_at_any_step_of_an_exchange_loses_no_frame",
                ),
                (MMUEXT, "a_dying_domain_gets_no_new_tables"),
            ],
            "no test yet of what is kept for each vCPU",
        ),
    ),
    row("Locks have one order", Open(NO_TEST)),
    row(
        "Tables are published data first, bound after",
        Open(NO_TEST),
    ),
    // Grants
    row(
        "A grant mapping takes references for host and device separately, all or none",
        Open(GRANTS),
    ),
    row(
        "An unmapping follows what was recorded at mapping, found out wholly before it starts",
        Open(GRANTS),
    ),
    row("A mapping handle is freed exactly once", Open(GRANTS)),
    row(
        "A grant entry lies aligned in a locked table, and is replaced only if unchanged",
        Open(GRANTS),
    ),
    row(
        "In-use marks go with the last pin of their kind",
        Open(GRANTS),
    ),
    row("A pin is no page reference", Open(GRANTS)),
    row(
        "A cached copy source is used again only for the very same request",
        Open(GRANTS),
    ),
    row("Transitive grants have one hop", Open(GRANTS)),
    row(
        "Grant references are bounded by the table's present version",
        Open(GRANTS),
    ),
    row(
        "A version changes only when nothing of the old one is in use",
        Open(GRANTS),
    ),
    row(
        "Lists of status frames stay within the caller's room",
        Open(GRANTS),
    ),
    row(
        "The owner behind a frame may be a system domain without grants",
        Open(GRANTS),
    ),
    row("Each element of a batch has its own status", Open(GRANTS)),
    row(
        "DMA permission of granted frames is counted for each frame",
        Open(GRANTS),
    ),
    // memory_op
    row(
        "Array arguments with a resume index are checked for exactly the part used",
        Open(NO_TEST),
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
        InPart(
            &[(
                ALLOCATOR,
                "address_limits_are_kept_and_high_frames_go_first",
            )],
            "no test yet of node and feature bits",
        ),
    ),
    row(
        "A failed exchange gives every frame back, or frees it if its domain is dying",
        InPart(
            &[
                (
                    FRAMES,
                    "xsa_159_death_at_any_step_of_an_exchange_loses_no_frame",
                ),
                (RESERVATION, "a_failed_exchange_gives_every_frame_back"),
            ],
            "no test yet of the progress reported",
        ),
    ),
    row(
        "Operations for translated guests are errors for PV guests, and the other way round",
        Open(NO_TEST),
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
        Open("needs acquire_resource"),
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
        InPart(
            &[
                (FLUSHES, "xsa_45_every_slice_of_a_wide_tree_is_short"),
                (
                    STOPPED,
                    "xsa_290_a_tree_that_multiplies_itself_is_left_in_slices_too",
                ),
            ],
            "no test yet of loops in the hypercall layer",
        ),
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
        Open(NO_TEST),
    ),
    row(
        "A batch ends when an element leaves the guest's kernel mode",
        Open(NO_TEST),
    ),
    row(
        "Call depth does not depend on guest data",
        InPart(
            &[(TABLES, "xsa_240_chains_of_one_level_end_after_one_link")],
            "needs grants, for transitive ones",
        ),
    ),
    row(
        "Messages that guests can cause are limited in rate",
        Open(NO_TEST),
    ),
    // Arithmetic and bounds
    row(
        "Sums and products of guest numbers cannot wrap",
        InPart(
            &[
                (FRAMES, "xsa_385_the_sum_of_frames_does_not_wrap"),
                (
                    TABLES,
                    "xsa_279_an_address_that_cannot_be_is_refused_and_nothing_flushed",
                ),
            ],
            "no test yet of array arguments of hypercalls",
        ),
    ),
    row(
        "An index is compared with the size of what it indexes",
        InPart(
            &[
                (
                    TABLES,
                    "xsa_32_frame_numbers_outside_memory_are_refused_by_every_operation",
                ),
                ("vcpu/src/port.rs", "limit_is_kept_across_buckets"),
                ("vcpu/src/two_level.rs", "ports_beyond_the_format_are_inert"),
            ],
            "no test yet of the other arrays that guests index",
        ),
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
        InPart(
            &[(
                DESCRIPTOR,
                "a_descriptor_page_is_validated_held_and_unwritable",
            )],
            "no test yet of limits",
        ),
    ),
    row(
        "The guest is resumed with safe registers, whatever the path",
        Open(NO_TEST),
    ),
    row(
        "A frame built on a guest's stack is checked whole, and one event is delivered once",
        Open(NO_TEST),
    ),
    row("User mode is entered only with a user root", Open(NO_TEST)),
    row(
        "Addresses kept for hardware are checked when they are stored",
        InPart(
            &[("emulate/src/msr.rs", "bases_must_be_canonical")],
            "no test yet of callbacks, stacks and restored contexts",
        ),
    ),
    row("Breakpoints match guest addresses only", Open(NO_TEST)),
    row(
        "A guest's access to the hypervisor's range ends as its own fault",
        Open(NO_TEST),
    ),
    row(
        "Entry and exit code touches only what is mapped at the time",
        Open("needs XPTI"),
    ),
    row(
        "Control registers and MSRs in force are those that the guest believes in",
        Open(NO_TEST),
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
        InPart(
            &[
                (MODEL, "random_guests_never_get_the_counts_wrong"),
                (FRAME, "saturated_counts_refuse_instead_of_wrapping"),
                ("emulate/src/store.rs", "no_byte_sequence_panics"),
            ],
            "no test yet of the hypercall layer with random arguments",
        ),
    ),
];
