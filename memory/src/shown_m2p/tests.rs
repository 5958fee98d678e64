//! Which roots show the M2P.

use crate::Level::L4;
use crate::config::M2P_SLOT;
use crate::progress::{Budget, Progress};
use crate::refs::RootRef;
use crate::testing::*;

/// What every L4 of the simulated machine has in the M2P's slot where it shows it.
const SHOWN: u64 = 0x0bad_0000_0000;

fn root(b: &Bench, s: &Space) -> RootRef {
    let got = b.engine.get_root(&b.d, s.l4, &mut Budget::unlimited());
    match got.expect("a root") {
        Progress::Done(root) => root,
        Progress::Preempted => panic!("an unlimited budget was exhausted"),
    }
}

fn give_back(b: &Bench, root: RootRef) {
    b.engine.put_root(&b.d, root, &mut Budget::unlimited());
    b.check();
}

fn slot(b: &Bench, s: &Space) -> u64 {
    b.peek(s.l4, M2P_SLOT as u64)
}

#[test]
fn a_new_root_lacks_the_m2p_until_a_kernel_runs_on_it() {
    let b = bench();
    b.d.set_m2p_in_new_roots(false);
    let s = b.raw_space();
    b.poke(s.l4, M2P_SLOT as u64, entry(s.l1, 7));
    b.pin(s.l4, L4).unwrap();
    assert_eq!(slot(&b, &s), 0);
    // The slots beside it are as ever.
    assert_eq!(b.peek(s.l4, 257), SHOWN + 1);
    let root = root(&b, &s);
    b.engine.show_m2p(&root);
    assert_eq!(slot(&b, &s), SHOWN);
    give_back(&b, root);
}

#[test]
fn a_strict_domains_root_loses_the_m2p_when_user_mode_gets_it() {
    let b = bench();
    let s = b.raw_space();
    b.pin(s.l4, L4).unwrap();
    assert_eq!(slot(&b, &s), SHOWN);
    let root = root(&b, &s);
    b.engine.hide_m2p(&root);
    assert_eq!(slot(&b, &s), 0);
    b.engine.show_m2p(&root);
    assert_eq!(slot(&b, &s), SHOWN);
    give_back(&b, root);
}
