//! One virtual CPU: everything that is loaded into a physical CPU to run it, and what the guest registered for it.
//!
//! Keeps true: the [`Cell`] fields are touched only by the CPU that has the vCPU loaded, or, while the vCPU has never run
//! or is down, by whoever initialises it. The first fields are read by assembly; their offsets are asserted.

use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use xenocryst_abi::Mfn;
use xenocryst_memory::RootRef;

use super::{Domain, VcpuInfo};
use crate::percpu::GuestRegs;
use crate::sync::Mutex;

/// One entry of the guest's trap table (`public/arch-x86/xen.h`, `struct trap_info`).
#[derive(Clone, Copy, Default)]
pub struct TrapEntry {
    /// The handler's address; 0 where none is registered.
    pub address: u64,
    /// Bits 0 and 1: the least privilege that may raise it by software; bit 2: events are masked on entry.
    pub flags: u8,
}

/// An entry point the guest registered with `CALLBACKOP_register`.
#[derive(Clone, Copy, Default)]
pub struct Callback {
    /// The address; 0 where none is registered.
    pub address: u64,
    /// Whether events are masked on entry.
    pub mask_events: bool,
}

/// The references that go with [`Vcpu::kernel_cr3`] and [`Vcpu::user_cr3`].
#[derive(Default)]
pub struct Roots {
    /// Of the kernel's root.
    pub kernel: Option<RootRef>,
    /// Of the user mode's root.
    pub user: Option<RootRef>,
}

/// One virtual CPU. See the module's page for who may touch what.
#[repr(C)]
pub struct Vcpu {
    /// Whether the guest's kernel (and not its user mode) is running: non-zero for kernel.
    pub kernel_mode: Cell<u64>,
    /// CR3 for the guest's kernel: the machine address of its root table. 0 before there is one.
    pub kernel_cr3: Cell<u64>,
    /// CR3 for the guest's user mode; 0 where the guest gave none.
    pub user_cr3: Cell<u64>,
    /// The kernel stack pointer for entries from user mode (`stack_switch`).
    pub kernel_sp: Cell<u64>,
    /// The kernel stack selector.
    pub kernel_ss: Cell<u64>,
    /// Where a system call from user mode enters the guest's kernel.
    pub syscall: Cell<Callback>,
    /// The part of the shared page that belongs to this vCPU (or where it was moved by `register_vcpu_info`).
    pub info: VcpuInfo,
    /// The address of `syscall` where the short way in by assembly may be taken, else 0: it masks events and never shows
    /// an I/O privilege level.
    pub fast_syscall: Cell<u64>,

    /// Where it was allocated.
    pub(super) place: AtomicPtr<Vcpu>,
    /// The frames that were allocated for it.
    pub(super) own_frames: [Option<Mfn>; 2],
    /// Number within the domain.
    pub id: u32,
    /// The domain.
    pub domain: &'static Domain,
    /// Where a 32-bit system call (SYSCALL from compatibility mode) enters.
    pub syscall32: Cell<Callback>,
    /// Where SYSENTER enters.
    pub sysenter: Cell<Callback>,
    /// Where events (interrupts) enter.
    pub event_callback: Cell<Callback>,
    /// Where a failed return to the guest enters.
    pub failsafe_callback: Cell<Callback>,
    /// Where an NMI enters; 0 where none is registered.
    pub nmi_callback: Cell<u64>,
    /// The guest's trap table, by vector; see [`Vcpu::trap_entry`].
    pub trap_table: UnsafeCell<[TrapEntry; 256]>,

    /// FS base.
    pub fs_base: Cell<u64>,
    /// GS base of the guest's kernel.
    pub gs_base_kernel: Cell<u64>,
    /// GS base of the guest's user mode.
    pub gs_base_user: Cell<u64>,
    /// Segment selectors while the vCPU is not loaded: DS, ES, FS, GS.
    pub selectors: Cell<[u16; 4]>,
    /// CR0 as the guest sees it: only TS is its own.
    pub cr0_ts: Cell<bool>,
    /// CR2 as the guest sees it (also in `vcpu_info.arch.cr2`).
    pub cr2: Cell<u64>,
    /// CR4 bits that the guest chose among those it may (DE, TSD, FSGSBASE, OSXSAVE ...).
    pub cr4: Cell<u64>,
    /// What RDTSCP and RDPID give it.
    pub tsc_aux: Cell<u32>,
    /// Extended control register 0.
    pub xcr0: Cell<u64>,
    /// The arguments with which a hypercall that was not finished goes on; see `hypercall::Stop::Continue`.
    pub continuation: Cell<[u64; 6]>,
    /// The guest's own I/O permission bitmap: its linear address, and the number of ports it covers.
    pub io_bitmap: Cell<(u64, u32)>,
    /// I/O privilege level as set by `PHYSDEVOP_set_iopl`.
    pub iopl: Cell<u8>,
    /// Debug registers 0 to 3, 6 and 7 (4 and 5 unused).
    pub debug: Cell<[u64; 8]>,
    /// References on the frames of the guest's descriptor tables.
    pub descriptors: Mutex<super::descriptors::Held>,
    /// References on the root tables in force.
    pub roots: Mutex<Roots>,
    /// Entries of the guest's GDT in use.
    pub gdt_entries: Cell<u32>,
    /// Linear address of the guest's LDT.
    pub ldt_base: Cell<u64>,
    /// Entries of the guest's LDT; 0 for none.
    pub ldt_entries: Cell<u32>,
    /// Whether any page of the LDT is mapped in the vCPU's window.
    pub ldt_mapped: Cell<bool>,
    /// The registers while the vCPU is not loaded.
    pub saved_regs: UnsafeCell<GuestRegs>,
    /// FXSAVE or XSAVE area while the vCPU is not loaded (64-byte aligned, allocated at creation).
    pub fpu: *mut u8,

    /// The CPU on which it runs or last ran.
    pub processor: AtomicU32,
    /// Whether its state is loaded on some CPU.
    pub loaded: AtomicBool,
    /// `VPF_*`-like state bits; see `sched`.
    pub run: crate::sched::RunState,
    /// Timers and time records; see `time`.
    pub time: crate::time::VcpuTime,
    /// Per-vCPU part of event channels (polling, FIFO control block).
    pub events: crate::events::VcpuEvents,
    /// A pending NMI or debug request by the control domain, bit per kind.
    pub pending_special: AtomicU32,
    /// The number of times it was entered for an event; statistics.
    pub upcalls: AtomicU64,
}

// SAFETY: the cells follow the ownership rule on the module's page; everything else is atomic or locked.
unsafe impl Sync for Vcpu {}
// SAFETY: as above; a Vcpu holds nothing bound to the CPU that made it.
unsafe impl Send for Vcpu {}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Vcpu, kernel_mode) == 0);
    assert!(offset_of!(Vcpu, kernel_cr3) == 8);
    assert!(offset_of!(Vcpu, user_cr3) == 16);
    assert!(offset_of!(Vcpu, kernel_sp) == 24);
    assert!(offset_of!(Vcpu, kernel_ss) == 32);
    assert!(offset_of!(Vcpu, syscall) == 40);
    assert!(offset_of!(Vcpu, info) == 56);
    assert!(offset_of!(Vcpu, fast_syscall) == 64);
};

impl Vcpu {
    /// Whether the guest's kernel is running.
    #[inline(always)]
    pub fn in_kernel(&self) -> bool {
        self.kernel_mode.get() != 0
    }

    /// Keeps where system calls enter, and whether the short way may be taken.
    pub fn set_syscall(&self, callback: Callback) {
        let shows_iopl = self.domain.vm_assist.load(Ordering::Relaxed)
            & crate::hypercall::vm_assist::ARCHITECTURAL_IOPL;
        let fast = callback.mask_events && shows_iopl == 0;
        self.syscall.set(callback);
        self.fast_syscall
            .set(if fast { callback.address } else { 0 });
    }

    /// The trap table's entry for `vector`.
    #[inline]
    pub fn trap_entry(&self, vector: u8) -> TrapEntry {
        // SAFETY: only the CPU that has this vCPU loaded reads or writes the table, and no reference is kept.
        unsafe { (*self.trap_table.get())[vector as usize] }
    }

    /// Sets the trap table's entry for `vector`.
    pub fn set_trap_entry(&self, vector: u8, entry: TrapEntry) {
        // SAFETY: as in `trap_entry`.
        unsafe { (*self.trap_table.get())[vector as usize] = entry };
    }
}
