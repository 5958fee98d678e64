//! A timer's events, taken while a hypercall is under way: how the kernel sees that a long one makes room for them.
//!
//! What it keeps true: events are let in by [`Ticks::call`] alone, for as long as its hypercall takes. The handler counts, and
//! does to the interrupted call what it was told to: another word in memory, other registers.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use xenocryst_guest::abi::event_channel::{self, BindVirq, Close};
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::shared_info::SharedInfo;
use xenocryst_guest::abi::{vcpu_op, virq};
use xenocryst_guest::{hypercall, trap};

/// Time from one event to the next: the shortest that may be asked for.
const PERIOD_NS: u64 = 1_000_000;

/// Events taken.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// The shared page.
static SHARED: AtomicU64 = AtomicU64::new(0);
/// What each event changes: XORs a word with another.
static CHANGED: AtomicU64 = AtomicU64::new(0);
static CHANGE: AtomicU64 = AtomicU64::new(0);
/// What changes nothing.
static NOWHERE: AtomicU64 = AtomicU64::new(0);
/// Whether the five argument registers are replaced, and by what.
static REPLACE: AtomicU64 = AtomicU64::new(0);
static REPLACED: Replacement = Replacement(UnsafeCell::new([0; 5]));

/// Five words that only the handler reads.
struct Replacement(UnsafeCell<[u64; 5]>);

// SAFETY: there is one vCPU; the handler only reads, and nothing is written while events are let in.
unsafe impl Sync for Replacement {}

unsafe extern "C" {
    static hostile_tick: [u8; 0];
}

global_asm!(
    ".pushsection .text.tick, \"ax\", @progbits",
    ".globl hostile_tick",
    // The stack holds RCX, R11 and the frame for `iret` but for its first four words.
    "hostile_tick:",
    "    pop rcx",
    "    pop r11",
    "    push 0",
    "    push rcx",
    "    push r11",
    "    push rax",
    "    inc qword ptr [rip + {count}]",
    "    mov rax, [rip + {shared}]",
    "    mov byte ptr [rax], 0",
    "    mov qword ptr [rax + {selector}], 0",
    "    mov qword ptr [rax + {pending}], 0",
    "    mov rax, [rip + {changed}]",
    "    mov r11, [rip + {change}]",
    "    xor [rax], r11",
    "    cmp qword ptr [rip + {replace}], 0",
    "    je 1f",
    "    mov rdi, [rip + {replaced}]",
    "    mov rsi, [rip + {replaced} + 8]",
    "    mov rdx, [rip + {replaced} + 16]",
    "    mov r10, [rip + {replaced} + 24]",
    "    mov r8, [rip + {replaced} + 32]",
    "1:  mov eax, {iret}",
    "    syscall",
    ".popsection",
    count = sym COUNT,
    shared = sym SHARED,
    changed = sym CHANGED,
    change = sym CHANGE,
    replace = sym REPLACE,
    replaced = sym REPLACED,
    selector = const 8,
    pending = const offset_of!(SharedInfo, evtchn_pending),
    iret = const number::IRET,
);

/// The events, while there are any.
pub struct Ticks {
    port: u32,
}

impl Ticks {
    /// Has the timer raise events from now on; nothing if that is refused.
    pub fn start() -> Option<Self> {
        SHARED.store(trap::shared_page(), Ordering::Relaxed);
        forget();
        let mut bind = BindVirq {
            virq: virq::TIMER,
            vcpu: 0,
            port: 0,
        };
        let period = vcpu_op::SetPeriodicTimer {
            period_ns: PERIOD_NS,
        };
        let bound = [
            u64::from(event_channel::op::BIND_VIRQ),
            &raw mut bind as u64,
            0,
            0,
            0,
        ];
        let timer = [
            u64::from(vcpu_op::op::SET_PERIODIC_TIMER),
            0,
            &raw const period as u64,
            0,
            0,
        ];
        // SAFETY: events stay masked but in `call`, and the handler keeps all that the interrupted code relies on.
        let answers = unsafe {
            [
                hypercall::call(number::EVENT_CHANNEL_OP, bound),
                hypercall::call(number::VCPU_OP, timer),
                hypercall::call(
                    number::SET_CALLBACKS,
                    callbacks(&raw const hostile_tick as u64),
                ),
            ]
        };
        // SAFETY: the hypervisor wrote it.
        let port = unsafe { (&raw const bind.port).read_volatile() };
        (answers == [0; 3] && port < 64).then_some(Self { port })
    }

    /// Makes a hypercall with events let in. Its answer, and how many there were.
    ///
    /// # Safety
    /// As for [`hypercall::call`], whatever the handler replaces.
    pub unsafe fn call(&self, number: u64, arguments: [u64; 5]) -> (i64, u64) {
        let before = COUNT.load(Ordering::Relaxed);
        let [a1, a2, a3, a4, a5] = arguments;
        let answer: i64;
        // SAFETY: the caller's. Byte 1 of the shared page masks the events of the first vCPU.
        unsafe {
            asm!(
                "mov byte ptr [r12 + 1], 0",
                "syscall",
                "mov byte ptr [r12 + 1], 1",
                in("r12") trap::shared_page(),
                inlateout("rax") number as i64 => answer,
                inlateout("rdi") a1 => _,
                inlateout("rsi") a2 => _,
                inlateout("rdx") a3 => _,
                inlateout("r10") a4 => _,
                inlateout("r8") a5 => _,
                out("rcx") _,
                out("r11") _,
            );
        }
        (answer, COUNT.load(Ordering::Relaxed) - before)
    }

    /// Each event from now on XORs the word at `at` with `word`.
    ///
    /// # Safety
    /// Nothing of Rust's is there.
    pub unsafe fn change(&self, at: u64, word: u64) {
        CHANGED.store(at, Ordering::Relaxed);
        CHANGE.store(word, Ordering::Relaxed);
    }

    /// Each event from now on leaves the interrupted call with these arguments instead of its own; or with its own again.
    pub fn replace(&self, arguments: Option<[u64; 5]>) {
        REPLACE.store(u64::from(arguments.is_some()), Ordering::Relaxed);
        // SAFETY: events are masked, so the handler does not look.
        unsafe { *REPLACED.0.get() = arguments.unwrap_or_default() };
    }

    /// Nothing is changed by events any more.
    pub fn leave_alone(&self) {
        // SAFETY: the word is of no use to anybody.
        unsafe { self.change(NOWHERE.as_ptr() as u64, 0) };
        self.replace(None);
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        let close = Close { port: self.port };
        let stop = [u64::from(vcpu_op::op::STOP_PERIODIC_TIMER), 0, 0, 0, 0];
        let closed = [
            u64::from(event_channel::op::CLOSE),
            &raw const close as u64,
            0,
            0,
            0,
        ];
        // SAFETY: the timer and the port are ours.
        unsafe {
            hypercall::call(number::VCPU_OP, stop);
            hypercall::call(number::EVENT_CHANNEL_OP, closed);
        }
        forget();
        trap::register();
    }
}

/// Masks the first vCPU's events, which what was returned to by `iret` may have left open, and forgets those that wait.
fn forget() {
    let page = trap::shared_page();
    // SAFETY: the shared page: the mask, what waits, which word of ports, the first of these words.
    unsafe {
        ((page + 1) as *mut u8).write_volatile(1);
        ((page + offset_of!(SharedInfo, evtchn_pending) as u64) as *mut u64).write_volatile(0);
        ((page + 8) as *mut u64).write_volatile(0);
        (page as *mut u8).write_volatile(0);
    }
}

/// The arguments of `set_callbacks` with the event callback at `event`.
fn callbacks(event: u64) -> [u64; 5] {
    [
        event,
        trap::stub(trap::FAILSAFE),
        trap::stub(trap::SYSCALL),
        0,
        0,
    ]
}
