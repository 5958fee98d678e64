//! The end of a domain, and what the control domain's end means for the machine.

use core::sync::atomic::Ordering;

use xenocryst_abi::sched::shutdown::{self as reason, CRASH};
use xenocryst_abi::virq;

use super::lifecycle::stop_if_running;
use crate::arch::power;
use crate::console::{Level, Source, log, say};
use crate::domain::Domain;
use crate::events;
use crate::percpu::this_cpu;
use crate::traps::crash::{show_registers, show_stack};

/// Most that a reason can be: the ABI passes it on as eight bits.
const REASONS: u32 = 0xff;

/// `SCHEDOP_shutdown_code`: the domain says beforehand why it will stop. The first word stands.
pub fn record_reason(domain: &Domain, why: u32) {
    let word = (why & REASONS) + 1;
    // Failing means that a reason was given before, which is no failure.
    let _ = domain
        .shutdown_code
        .compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire);
}

/// Stops `domain` because of `why` (`SHUTDOWN_*`), or for the reason it gave before. Does not return if it is the control
/// domain. Nothing happens if the domain has stopped already.
pub fn shutdown(domain: &'static Domain, why: u32) {
    record_reason(domain, why);
    let word = domain.shutdown_code.load(Ordering::Acquire);
    if domain
        .shutdown
        .compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire)
        .is_err()
    {
        return;
    }
    let why = word - 1;
    log!(
        Source::Hypervisor,
        Level::Info,
        "{}: stopped: {}",
        domain.id,
        name_of(why)
    );
    if why == CRASH {
        let cpu = this_cpu();
        if let Some(vcpu) = cpu.current.get()
            && core::ptr::eq(vcpu.domain, domain)
        {
            log!(
                Source::Hypervisor,
                Level::Error,
                "{}v{} on CPU {}:",
                domain.id,
                vcpu.id,
                cpu.cpu
            );
            show_registers(&cpu.guest);
            show_stack(&cpu.guest);
        }
    }
    domain_stopped(domain);
}

/// `domain`, whose `shutdown` field has just been set, runs no more: takes it off all CPUs and tells the control domain.
/// Does not return if it is that one.
pub fn domain_stopped(domain: &'static Domain) {
    if domain.privileged {
        end_machine(domain.shutdown.load(Ordering::Acquire).saturating_sub(1));
    }
    for vcpu in domain.each_vcpu() {
        stop_if_running(vcpu);
    }
    events::send_dom0_virq(virq::DOM_EXC);
}

fn name_of(why: u32) -> &'static str {
    reason::name(why)
        .and_then(|name| name.strip_prefix("SHUTDOWN_"))
        .unwrap_or("unknown reason")
}

/// What the end of the control domain means.
fn end_machine(why: u32) -> ! {
    match why {
        reason::POWEROFF => {
            say!("Dom0 has powered off: powering the machine off");
            power::power_off()
        }
        reason::REBOOT | reason::WATCHDOG | reason::SOFT_RESET => {
            say!(
                "Dom0 has stopped ({}): restarting the machine",
                name_of(why)
            );
            power::reboot()
        }
        _ => {
            say!("Dom0 has stopped ({})", name_of(why));
            power::stop_host()
        }
    }
}
