//! CPUID for guests: the policy of this host, those that tools made for single domains, and the answers from them.
//!
//! Keeps true: a domain's policy never shows more than the host's.
//! Neighbours: `xenocryst_emulate::cpuid` (the policy), `emulate` (who asks for a guest), `hypercall::cpu_policy` (for tools).

use alloc::boxed::Box;
use core::arch::x86_64::__cpuid_count;

use spin::Once;
use xenocryst_emulate::cpuid::{Host, Leaf, Policy, Vendor, View};
use xenocryst_emulate::msr::{ARCH_CAPABILITIES, ARCH_CAPABILITIES_SHOWN, PLATFORM_INFO};

use crate::arch::{clock, control, cpu, fpu, msr};
use crate::domain::{Domain, Vcpu};
use crate::mm::machine::engine;
use crate::sync::Mutex;

static POLICY: Once<Policy> = Once::new();

const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_OSXSAVE: u64 = 1 << 18;
/// AMD: how instructions are decoded; bit 1 makes LFENCE serialise.
const DECODE_CONFIG: u32 = 0xc001_1029;

/// What the processor itself answers.
pub fn native(leaf: u32, subleaf: u32) -> Leaf {
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

/// A domain's own policy; none for the host's.
pub type DomainPolicy = Mutex<Option<Box<Policy>>>;

/// Calls `look` with the policy that is in force for `domain`.
pub fn with_policy<T>(domain: &Domain, look: impl FnOnce(&Policy) -> T) -> T {
    match domain.cpu_policy.lock().as_deref() {
        Some(own) => look(own),
        None => look(policy()),
    }
}

/// States of XCR0 that `domain` may enable.
pub fn states(domain: &Domain) -> u64 {
    with_policy(domain, Policy::xcr0)
}

/// The MSRs of a policy, as the processor has them: `PLATFORM_INFO`, of which nothing is used, and `ARCH_CAPABILITIES`.
pub fn host_msrs() -> [(u32, u64); 2] {
    let capabilities = msr::rdmsr_safe(ARCH_CAPABILITIES).unwrap_or(0);
    [(PLATFORM_INFO, 0), (ARCH_CAPABILITIES, capabilities)]
}

/// The same, as guests may have them.
pub fn policy_msrs() -> [(u32, u64); 2] {
    let [platform, (number, value)] = host_msrs();
    let shown = if policy().has_arch_capabilities() {
        value & ARCH_CAPABILITIES_SHOWN
    } else {
        0
    };
    [platform, (number, shown)]
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
    with_policy(vcpu.domain, |policy| policy.answer(leaf, subleaf, &view))
}
