//! Executing for a guest what it may not execute itself: the instructions that fault because its kernel is not in ring 0.
//!
//! Keeps true: an instruction's bytes are fetched once into private storage (I32, I47) and only that copy counts; what
//! is not decoded stays the guest's own fault; a guest reaches a port, a register or a control bit only after the policy for
//! its domain said so.
//! Neighbours: `traps` (calls in, and delivers what is to be injected), `xenocryst_emulate` (decoding and policy, tested
//! on the host), `cpuid`, `irq::pci` (configuration space).

mod control;
mod msr;
pub mod ports;
pub mod pte_write;
mod string_io;

use xenocryst_abi::Vaddr;
use xenocryst_emulate::Registers;
use xenocryst_emulate::flags::{RF, TF};
use xenocryst_emulate::modrm::Mode;
use xenocryst_emulate::privileged::{self, FORCED_CPUID, Instruction, Operation, Port};

use crate::arch::{control as cpu, guest_access, msr as host_msr};
use crate::cpuid;
use crate::domain::Vcpu;
use crate::percpu::GuestRegs;
use crate::time::counter;
use crate::traps::bounce::FLAT_CS64;

pub use control::{allowed_cr4, load_cr4, read_cr};

/// What came of an attempt to execute an instruction for the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done, or to be tried again: the guest goes on with the registers as they are now.
    Done,
    /// An exception is to be delivered in place of the one that brought us here.
    Inject {
        /// Its vector.
        vector: u8,
        /// Its error code, if it has one.
        error: Option<u32>,
    },
    /// A page fault is to be delivered.
    PageFault {
        /// The address.
        address: u64,
        /// The error code, as hardware gives it.
        error: u32,
    },
    /// Nothing of ours: the guest's own fault.
    NotOurs,
}

impl Outcome {
    /// A general protection fault with error code 0.
    const PROTECTION: Self = Self::Inject {
        vector: 13,
        error: Some(0),
    };
    /// An undefined opcode.
    const UNDEFINED: Self = Self::Inject {
        vector: 6,
        error: None,
    };
}

/// `FLAT_RING3_CS32`.
const FLAT_CS32: u64 = 0xe023;
/// RFLAGS bits of the I/O privilege level as [`Vcpu::iopl`] counts it.
const USER_PRIVILEGE: u8 = 3;

impl Registers for GuestRegs {
    #[inline]
    fn gpr(&self, number: u8) -> u64 {
        match number & 15 {
            0 => self.rax,
            1 => self.rcx,
            2 => self.rdx,
            3 => self.rbx,
            4 => self.rsp,
            5 => self.rbp,
            6 => self.rsi,
            7 => self.rdi,
            8 => self.r8,
            9 => self.r9,
            10 => self.r10,
            11 => self.r11,
            12 => self.r12,
            13 => self.r13,
            14 => self.r14,
            _ => self.r15,
        }
    }

    #[inline]
    fn set_gpr(&mut self, number: u8, value: u64) {
        let register = match number & 15 {
            0 => &mut self.rax,
            1 => &mut self.rcx,
            2 => &mut self.rdx,
            3 => &mut self.rbx,
            4 => &mut self.rsp,
            5 => &mut self.rbp,
            6 => &mut self.rsi,
            7 => &mut self.rdi,
            8 => &mut self.r8,
            9 => &mut self.r9,
            10 => &mut self.r10,
            11 => &mut self.r11,
            12 => &mut self.r12,
            13 => &mut self.r13,
            14 => &mut self.r14,
            _ => &mut self.r15,
        };
        *register = value;
    }

    fn rip(&self) -> u64 {
        self.rip
    }

    fn set_rip(&mut self, value: u64) {
        self.rip = value;
    }

    fn flags(&self) -> u64 {
        self.rflags
    }

    fn set_flags(&mut self, value: u64) {
        self.rflags = value;
    }

    fn fs_base(&self) -> u64 {
        host_msr::rdmsr(host_msr::FS_BASE)
    }

    fn gs_base(&self) -> u64 {
        host_msr::rdmsr(host_msr::GS_BASE)
    }
}

/// Copies up to 16 bytes of code at `rip`, each byte once. Fewer if a page cannot be read.
#[inline]
fn fetch(rip: u64, bytes: &mut [u8; 16]) -> usize {
    let in_page = (4096 - (rip & 4095)) as usize;
    if in_page >= 16 {
        let (low, high) = bytes.split_at_mut(8);
        let read = |at: u64| guest_access::read_u64(Vaddr::new(at));
        let (Ok(first), Ok(second)) = (read(rip), read(rip.wrapping_add(8))) else {
            return 0;
        };
        low.copy_from_slice(&first.to_le_bytes());
        high.copy_from_slice(&second.to_le_bytes());
        return 16;
    }
    let (here, next) = bytes.split_at_mut(in_page);
    if guest_access::copy_from(here, Vaddr::new(rip)).is_err() {
        return 0;
    }
    match guest_access::copy_from(next, Vaddr::new(rip.wrapping_add(in_page as u64))) {
        Ok(()) => 16,
        Err(_) => in_page,
    }
}

/// How the code at CS is decoded; `None` for what cannot be executed for the guest.
#[inline]
fn mode(regs: &GuestRegs) -> Option<Mode> {
    match regs.cs {
        FLAT_CS64 => Some(Mode::Long),
        FLAT_CS32 => Some(Mode::Compatibility),
        other => segment_mode(other as u16),
    }
}

/// The mode of a code segment in the guest's GDT, from its descriptor. Segments there are taken to be flat; those in an LDT
/// may not be, and are not served.
#[cold]
fn segment_mode(selector: u16) -> Option<Mode> {
    const IN_LDT: u16 = 4;
    const PRESENT_CODE: u32 = 1 << 15 | 1 << 12 | 1 << 11;
    const LONG: u32 = 1 << 21;
    const DEFAULT_32: u32 = 1 << 22;
    if selector & IN_LDT != 0 {
        return None;
    }
    let rights: u32;
    // SAFETY: LAR reads a descriptor; it does not fault for any selector, and leaves 0 here for one it refuses.
    unsafe {
        core::arch::asm!("lar {rights:e}, {selector:e}", rights = inout(reg) 0_u32 => rights,
            selector = in(reg) u32::from(selector), options(nostack, readonly));
    }
    match (
        rights & PRESENT_CODE == PRESENT_CODE,
        rights & LONG != 0,
        rights & DEFAULT_32 != 0,
    ) {
        (true, true, false) => Some(Mode::Long),
        (true, false, true) => Some(Mode::Compatibility),
        _ => None,
    }
}

/// Steps over `length` bytes of code that were executed for the guest, as hardware does at the end of an instruction.
#[inline]
fn done(regs: &mut GuestRegs, vcpu: &Vcpu, length: u8) -> Outcome {
    regs.rip = regs.rip.wrapping_add(u64::from(length));
    retired(regs, vcpu)
}

/// As [`done`], when RIP was moved already.
#[inline]
fn retired(regs: &mut GuestRegs, vcpu: &Vcpu) -> Outcome {
    regs.rflags &= !RF;
    if regs.rflags & TF == 0 {
        return Outcome::Done;
    }
    const SINGLE_STEP: u64 = 1 << 14;
    let mut debug = vcpu.debug.get();
    debug[6] |= SINGLE_STEP;
    vcpu.debug.set(debug);
    Outcome::Inject {
        vector: 1,
        error: None,
    }
}

/// Whether the guest's I/O privilege level lets what runs now use CLI, STI and, without a look at the bitmap, all ports.
#[inline]
fn has_io_privilege(vcpu: &Vcpu) -> bool {
    let iopl = vcpu.iopl.get();
    if !vcpu.in_kernel() {
        return iopl >= USER_PRIVILEGE;
    }
    // To the old interface the kernel ran in ring 1.
    iopl >= 1 || ports::has_architectural_iopl(vcpu)
}

/// A general protection fault with error code 0: perhaps an instruction to be executed for the guest.
#[inline]
pub fn general_protection(regs: &mut GuestRegs, vcpu: &'static Vcpu) -> Outcome {
    let Some(mode) = mode(regs) else {
        return Outcome::NotOurs;
    };
    let mut bytes = [0; 16];
    let length = fetch(regs.rip, &mut bytes);
    // By far the most frequent, and they change nothing: events are masked in the shared page.
    if length != 0 && bytes[0] & 0xfe == 0xfa {
        return if has_io_privilege(vcpu) {
            done(regs, vcpu, 1)
        } else {
            Outcome::NotOurs
        };
    }
    if length == 0 {
        return unreadable(regs.rip);
    }
    match privileged::decode(bytes.get(..length).unwrap_or(&[]), mode) {
        Some(instruction) => execute(regs, vcpu, &instruction),
        None => Outcome::NotOurs,
    }
}

/// The code at `address` cannot be read: its page went away, or it never was the guest's.
#[cold]
fn unreadable(address: u64) -> Outcome {
    const USER: u32 = 4;
    if guest_access::is_guest_range(Vaddr::new(address), 1) && Vaddr::new(address).is_canonical() {
        Outcome::PageFault {
            address,
            error: USER,
        }
    } else {
        Outcome::NotOurs
    }
}

/// An undefined opcode: perhaps the prefix that asks for CPUID as the hypervisor answers it.
pub fn invalid_opcode(regs: &mut GuestRegs, vcpu: &'static Vcpu) -> Outcome {
    let mut bytes = [0; 16];
    let length = fetch(regs.rip, &mut bytes);
    let code = bytes.get(..length).unwrap_or(&[]);
    if !code.starts_with(&FORCED_CPUID) {
        // It may go on in a page that is not there yet.
        return if FORCED_CPUID.starts_with(code) {
            unreadable(regs.rip.wrapping_add(length as u64))
        } else {
            Outcome::NotOurs
        };
    }
    answer_cpuid(regs, vcpu, true);
    done(regs, vcpu, FORCED_CPUID.len() as u8)
}

fn answer_cpuid(regs: &mut GuestRegs, vcpu: &Vcpu, forced: bool) {
    let leaf = cpuid::answer(vcpu, regs.rax as u32, regs.rcx as u32, forced);
    regs.rax = u64::from(leaf.a);
    regs.rbx = u64::from(leaf.b);
    regs.rcx = u64::from(leaf.c);
    regs.rdx = u64::from(leaf.d);
}

/// The number of a port operand.
#[inline]
fn port_number(regs: &GuestRegs, port: Port) -> u16 {
    match port {
        Port::Immediate(number) => u16::from(number),
        Port::Dx => regs.rdx as u16,
    }
}

#[inline]
fn execute(regs: &mut GuestRegs, vcpu: &'static Vcpu, instruction: &Instruction) -> Outcome {
    let length = instruction.length;
    match instruction.operation {
        Operation::In { width, port } => {
            let number = port_number(regs, port);
            if !ports::guest_allows(vcpu, number, width) {
                return Outcome::NotOurs;
            }
            let value = ports::read(vcpu.domain, number, width);
            regs.rax = width.merge(regs.rax, u64::from(value));
            done(regs, vcpu, length)
        }
        Operation::Out { width, port } => {
            let number = port_number(regs, port);
            if !ports::guest_allows(vcpu, number, width) {
                return Outcome::NotOurs;
            }
            ports::write(vcpu.domain, number, width, regs.rax as u32);
            done(regs, vcpu, length)
        }
        Operation::Cli | Operation::Sti => {
            if has_io_privilege(vcpu) {
                done(regs, vcpu, length)
            } else {
                Outcome::NotOurs
            }
        }
        Operation::Ins(string) => string_io::input(regs, vcpu, &string, length),
        Operation::Outs(string) => string_io::output(regs, vcpu, &string, length),
        Operation::Cpuid => {
            answer_cpuid(regs, vcpu, false);
            done(regs, vcpu, length)
        }
        // All others are the kernel's alone.
        _ if !vcpu.in_kernel() && !reads_emulated_counter(vcpu, instruction.operation) => {
            Outcome::NotOurs
        }
        operation => execute_privileged(regs, vcpu, operation, length),
    }
}

/// Whether user mode does what only faults because the domain's counter is emulated.
fn reads_emulated_counter(vcpu: &Vcpu, operation: Operation) -> bool {
    matches!(operation, Operation::ReadTsc | Operation::ReadTscp)
        && counter::is_emulated(vcpu.domain)
        && !control::forbids_tsc(vcpu)
}

fn execute_privileged(
    regs: &mut GuestRegs,
    vcpu: &'static Vcpu,
    operation: Operation,
    length: u8,
) -> Outcome {
    match operation {
        Operation::ReadMsr => match msr::read(vcpu, regs.rcx as u32) {
            Some(value) => set_pair(regs, value),
            None => return Outcome::NotOurs,
        },
        Operation::WriteMsr => {
            let value = (regs.rdx & 0xffff_ffff) << 32 | regs.rax & 0xffff_ffff;
            if !msr::write(vcpu, regs.rcx as u32, value) {
                return Outcome::NotOurs;
            }
        }
        // Faults only with CR4.TSD: the guest's own binds its user mode and not its kernel.
        Operation::ReadTsc => set_pair(regs, counter::read(vcpu.domain)),
        Operation::ReadTscp => {
            if !cpuid::with_policy(vcpu.domain, |policy| policy.has_tsc_aux()) {
                return Outcome::UNDEFINED;
            }
            set_pair(regs, counter::read(vcpu.domain));
            regs.rcx = host_msr::rdmsr(host_msr::TSC_AUX) & 0xffff_ffff;
        }
        Operation::SetXcr => {
            let value = (regs.rdx & 0xffff_ffff) << 32 | regs.rax & 0xffff_ffff;
            if let Err(outcome) = control::set_xcr(vcpu, regs.rcx as u32, value) {
                return outcome;
            }
        }
        Operation::ReadCr { cr, gpr } => match control::read_cr(vcpu, cr) {
            Some(value) => regs.set_gpr(gpr, value),
            None => return Outcome::NotOurs,
        },
        Operation::WriteCr { cr, gpr } => {
            if !control::write_cr(vcpu, cr, regs.gpr(gpr)) {
                return Outcome::NotOurs;
            }
        }
        Operation::ReadDr { dr, gpr } => match control::read_dr(vcpu, dr) {
            Ok(value) => regs.set_gpr(gpr, value),
            Err(outcome) => return outcome,
        },
        Operation::WriteDr { dr, gpr } => {
            if let Err(outcome) = control::write_dr(vcpu, dr, regs.gpr(gpr)) {
                return outcome;
            }
        }
        Operation::ClearTaskSwitched => control::set_task_switched(vcpu, false),
        Operation::FlushCaches => {
            // Only who may have device memory mapped has a use for it; for the rest it does nothing.
            if vcpu.domain.privileged {
                cpu::wbinvd();
            }
        }
        _ => return Outcome::NotOurs,
    }
    done(regs, vcpu, length)
}

/// EDX:EAX.
fn set_pair(regs: &mut GuestRegs, value: u64) {
    regs.rax = value & 0xffff_ffff;
    regs.rdx = value >> 32;
}
