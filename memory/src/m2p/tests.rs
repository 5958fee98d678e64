//! The table itself.

use crate::sim::{FRAMES, HOLE};
use crate::testing::*;
use xenocryst_abi::{Mfn, Pfn};

#[test]
fn frames_that_belong_to_nobody_have_no_pfn() {
    let b = bench();
    assert_eq!(b.engine.m2p(Mfn::new(FRAMES as u64 - 1)), None);
    assert_eq!(b.engine.m2p(Mfn::new(FRAMES as u64)), None);
    assert_eq!(
        b.engine.m2p(Mfn::new(HOLE)),
        Some(Pfn::new(0)),
        "holes are never looked at"
    );
}

#[test]
fn a_frame_that_is_given_back_loses_its_pfn() {
    let b = bench();
    let mfn = b
        .engine
        .populate_extent(&b.d, 0, crate::AddressLimit::NONE, Some(Pfn::new(9)))
        .unwrap();
    assert_eq!(b.engine.m2p(mfn), Some(Pfn::new(9)));
    b.engine.decrease_extent(&b.d, mfn, 0).unwrap();
    assert_eq!(b.engine.m2p(mfn), None);
}
