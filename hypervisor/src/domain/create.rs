//! Making a domain and its vCPUs: everything but the memory it is given and what runs in it.
//!
//! Keeps true: what is made here is complete, so that no other code meets a half-made domain; it is published last.
//! Neighbours: `builder` (fills dom0), `hypercall::domctl` (other domains).

use alloc::boxed::Box;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use spin::Once;
use xenocryst_abi::{DomId, Mfn, Vaddr};
use xenocryst_memory::{DomainMemory, IoAccess, MachineMemory};

use super::{Callback, Domain, MAX_VCPUS, Roots, SharedInfo, TrapEntry, Vcpu, VcpuInfo};
use crate::arch::fpu;
use crate::mm::layout;
use crate::mm::machine::engine;
use crate::mm::per_domain::PerDomain;
use crate::percpu::GuestRegs;
use crate::sync::Mutex;

/// What a new domain is to be.
pub struct Plan {
    /// Its number.
    pub id: DomId,
    /// Whether it is the hardware and control domain.
    pub privileged: bool,
    /// The most vCPUs it may have, at least 1.
    pub max_vcpus: u32,
    /// The most frames it may own.
    pub max_pages: u32,
    /// The I/O frames it may map.
    pub io: IoAccess,
    /// How far its grants can go.
    pub grants: crate::grants::Limits,
}

/// There is no memory for it.
#[derive(Debug)]
pub struct NoMemory;

/// Makes a domain without vCPUs or memory.
///
/// # Errors
/// [`NoMemory`]; what was taken by then is given back.
pub fn domain(plan: Plan) -> Result<&'static Domain, NoMemory> {
    let max_vcpus = plan.max_vcpus.clamp(1, MAX_VCPUS as u32);
    let per_domain = PerDomain::new(max_vcpus as usize).map_err(|_| NoMemory)?;
    let memory = DomainMemory::new(plan.id, plan.privileged, per_domain.slot_entry(), plan.io);
    memory.set_max_pages(plan.max_pages);
    let shared = zeroed_frame()?;
    let domain: &'static Domain = Box::leak(Box::new(Domain {
        id: plan.id,
        memory,
        per_domain,
        shared_info: SharedInfo::new(shared, direct_map(shared)),
        vcpus: [const { Once::new() }; MAX_VCPUS],
        max_vcpus,
        privileged: plan.privileged,
        vm_assist: AtomicU64::new(0),
        events: crate::events::EventChannels::new(),
        pirqs: crate::irq::DomainPirqs::new(),
        shutdown: AtomicU32::new(0),
        shutdown_code: AtomicU32::new(0),
        dying: AtomicBool::new(false),
        pci_cf8: AtomicU32::new(0),
        grants: crate::grants::Grants::new(plan.grants),
        cpu_policy: crate::sync::Mutex::new(None),
        latches: crate::emulate::ports::Latches::new(),
    }));
    if !engine().share_with(&domain.memory, shared, true) || !crate::grants::init(domain) {
        return Err(NoMemory);
    }
    crate::time::show_wall_clock(domain);
    Ok(domain)
}

/// Makes vCPU `id` of `domain`: down, with no state.
///
/// # Errors
/// [`NoMemory`]; also when the number is out of range.
pub fn vcpu(domain: &'static Domain, id: u32) -> Result<&'static Vcpu, NoMemory> {
    let slot = domain
        .vcpus
        .get(id as usize)
        .filter(|_| id < domain.max_vcpus)
        .ok_or(NoMemory)?;
    if let Some(made) = slot.get() {
        return Ok(made);
    }
    let info = match domain.shared_info.vcpu_info(id) {
        Some(legacy) => legacy,
        // Above the legacy number a vCPU has its own page until the guest gives it a place.
        None => direct_map(zeroed_frame()?),
    };
    let fpu_area = direct_map(zeroed_frame()?).raw() as *mut u8;
    // SAFETY: a page of its own, aligned and used by nobody else yet.
    unsafe { fpu::initialise(fpu_area) };
    let vcpu: &'static Vcpu = Box::leak(Box::new(new_vcpu(
        domain,
        id,
        VcpuInfo::new(info),
        fpu_area,
    )));
    vcpu.info
        .upcall_mask()
        .store(1, core::sync::atomic::Ordering::Relaxed);
    crate::sched::register(vcpu).map_err(|_| NoMemory)?;
    Ok(slot.call_once(|| vcpu))
}

fn new_vcpu(domain: &'static Domain, id: u32, info: VcpuInfo, fpu_area: *mut u8) -> Vcpu {
    Vcpu {
        kernel_mode: Cell::new(1),
        kernel_cr3: Cell::new(0),
        user_cr3: Cell::new(0),
        kernel_sp: Cell::new(0),
        kernel_ss: Cell::new(0),
        syscall: Cell::new(Callback::default()),
        info,
        fast_syscall: Cell::new(0),
        id,
        domain,
        syscall32: Cell::new(Callback::default()),
        sysenter: Cell::new(Callback::default()),
        event_callback: Cell::new(Callback::default()),
        failsafe_callback: Cell::new(Callback::default()),
        nmi_callback: Cell::new(0),
        trap_table: UnsafeCell::new([TrapEntry::default(); 256]),
        fs_base: Cell::new(0),
        gs_base_kernel: Cell::new(0),
        gs_base_user: Cell::new(0),
        selectors: Cell::new([0; 4]),
        cr0_ts: Cell::new(false),
        cr2: Cell::new(0),
        cr4: Cell::new(0),
        xcr0: Cell::new(1),
        continuation: Cell::new([0; 6]),
        io_bitmap: Cell::new((0, 0)),
        iopl: Cell::new(0),
        debug: Cell::new([0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400]),
        descriptors: Mutex::default(),
        roots: Mutex::new(Roots::default()),
        gdt_entries: Cell::new(0),
        ldt_base: Cell::new(0),
        ldt_entries: Cell::new(0),
        ldt_mapped: Cell::new(false),
        saved_regs: UnsafeCell::new(GuestRegs::default()),
        fpu: fpu_area,
        processor: AtomicU32::new(0),
        loaded: AtomicBool::new(false),
        run: crate::sched::RunState::new(),
        time: crate::time::VcpuTime::new(),
        events: crate::events::VcpuEvents::new(),
        pending_special: AtomicU32::new(0),
        upcalls: AtomicU64::new(0),
    }
}

/// A frame of the hypervisor's own, all zero.
fn zeroed_frame() -> Result<Mfn, NoMemory> {
    let frame = crate::mm::frames::alloc_page().ok_or(NoMemory)?;
    engine().machine().zero_frame(frame);
    Ok(frame)
}

fn direct_map(frame: Mfn) -> Vaddr {
    Vaddr::new(layout::direct_map(frame.maddr()) as u64)
}
