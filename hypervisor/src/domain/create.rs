//! Making a domain and its vCPUs: everything but the memory it is given and what runs in it.
//!
//! Keeps true: what is made here is complete, so that no other code meets a half-made domain; it is published last. What
//! cannot be made leaves nothing behind.
//! Neighbours: `builder` (fills dom0), `hypercall::domctl` (other domains).

use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use spin::Once;
use xenocryst_abi::{DomId, Mfn, Vaddr};
use xenocryst_memory::{DomainMemory, IoAccess, MachineMemory};

use super::control::Control;
use super::descriptors;
use super::{Callback, Domain, MAX_VCPUS, Roots, SharedInfo, TrapEntry, Vcpu, VcpuInfo};
use crate::arch::fpu;
use crate::mm::machine::engine;
use crate::mm::per_domain::PerDomain;
use crate::mm::{frames, layout};
use crate::percpu::GuestRegs;
use crate::sync::{Mutex, Rank};

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
    /// `XEN_DOMCTL_CDF_*`.
    pub flags: u32,
    /// Its UUID.
    pub handle: [u8; 16],
}

/// There is no memory for it.
#[derive(Debug)]
pub struct NoMemory;

/// Makes a domain without vCPUs or memory. One that is not the control domain is paused, once.
///
/// # Errors
/// [`NoMemory`]; what was taken by then is given back.
pub fn domain(plan: Plan) -> Result<&'static Domain, NoMemory> {
    let max_vcpus = plan.max_vcpus.clamp(1, MAX_VCPUS as u32);
    let shared = zeroed_frame()?;
    let Ok(per_domain) = PerDomain::new(max_vcpus as usize) else {
        frames::free_page(shared);
        return Err(NoMemory);
    };
    let memory = DomainMemory::new(plan.id, plan.privileged, per_domain.slot_entry(), plan.io);
    memory.set_max_pages(plan.max_pages);
    // Until the guest asks for strictness.
    memory.set_m2p_in_new_roots(false);
    let pauses = u32::from(!plan.privileged);
    let made = frames::place_value(Domain {
        place: AtomicPtr::new(core::ptr::null_mut()),
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
        pauses: AtomicU32::new(pauses),
        control: Control::new(plan.flags, plan.handle, pauses),
        pci_cf8: AtomicU32::new(0),
        grants: crate::grants::Grants::new(plan.grants),
        cpu_policy: Mutex::new(Rank::Settings, None),
        latches: crate::emulate::ports::Latches::new(),
    });
    let Some(made) = made else {
        // The tables went with the value that had no place; only the frame is left.
        frames::free_page(shared);
        return Err(NoMemory);
    };
    // SAFETY: it lives until `grave` frees it.
    let domain: &'static Domain = unsafe { made.as_ref() };
    domain.place.store(made.as_ptr(), Ordering::Relaxed);
    if !engine().share_with(&domain.memory, shared, true) {
        return Err(NoMemory);
    }
    if !crate::grants::init(domain) {
        super::grave::discard(domain);
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
    let own_frames = vcpu_frames(domain, id)?;
    let vcpu = match make_vcpu(domain, id, own_frames) {
        Ok(vcpu) => vcpu,
        Err(NoMemory) => {
            own_frames.into_iter().flatten().for_each(frames::free_page);
            return Err(NoMemory);
        }
    };
    Ok(slot.call_once(|| vcpu))
}

/// The frames a vCPU needs: for its floating point state, and above the legacy number for its information, until the guest
/// gives that a place.
fn vcpu_frames(domain: &Domain, id: u32) -> Result<[Option<Mfn>; 2], NoMemory> {
    let fpu = zeroed_frame()?;
    if domain.shared_info.vcpu_info(id).is_some() {
        return Ok([Some(fpu), None]);
    }
    match zeroed_frame() {
        Ok(info) => Ok([Some(fpu), Some(info)]),
        Err(NoMemory) => {
            frames::free_page(fpu);
            Err(NoMemory)
        }
    }
}

fn make_vcpu(
    domain: &'static Domain,
    id: u32,
    own_frames: [Option<Mfn>; 2],
) -> Result<&'static Vcpu, NoMemory> {
    let [Some(fpu), own_info] = own_frames else {
        return Err(NoMemory);
    };
    let info = domain
        .shared_info
        .vcpu_info(id)
        .or(own_info.map(direct_map))
        .ok_or(NoMemory)?;
    let fpu_area = direct_map(fpu).raw() as *mut u8;
    // SAFETY: a page of its own, aligned and used by nobody else yet.
    unsafe { fpu::initialise(fpu_area) };
    let made = new_vcpu(domain, id, VcpuInfo::new(info), fpu_area, own_frames);
    let place = frames::place_value(made).ok_or(NoMemory)?;
    // SAFETY: it lives until `grave` frees it.
    let vcpu: &'static Vcpu = unsafe { place.as_ref() };
    vcpu.place.store(place.as_ptr(), Ordering::Relaxed);
    vcpu.info.upcall_mask().store(1, Ordering::Relaxed);
    if crate::sched::register(vcpu).is_err() {
        // SAFETY: made above, and shown to nobody that keeps it.
        unsafe { frames::drop_value(place) };
        return Err(NoMemory);
    }
    Ok(vcpu)
}

fn new_vcpu(
    domain: &'static Domain,
    id: u32,
    info: VcpuInfo,
    fpu_area: *mut u8,
    own_frames: [Option<Mfn>; 2],
) -> Vcpu {
    Vcpu {
        place: AtomicPtr::new(core::ptr::null_mut()),
        own_frames,
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
        tsc_aux: Cell::new(0),
        xcr0: Cell::new(1),
        continuation: Cell::new([0; 6]),
        io_bitmap: Cell::new((0, 0)),
        iopl: Cell::new(0),
        debug: Cell::new([0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400]),
        descriptors: Mutex::new(Rank::Descriptors, descriptors::Held::default()),
        roots: Mutex::new(Rank::Roots, Roots::default()),
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
