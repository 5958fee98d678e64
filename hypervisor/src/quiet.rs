//! Stopping the machine for a moment: every CPU waits where it holds nothing and has begun nothing, while one of them
//! looks at the whole (an audit, a dump of all registers).
//!
//! Keeps true: what was asked for with [`press`] is done before the CPU that asked enters a guest again. A CPU waits here
//! only on its way to a guest (or idle), so no lock is held and no operation is under way anywhere while one looks. Until
//! all have come, each goes away again for what others want of it (a vCPU to be stopped), so that no two wait for each
//! other; flushes and calls are answered throughout.
//! Neighbours: `traps::exit` (calls [`enter`] for [`work::QUIET`]), `keys` (what is done), `console`, `hypercall`.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch::{apic, control, cpu_block, smp};
use crate::keys;
use crate::percpu::{CpuInfo, this_cpu, work};
use crate::sync::{Mutex, Rank};

/// The debug keys that were pressed and not handled: a bit for each ASCII code.
static PRESSED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Who has come.
struct Meeting {
    /// One CPU has called the others together.
    called: bool,
    /// All have come, and none may go until the one is done.
    closed: bool,
    /// Those that wait, a bit each.
    present: u64,
}

static MEETING: Mutex<Meeting> = Mutex::new(
    Rank::Meeting,
    Meeting {
        called: false,
        closed: false,
        present: 0,
    },
);

/// Has the debug key `key` handled before this CPU enters a guest again. False if it is none.
pub fn press(key: u8) -> bool {
    if keys::find(key).is_none() {
        return false;
    }
    if let Some(word) = PRESSED.get(usize::from(key / 64)) {
        word.fetch_or(1 << (key % 64), Ordering::SeqCst);
    }
    this_cpu().raise(work::QUIET);
    true
}

/// Takes the next key that was pressed.
fn next_key() -> Option<u8> {
    (0_u8..).zip(&PRESSED).find_map(|(index, word)| {
        let bits = word.load(Ordering::SeqCst);
        let bit = bits.checked_ilog2()? as u8;
        word.fetch_and(!(1 << bit), Ordering::SeqCst);
        Some(index * 64 + bit)
    })
}

fn nothing_pressed() -> bool {
    PRESSED.iter().all(|word| word.load(Ordering::SeqCst) == 0)
}

/// Comes to the meeting, or calls it. The caller holds nothing, and has no other work pending that anybody waits for.
pub fn enter(cpu: &CpuInfo) {
    let mine = 1_u64 << (cpu.cpu & 63);
    {
        let mut meeting = MEETING.lock();
        if meeting.called {
            drop(meeting);
            return attend(cpu, mine);
        }
        if nothing_pressed() {
            return;
        }
        (meeting.called, meeting.present) = (true, mine);
    }
    for other in (0..u64::BITS).filter(|other| smp::online_mask() & !mine & 1 << other != 0) {
        if let Some(info) = cpu_block::cpu_info(other) {
            info.raise(work::QUIET);
            apic::send_ipi(other, apic::EVENT_CHECK_VECTOR);
        }
    }
    if !gather(cpu) {
        return;
    }
    while let Some(key) = next_key() {
        keys::handle(key);
    }
    let mut meeting = MEETING.lock();
    (meeting.called, meeting.closed, meeting.present) = (false, false, 0);
}

/// Waits until all CPUs have come. False if this one has to go before that, and to call again later.
fn gather(cpu: &CpuInfo) -> bool {
    loop {
        {
            let mut meeting = MEETING.lock();
            if meeting.present == smp::online_mask() {
                meeting.closed = true;
                return true;
            }
            if is_wanted(cpu) {
                meeting.called = false;
                return false;
            }
        }
        smp::serve();
        control::pause();
    }
}

/// Waits until the meeting is over.
fn attend(cpu: &CpuInfo, mine: u64) {
    loop {
        {
            let mut meeting = MEETING.lock();
            if !meeting.called {
                return;
            }
            if !meeting.closed && is_wanted(cpu) {
                meeting.present &= !mine;
                return;
            }
            meeting.present |= mine;
        }
        smp::serve();
        control::pause();
    }
}

/// Whether something else is to be done here, which another CPU may be waiting for. If so, the meeting is to be
/// attended after that.
fn is_wanted(cpu: &CpuInfo) -> bool {
    let wanted = cpu.work.load(Ordering::SeqCst) & !work::QUIET != 0;
    if wanted {
        cpu.raise(work::QUIET);
    }
    wanted
}
