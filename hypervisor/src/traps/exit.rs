//! The last steps before a guest runs: pending work of this CPU, the choice of the vCPU, and its waiting events.
//!
//! Keeps true: a guest is entered only with no work bit set, on a vCPU that may run, with its events delivered or masked.

use core::sync::atomic::Ordering;

use super::{bounce, vector};
use crate::arch::tlb;
use crate::domain::{SPECIAL_NMI, Vcpu, context, grave};
use crate::percpu::{CpuInfo, GuestRegs, this_cpu, work};
use crate::sync;

/// Does what must be done before the guest whose registers stand in `regs` (or another one) is entered.
#[inline]
pub extern "C" fn exit_to_guest(regs: &mut GuestRegs) {
    loop {
        let cpu = this_cpu();
        if cpu.work.load(Ordering::Acquire) != 0 {
            do_work(cpu, regs);
            continue;
        }
        let vcpu = cpu.vcpu();
        let info = &vcpu.info;
        if info.upcall_pending().load(Ordering::Acquire) == 0
            || info.upcall_mask().load(Ordering::Relaxed) != 0
        {
            sync::assert_nothing_held();
            return;
        }
        bounce::inject_events(regs, vcpu);
    }
}

#[cold]
fn do_work(cpu: &'static CpuInfo, regs: &mut GuestRegs) {
    let bits = cpu.work.swap(0, Ordering::AcqRel);
    small_work(cpu, bits);
    if bits & work::SCHEDULE == 0 {
        if bits & work::QUIET != 0 {
            crate::quiet::enter(cpu);
        }
        return;
    }
    // After the choice, which another CPU may be waiting for.
    cpu.raise(bits & work::QUIET);
    loop {
        // What asked for a choice up to here is answered by the one that follows.
        cpu.work.fetch_and(!work::SCHEDULE, Ordering::AcqRel);
        if let Some(next) = crate::sched::choose(cpu.cpu) {
            context::switch_to(cpu, next, regs);
            deliver_special(regs, next);
            return;
        }
        idle(cpu, regs);
    }
}

/// Delivers a non-maskable interrupt that another vCPU or the control domain sent; to a guest that registered no handler
/// for it, none.
fn deliver_special(regs: &mut GuestRegs, vcpu: &'static Vcpu) {
    if vcpu.pending_special.load(Ordering::Relaxed) == 0 {
        return;
    }
    if vcpu.pending_special.swap(0, Ordering::SeqCst) & SPECIAL_NMI == 0 {
        return;
    }
    let address = match vcpu.nmi_callback.get() {
        0 => vcpu.trap_entry(vector::NMI).address,
        address => address,
    };
    if address != 0 {
        bounce::enter_kernel(
            regs,
            vcpu,
            &bounce::Entry {
                address,
                error: None,
                mask_events: false,
            },
        );
    }
}

/// What interrupts and other CPUs left to do, but for choosing.
fn small_work(cpu: &'static CpuInfo, bits: u32) {
    if bits & work::FORGET != 0 {
        // Nothing further up the stack knows a domain but by what is loaded here.
        grave::forgotten_by(cpu.cpu);
    }
    if bits & work::TIMER != 0 {
        crate::time::on_timer_interrupt();
    }
    if bits & work::CONSOLE != 0 {
        crate::console::on_input();
    }
}

/// Waits for an interrupt, and does what it asked for.
fn idle(cpu: &'static CpuInfo, regs: &GuestRegs) {
    if cpu
        .current
        .get()
        .is_some_and(crate::sched::is_wanted_unloaded)
    {
        context::unload(cpu, regs);
    }
    grave::sweep();
    sync::assert_nothing_held();
    let flushed = tlb::last_flush(cpu.cpu);
    cpu.idle.store(1, Ordering::SeqCst);
    if cpu.work.load(Ordering::SeqCst) == 0 {
        // SAFETY: interrupts open for the one instruction HLT; what arrives runs on this stack and only sets bits.
        unsafe { core::arch::asm!("sti", "hlt", "cli") };
    }
    cpu.idle.store(0, Ordering::SeqCst);
    if tlb::last_flush(cpu.cpu) != flushed {
        // Others change what this CPU still knows of a guest: it forgets it, so that they need not ask again.
        context::unload(cpu, regs);
    }
    let bits = cpu.work.swap(0, Ordering::AcqRel);
    small_work(cpu, bits);
    if bits & work::QUIET != 0 {
        crate::quiet::enter(cpu);
    }
}
