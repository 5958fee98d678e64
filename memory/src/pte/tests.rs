use super::*;

#[test]
fn legal_masks_follow_the_table_of_the_architecture() {
    for bit in 0..64u32 {
        let entry = 1u64 << bit;
        let everywhere = matches!(bit, 0 | 1 | 2 | 5 | 6 | 9 | 10 | 11 | 12..=63);
        assert_eq!(illegal_upper(entry) == 0, everywhere, "bit {bit} above L1");
        assert_eq!(
            illegal_l1(entry, false) == 0,
            everywhere || bit == 8,
            "bit {bit} at L1"
        );
        let cache = matches!(bit, 3 | 4 | 7);
        assert_eq!(
            illegal_l1(entry, true) == 0,
            everywhere || bit == 8 || cache,
            "bit {bit} at L1 with I/O"
        );
    }
}

#[test]
fn the_fast_path_holds_no_safety_relevant_bit() {
    assert_eq!(
        FAST_PATH & (PRESENT | RW | CACHE_BITS | PAGE_SIZE_BIT | ADDRESS),
        0
    );
}

#[test]
fn kernel_pages_are_marked_and_never_global() {
    assert_eq!(
        adjusted_l1(PRESENT | RW | GLOBAL),
        PRESENT | RW | USER | GUEST_KERNEL
    );
    assert_eq!(adjusted_l1(PRESENT | USER), PRESENT | USER | GLOBAL);
    assert_eq!(
        adjusted_l1(PRESENT | USER | GUEST_KERNEL | GLOBAL),
        PRESENT | USER | GUEST_KERNEL
    );
    assert_eq!(
        adjusted_l1(PRESENT | GUEST_KERNEL),
        PRESENT | USER | GUEST_KERNEL
    );
    for entry in [PRESENT, PRESENT | USER, PRESENT | USER | GUEST_KERNEL] {
        assert_eq!(
            adjusted_l1(adjusted_l1(entry)),
            adjusted_l1(entry),
            "adjusting twice changes nothing"
        );
    }
}

#[test]
fn not_present_entries_may_not_name_cacheable_memory() {
    let safe = Maddr::new(1 << 40);
    assert!(is_l1tf_safe(0, Level::L1, safe));
    assert!(is_l1tf_safe(RW | 0xe00, Level::L1, safe));
    assert!(!is_l1tf_safe(0x1000, Level::L1, safe));
    assert!(is_l1tf_safe(1 << 40, Level::L1, safe));
    assert!(is_l1tf_safe(PAT, Level::L1, safe));
    for level in [Level::L2, Level::L3, Level::L4] {
        assert!(!is_l1tf_safe(PAGE_SIZE_BIT, level, safe));
    }
}

#[test]
fn io_mappings_end_uncached_or_write_combining() {
    for bits in 0..8u64 {
        let entry = (bits & 3) << 3 | (bits >> 2) << 7;
        let result = (entry ^ io_cache_flip(entry)) & CACHE_BITS;
        let uncached = result & PCD != 0;
        let write_combining = result == PAT;
        assert!(uncached || write_combining, "{entry:#x} became {result:#x}");
    }
}

#[test]
fn entries_above_l1_are_user_entries_and_those_of_l4_accessed() {
    for flags in [PRESENT, PRESENT | USER, PRESENT | USER | ACCESSED] {
        for level in [Level::L2, Level::L3] {
            assert_eq!(adjusted_upper(flags, level), flags | USER);
        }
        assert_eq!(adjusted_upper(flags, Level::L4), flags | USER | ACCESSED);
    }
}

#[test]
fn entries_that_differ_in_what_they_grant_are_no_fast_path() {
    let harmless = [5, 6, 8, 2, 63].into_iter().chain(9..=11).chain(52..=62);
    let mask = harmless.fold(0, |mask, bit| mask | 1 << bit);
    assert_eq!(FAST_PATH, mask);
}
