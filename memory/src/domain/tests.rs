use super::*;

fn range(first: u64, last: u64) -> IoRange {
    IoRange {
        first: Mfn::new(first),
        last: Mfn::new(last),
    }
}

#[test]
fn a_range_is_permitted_only_if_every_frame_of_it_is() {
    let mut io = IoAccess::none();
    assert!(!io.permits_all(range(5, 5)));
    assert!(io.permit(range(10, 19)));
    assert!(io.permit(range(20, 29)));
    assert!(io.permits_all(range(10, 29)));
    assert!(io.permits_all(range(15, 25)));
    assert!(!io.permits_all(range(9, 29)));
    assert!(!io.permits_all(range(10, 30)));
    assert!(io.deny(range(17, 17)));
    assert!(!io.permits_all(range(15, 25)));
    assert!(io.permits_all(range(18, 25)));
}

#[test]
fn who_may_map_everything_may_not_map_a_range_with_a_denied_frame() {
    let mut io = IoAccess::all();
    assert!(io.permits_all(range(0, u64::MAX)));
    assert!(io.deny(range(100, 100)));
    assert!(!io.permits_all(range(0, u64::MAX)));
    assert!(!io.permits_all(range(100, 100)));
    assert!(io.permits_all(range(101, u64::MAX)));
    assert!(io.permits_all(range(0, 99)));
}
