//! Xenocryst: a hypervisor that speaks the Xen 4.17 PV interface.
//!
//! This crate is the bare-metal image. Its parts: `boot` (from the loader to Rust), `mm` (the hypervisor's own address
//! space and memory), `console` (serial port, ring, log), `arch` (the processor and its board).
#![no_std]
#![no_main]

mod arch;
mod boot;
mod console;
mod panic;

/// The first Rust code: called by `boot::entry` on the boot CPU with the loader's magic number and the physical address
/// of its information.
extern "C" fn kmain(magic: u32, info: u32) -> ! {
    console::init_early();
    console::banner();
    let _ = (magic, info);
    loop {
        arch::halt();
    }
}
