//! Start of day: the order in which the hypervisor's parts come up on the boot CPU.
//!
//! Keeps true: each step uses only what the steps before it have set up. Up to [`boot_cpu`] the boot stack is used, from
//! there on the boot CPU's own stack block.
//! Neighbours: everything.

use core::arch::asm;

use xenocryst_boot::cmdline::Options;

use crate::arch::{acpi, apic, calibrate, cpu, cpu_block, entry, gdt, pic, rtc, smp};
use crate::console::{self, Level, Source, log, say};
use crate::mm::early::EarlyMemory;
use crate::percpu::{this_cpu, work};
use crate::{boot, dom0, emulate, irq, mm, options};

/// The first Rust code: called by `boot::entry` on the boot CPU with the loader's magic number and the physical address
/// of its information.
pub extern "C" fn kmain(magic: u32, at: u32) -> ! {
    console::init_early();
    console::banner();
    init_memory(magic, at);
    let info = boot::keep(magic, at);
    options::init(info.options());
    announce();
    init_board();
    let stack = cpu_block::make_block(0, apic::own_id());
    // SAFETY: the block is new; nothing on the boot stack is needed again. The call's return address keeps the stack aligned
    // as a call does.
    unsafe {
        asm!("mov rsp, {stack}", "xor ebp, ebp", "call {next}", "ud2",
             stack = in(reg) stack, next = sym boot_cpu, options(noreturn));
    }
}

/// Finds RAM, and leaves the loader's page tables behind.
fn init_memory(magic: u32, at: u32) {
    // SAFETY: the first page tables map the first 4 GiB at address 0 until `mm::init` switches to its own, after which neither
    // `memory` nor what was borrowed from it is used.
    let memory = unsafe { EarlyMemory::new() };
    let info = boot::parse(&memory, magic, at)
        .expect("not started by a Multiboot loader that says where memory is");
    let limit = Options::parse(info.options()).mem.unwrap_or(u64::MAX);
    mm::init(&info, &memory.read(), limit);
}

/// Says what was found.
fn announce() {
    let info = boot::info();
    say!(
        "Bootloader: {}",
        if info.loader.is_empty() {
            "unknown"
        } else {
            info.loader
        }
    );
    say!("Command line: {}", options::command_line());
    if info.left_out != 0 {
        say!(
            "{} items of the boot loader's information make no sense and are left out",
            info.left_out
        );
    }
    for entry in info.memory.entries() {
        say!(
            "  {:016x} - {:016x} {:?}",
            entry.start,
            entry.end,
            entry.kind
        );
    }
    let ram = mm::ram();
    say!(
        "System RAM: {} MiB ({} kB)",
        ram.total() >> 20,
        ram.total() >> 10
    );
    say!(
        "{} kB free after the frame table and the M2P",
        mm::engine().free_frame_count() * 4
    );
}

/// Finds the board's devices and starts time.
fn init_board() {
    cpu::init_registers();
    acpi::init(boot::info().rsdp);
    pic::disable();
    apic::init();
    acpi::add_ioapics();
    calibrate::run(acpi::clock_sources());
    rtc::init();
}

/// The boot CPU on its own stack: everything that needs one.
extern "C" fn boot_cpu() -> ! {
    // SAFETY: runs on the block made for CPU 0, with interrupts off.
    unsafe { gdt::load_tables(0) };
    smp::start_others(
        acpi::apic_ids(),
        options::options().maxcpus.unwrap_or(u32::MAX),
    );
    emulate::ports::init(
        console::port_base(),
        acpi::tables()
            .and_then(|acpi| acpi.fixed)
            .map(|fixed| fixed.pm_timer),
    );
    connect_console();
    dom0::start();
    console::announce_input(console::Receiver::Dom0);
    console::release_display();
    run_cpu()
}

/// Lets input on the serial console interrupt.
fn connect_console() {
    let Some(isa) = console::enable_input_interrupt() else {
        return;
    };
    let line = acpi::tables().map_or(u32::from(isa), |acpi| acpi.isa_line(isa).gsi);
    if irq::claim_for_hypervisor(line, work::CONSOLE).is_err() {
        log!(
            Source::Hypervisor,
            Level::Warning,
            "The serial console cannot interrupt: no input from it"
        );
    }
}

/// Where every CPU ends up once it is set up: choosing a vCPU and running it.
pub fn run_cpu() -> ! {
    this_cpu().raise(work::SCHEDULE);
    // SAFETY: the CPU is on its own stack with its tables loaded; the frame is filled by the choice that SCHEDULE asks for.
    unsafe { entry::enter_guest() }
}
