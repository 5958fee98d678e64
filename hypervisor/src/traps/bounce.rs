//! Entering a guest's kernel at one of its handlers: the frame on its stack, and the switch from user mode.
//!
//! Keeps true: the whole frame is checked before any of it is written, and a stack that cannot take it crashes the domain
//! and nothing else (I91); afterwards the guest runs with flat selectors, events masked if the handler asked for it.
//! The frame's layout (`public/arch-x86/xen-x86_64.h`): RCX, R11, error code if any, RIP, CS with the saved event mask in
//! its upper half, RFLAGS, RSP, SS.

use core::sync::atomic::Ordering;

use xenocryst_abi::{Vaddr, segment};

use super::vector;
use crate::arch::guest_access;
use crate::domain::Vcpu;
use crate::hypercall::vm_assist::ARCHITECTURAL_IOPL;
use crate::percpu::{GuestRegs, this_cpu};

/// `FLAT_RING3_CS64`.
pub const FLAT_CS64: u64 = segment::FLAT_RING3_CS64 as u64;
/// `FLAT_RING3_SS64`.
pub const FLAT_SS: u64 = segment::FLAT_RING3_SS64 as u64;
/// The interrupt flag in RFLAGS.
pub const IF: u64 = 1 << 9;
/// Flags cleared when a handler is entered: trap, nested task, resume, virtual 8086, alignment check.
const CLEARED: u64 = 1 << 8 | 1 << 14 | 1 << 16 | 1 << 17 | 1 << 18;
/// The I/O privilege level field.
pub const IOPL: u64 = 3 << 12;

/// A handler to enter.
pub struct Entry {
    /// Its address.
    pub address: u64,
    /// The error code to push, for the exceptions that have one.
    pub error: Option<u32>,
    /// Whether events are masked on entry.
    pub mask_events: bool,
}

/// Switches the loaded vCPU between its kernel and its user mode: address space and GS base.
#[inline(always)]
pub fn toggle_mode(vcpu: &Vcpu) {
    let to_kernel = !vcpu.in_kernel();
    let cr3 = if to_kernel {
        vcpu.kernel_cr3.get()
    } else {
        vcpu.user_cr3.get()
    };
    vcpu.kernel_mode.set(u64::from(to_kernel));
    // SAFETY: both roots are validated and referenced while they are the vCPU's, and carry the hypervisor's slots.
    // SWAPGS exchanges two values that are both the guest's.
    unsafe {
        core::arch::asm!("swapgs", "mov cr3, {}", in(reg) cr3, options(nostack, preserves_flags));
    }
}

/// Makes the guest continue in its kernel at `entry`, with what it was doing saved on its kernel stack.
#[inline]
pub fn enter_kernel(regs: &mut GuestRegs, vcpu: &'static Vcpu, entry: &Entry) {
    let from_kernel = vcpu.in_kernel();
    let (stack, cs) = if from_kernel {
        // The guest's kernel believes itself in ring 0.
        (regs.rsp, regs.cs & 0xfffc)
    } else {
        toggle_mode(vcpu);
        (vcpu.kernel_sp.get(), regs.cs & 0xffff)
    };
    let mask = vcpu.info.upcall_mask();
    let masked = mask.load(Ordering::Relaxed);
    let enabled = if masked == 0 { IF } else { 0 };
    let flags = (regs.rflags & !(IF | IOPL)) | enabled | shown_iopl(vcpu);
    let saved_cs = cs | u64::from(masked) << 32;
    let top = stack & !0xf;
    let written = match entry.error {
        None => {
            let frame = [
                regs.rcx, regs.r11, regs.rip, saved_cs, flags, regs.rsp, regs.ss,
            ];
            write_frame(top, &frame)
        }
        Some(error) => {
            let frame = [
                regs.rcx,
                regs.r11,
                u64::from(error),
                regs.rip,
                saved_cs,
                flags,
                regs.rsp,
                regs.ss,
            ];
            write_frame(top, &frame)
        }
    };
    let Some(sp) = written else {
        vcpu.domain.crash(format_args!(
            "its kernel stack at {top:#x} cannot take the frame of an event (was at {:#x})",
            regs.rip
        ));
        return;
    };
    if entry.mask_events {
        mask.store(1, Ordering::Relaxed);
    }
    regs.rip = entry.address;
    regs.rsp = sp;
    regs.cs = FLAT_CS64;
    regs.ss = FLAT_SS;
    regs.rflags = (regs.rflags & !(CLEARED | IOPL)) | IF;
}

/// The I/O privilege level a guest sees in its flags: its own, if it asked to see it as on hardware.
#[inline(always)]
fn shown_iopl(vcpu: &Vcpu) -> u64 {
    let assists = vcpu.domain.vm_assist.load(Ordering::Relaxed);
    if assists & ARCHITECTURAL_IOPL != 0 {
        u64::from(vcpu.iopl.get()) << 12
    } else {
        0
    }
}

/// Writes `frame` below `top`. Returns where it begins, or `None` if it cannot be written.
#[inline(always)]
fn write_frame<const N: usize>(top: u64, frame: &[u64; N]) -> Option<u64> {
    let sp = top.wrapping_sub(N as u64 * 8);
    guest_access::write_words(Vaddr::new(sp), frame).ok()?;
    Some(sp)
}

/// Delivers exception `number` to the guest's handler for it; a guest without one is crashed.
pub fn inject(regs: &mut GuestRegs, vcpu: &'static Vcpu, number: u8, error: Option<u32>) {
    let handler = vcpu.trap_entry(number);
    if handler.address == 0 {
        vcpu.domain.crash(format_args!(
            "no handler for exception {number} (error code {:#x}, address {:#x})",
            error.unwrap_or(0),
            super::read_cr2()
        ));
        return;
    }
    enter_kernel(
        regs,
        vcpu,
        &Entry {
            address: handler.address,
            error,
            mask_events: handler.flags & 4 != 0,
        },
    );
}

/// Delivers a page fault at `address`.
#[inline]
pub fn inject_page_fault(regs: &mut GuestRegs, vcpu: &'static Vcpu, address: u64, error: u32) {
    vcpu.cr2.set(address);
    vcpu.info.cr2().store(address, Ordering::Relaxed);
    // The guest's kernel runs in ring 3 and does not know it.
    let error = if vcpu.in_kernel() { error & !4 } else { error };
    inject(regs, vcpu, vector::PAGE_FAULT, Some(error));
}

/// Delivers waiting events to the guest's event callback.
#[inline]
pub fn inject_events(regs: &mut GuestRegs, vcpu: &'static Vcpu) {
    let callback = vcpu.event_callback.get();
    if callback.address == 0 {
        vcpu.domain.crash(format_args!(
            "events are unmasked and it has no event callback"
        ));
        return;
    }
    enter_kernel(
        regs,
        vcpu,
        &Entry {
            address: callback.address,
            error: None,
            mask_events: true,
        },
    );
}

/// The guest's state could not be loaded (a selector or an address that faults in IRET): the guest gets the fault as if its
/// own first instruction there had made it, or, if it has no handler for that, its failsafe callback is entered.
///
/// `fault` holds the guest's general registers; what IRET was to load still stands in the CPU's frame.
pub fn failed_entry(fault: &GuestRegs) -> ! {
    let vcpu = this_cpu().vcpu();
    let general = *fault;
    let info = core::ptr::from_ref(this_cpu()).cast_mut();
    // SAFETY: the frame belongs to this CPU, no reference to it is live (the entry that made one has ended in IRET), and
    // it lies above every frame in use now.
    let regs = unsafe { &mut (*info).guest };
    let hardware = (regs.rip, regs.cs, regs.rflags, regs.rsp, regs.ss);
    *regs = general;
    (regs.rip, regs.cs, regs.rflags, regs.rsp, regs.ss) = hardware;
    let callback = vcpu.failsafe_callback.get();
    let number = general.vector as u8;
    if vcpu.trap_entry(number).address != 0 {
        inject(regs, vcpu, number, Some(general.error_code));
    } else if callback.address == 0 {
        vcpu.domain.crash(format_args!(
            "it cannot be entered at {:#x} with CS {:#x}, SS {:#x}, and has no failsafe callback",
            hardware.0, hardware.1, hardware.4
        ));
    } else {
        enter_failsafe(regs, vcpu, callback.address, callback.mask_events);
    }
    // SAFETY: the frame is complete, and we never return to where the fault was.
    unsafe { crate::arch::entry::enter_guest() }
}

/// The failsafe frame has the four data selectors below the ordinary ones, as the guest may have to repair them.
fn enter_failsafe(regs: &mut GuestRegs, vcpu: &'static Vcpu, address: u64, mask_events: bool) {
    enter_kernel(
        regs,
        vcpu,
        &Entry {
            address,
            error: None,
            mask_events,
        },
    );
    let selectors = crate::domain::context::read_selectors();
    let frame = selectors.map(u64::from);
    // `enter_kernel` left RCX and R11 lowest; the selectors go between them and the rest in the ABI: rewrite all of it.
    let sp = regs.rsp;
    let below = sp.wrapping_sub(32);
    let moved = (|| {
        let rcx = guest_access::read_u64(Vaddr::new(sp)).ok()?;
        let r11 = guest_access::read_u64(Vaddr::new(sp.wrapping_add(8))).ok()?;
        if !guest_access::is_guest_range(Vaddr::new(below), 48) {
            return None;
        }
        for (index, word) in [rcx, r11].iter().chain(frame.iter()).enumerate() {
            guest_access::write_u64(Vaddr::new(below + index as u64 * 8), *word).ok()?;
        }
        Some(())
    })();
    match moved {
        Some(()) => regs.rsp = below,
        None => vcpu.domain.crash(format_args!(
            "its kernel stack cannot take a failsafe frame"
        )),
    }
}
