//! Control and debug registers as a guest's kernel sees them.
//!
//! Keeps true: a guest changes in hardware only bits that bind itself (CR0.TS, CR4.TSD, CR4.DE, breakpoints outside the
//! hypervisor); all others it may only write as they are.

use core::sync::atomic::Ordering;

use xenocryst_abi::hypercall::errno::ENODEV;
use xenocryst_abi::{Mfn, PAGE_SHIFT};

use super::Outcome;
use crate::arch::{control, fpu};
use crate::cpuid;
use crate::domain::Vcpu;
use crate::hypercall::{cpu_state, mmuext_op};
use crate::time::counter;

const CR0_TS: u64 = 1 << 3;
const CR4_TSD: u64 = 1 << 2;
const CR4_DE: u64 = 1 << 3;
const CR4_FSGSBASE: u64 = 1 << 16;
/// CR4.OSXSAVE.
pub const CR4_OSXSAVE: u64 = 1 << 18;
/// Bits of CR4 that a guest sees as hardware has them: PAE, MCE, OSFXSR, OSXMMEXCPT.
const CR4_VISIBLE: u64 = 1 << 5 | 1 << 6 | 1 << 9 | 1 << 10;
/// Bits of CR4 that a guest's choice sets in hardware.
const CR4_LOADED: u64 = CR4_TSD | CR4_DE;

/// Bits of CR4 a guest may choose.
fn cr4_choice(vcpu: &Vcpu) -> u64 {
    let host = control::read_cr4();
    let xsave = if cpuid::states(vcpu.domain) != 0 {
        CR4_OSXSAVE
    } else {
        0
    };
    CR4_TSD | CR4_DE | host & CR4_FSGSBASE | xsave
}

/// Of a wish for CR4, what `vcpu` may have.
pub fn allowed_cr4(vcpu: &Vcpu, wanted: u64) -> u64 {
    wanted & cr4_choice(vcpu)
}

/// The value of control register `number`; `None` for one there is not, or that is not for guests.
pub fn read_cr(vcpu: &Vcpu, number: u8) -> Option<u64> {
    Some(match number {
        0 => control::read_cr0() & !CR0_TS | if vcpu.cr0_ts.get() { CR0_TS } else { 0 },
        2 => vcpu.cr2.get(),
        3 => vcpu.kernel_cr3.get(),
        4 => vcpu.cr4.get() & cr4_choice(vcpu) | control::read_cr4() & CR4_VISIBLE,
        _ => return None,
    })
}

/// Writes control register `number`. False if that is refused.
pub fn write_cr(vcpu: &'static Vcpu, number: u8, value: u64) -> bool {
    match number {
        0 => {
            if (value ^ control::read_cr0()) & !CR0_TS != 0 {
                return false;
            }
            set_task_switched(vcpu, value & CR0_TS != 0);
        }
        2 => {
            vcpu.cr2.set(value);
            vcpu.info.cr2().store(value, Ordering::Relaxed);
        }
        3 => return mmuext_op::new_base_pointer(vcpu, Mfn::new(value >> PAGE_SHIFT)).is_ok(),
        4 => {
            vcpu.cr4.set(value & cr4_choice(vcpu));
            load_cr4(vcpu);
        }
        _ => return false,
    }
    true
}

/// Loads into CR4 what `vcpu` chose for itself. Needed whenever another vCPU is loaded.
#[inline]
pub fn load_cr4(vcpu: &Vcpu) {
    let now = control::read_cr4();
    let emulated = if counter::is_emulated(vcpu.domain) {
        CR4_TSD
    } else {
        0
    };
    let wanted = now & !CR4_LOADED | vcpu.cr4.get() & CR4_LOADED | emulated;
    if wanted != now {
        // SAFETY: the two bits make RDTSC and I/O breakpoints fault in ring 3 and affect nothing else.
        unsafe { control::write_cr4(wanted) };
    }
}

/// Whether the guest's kernel keeps its user mode from reading the counter.
pub fn forbids_tsc(vcpu: &Vcpu) -> bool {
    vcpu.cr4.get() & CR4_TSD != 0
}

/// Sets the guest's CR0.TS.
pub fn set_task_switched(vcpu: &Vcpu, on: bool) {
    vcpu.cr0_ts.set(on);
    fpu::set_task_switched(on);
}

/// XSETBV. Hardware keeps all states enabled that the hypervisor manages, so that saving and restoring is always of one
/// shape; the guest's choice is what it is told.
pub fn set_xcr(vcpu: &Vcpu, number: u32, value: u64) -> Result<(), Outcome> {
    const FP: u64 = 1;
    const SSE: u64 = 2;
    const AVX: u64 = 4;
    const AVX512: u64 = 0xe0;
    if vcpu.cr4.get() & CR4_OSXSAVE == 0 {
        return Err(Outcome::UNDEFINED);
    }
    let complete = value & AVX == 0 || value & SSE != 0;
    let complete = complete && (value & AVX512 == 0 || value & (AVX512 | AVX) == AVX512 | AVX);
    if number != 0 || value & !cpuid::states(vcpu.domain) != 0 || value & FP == 0 || !complete {
        return Err(Outcome::PROTECTION);
    }
    vcpu.xcr0.set(value);
    Ok(())
}

/// The value of debug register `number`.
pub fn read_dr(vcpu: &Vcpu, number: u8) -> Result<u64, Outcome> {
    let debug = vcpu.debug.get();
    let aliased = vcpu.cr4.get() & CR4_DE == 0;
    match number {
        0..=3 | 6 | 7 => Ok(debug[usize::from(number)]),
        4 | 5 if aliased => Ok(debug[usize::from(number) + 2]),
        _ => Err(Outcome::UNDEFINED),
    }
}

/// Writes debug register `number`.
pub fn write_dr(vcpu: &'static Vcpu, number: u8, value: u64) -> Result<(), Outcome> {
    cpu_state::store_debug_register(vcpu, u64::from(number), value).map_err(
        |errno| match errno {
            ENODEV => Outcome::UNDEFINED,
            _ => Outcome::PROTECTION,
        },
    )?;
    cpu_state::load_debug_registers(vcpu);
    Ok(())
}
