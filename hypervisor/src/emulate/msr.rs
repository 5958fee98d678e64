//! RDMSR and WRMSR for a guest's kernel.
//!
//! Keeps true: what a guest may do with which register is decided in `xenocryst_emulate::msr`; here it is carried out.
//! A register nobody thought of is named on the console once in a while.

use xenocryst_emulate::msr::{self as policy, Access, GS_BASE, KERNEL_GS_BASE, Read, Write};

use crate::arch::msr::{rdmsr_safe, wrmsr_safe};
use crate::console::{Level, Source, log};
use crate::cpuid;
use crate::domain::Vcpu;
use crate::time::counter;

fn with_access<T>(vcpu: &Vcpu, decide: impl FnOnce(&Access<'_>) -> T) -> T {
    cpuid::with_policy(vcpu.domain, |policy| {
        decide(&Access {
            policy,
            hardware_domain: vcpu.domain.privileged,
            vcpu: vcpu.id,
        })
    })
}

/// The value of register `number`; `None` for a fault.
pub fn read(vcpu: &Vcpu, number: u32) -> Option<u64> {
    match with_access(vcpu, |access| policy::read(number, access)) {
        Read::Value(value) => Some(value),
        Read::Hardware { .. } if number == policy::TSC => Some(counter::read(vcpu.domain)),
        Read::Hardware { keep, set } => Some(rdmsr_safe(number)? & keep | set),
        Read::Refused => None,
        Read::Unknown => {
            log!(
                Source::Guest,
                Level::Debug,
                "{}v{}: RDMSR {number:#x} refused",
                vcpu.domain.id,
                vcpu.id
            );
            None
        }
    }
}

/// Writes `value` to register `number`. False for a fault.
pub fn write(vcpu: &Vcpu, number: u32, value: u64) -> bool {
    match with_access(vcpu, |access| policy::write(number, value, access)) {
        Write::Ignored => true,
        // SAFETY: the policy lets through only segment bases (canonical), TSC_AUX and barriers.
        Write::Hardware => unsafe {
            note_base(vcpu, number, value);
            wrmsr_safe(number, value)
        },
        Write::OnlySame => read(vcpu, number) == Some(value),
        Write::Kept => read(vcpu, number).is_some(),
        Write::Refused => false,
        Write::Unknown => {
            log!(
                Source::Guest,
                Level::Debug,
                "{}v{}: WRMSR {number:#x} of {value:#x} refused",
                vcpu.domain.id,
                vcpu.id
            );
            false
        }
    }
}

/// Keeps what the vCPU's record says of its own registers true. The kernel is running, so GS is its own.
fn note_base(vcpu: &Vcpu, number: u32, value: u64) {
    match number {
        policy::FS_BASE => vcpu.fs_base.set(value),
        GS_BASE => vcpu.gs_base_kernel.set(value),
        KERNEL_GS_BASE => vcpu.gs_base_user.set(value),
        policy::TSC_AUX => vcpu.tsc_aux.set(value as u32),
        _ => {}
    }
}
