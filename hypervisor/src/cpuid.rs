//! CPUID for guests: the one policy of this host, and the answers from it.
//!
//! Neighbours: `xenocryst_emulate::cpuid` (the policy), `emulate` (who asks for a guest), `hypercall::sysctl` (for tools).

use core::arch::x86_64::__cpuid_count;

use spin::Once;
use xenocryst_emulate::cpuid::{Host, Leaf, Policy, Vendor, View};

use crate::arch::{clock, control, cpu, fpu, msr};
use crate::domain::Vcpu;
use crate::mm::machine::engine;

static POLICY: Once<Policy> = Once::new();

const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_OSXSAVE: u64 = 1 << 18;
/// AMD: how instructions are decoded; bit 1 makes LFENCE serialise.
const DECODE_CONFIG: u32 = 0xc001_1029;

fn native(leaf: u32, subleaf: u32) -> Leaf {
    let answer = __cpuid_count(leaf, subleaf);
    Leaf::new(answer.eax, answer.ebx, answer.ecx, answer.edx)
}

/// The policy for all guests, worked out when it is first asked for: after the CPU, the clock and memory are set up.
#[inline]
pub fn policy() -> &'static Policy {
    POLICY.call_once(|| {
        let frames = engine().maximum_ram_page().raw();
        let host = Host {
            xcr0: fpu::components(),
            fsgsbase: control::read_cr4() & CR4_FSGSBASE != 0,
            lfence_serialising: Vendor::from_leaf(native(0, 0)) == Vendor::Amd
                && serialise_lfence(),
            machine_address_bits: u64::BITS - frames.leading_zeros() + 12,
            cpu_khz: (clock::tsc_hertz() / 1000) as u32,
        };
        Policy::new(host, native)
    })
}

/// Makes LFENCE serialise on this CPU, an AMD one. False where that cannot be had.
pub fn serialise_lfence() -> bool {
    const SERIALISE: u64 = 2;
    // It always does on these families, which have no register for it.
    if matches!(cpu::features().family, 0xf | 0x11) {
        return true;
    }
    let is_set = || msr::rdmsr_safe(DECODE_CONFIG).map(|value| value & SERIALISE != 0);
    match msr::rdmsr_safe(DECODE_CONFIG) {
        None => false,
        Some(value) if value & SERIALISE != 0 => true,
        Some(value) => {
            // SAFETY: the bit only makes LFENCE wait for earlier instructions.
            let written = unsafe { msr::wrmsr_safe(DECODE_CONFIG, value | SERIALISE) };
            written && is_set() == Some(true)
        }
    }
}

/// What CPUID answers to what runs on `vcpu` now: `forced` by the prefix, else on a fault.
pub fn answer(vcpu: &Vcpu, leaf: u32, subleaf: u32, forced: bool) -> Leaf {
    let view = View {
        kernel: vcpu.in_kernel(),
        hardware_domain: vcpu.domain.privileged,
        forced,
        osxsave: vcpu.cr4.get() & CR4_OSXSAVE != 0,
        xcr0: vcpu.xcr0.get(),
    };
    policy().answer(leaf, subleaf, &view)
}
