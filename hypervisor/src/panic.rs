//! What happens when the hypervisor finds that it itself is wrong.

use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    crate::console::emergency(format_args!("{info}"));
    loop {
        crate::arch::halt();
    }
}

/// Named by the precompiled `core`; never called, as nothing unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
