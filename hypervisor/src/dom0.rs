//! The first domain: from the boot loader's modules to a vCPU that can be entered.
//!
//! Neighbours: `start` (calls [`start`] once the machine is up), `builder`, `domain`, `xenocryst-boot` (reads the image).

use alloc::vec::Vec;

use xenocryst_abi::{DomId, Maddr, PAGE_SIZE};
use xenocryst_boot::cmdline::Options;
use xenocryst_boot::info::Module;
use xenocryst_boot::kernel::{self, KernelFile, Packed};
use xenocryst_boot::refusal::Refusal;
use xenocryst_memory::{IoAccess, IoRange};

use crate::arch::{ioapic, msr, smp};
use crate::builder;
use crate::console::say;
use crate::domain::{self, Domain, create};
use crate::mm::machine::engine;
use crate::mm::direct_map;
use crate::{boot, options, sched};

/// Kept back from dom0 if it is given no limit: for the hypervisor's heap and for other domains' tables.
const KEPT_BACK: u64 = 64 << 20;
/// Most a kernel may unpack to.
const MOST_UNPACKED: u64 = 512 << 20;

/// Builds dom0 from the boot loader's modules and makes its first vCPU ready to run.
///
/// # Panics
/// With the reason, if there is no kernel, or none that can run: the host has nothing to do then.
pub fn start() {
    let options = options::options();
    let info = boot::info();
    let Some(kernel) = info.modules().first() else { panic!("no dom0 kernel: the boot loader gave no module") };
    let initrd = info.modules().get(1).map_or(&[][..], |module| module_bytes(module));
    let domain = make_domain(options);
    let nr_pages = memory_for(options) / PAGE_SIZE;
    domain.memory.set_max_pages(u32::try_from(nr_pages).unwrap_or(u32::MAX));
    let command_line = info.module_options(0).unwrap_or("");
    load(domain, module_bytes(kernel), initrd, command_line, nr_pages);
    domain::publish(domain);
    let first = domain.vcpu(0).expect("made above");
    crate::time::show_wall_clock(domain);
    sched::up(first).expect("its root was just set");
}

fn make_domain(options: &Options<'_>) -> &'static Domain {
    let vcpus = options.dom0_max_vcpus.count(smp::cpu_count());
    let plan = create::Plan {
        id: DomId::DOM0,
        privileged: true,
        max_vcpus: vcpus,
        max_pages: 0,
        io: io_access(),
    };
    let domain = create::domain(plan).expect("no memory for dom0's own structures");
    for id in 0..domain.max_vcpus {
        let vcpu = create::vcpu(domain, id).expect("no memory for dom0's vCPUs");
        sched::register(vcpu).expect("no memory for dom0's vCPUs");
    }
    say!("Dom0 has {} vCPUs", domain.max_vcpus);
    domain
}

/// Every device's frames, but for the interrupt controllers, which are the hypervisor's.
fn io_access() -> IoAccess {
    let mut io = IoAccess::all();
    let local = Maddr::new(msr::rdmsr(msr::APIC_BASE)).mfn();
    let boards = (0..).map_while(ioapic::describe).map(|ioapic| ioapic.maddr.mfn());
    for frame in boards.chain([local]) {
        assert!(io.deny(IoRange { first: frame, last: frame }), "too many interrupt controllers");
    }
    io
}

/// The bytes of memory dom0 gets.
fn memory_for(options: &Options<'_>) -> u64 {
    let free = engine().free_frame_count() * PAGE_SIZE;
    let available = free.saturating_sub(KEPT_BACK.min(free / 8));
    options.dom0_mem.bytes(available).min(available) / PAGE_SIZE * PAGE_SIZE
}

/// What a module holds.
fn module_bytes(module: &Module<'_>) -> &'static [u8] {
    let (start, end) = (Maddr::new(module.start), Maddr::new(module.end));
    assert!(crate::mm::is_ram(start, end), "a boot module lies outside RAM");
    // SAFETY: RAM that the boot loader filled and that was kept from every allocator.
    unsafe { core::slice::from_raw_parts(direct_map(start), module.bytes() as usize) }
}

/// Unpacks the kernel, checks it, and builds the domain around it.
fn load(domain: &'static Domain, file: &[u8], initrd: &[u8], command_line: &str, nr_pages: u64) {
    let refused = |refusal: Refusal<'_>| -> ! { panic!("dom0's kernel cannot be used: {refusal}") };
    let unpacked;
    let image = match KernelFile::find(file, MOST_UNPACKED).unwrap_or_else(|refusal| refused(refusal)) {
        KernelFile::Plain(image) => image,
        KernelFile::Packed(packed) => {
            unpacked = unpack(&packed);
            &unpacked
        }
    };
    let kernel = kernel::pv_kernel(image).unwrap_or_else(|refusal| refused(refusal));
    say!("Dom0: kernel entry {:#x}, {} MiB of memory, initrd of {} kB", kernel.entry, nr_pages >> 8, initrd.len() >> 10);
    let first = domain.vcpu(0).expect("made with the domain");
    if let Err(failure) = builder::build(domain, first, &kernel, initrd, command_line, nr_pages) {
        panic!("dom0 cannot be built: {failure}");
    }
}

/// The unpacked image, in frames of the hypervisor that are given back when dom0 is built.
fn unpack(packed: &Packed<'_>) -> Vec<u8> {
    let mut image = Vec::new();
    if image.try_reserve_exact(packed.unpacked).is_err() {
        panic!("no memory to unpack dom0's kernel: it needs {} MiB", packed.unpacked >> 20);
    }
    image.resize(packed.unpacked, 0);
    if let Err(refusal) = packed.unpack(&mut image) {
        panic!("dom0's kernel cannot be used: {refusal}");
    }
    image
}
