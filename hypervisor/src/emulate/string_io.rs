//! INS and OUTS, with and without repetition.
//!
//! Keeps true: a repetition is worked in chunks with room for events between, the registers telling how far it got, as on
//! hardware; memory is the guest's, accessed as the guest may.

use xenocryst_abi::Vaddr;
use xenocryst_emulate::Registers;
use xenocryst_emulate::flags::DF;
use xenocryst_emulate::modrm::Segment;
use xenocryst_emulate::privileged::StringIo;
use xenocryst_emulate::registers::{RCX, RDI, RSI};

use super::{Outcome, done, ports, retired};
use crate::arch::guest_access;
use crate::domain::Vcpu;
use crate::percpu::{GuestRegs, must_pause};

/// Elements between two looks at pending work.
const CHUNK: u64 = 64;
/// Page fault error code: a write.
const WRITE: u32 = 2;
/// Page fault error code: from user mode, where every guest runs.
const USER: u32 = 4;

/// `value` as an address or count register of the instruction's address size.
fn clip(string: &StringIo, value: u64) -> u64 {
    if string.short_address {
        value & 0xffff_ffff
    } else {
        value
    }
}

/// Sets an address or count register.
fn set(regs: &mut GuestRegs, string: &StringIo, number: u8, value: u64) {
    regs.set_gpr(number, clip(string, value));
}

/// Refuses an element that is not at an address of the guest's.
fn check(at: u64, string: &StringIo) -> Result<(), Outcome> {
    let start = Vaddr::new(at);
    if start.is_canonical() && guest_access::is_guest_range(start, string.width.bytes()) {
        Ok(())
    } else {
        Err(Outcome::PROTECTION)
    }
}

/// INS: from a port to memory at RDI.
pub fn input(regs: &mut GuestRegs, vcpu: &'static Vcpu, string: &StringIo, length: u8) -> Outcome {
    repeat(regs, vcpu, string, length, RDI, |regs, vcpu| {
        let at = clip(string, regs.rdi);
        check(at, string)?;
        let value = ports::read(vcpu.domain, regs.rdx as u16, string.width).to_le_bytes();
        let bytes = value.get(..string.width.bytes() as usize).unwrap_or(&[]);
        guest_access::copy_to(Vaddr::new(at), bytes).map_err(|_| Outcome::PageFault {
            address: at,
            error: WRITE | USER,
        })
    })
}

/// OUTS: from memory at RSI to a port.
pub fn output(regs: &mut GuestRegs, vcpu: &'static Vcpu, string: &StringIo, length: u8) -> Outcome {
    let base = match string.segment {
        Segment::Flat => 0,
        Segment::Fs => regs.fs_base(),
        Segment::Gs => regs.gs_base(),
    };
    repeat(regs, vcpu, string, length, RSI, |regs, vcpu| {
        let at = clip(string, regs.rsi).wrapping_add(base);
        check(at, string)?;
        let mut value = [0; 4];
        let bytes = value
            .get_mut(..string.width.bytes() as usize)
            .unwrap_or(&mut []);
        guest_access::copy_from(bytes, Vaddr::new(at)).map_err(|_| Outcome::PageFault {
            address: at,
            error: USER,
        })?;
        ports::write(
            vcpu.domain,
            regs.rdx as u16,
            string.width,
            u32::from_le_bytes(value),
        );
        Ok(())
    })
}

/// Does `one` element, or as many as RCX says, moving register `pointer` on after each.
fn repeat(
    regs: &mut GuestRegs,
    vcpu: &'static Vcpu,
    string: &StringIo,
    length: u8,
    pointer: u8,
    one: impl Fn(&GuestRegs, &'static Vcpu) -> Result<(), Outcome>,
) -> Outcome {
    if !ports::guest_allows(vcpu, regs.rdx as u16, string.width) {
        return Outcome::NotOurs;
    }
    let count = if string.repeat {
        clip(string, regs.rcx)
    } else {
        1
    };
    let bytes = string.width.bytes();
    let step = if regs.rflags & DF != 0 {
        bytes.wrapping_neg()
    } else {
        bytes
    };
    for index in 0..count {
        if index != 0 && index % CHUNK == 0 && must_pause() {
            // The registers say what is left; the instruction is executed again.
            return Outcome::Done;
        }
        if let Err(fault) = one(regs, vcpu) {
            return fault;
        }
        set(regs, string, pointer, regs.gpr(pointer).wrapping_add(step));
        if string.repeat {
            set(regs, string, RCX, regs.rcx.wrapping_sub(1));
        }
    }
    if count == 0 {
        return done(regs, vcpu, length);
    }
    regs.rip = regs.rip.wrapping_add(u64::from(length));
    retired(regs, vcpu)
}
