//! The kernel's faults: a table of handlers, and code that may fault.
//!
//! What it keeps true: a fault inside [`attempt`] ends the attempt and is reported; any other is printed and crashes the
//! domain. Faults are told on the stack that was running, as the interface has it for a guest's kernel.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use xenocryst_abi::hypercall::number;
use xenocryst_abi::shared_info::SharedInfo;
use xenocryst_abi::trap::TrapInfo;
use xenocryst_abi::{PAGE_SIZE, segment};

use crate::domain::Domain;
use crate::hypercall;
use crate::mmu;

/// Vectors that have handlers: the CPU's exceptions.
pub const VECTORS: usize = 32;

/// [`Fault::vector`] of the failsafe callback: the hypervisor could not return as it was asked to.
pub const FAILSAFE: u64 = 256;
/// [`Fault::vector`] of a system call by the user's program.
pub const SYSCALL: u64 = 257;
/// [`Fault::vector`] of an event.
pub const EVENT: u64 = 258;

/// A fault, as the hypervisor told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The exception, or [`FAILSAFE`], [`SYSCALL`] or [`EVENT`].
    pub vector: u64,
    /// Its error code; 0 where there is none.
    pub error: u64,
    /// For a page fault the address; else 0.
    pub address: u64,
    /// Where the CPU was.
    pub rip: u64,
    /// In which code segment; in bits 39:32 the saved event mask.
    pub cs: u64,
    /// With which flags.
    pub rflags: u64,
    /// With which stack.
    pub rsp: u64,
    /// In which stack segment.
    pub ss: u64,
}

global_asm!(
    ".pushsection .text.trap, \"ax\", @progbits",
    // The stack holds RCX, R11, an error code for some vectors, RIP, CS, RFLAGS, RSP, SS.
    ".macro guest_trap vector",
    "    .balign {stub_size}",
    "    .if \\vector == 8 || (\\vector >= 10 && \\vector <= 14) || \\vector == 17 || \\vector == 21",
    "    lea rdi, [rsp + 24]",
    "    mov rsi, [rsp + 16]",
    "    .else",
    "    lea rdi, [rsp + 16]",
    "    xor esi, esi",
    "    .endif",
    "    mov edx, \\vector",
    "    jmp guest_trap_common",
    ".endm",
    ".balign {stub_size}",
    ".globl guest_trap_stubs",
    "guest_trap_stubs:",
    ".altmacro",
    ".set guest_vector, 0",
    ".rept {vectors}",
    "    guest_trap %guest_vector",
    "    .set guest_vector, guest_vector + 1",
    ".endr",
    ".noaltmacro",
    // Not exceptions, but ways into the kernel: their numbers are above those of the exceptions.
    ".globl guest_trap_failsafe",
    "guest_trap_failsafe:",
    "    lea rdi, [rsp + 48]",
    "    xor esi, esi",
    "    mov edx, {failsafe}",
    "    jmp guest_trap_common",
    ".globl guest_trap_syscall",
    "guest_trap_syscall:",
    "    lea rdi, [rsp + 16]",
    "    xor esi, esi",
    "    mov edx, {syscall}",
    "    jmp guest_trap_common",
    ".globl guest_trap_event",
    "guest_trap_event:",
    "    lea rdi, [rsp + 16]",
    "    xor esi, esi",
    "    mov edx, {event}",
    "    jmp guest_trap_common",
    ".balign 16",
    "guest_trap_common:",
    "    cld",
    "    and rsp, -16",
    "    call {caught}",
    // Only for a fault inside an attempt: on its stack, as if it had returned 1.
    "    mov rsp, [rip + {recovery}]",
    "    mov eax, 1",
    "    jmp guest_attempt_over",
    // (RDI code, RSI its argument) -> EAX: 0 if the code returned, 1 if it faulted.
    ".globl guest_attempt",
    "guest_attempt:",
    "    push rbx",
    "    push rbp",
    "    push r12",
    "    push r13",
    "    push r14",
    "    push r15",
    "    push [rip + {recovery}]",
    "    mov [rip + {recovery}], rsp",
    "    mov rax, rdi",
    "    mov rdi, rsi",
    "    call rax",
    "    xor eax, eax",
    "guest_attempt_over:",
    "    pop [rip + {recovery}]",
    "    pop r15",
    "    pop r14",
    "    pop r13",
    "    pop r12",
    "    pop rbp",
    "    pop rbx",
    "    ret",
    ".popsection",
    vectors = const VECTORS,
    stub_size = const STUB_SIZE,
    failsafe = const FAILSAFE,
    syscall = const SYSCALL,
    event = const EVENT,
    caught = sym caught,
    recovery = sym RECOVERY,
);

unsafe extern "C" {
    static guest_trap_stubs: [u8; 0];
    static guest_trap_failsafe: [u8; 0];
    static guest_trap_syscall: [u8; 0];
    static guest_trap_event: [u8; 0];
    fn guest_attempt(code: extern "C" fn(*mut u8), argument: *mut u8) -> u32;
}

/// Stack pointer of the running attempt; 0 without one.
static RECOVERY: AtomicU64 = AtomicU64::new(0);
/// Address of the shared page, where the hypervisor leaves the address of a page fault; 0 while it is not mapped.
static SHARED: AtomicU64 = AtomicU64::new(0);
/// The last fault inside an attempt, member by member.
static LAST: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// The page at whose address the shared page is mapped.
#[repr(align(4096))]
struct SharedPage(#[expect(dead_code)] [u8; PAGE_SIZE as usize]);
static SHARED_PAGE: SharedPage = SharedPage([0; PAGE_SIZE as usize]);

/// Bytes from one stub to the next.
const STUB_SIZE: u64 = 32;

/// Maps the shared page and registers a handler for every exception, and the callbacks.
pub(crate) fn init(domain: &Domain) {
    let page = &raw const SHARED_PAGE as u64;
    // SAFETY: nothing else uses the page that was mapped there.
    if unsafe { mmu::map_page(page, domain.shared_info().mfn(), true) } == 0 {
        SHARED.store(page, Ordering::Relaxed);
    }
    register();
}

/// Registers a handler for every exception, and the callbacks.
///
/// # Panics
/// When the hypervisor refuses.
pub fn register() {
    let none = TrapInfo {
        vector: 0,
        flags: 0,
        cs: 0,
        pad: 0,
        address: 0,
    };
    let mut table = [none; VECTORS + 1];
    for (vector, entry) in table.iter_mut().take(VECTORS).enumerate() {
        *entry = TrapInfo {
            vector: vector as u8,
            // A user's program may raise breakpoints.
            flags: if vector == 3 { 3 } else { 0 },
            cs: segment::FLAT_KERNEL_CS,
            pad: 0,
            address: stub(vector as u64),
        };
    }
    let callbacks = [stub(EVENT), stub(FAILSAFE), stub(SYSCALL), 0, 0];
    // SAFETY: the handlers are ours.
    let answers = unsafe {
        [
            hypercall::call(number::SET_TRAP_TABLE, [table.as_ptr() as u64, 0, 0, 0, 0]),
            hypercall::call(number::SET_CALLBACKS, callbacks),
        ]
    };
    assert!(answers == [0, 0], "trap table and callbacks: {answers:?}");
}

/// Address of the handler of `vector`: an exception, or one of [`FAILSAFE`], [`SYSCALL`], [`EVENT`].
#[must_use]
pub fn stub(vector: u64) -> u64 {
    match vector {
        FAILSAFE => &raw const guest_trap_failsafe as u64,
        SYSCALL => &raw const guest_trap_syscall as u64,
        EVENT => &raw const guest_trap_event as u64,
        _ => &raw const guest_trap_stubs as u64 + STUB_SIZE * vector,
    }
}

/// Address of the shared page in this kernel's space.
#[must_use]
pub fn shared_page() -> u64 {
    SHARED.load(Ordering::Relaxed)
}

/// Runs code that may fault; says which fault ended it.
///
/// What the code owns is forgotten and not dropped if it faults, so it should own nothing that must be dropped.
///
/// # Errors
/// The fault.
pub fn attempt<F: FnOnce()>(code: F) -> Result<(), Fault> {
    extern "C" fn run<F: FnOnce()>(slot: *mut u8) {
        // SAFETY: the slot is the one below, and lives until the attempt is over.
        let slot = unsafe { &mut *slot.cast::<Option<F>>() };
        if let Some(code) = slot.take() {
            code();
        }
    }
    let mut slot = Some(code);
    // SAFETY: `run` takes what is in the slot. A fault comes back here with the callee-saved registers as they were.
    if unsafe { guest_attempt(run::<F>, (&raw mut slot).cast()) } == 0 {
        return Ok(());
    }
    let [vector, error, address, rip, cs, rflags, rsp, ss] =
        core::array::from_fn(|member| LAST[member].load(Ordering::Relaxed));
    Err(Fault {
        vector,
        error,
        address,
        rip,
        cs,
        rflags,
        rsp,
        ss,
    })
}

/// Records a fault inside an attempt, or ends the domain.
extern "C" fn caught(frame: *const [u64; 5], error: u64, vector: u64) {
    // SAFETY: the stubs pass the address of the frame that the hypervisor wrote.
    let [rip, cs, rflags, rsp, ss] = unsafe { *frame };
    let address = if vector == 14 { fault_address() } else { 0 };
    if RECOVERY.load(Ordering::Relaxed) == 0 {
        panic!(
            "vector {vector}, error {error:#x}, address {address:#x}, rip {rip:#x}, rsp {rsp:#x}"
        );
    }
    for (place, value) in LAST
        .iter()
        .zip([vector, error, address, rip, cs, rflags, rsp, ss])
    {
        place.store(value, Ordering::Relaxed);
    }
}

/// The address of the last page fault.
fn fault_address() -> u64 {
    match SHARED.load(Ordering::Relaxed) {
        0 => 0,
        page => {
            // SAFETY: the shared page is mapped there; the hypervisor writes it, so it is read once and as volatile.
            unsafe {
                (&raw const (*(page as *const SharedInfo)).vcpu_info[0].arch.cr2).read_volatile()
            }
        }
    }
}
