//! What the debug keys print.

use core::sync::atomic::Ordering;

use xenocryst_abi::DomId;

use crate::arch::{clock, cpu_block, smp};
use crate::console::say;
use crate::domain::{self, Domain, Vcpu};
use crate::mm::engine;
use crate::percpu::GuestRegs;
use crate::sched;
use crate::traps::crash;

/// The CPU on which `vcpu` is loaded.
fn loaded_on(vcpu: &Vcpu) -> Option<u32> {
    (0..smp::cpu_count()).find(|&cpu| {
        cpu_block::cpu_info(cpu)
            .and_then(|info| info.current.get())
            .is_some_and(|loaded| core::ptr::eq(loaded, vcpu))
    })
}

/// The guest's registers of `vcpu`, wherever they are.
fn registers(vcpu: &Vcpu) -> GuestRegs {
    match loaded_on(vcpu).and_then(cpu_block::cpu_info) {
        Some(info) => info.guest,
        // SAFETY: no CPU has it loaded, and none can load it while the machine is quiet.
        None => unsafe { *vcpu.saved_regs.get() },
    }
}

fn show(vcpu: &Vcpu) {
    say!(
        "{}v{} on CPU {}, {}, kernel root {:#x}, user root {:#x}:",
        vcpu.domain.id,
        vcpu.id,
        vcpu.processor.load(Ordering::Relaxed),
        sched::describe(vcpu),
        vcpu.kernel_cr3.get(),
        vcpu.user_cr3.get()
    );
    crash::show_registers(&registers(vcpu));
}

/// `0`.
pub fn dom0() {
    let dom0 = domain::find(DomId::DOM0);
    let vcpus = dom0.into_iter().flat_map(Domain::each_vcpu);
    vcpus.for_each(show);
}

/// `d`.
pub fn cpus() {
    for cpu in 0..smp::cpu_count() {
        match cpu_block::cpu_info(cpu).and_then(|info| info.current.get()) {
            Some(vcpu) => {
                say!("CPU {cpu}:");
                show(vcpu);
            }
            None => say!("CPU {cpu}: nothing loaded"),
        }
    }
}

/// `m`.
pub fn memory() {
    let (all, free) = (engine().ram_frames(), engine().free_frame_count());
    let mut given = 0;
    domain::for_each(|domain| {
        let owned = engine().owned_frames(domain.id);
        given += u64::from(owned);
        say!(
            "{}: {} frames ({} MiB) of at most {}",
            domain.id,
            owned,
            owned >> 8,
            domain.memory.max_pages()
        );
    });
    say!(
        "{} frames of RAM ({} MiB): {} free ({} MiB), {} the domains', {} the hypervisor's",
        all,
        all >> 8,
        free,
        free >> 8,
        given,
        all.saturating_sub(free + given)
    );
}

/// `q`.
pub fn domains() {
    let now = clock::uptime_ns();
    say!(
        "System time {}.{:06} s",
        now / 1_000_000_000,
        now / 1000 % 1_000_000
    );
    domain::for_each(|domain| {
        say!(
            "{}: {} vCPUs at most, {} frames, shutdown {}, {}CPUs that know its tables {:#x}",
            domain.id,
            domain.max_vcpus,
            engine().owned_frames(domain.id),
            domain.shutdown.load(Ordering::Relaxed),
            if domain.memory.is_dying() {
                "dying, "
            } else {
                ""
            },
            domain.memory.dirty_cpus()
        );
        if domain.control.dead.load(Ordering::Relaxed) {
            say!(
                "  dead, but held: {} frames of its own, {} grants in use",
                engine().owned_frames(domain.id),
                engine().grants_in_use(&domain.grants.table)
            );
        }
        for vcpu in domain.each_vcpu() {
            let info = &vcpu.info;
            say!(
                "  v{}: CPU {}, {}, upcall pending {} masked {}, entered for {} events",
                vcpu.id,
                vcpu.processor.load(Ordering::Relaxed),
                sched::describe(vcpu),
                info.upcall_pending().load(Ordering::Relaxed),
                info.upcall_mask().load(Ordering::Relaxed),
                vcpu.upcalls.load(Ordering::Relaxed)
            );
        }
    });
}

/// `r`.
pub fn run_queues() {
    for cpu in 0..smp::cpu_count() {
        sched::each_queued(cpu, |vcpu, running| {
            say!(
                "CPU {}: {}v{} {}, charged {} us",
                cpu,
                vcpu.domain.id,
                vcpu.id,
                if running { "runs" } else { "waits" },
                sched::charged_ns(vcpu) / 1000
            );
        });
        say!(
            "CPU {cpu}: idle for {} ms so far",
            sched::idle_time(cpu) / 1_000_000
        );
    }
}
