//! What happens when the hypervisor finds that it itself is wrong: it says what and where, then stops or starts over.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::console::say;
use crate::percpu::this_cpu;

/// Panics begun so far.
static PANICS: AtomicU32 = AtomicU32::new(0);

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    crate::console::enter_emergency();
    match PANICS.fetch_add(1, Ordering::SeqCst) {
        0 => epitaph(info),
        1 => say!("panic while stopping: {info}"),
        _ => crate::arch::stop_forever(),
    }
    crate::arch::power::stop_host()
}

/// The report: message, place, CPU, and the guest that was running with its registers.
fn epitaph(info: &PanicInfo) {
    say!("****************************************");
    say!("Panic: {}", info.message());
    if let Some(place) = info.location() {
        say!("at {}:{}:{}", place.file(), place.line(), place.column());
    }
    report_current();
    say!("****************************************");
}

/// Which CPU this is and what it was doing on whose behalf.
fn report_current() {
    let cpu = this_cpu();
    match cpu.current.get() {
        None => say!("CPU {}, no guest", cpu.cpu),
        Some(vcpu) => {
            say!(
                "CPU {}, {}v{}, whose registers were:",
                cpu.cpu,
                vcpu.domain.id,
                vcpu.id
            );
            crate::traps::crash::show_registers(&cpu.guest);
        }
    }
}

/// Named by the precompiled `core`; never called, as nothing unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
