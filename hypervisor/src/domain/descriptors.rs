//! A vCPU's descriptor tables: windows in its domain's own slot onto the guest's frames, below the hypervisor's own page.
//!
//! Keeps true: every frame mapped in a window is held with a descriptor type reference, so that it was audited and cannot
//! be written by the guest (I88); pages of an LDT are mapped only on use and only below its limit (I89).
//! Neighbours: `arch::{cpu_block, gdt}`, `mm::per_domain`, `hypercall::descriptors`, `traps::page_fault`.

use xenocryst_abi::hypercall::errno::{EINVAL, Errno};
use xenocryst_abi::{Mfn, PAGE_SIZE, Vaddr};
use xenocryst_memory::DescriptorRef;

use super::Vcpu;
use crate::arch::{control, cpu_block, gdt, guest_access};
use crate::mm::machine::engine;
use crate::mm::per_domain::{GDT_PAGES, PerDomain};

/// Pages a guest's GDT may have.
pub const GUEST_GDT_PAGES: usize = 14;
/// Pages an LDT may have: 8192 entries.
const LDT_PAGES: usize = 16;
/// Descriptors in a page.
const PER_PAGE: usize = 512;

/// References on the frames mapped in a vCPU's windows.
#[derive(Default)]
pub struct Held {
    gdt: [Option<DescriptorRef>; GUEST_GDT_PAGES],
    ldt: [Option<DescriptorRef>; LDT_PAGES],
}

/// Tells `tell` of every frame that `vcpu`'s windows hold.
pub fn each_held(vcpu: &Vcpu, tell: &mut dyn FnMut(Mfn)) {
    let held = vcpu.descriptors.lock();
    let all = held.gdt.iter().chain(&held.ldt);
    all.flatten().for_each(|reference| tell(reference.mfn()));
}

/// Loads `vcpu`'s tables on `cpu`, which is about to run it.
pub fn load(cpu: u32, vcpu: &'static Vcpu) {
    let Some(frame) = cpu_block::reserved_frame(cpu) else {
        return;
    };
    vcpu.domain
        .per_domain
        .set(vcpu.id as usize, GUEST_GDT_PAGES, Some(frame));
    let window = PerDomain::gdt_address(vcpu.id as usize);
    control::invlpg(window + gdt::FIRST_RESERVED);
    // SAFETY: the hypervisor's page was just mapped above the guest's, for this CPU.
    unsafe { gdt::load_gdt(window + gdt::FIRST_RESERVED) };
    load_ldt(cpu, vcpu);
}

/// Puts `cpu`, the calling CPU, on its own descriptors alone, which are in every address space.
pub fn unload(cpu: u32) {
    if let Some(page) = cpu_block::reserved_page(cpu) {
        // SAFETY: the page holds this CPU's descriptors and lives for ever, in the part that all address spaces share.
        unsafe { gdt::load_gdt(page) };
    }
    gdt::load_ldt(cpu, 0, 0);
}

fn load_ldt(cpu: u32, vcpu: &Vcpu) {
    gdt::load_ldt(
        cpu,
        PerDomain::ldt_address(vcpu.id as usize),
        vcpu.ldt_entries.get(),
    );
}

/// Replaces `vcpu`'s GDT by `entries` descriptors in `frames`.
///
/// # Errors
/// `EINVAL` if there are too many, or a frame is not the domain's or cannot be a descriptor page; nothing changes then.
pub fn set_gdt(vcpu: &'static Vcpu, frames: &[u64], entries: usize) -> Result<(), Errno> {
    let count = entries.div_ceil(PER_PAGE);
    if count > GUEST_GDT_PAGES || frames.len() < count {
        return Err(EINVAL);
    }
    let mut held: [Option<DescriptorRef>; GUEST_GDT_PAGES] = Default::default();
    for (slot, frame) in held.iter_mut().zip(&frames[..count]) {
        match engine().get_descriptor_page(&vcpu.domain.memory, Mfn::new(*frame)) {
            Ok(reference) => *slot = Some(reference),
            Err(_) => {
                release(vcpu, held);
                return Err(EINVAL);
            }
        }
    }
    let window = PerDomain::gdt_address(vcpu.id as usize);
    for (page, reference) in held.iter().enumerate() {
        vcpu.domain.per_domain.set(
            vcpu.id as usize,
            page,
            reference.as_ref().map(DescriptorRef::mfn),
        );
        control::invlpg(window + page as u64 * PAGE_SIZE);
    }
    vcpu.gdt_entries.set(entries as u32);
    let old = core::mem::replace(&mut vcpu.descriptors.lock().gdt, held);
    release(vcpu, old);
    Ok(())
}

/// The frames of `vcpu`'s GDT, 0 where it has none.
pub fn gdt_frames(vcpu: &Vcpu) -> [u64; GUEST_GDT_PAGES] {
    let held = vcpu.descriptors.lock();
    core::array::from_fn(|page| {
        let reference = held.gdt.get(page).and_then(Option::as_ref);
        reference.map_or(0, |reference| reference.mfn().raw())
    })
}

/// Replaces `vcpu`'s LDT by `entries` descriptors at linear address `base`. The vCPU must be loaded on this CPU.
///
/// # Errors
/// `EINVAL` for more than 8192 entries, or, if there are any, a base that is not page-aligned or not the guest's.
pub fn set_ldt(vcpu: &'static Vcpu, base: u64, entries: u32) -> Result<(), Errno> {
    let base = if entries == 0 { 0 } else { base };
    // Where the table goes on into the hypervisor's range no page of it is ever mapped.
    if entries > 8192
        || !base.is_multiple_of(PAGE_SIZE)
        || !guest_access::is_guest_address(Vaddr::new(base))
    {
        return Err(EINVAL);
    }
    if vcpu.ldt_base.get() == base && vcpu.ldt_entries.get() == entries {
        return Ok(());
    }
    drop_ldt_pages(vcpu);
    vcpu.ldt_base.set(base);
    vcpu.ldt_entries.set(entries);
    load_ldt(crate::percpu::this_cpu().cpu, vcpu);
    Ok(())
}

/// Unmaps and lets go of the LDT pages mapped so far.
pub fn drop_ldt_pages(vcpu: &'static Vcpu) {
    // Hardly any guest has an LDT, and every change of address space comes by here.
    if !vcpu.ldt_mapped.replace(false) {
        return;
    }
    let old = core::mem::take(&mut vcpu.descriptors.lock().ldt);
    let window = PerDomain::ldt_address(vcpu.id as usize);
    for (page, reference) in old.iter().enumerate() {
        if reference.is_some() {
            vcpu.domain
                .per_domain
                .set(vcpu.id as usize, GDT_PAGES + page, None);
            control::invlpg(window + page as u64 * PAGE_SIZE);
        }
    }
    release(vcpu, old);
}

/// The offset into `vcpu`'s LDT that a fault at `address` asks for, if it lies in its window.
pub fn ldt_offset(vcpu: &Vcpu, address: u64) -> Option<u64> {
    let offset = address.checked_sub(PerDomain::ldt_address(vcpu.id as usize))?;
    (offset < LDT_PAGES as u64 * PAGE_SIZE).then_some(offset)
}

/// Maps the page of `vcpu`'s LDT that holds byte `offset`. False if there is none, or it cannot be a descriptor page.
pub fn map_ldt_page(vcpu: &'static Vcpu, offset: u64) -> bool {
    if offset >= u64::from(vcpu.ldt_entries.get()) * 8 {
        return false;
    }
    let page = (offset / PAGE_SIZE) as usize;
    let linear = Vaddr::new(vcpu.ldt_base.get().wrapping_add(page as u64 * PAGE_SIZE));
    let root = Mfn::new(vcpu.kernel_cr3.get() / PAGE_SIZE);
    let Some(at) = engine().translate(&vcpu.domain.memory, root, linear) else {
        return false;
    };
    let frame = at.mfn();
    let Ok(reference) = engine().get_descriptor_page(&vcpu.domain.memory, frame) else {
        return false;
    };
    vcpu.domain
        .per_domain
        .set(vcpu.id as usize, GDT_PAGES + page, Some(frame));
    vcpu.ldt_mapped.set(true);
    let old = vcpu.descriptors.lock().ldt[page].replace(reference);
    release(vcpu, [old]);
    true
}

/// Lets go of everything the vCPU's windows hold.
pub fn release_all(vcpu: &'static Vcpu) {
    drop_ldt_pages(vcpu);
    let old = core::mem::take(&mut vcpu.descriptors.lock().gdt);
    for page in 0..GUEST_GDT_PAGES {
        vcpu.domain.per_domain.set(vcpu.id as usize, page, None);
    }
    release(vcpu, old);
}

fn release<const N: usize>(vcpu: &Vcpu, references: [Option<DescriptorRef>; N]) {
    for reference in references.into_iter().flatten() {
        engine().put_descriptor_page(&vcpu.domain.memory, reference);
    }
}
