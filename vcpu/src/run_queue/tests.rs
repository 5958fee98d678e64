use super::*;

/// A vCPU of a test: a name, and its charge.
#[derive(Clone, Copy)]
struct Named<'a>(char, &'a AtomicU64);

impl PartialEq for Named<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Entry for Named<'_> {
    fn charged(&self) -> &AtomicU64 {
        self.1
    }
}

impl core::fmt::Debug for Named<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.0)
    }
}

fn charges<const N: usize>() -> [AtomicU64; N] {
    [const { AtomicU64::new(0) }; N]
}

fn any(_: Named<'_>) -> bool {
    true
}

/// Lets the queue run by its own deadlines from `from` to `to`, and returns how long each of `entries` ran.
fn shares<'a, const N: usize>(
    queue: &mut RunQueue<Named<'a>>,
    entries: [Named<'a>; N],
    from: u64,
    to: u64,
) -> [u64; N] {
    let mut ran = [0; N];
    let mut now = from;
    while now < to {
        let chosen = queue.choose(now, any);
        let end = queue.deadline().min(to);
        assert!(end > now, "the turn of {chosen:?} does not last");
        if let Some(index) = entries.iter().position(|entry| Some(*entry) == chosen) {
            ran[index] += end - now;
        }
        now = end;
    }
    ran
}

#[test]
fn lone_entry_runs_without_a_deadline() {
    let [charge] = &charges();
    let a = Named('a', charge);
    let mut queue = RunQueue::new();
    assert_eq!(queue.choose(0, any), None);
    assert!(queue.wake(a, 0));
    assert!(!queue.wake(a, 0));
    assert_eq!(queue.choose(0, any), Some(a));
    assert!(!queue.wake(a, 0), "it runs");
    assert_eq!(queue.deadline(), NEVER);
    assert_eq!(queue.choose(10 * LEAD_NS, any), Some(a));
    assert_eq!(queue.choose(10 * LEAD_NS, |_| false), None);
    assert_eq!(queue.running(), None);
}

#[test]
fn entries_that_compute_get_equal_shares() {
    let all = &charges::<4>();
    let entries = [
        Named('a', &all[0]),
        Named('b', &all[1]),
        Named('c', &all[2]),
        Named('d', &all[3]),
    ];
    let mut queue = RunQueue::new();
    for entry in entries {
        queue.wake(entry, 0);
    }
    let ran = shares(&mut queue, entries, 0, 400 * LEAD_NS);
    for share in ran {
        assert!(share.abs_diff(100 * LEAD_NS) <= 2 * LEAD_NS, "{ran:?}");
    }
}

/// Computes without end, with a weight.
#[derive(Clone, Copy, PartialEq)]
struct Weighted<'a>(Named<'a>, u32);

impl Entry for Weighted<'_> {
    fn charged(&self) -> &AtomicU64 {
        self.0.charged()
    }

    fn weight(&self) -> u32 {
        self.1
    }
}

#[test]
fn shares_follow_the_weights() {
    for weights in [[256, 512], [256, 256], [1, 3], [65_535, 13_107]] {
        let all = &charges::<2>();
        let entries = [
            Weighted(Named('a', &all[0]), weights[0]),
            Weighted(Named('b', &all[1]), weights[1]),
        ];
        let mut queue = RunQueue::new();
        queue.wake(entries[0], 0);
        queue.wake(entries[1], 0);
        let (mut now, mut ran) = (0, [0, 0]);
        while now < 10_000 * LEAD_NS {
            let chosen = queue.choose(now, |_| true);
            let end = queue.deadline();
            ran[usize::from(chosen == Some(entries[1]))] += end - now;
            now = end;
        }
        let [a, b] = ran.map(|time| time / 1_000_000);
        let [wanted_a, wanted_b] = weights.map(u64::from);
        let (left, right) = (a * wanted_b, b * wanted_a);
        assert!(
            left.abs_diff(right) <= left / 50,
            "{weights:?} gave {a} and {b} ms"
        );
    }
}

#[test]
fn woken_sleeper_runs_soon_but_not_before_the_other_had_its_least() {
    let all = &charges::<2>();
    let (busy, sleeper) = (Named('b', &all[0]), Named('s', &all[1]));
    let mut queue = RunQueue::new();
    queue.wake(busy, 0);
    queue.choose(0, any);
    let now = 1000 * LEAD_NS;
    queue.wake(sleeper, now);
    assert_eq!(
        queue.choose(now, any),
        Some(sleeper),
        "the busy one has run for long"
    );
    // It sleeps and wakes at once: the busy one keeps its least time.
    assert_eq!(
        queue.choose(now + 1000, |entry| entry != sleeper),
        Some(busy)
    );
    queue.wake(sleeper, now + 2000);
    assert_eq!(queue.choose(now + 2000, any), Some(busy));
    assert_eq!(queue.deadline(), now + 1000 + MIN_RUN_NS);
    assert_eq!(queue.choose(now + 1000 + MIN_RUN_NS, any), Some(sleeper));
}

#[test]
fn sleeping_saves_up_no_time() {
    let all = &charges::<2>();
    let entries = [Named('b', &all[0]), Named('s', &all[1])];
    let mut queue = RunQueue::new();
    queue.wake(entries[0], 0);
    queue.choose(0, any);
    let now = 1000 * LEAD_NS;
    queue.wake(entries[1], now);
    let ran = shares(&mut queue, entries, now, now + 20 * LEAD_NS);
    assert!(ran[0] >= 8 * LEAD_NS, "{ran:?}");
}

#[test]
fn one_that_is_woken_often_does_not_starve_another() {
    // Three spin and are woken again whenever they stop; one, the holder of what they want, only computes.
    let all = &charges::<4>();
    let holder = Named('h', &all[3]);
    let mut queue = RunQueue::new();
    queue.wake(holder, 0);
    let (mut now, mut held) = (0, 0);
    for round in 0..4000 {
        let spinner = Named(['x', 'y', 'z'][round % 3], &all[round % 3]);
        queue.wake(spinner, now);
        let chosen = queue.choose(now, any);
        let step = MIN_RUN_NS.min(queue.deadline() - now);
        if chosen == Some(holder) {
            held += step;
        }
        now += step;
        // Whoever spins goes to sleep after a while.
        queue.choose(now, |entry| entry == holder || Some(entry) != chosen);
    }
    assert!(held > now / 5, "{held} of {now}");
}

#[test]
fn yielding_lets_another_run_and_is_harmless_alone() {
    let all = &charges::<2>();
    let (a, b) = (Named('a', &all[0]), Named('b', &all[1]));
    let mut queue = RunQueue::new();
    queue.wake(a, 0);
    queue.choose(0, any);
    queue.yield_now();
    assert_eq!(queue.choose(1, any), Some(a));
    queue.wake(b, 1);
    queue.yield_now();
    assert_eq!(queue.choose(2, any), Some(b));
    assert_eq!(queue.waiting(), 1);
}

#[test]
fn entries_that_may_not_run_leave_the_queue() {
    let all = &charges::<3>();
    let mut queue = RunQueue::new();
    for (name, charge) in ['a', 'b', 'c'].into_iter().zip(all) {
        queue.wake(Named(name, charge), 0);
    }
    assert_eq!(
        queue.choose(0, |entry| entry.0 == 'c').map(|entry| entry.0),
        Some('c')
    );
    assert_eq!(queue.waiting(), 0);
}

#[test]
fn stolen_entry_is_gone_here_and_starts_level_there() {
    let all = &charges::<3>();
    let [a, b, c] = [
        Named('a', &all[0]),
        Named('b', &all[1]),
        Named('c', &all[2]),
    ];
    let (mut here, mut there) = (RunQueue::new(), RunQueue::new());
    for entry in [a, b, c] {
        here.wake(entry, 0);
    }
    here.choose(0, any);
    assert_eq!(here.steal(|entry| entry != b), Some(c));
    assert_eq!(here.steal(|entry| entry != b), None);
    assert!(here.remove(b) && !here.remove(b));
    assert_eq!(here.deadline(), NEVER);
    all[2].store(77, Ordering::Relaxed);
    there.adopt(c, 5);
    assert_eq!((there.waiting(), charge_of(c)), (1, 0));
    // Woken in between, it is there already.
    there.adopt(c, 5);
    assert_eq!(there.waiting(), 1);
    assert_eq!(there.choose(5, any), Some(c));
    there.adopt(c, 5);
    assert_eq!((there.running(), there.waiting()), (Some(c), 0));
}

#[test]
fn one_that_yields_gives_way_to_one_from_elsewhere() {
    let all = &charges::<2>();
    let [spins, holder] = [Named('s', &all[0]), Named('h', &all[1])];
    let mut queue = RunQueue::new();
    queue.wake(spins, 0);
    queue.choose(0, any);
    queue.yield_now();
    assert!(queue.is_yielding());
    // However much it had where it comes from.
    all[1].store(1_000_000_000, Ordering::Relaxed);
    queue.adopt(holder, 10);
    assert_eq!(queue.choose(10, any), Some(holder));
    assert!(!queue.is_yielding());
    assert_eq!(queue.waiting(), 1);
}

#[test]
fn no_entry_is_lost_or_doubled_whatever_happens() {
    let all = &charges::<6>();
    let mut queue = RunQueue::new();
    let mut present = [false; 6];
    let (mut random, mut now) = (7_u64, 0);
    let named = |index: usize| Named((b'a' + index as u8) as char, &all[index]);
    let number = |entry: Named<'_>| usize::from(entry.0 as u8 - b'a');
    for _ in 0..5000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        now += (random >> 50) * 1000;
        let index = (random >> 33) as usize % present.len();
        match (random >> 60) % 5 {
            0 => {
                if let Some(stolen) = queue.steal(|other| number(other) % 2 == 0) {
                    present[number(stolen)] = false;
                }
            }
            1 => queue.yield_now(),
            2 => {
                let running = queue.running();
                let blocks = running == Some(named(index));
                queue.choose(now, |other| !blocks || Some(other) != running);
                present[index] &= !blocks;
            }
            3 => {
                assert_eq!(
                    queue.choose(now, any).is_some(),
                    present.iter().any(|here| *here)
                );
            }
            _ => {
                assert_eq!(queue.wake(named(index), now), !present[index]);
                present[index] = true;
            }
        }
        let there = queue.waiting() + usize::from(queue.running().is_some());
        assert_eq!(there, present.iter().filter(|here| **here).count());
    }
}
