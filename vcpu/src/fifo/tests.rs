use super::*;
use alloc::vec::Vec;

struct Guest {
    words: Vec<AtomicU32>,
    heads: Vec<AtomicU32>,
    ready: [AtomicU32; 2],
    tails: Vec<AtomicU32>,
    control_blocks: usize,
}

impl Guest {
    fn new() -> Self {
        let zeroes = |n: usize| (0..n).map(|_| AtomicU32::new(0)).collect::<Vec<_>>();
        Self {
            words: zeroes(64),
            heads: zeroes(2 * QUEUES),
            ready: [AtomicU32::new(0), AtomicU32::new(0)],
            tails: zeroes(2 * QUEUES),
            control_blocks: 2,
        }
    }

    /// What Linux does: takes the ready bit and walks the queue, unlinking as it goes. Returns the pending ports.
    fn consume(&self, queue: QueueId) -> Vec<u32> {
        let mut found = Vec::new();
        self.ready[queue.vcpu as usize].fetch_and(!(1 << queue.priority), Ordering::SeqCst);
        let mut next = self.control(queue).unwrap().head.load(Ordering::SeqCst);
        for _ in 0..100 {
            if next == 0 {
                break;
            }
            let word = &self.words[next as usize];
            let old = word.fetch_and(!(LINKED | LINK_MASK), Ordering::SeqCst);
            if old & PENDING != 0 && old & MASKED == 0 {
                word.fetch_and(!PENDING, Ordering::SeqCst);
                found.push(next);
            }
            next = old & LINK_MASK;
        }
        found
    }
}

impl Memory for Guest {
    fn word(&self, port: u32) -> Option<&AtomicU32> {
        self.words.get(port as usize)
    }
    fn control(&self, queue: QueueId) -> Option<Control<'_>> {
        let vcpu = queue.vcpu as usize;
        (vcpu < self.control_blocks).then(|| Control {
            head: &self.heads[vcpu * QUEUES + queue.priority as usize],
            ready: &self.ready[vcpu],
        })
    }
    fn tail(&self, queue: QueueId) -> Option<&AtomicU32> {
        self.tails
            .get(queue.vcpu as usize * QUEUES + queue.priority as usize)
    }
}

const Q0: QueueId = QueueId {
    vcpu: 0,
    priority: 7,
};
const Q1: QueueId = QueueId {
    vcpu: 1,
    priority: 7,
};

fn raised(outcome: Outcome) -> Raised {
    match outcome {
        Outcome::Raised(raised) => raised,
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_come_out_in_the_order_they_were_raised() {
    let guest = Guest::new();
    let mut last = [Q0; 4];
    assert!(raised(raise(&guest, 3, Q0, &mut last[0])).notify);
    assert!(
        !raised(raise(&guest, 9, Q0, &mut last[1])).notify,
        "the vCPU already knows of this queue"
    );
    assert!(!raised(raise(&guest, 5, Q0, &mut last[2])).notify);
    assert_eq!(
        raised(raise(&guest, 9, Q0, &mut last[1])),
        Raised::default()
    );
    assert_eq!(guest.consume(Q0), [3, 9, 5]);
    assert!(
        raised(raise(&guest, 5, Q0, &mut last[2])).notify,
        "the emptied queue starts anew"
    );
    assert_eq!(guest.consume(Q0), [5]);
}

#[test]
fn masked_event_is_queued_by_its_unmasking() {
    let guest = Guest::new();
    let mut last = Q0;
    guest.words[4].store(MASKED, Ordering::Relaxed);
    assert_eq!(
        raised(raise(&guest, 4, Q0, &mut last)),
        Raised {
            newly_pending: true,
            notify: false
        }
    );
    assert_eq!(guest.consume(Q0), []);
    assert!(unmask(&guest, 4));
    assert_eq!(
        raised(raise(&guest, 4, Q0, &mut last)),
        Raised {
            newly_pending: false,
            notify: true
        }
    );
    assert_eq!(guest.consume(Q0), [4]);
}

#[test]
fn event_moved_to_another_queue_does_not_corrupt_the_new_one() {
    let guest = Guest::new();
    let (mut a, mut b) = (Q0, Q0);
    raise(&guest, 1, Q0, &mut a);
    assert_eq!(guest.consume(Q0), [1]);
    // 1 is still noted as the end of the first queue; it now goes to the second.
    raise(&guest, 1, Q1, &mut a);
    raise(&guest, 2, Q0, &mut b);
    assert_eq!(guest.consume(Q0), [2]);
    assert_eq!(guest.consume(Q1), [1]);
}

#[test]
fn missing_memory_is_reported_and_not_touched() {
    let mut guest = Guest::new();
    let mut last = Q0;
    assert_eq!(raise(&guest, 64, Q0, &mut last), Outcome::NoWord);
    guest.control_blocks = 1;
    assert_eq!(raise(&guest, 1, Q1, &mut last), Outcome::NoControlBlock);
    assert_eq!(guest.words[1].load(Ordering::Relaxed), 0);
}

#[test]
fn garbage_in_the_guests_words_loses_only_its_own_events() {
    let guest = Guest::new();
    let mut last = [Q0; 64];
    for round in 0..1000_u32 {
        let port = round % 63 + 1;
        guest.words[(round * 7 % 64) as usize]
            .store(round.wrapping_mul(0x9e37_79b9), Ordering::Relaxed);
        guest.heads[(round % 32) as usize].store(u32::MAX, Ordering::Relaxed);
        raise(&guest, port, Q0, &mut last[port as usize]);
        assert!(
            guest
                .tails
                .iter()
                .all(|tail| tail.load(Ordering::Relaxed) < 64)
        );
    }
}

#[test]
fn append_refuses_an_end_that_left_its_queue() {
    let word = AtomicU32::new(PENDING | BUSY);
    assert!(!append(&word, 5));
    assert_eq!(word.load(Ordering::Relaxed), PENDING);
    let word = AtomicU32::new(LINKED | MASKED | 9);
    assert!(append(&word, 5));
    assert_eq!(word.load(Ordering::Relaxed), LINKED | MASKED | 5);
}
