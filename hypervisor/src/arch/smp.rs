//! Bringing up the other CPUs, and reaching them.
//!
//! Keeps true: CPUs are numbered from 0, the boot CPU, without gaps; a CPU counts as online only once it runs on its own
//! stack block with its own tables loaded. One CPU is started at a time.
//! Neighbours: `arch::apic` (the interrupts), `arch::cpu_block`, `arch::gdt` (tables), `mm::tables` (the trampoline's root table).

use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use super::{apic, clock, control, cpu, cpu_block, gdt, tlb};
use crate::console::{Level, Source, log, say};
use crate::mm::{self, tables};
use crate::percpu::{MAX_CPUS, this_cpu};
use crate::sync::{Mutex, Rank};

/// Bytes of the trampoline's page before its parameters.
const PARAMETERS: usize = 0xf00;

global_asm!(
    r#"
    .section .rodata.trampoline, "a"
    .balign 16
    .global smp_trampoline
    .global smp_trampoline_end
smp_trampoline:
    // Real mode, CS = page / 16, IP = 0. All addresses below are offsets in this page.
    .code16
    cli
    cld
    mov ax, cs
    mov ds, ax
    .byte 0x66, 0x0f, 0x01, 0x16            // lgdt with a 32-bit base
    .short {parameters} + 0x20
    mov eax, 0x620                          // PAE, FXSR, SIMD exceptions
    mov cr4, eax
    .byte 0x66, 0xa1                        // mov eax, [root]
    .short {parameters}
    mov cr3, eax
    mov ecx, 0xc0000080                     // EFER
    rdmsr
    or eax, 0x900                           // long mode, no-execute
    wrmsr
    mov eax, 0x80050033
    mov cr0, eax
    .byte 0x66, 0xff, 0x2e                  // far jump through memory
    .short {parameters} + 0x28
    .balign 16
    .code64
smp_trampoline_64:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov rsp, [rip + smp_trampoline + {parameters} + 8]
    mov rax, [rip + smp_trampoline + {parameters} + 16]
    mov edi, [rip + smp_trampoline + {parameters} + 24]
    xor ebp, ebp
    call rax
    ud2
smp_trampoline_end:
    .global smp_trampoline_64_offset
    .set smp_trampoline_64_offset, smp_trampoline_64 - smp_trampoline
    .text
"#,
    parameters = const PARAMETERS,
);

unsafe extern "C" {
    static smp_trampoline: u8;
    static smp_trampoline_end: u8;
}

/// What the trampoline needs, at [`PARAMETERS`] in its page.
#[repr(C)]
struct Parameters {
    /// Physical address of the root table, below 4 GiB.
    root: u64,
    stack: u64,
    entry: u64,
    cpu: u32,
    pad: u32,
    /// Limit and base of the descriptor table (a 6-byte operand), the base being `gdt` in this page.
    gdt_limit: u16,
    gdt_base: [u16; 2],
    pad2: u16,
    /// Far pointer to the 64-bit part.
    target: u32,
    target_cs: u16,
    pad3: u16,
    gdt: [u64; 2],
}

/// CPUs that are up, a bit each.
static ONLINE: AtomicU64 = AtomicU64::new(1);
static COUNT: AtomicU32 = AtomicU32::new(1);
/// Set when all CPUs are to stop for good.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// One call of other CPUs at a time.
static CALL: Mutex<()> = Mutex::new(Rank::Call, ());
/// CPUs that have yet to run it.
static CALL_PENDING: AtomicU64 = AtomicU64::new(0);
/// What they run.
static CALL_WORK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// CPUs that are up, a bit each.
#[inline(always)]
pub fn online_mask() -> u64 {
    ONLINE.load(Ordering::Acquire)
}

/// How many CPUs are up.
pub fn cpu_count() -> u32 {
    COUNT.load(Ordering::Acquire)
}

/// The firmware's number of `cpu`, which is up.
pub fn acpi_id(cpu: u32) -> Option<u32> {
    super::acpi::acpi_id(apic::id_of(cpu)?)
}

/// Starts the CPUs whose APIC numbers `ids` gives (the boot CPU's own is skipped), until `limit` CPUs are up.
pub fn start_others(ids: impl Iterator<Item = u32>, limit: u32) {
    let Some(page) = mm::early::trampoline_page() else {
        log!(
            Source::Hypervisor,
            Level::Warning,
            "No memory below 640 KiB for starting other CPUs"
        );
        return;
    };
    let limit = limit.min(MAX_CPUS as u32);
    let own = apic::own_id();
    for id in ids.filter(|id| *id != own) {
        let cpu = cpu_count();
        if cpu >= limit {
            break;
        }
        if !apic::is_x2apic() && id > 254 {
            log!(
                Source::Hypervisor,
                Level::Warning,
                "CPU with APIC number {id} cannot be reached and is not used"
            );
            continue;
        }
        if !start(cpu, id, page) {
            log!(
                Source::Hypervisor,
                Level::Warning,
                "CPU with APIC number {id} does not start and is not used"
            );
            // It may come up yet and would then use the trampoline's parameters: no other CPU may be started.
            break;
        }
    }
    say!("Brought up {} CPUs", cpu_count());
}

/// Starts one CPU and waits until it is up.
fn start(cpu: u32, id: u32, page: u64) -> bool {
    let stack = cpu_block::make_block(cpu, id);
    write_trampoline(page, cpu, stack);
    apic::send_init(id);
    clock::delay_ns(10_000_000);
    for _ in 0..2 {
        apic::send_startup(id, (page >> 12) as u8);
        if wait_online(cpu, 1_000_000) {
            return true;
        }
    }
    wait_online(cpu, 1_000_000_000)
}

/// Waits up to `ns` nanoseconds for `cpu` to be up.
fn wait_online(cpu: u32, ns: u64) -> bool {
    let end = clock::now_ns() + ns;
    while clock::now_ns() < end {
        if online_mask() & 1 << cpu != 0 {
            return true;
        }
        control::pause();
    }
    online_mask() & 1 << cpu != 0
}

/// Puts the code and `cpu`'s parameters in the trampoline's page.
fn write_trampoline(page: u64, cpu: u32, stack: u64) {
    let base = mm::direct_map(xenocryst_abi::Maddr::new(page));
    let code = core::ptr::addr_of!(smp_trampoline);
    let bytes = core::ptr::addr_of!(smp_trampoline_end) as usize - code as usize;
    assert!(bytes <= PARAMETERS);
    let offset = trampoline_64_offset();
    let gdt_offset = PARAMETERS + core::mem::offset_of!(Parameters, gdt);
    let gdt = page as u32 + gdt_offset as u32;
    let parameters = Parameters {
        root: tables::trampoline_root().raw(),
        stack,
        entry: secondary_main as *const () as u64,
        cpu,
        pad: 0,
        gdt_limit: 15,
        gdt_base: [gdt as u16, (gdt >> 16) as u16],
        pad2: 0,
        target: page as u32 + offset,
        target_cs: 8,
        pad3: 0,
        gdt: [0, 0x00af_9b00_0000_ffff],
    };
    // SAFETY: the page is reserved for this and in the direct map; code and parameters fit in it and do not overlap.
    unsafe {
        core::ptr::copy_nonoverlapping(code, base, bytes);
        base.add(PARAMETERS)
            .cast::<Parameters>()
            .write_volatile(parameters);
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Parameters, stack) == 8 && offset_of!(Parameters, entry) == 16);
    assert!(offset_of!(Parameters, cpu) == 24 && offset_of!(Parameters, gdt_limit) == 0x20);
    assert!(offset_of!(Parameters, target) == 0x28 && offset_of!(Parameters, target_cs) == 0x2c);
    assert!(size_of::<Parameters>() + PARAMETERS <= 4096);
};

/// Offset of the trampoline's 64-bit part.
fn trampoline_64_offset() -> u32 {
    let offset: u32;
    // SAFETY: loads a constant that the assembler knows.
    unsafe {
        core::arch::asm!("mov {:e}, offset smp_trampoline_64_offset", out(reg) offset, options(nomem, nostack, preserves_flags));
    }
    offset
}

/// The first Rust code of every CPU but the boot CPU, on its own stack block.
extern "C" fn secondary_main(cpu: u32) -> ! {
    // SAFETY: the hypervisor's own root maps all that runs here; the trampoline's identity mapping is left behind.
    unsafe { control::write_cr3(tables::root().raw()) };
    cpu::init_registers();
    // SAFETY: runs on the block made for this CPU, with interrupts off.
    unsafe { gdt::load_tables(cpu) };
    apic::init_cpu(cpu);
    tlb::flush_local();
    COUNT.fetch_add(1, Ordering::AcqRel);
    ONLINE.fetch_or(1 << cpu, Ordering::AcqRel);
    crate::run_cpu()
}

/// Runs `work` on every other CPU that is up, and waits until all have done so. `work` runs with interrupts off, and must
/// neither wait for this CPU nor take a lock that this CPU holds.
pub fn call_others(work: fn()) {
    let _turn = CALL.lock();
    let others = online_mask() & !(1 << this_cpu().cpu);
    CALL_WORK.store(work as *mut (), Ordering::Release);
    CALL_PENDING.store(others, Ordering::Release);
    for cpu in (0..MAX_CPUS as u32).filter(|cpu| others & 1 << cpu != 0) {
        apic::send_ipi(cpu, apic::CALL_VECTOR);
    }
    while CALL_PENDING.load(Ordering::Acquire) != 0 {
        serve();
        control::pause();
    }
}

/// Answers what other CPUs ask of this one. Called while it waits, with interrupts off, for something another CPU holds.
#[inline]
pub fn serve() {
    tlb::serve();
    on_call();
}

/// Answers the interrupt of [`call_others`].
pub fn on_call() {
    let mine = 1_u64 << this_cpu().cpu;
    if CALL_PENDING.load(Ordering::Acquire) & mine == 0 {
        return;
    }
    let work = CALL_WORK.load(Ordering::Acquire);
    // SAFETY: stored from a `fn()` by `call_others`, which waits for this CPU before it stores another.
    let work: fn() = unsafe { core::mem::transmute::<*mut (), fn()>(work) };
    work();
    CALL_PENDING.fetch_and(!mine, Ordering::AcqRel);
}

/// Stops every other CPU for good, whatever it does.
pub fn stop_others() {
    STOPPING.store(true, Ordering::SeqCst);
    let me = this_cpu().cpu;
    for cpu in (0..MAX_CPUS as u32).filter(|cpu| *cpu != me && online_mask() & 1 << cpu != 0) {
        apic::send_nmi(cpu);
    }
}

/// Called for a non-maskable interrupt: halts this CPU if that is what the interrupt was for.
pub fn on_nmi() {
    if STOPPING.load(Ordering::SeqCst) {
        super::stop_forever();
    }
}
