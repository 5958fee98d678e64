//! The first domain: from the boot loader's modules to a vCPU that can be entered.
//!
//! Neighbours: `start` (calls [`start`] once the machine is up), `builder`, `domain`, `xenocryst-boot` (reads the image).

use xenocryst_abi::{DomId, Maddr, PAGE_SIZE};
use xenocryst_boot::cmdline::Options;
use xenocryst_boot::info::Module;
use xenocryst_memory::{IoAccess, IoRange};

use crate::arch::{ioapic, msr, smp};
use crate::builder::{self, BootFile, Files};
use crate::console::say;
use crate::domain::{self, Domain, create};
use crate::hypercall::owners;
use crate::mm::machine::engine;
use crate::{boot, options, sched};

/// Kept back from dom0 if it is given no limit: for the hypervisor's heap and for other domains' tables.
const KEPT_BACK: u64 = 64 << 20;

/// Builds dom0 from the boot loader's modules and makes its first vCPU ready to run.
///
/// # Panics
/// With the reason, if there is no kernel, or none that can run: the host has nothing to do then.
pub fn start() {
    let options = options::options();
    let info = boot::info();
    let Some(kernel) = info.modules().first() else {
        panic!("no dom0 kernel: the boot loader gave no module")
    };
    let files = Files {
        kernel: boot_file(kernel),
        initrd: info
            .modules()
            .get(1)
            .map_or_else(BootFile::default, boot_file),
        command_line: info.module_options(0).unwrap_or(""),
    };
    let domain = make_domain(options);
    let bytes = memory_for(options, &files);
    let nr_pages = bytes / PAGE_SIZE;
    // Without a word about more, what it starts with is what it may have.
    let most = options
        .dom0_mem
        .limit(bytes)
        .map_or(nr_pages, |limit| (limit / PAGE_SIZE).max(nr_pages));
    domain
        .memory
        .set_max_pages(u32::try_from(most).unwrap_or(u32::MAX));
    let first = domain.vcpu(0).expect("made above");
    if let Err(failure) = builder::build(domain, first, files, nr_pages) {
        panic!("dom0 cannot be built: {failure}");
    }
    owners::share_m2p();
    domain::publish(domain);
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
        grants: crate::grants::Limits::MOST,
        flags: 0,
        handle: [0; 16],
    };
    let domain = create::domain(plan).expect("no memory for dom0's own structures");
    for id in 0..domain.max_vcpus {
        create::vcpu(domain, id).expect("no memory for dom0's vCPUs");
    }
    say!("Dom0 has {} vCPUs", domain.max_vcpus);
    domain
}

/// Every device's frames, but for the interrupt controllers, which are the hypervisor's.
fn io_access() -> IoAccess {
    let mut io = IoAccess::all();
    let local = Maddr::new(msr::rdmsr(msr::APIC_BASE)).mfn();
    let boards = (0..)
        .map_while(ioapic::describe)
        .map(|ioapic| ioapic.maddr.mfn());
    for frame in boards.chain([local]) {
        assert!(
            io.deny(IoRange {
                first: frame,
                last: frame
            }),
            "too many interrupt controllers"
        );
    }
    io
}

/// The bytes of memory dom0 gets: the files' memory is free once they are loaded.
fn memory_for(options: &Options<'_>, files: &Files<'_>) -> u64 {
    let free =
        (engine().free_frame_count() + files.kernel.whole_pages() + files.initrd.whole_pages())
            * PAGE_SIZE;
    let available = free.saturating_sub(KEPT_BACK.min(free / 8));
    options.dom0_mem.bytes(available).min(available) / PAGE_SIZE * PAGE_SIZE
}

/// What a module holds.
fn boot_file(module: &Module<'_>) -> BootFile {
    // SAFETY: the loader filled it, it was kept from every allocator, and dom0 is built once.
    unsafe { BootFile::of(module) }.expect("a boot module lies outside RAM")
}
