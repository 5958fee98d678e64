//! What a guest must and must not see, on processors with little and with everything.

use super::features::{AVX, MTRR, OSXSAVE, XSAVE, bits};
use super::*;
use std::vec::Vec;

/// QEMU's `qemu64`, as its leaves read natively.
fn qemu64(leaf: u32, subleaf: u32) -> Leaf {
    match (leaf, subleaf) {
        (0, _) => Leaf::new(0xd, 0x6874_7541, 0x444d_4163, 0x6974_6e65),
        (1, _) => Leaf::new(0x0006_0fb1, 0x0000_0800, 0x8000_2001, 0x078b_fbfd),
        (5, _) => Leaf::new(0, 0, 3, 0),
        (0xb, 0) => Leaf::new(0, 1, 0x100, 0),
        (0x8000_0000, _) => Leaf::new(0x8000_000a, 0x6874_7541, 0x444d_4163, 0x6974_6e65),
        (0x8000_0001, _) => Leaf::new(0x0006_0fb1, 0, 5, 0x2193_fbfd),
        (0x8000_0006, _) => Leaf::new(0, 0x4200_4200, 0x0200_8140, 0x0080_8140),
        (0x8000_0008, _) => Leaf::new(0x3028, 0, 0, 0),
        (0x8000_000a, _) => Leaf::new(1, 0x10, 0, 0),
        _ => Leaf::EMPTY,
    }
}

const HOST: Host = Host {
    xcr0: 0,
    fsgsbase: false,
    lfence_serialising: true,
    machine_address_bits: 30,
    cpu_khz: 2_445_433,
};
const USER: View = View {
    kernel: false,
    hardware_domain: true,
    forced: true,
    osxsave: false,
    xcr0: 1,
};
const KERNEL: View = View {
    kernel: true,
    ..USER
};

/// The answers of Xen 4.17 to a user program on the same virtual processor.
#[test]
fn answers_as_xen_does_on_the_same_processor() {
    let policy = Policy::new(HOST, qemu64);
    for (leaf, subleaf, expected) in [
        (0, 0, Leaf::new(0xd, 0x6874_7541, 0x444d_4163, 0x6974_6e65)),
        (
            1,
            0,
            Leaf::new(0x0006_0fb1, 0x800, 0x8000_2001, 0x0789_c3f5),
        ),
        (5, 0, Leaf::EMPTY),
        (0xb, 0, Leaf::EMPTY),
        (0xd, 0, Leaf::EMPTY),
        (0xe, 0, Leaf::EMPTY),
        (
            0x4000_0000,
            0,
            Leaf::new(0x4000_0005, 0x566e_6558, 0x6558_4d4d, 0x4d4d_566e),
        ),
        (0x4000_0001, 0, Leaf::new(0x0004_0011, 0, 0, 0)),
        (0x4000_0002, 0, Leaf::new(1, 0x4000_0000, 1, 0)),
        (0x4000_0003, 0, Leaf::EMPTY),
        (0x4000_0003, 2, Leaf::new(0x0025_5079, 0, 0, 0)),
        (0x4000_0005, 0, Leaf::new(0, 0x1e, 0, 0)),
        (0x4000_0006, 0, Leaf::EMPTY),
        (0x4000_0100, 0, Leaf::EMPTY),
        (
            0x8000_0000,
            0,
            Leaf::new(0x8000_0021, 0x6874_7541, 0x444d_4163, 0x6974_6e65),
        ),
        (0x8000_0001, 0, Leaf::new(0x0006_0fb1, 0, 1, 0x2191_cbf5)),
        (
            0x8000_0006,
            0,
            Leaf::new(0, 0x4200_4200, 0x0200_8140, 0x0080_8140),
        ),
        (0x8000_0008, 0, Leaf::new(0x3028, 0, 0, 0)),
        (0x8000_000a, 0, Leaf::EMPTY),
        (0x8000_0021, 0, Leaf::new(4, 0, 0, 0)),
        (0x8000_0022, 0, Leaf::EMPTY),
    ] {
        assert_eq!(
            policy.answer(leaf, subleaf, &USER),
            expected,
            "leaf {leaf:#x}.{subleaf}"
        );
    }
}

#[test]
fn the_hardware_domains_kernel_sees_mtrr_and_nobody_else_does() {
    let policy = Policy::new(HOST, qemu64);
    let d = |view: &View| policy.answer(1, 0, view).d & MTRR;
    assert_eq!(d(&KERNEL), MTRR);
    assert_eq!(d(&USER), 0);
    assert_eq!(
        d(&View {
            hardware_domain: false,
            ..KERNEL
        }),
        0
    );
}

/// A processor with everything.
fn everything(leaf: u32, subleaf: u32) -> Leaf {
    match (leaf, subleaf) {
        (0, _) => Leaf::new(0x1f, 0x756e_6547, 0x6c65_746e, 0x4965_6e69),
        (7, 0) => Leaf::new(9, u32::MAX, u32::MAX, u32::MAX),
        (0xd, 2) => Leaf::new(256, 576, 0, 0),
        (0xd, 5..=7) => Leaf::new(64, 1024 + subleaf * 64, 0, 0),
        (0x8000_0000, _) => Leaf::new(0x8000_0028, 0, 0, 0),
        _ => Leaf::new(u32::MAX, u32::MAX, u32::MAX, u32::MAX),
    }
}

#[test]
fn virtualisation_and_privileged_features_never_show() {
    let policy = Policy::new(
        Host {
            xcr0: 0xe7,
            fsgsbase: true,
            ..HOST
        },
        everything,
    );
    let one = policy.answer(
        1,
        0,
        &View {
            hardware_domain: false,
            ..KERNEL
        },
    );
    // VMX, MONITOR, SMX, PCID, x2APIC, TSC deadline
    assert_eq!(one.c & bits([3, 5, 6, 17, 21, 24]), 0);
    // VME, PSE, MTRR, PGE, PSE36, DS, TM
    assert_eq!(one.d & bits([1, 3, 12, 13, 17, 21, 29, 31]), 0);
    let seven = policy.answer(7, 0, &KERNEL);
    // SMEP, INVPCID, MPX, SMAP, PT; UMIP, PKU, OSPKE, LA57; IBRS, STIBP, SSBD
    assert_eq!(seven.b & bits([7, 10, 14, 20, 25]), 0);
    assert_eq!(seven.c & bits([2, 3, 4, 7, 16]), 0);
    assert_eq!(seven.d & bits([26, 27, 28, 31]), 0);
    // SVM, extended APIC
    assert_eq!(policy.answer(0x8000_0001, 0, &KERNEL).c & bits([2, 3]), 0);
    // 1 GiB pages
    assert_eq!(policy.answer(0x8000_0001, 0, &KERNEL).d & bits([26]), 0);
    assert_eq!(policy.answer(0x8000_0009, 0, &KERNEL), Leaf::EMPTY);
    assert_eq!(policy.answer(0x1f, 0, &KERNEL), Leaf::EMPTY);
    assert_eq!(policy.answer(7, 3, &KERNEL), Leaf::EMPTY);
    assert_eq!(policy.answer(0xd, u32::MAX, &KERNEL), Leaf::EMPTY);
}

#[test]
fn without_xsave_everything_that_needs_it_goes() {
    let policy = Policy::new(HOST, everything);
    let one = policy.answer(1, 0, &KERNEL);
    assert_eq!(one.c & (XSAVE | OSXSAVE | AVX | bits([12, 29])), 0);
    assert_eq!(policy.answer(7, 0, &KERNEL).b & bits([0, 5, 16, 30, 31]), 0);
    assert_eq!(policy.xcr0(), 0);
    assert_eq!(policy.answer(0xd, 0, &KERNEL), Leaf::EMPTY);
}

#[test]
fn xsave_sizes_follow_the_features() {
    let policy = Policy::new(Host { xcr0: 7, ..HOST }, everything);
    assert_eq!(policy.xcr0(), 7);
    assert_eq!(policy.answer(0xd, 0, &KERNEL), Leaf::new(7, 576, 832, 0));
    let enabled = View { xcr0: 7, ..KERNEL };
    assert_eq!(policy.answer(0xd, 0, &enabled).b, 832);
    assert_eq!(policy.answer(0xd, 1, &enabled).b, 832);
    assert_eq!(policy.answer(0xd, 2, &KERNEL).a, 256);
    assert_eq!(policy.answer(1, 0, &KERNEL).c & OSXSAVE, OSXSAVE);
    assert_eq!(policy.answer(1, 0, &USER).c & OSXSAVE, 0);
    assert_eq!(policy.answer(7, 0, &KERNEL).b & 1 << 16, 0);
}

fn list(policy: &Policy) -> Vec<(u32, u32, Leaf)> {
    let mut leaves = Vec::new();
    let all = each_leaf(
        &|leaf, subleaf| policy.stored(leaf, subleaf),
        &mut |a, b, c| {
            leaves.push((a, b, c));
            Ok::<_, ()>(())
        },
    );
    assert_eq!(all, Ok(()));
    leaves
}

fn rich() -> Policy {
    let host = Host {
        xcr0: 0xe7,
        fsgsbase: true,
        ..HOST
    };
    Policy::new(host, everything)
}

#[test]
fn a_policy_read_and_written_back_is_the_same() {
    for policy in [rich(), Policy::new(HOST, qemu64)] {
        let leaves = list(&policy);
        assert!(leaves.len() <= MAX_LEAVES as usize, "{}", leaves.len());
        let mut again = policy.clone();
        for &(leaf, subleaf, value) in &leaves {
            assert_eq!(again.store(leaf, subleaf, value), Ok(()));
        }
        let again = again.limit(&policy).unwrap();
        assert_eq!(list(&again), leaves);
        for view in [KERNEL, USER] {
            for leaf in (0..0x10).chain(0x8000_0000..0x8000_0030) {
                assert_eq!(again.answer(leaf, 0, &view), policy.answer(leaf, 0, &view));
            }
        }
    }
}

#[test]
fn tools_can_take_features_away_but_not_add_any() {
    let most = rich();
    let all = Leaf::new(u32::MAX, u32::MAX, u32::MAX, u32::MAX);
    let mut wanted = most.clone();
    for (leaf, subleaf) in [(1, NO_SUBLEAF), (7, 1), (0xd, 1), (0x8000_0001, NO_SUBLEAF)] {
        assert_eq!(wanted.store(leaf, subleaf, all), Ok(()));
    }
    let limited = wanted.limit(&most).unwrap();
    let source = |policy: &Policy| {
        let policy = policy.clone();
        feature_words(&move |leaf, subleaf| policy.stored(leaf, subleaf), 0)
    };
    assert_eq!(source(&limited), source(&most));

    let mut without_avx = most.clone();
    let one = most.stored(1, 0);
    let fewer = Leaf {
        c: one.c & !AVX,
        ..one
    };
    assert_eq!(without_avx.store(1, NO_SUBLEAF, fewer), Ok(()));
    let limited = without_avx.limit(&most).unwrap();
    assert_eq!(limited.answer(1, 0, &KERNEL).c & AVX, 0);
    assert_eq!(limited.answer(7, 0, &KERNEL).b & (1 << 5 | 1 << 16), 0);
    assert_eq!(limited.xcr0(), 3);
}

#[test]
fn leaves_that_are_not_offered_are_refused() {
    let most = Policy::new(HOST, qemu64);
    let mut policy = most.clone();
    for (leaf, subleaf) in [
        (0xe, NO_SUBLEAF),
        (1, 0),
        (4, 6),
        (7, 3),
        (0xd, 63),
        (0xb, 2),
    ] {
        let refused = Err(WrongLeaf::Unknown { leaf, subleaf });
        assert_eq!(policy.store(leaf, subleaf, Leaf::EMPTY), refused);
    }
    assert_eq!(
        policy.store(0x8000_0022, NO_SUBLEAF, Leaf::EMPTY),
        Err(WrongLeaf::Unknown {
            leaf: 0x8000_0022,
            subleaf: NO_SUBLEAF
        })
    );
    let more = Leaf::new(0xe, 0, 0, 0);
    assert_eq!(policy.store(0, NO_SUBLEAF, more), Ok(()));
    assert_eq!(
        policy.limit(&most).err(),
        Some(WrongLeaf::Incompatible {
            leaf: 0,
            subleaf: NO_SUBLEAF
        })
    );
}
