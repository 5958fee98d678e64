//! What this processor can do, found once on the boot CPU.

use core::arch::x86_64::__cpuid_count;

use spin::Once;

use super::{control, fpu, msr};

/// Abilities that the hypervisor itself makes use of.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Highest standard CPUID leaf.
    pub max_leaf: u32,
    /// Vendor string of leaf 0.
    pub vendor: [u8; 12],
    /// Family, model, stepping as displayed.
    pub family: u32,
    /// See `family`.
    pub model: u32,
    /// See `family`.
    pub stepping: u32,
    /// Bits of a physical address, 36 to 52.
    pub physical_bits: u32,
    /// 1 GiB pages.
    pub gib_pages: bool,
    /// x2APIC mode.
    pub x2apic: bool,
    /// The timer of the local APIC can fire at a value of the time-stamp counter.
    pub tsc_deadline: bool,
    /// The time-stamp counter runs at one rate whatever the power state.
    pub invariant_tsc: bool,
    /// XSAVE and XCR0.
    pub xsave: bool,
    /// Supervisor-mode execution prevention.
    pub smep: bool,
    /// The CPU is itself virtual.
    pub virtualised: bool,
}

static FEATURES: Once<Features> = Once::new();

/// CPUID with leaf `eax` and subleaf `ecx`: EAX, EBX, ECX, EDX.
#[inline]
pub fn cpuid(eax: u32, ecx: u32) -> [u32; 4] {
    let answer = __cpuid_count(eax, ecx);
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}

/// The boot CPU's features.
pub fn features() -> &'static Features {
    FEATURES.call_once(find)
}

fn find() -> Features {
    let [max_leaf, b, c, d] = cpuid(0, 0);
    let max_extended = cpuid(0x8000_0000, 0)[0];
    let standard = |leaf: u32, subleaf: u32| {
        if leaf <= max_leaf {
            cpuid(leaf, subleaf)
        } else {
            [0; 4]
        }
    };
    let extended = |leaf: u32| {
        if leaf <= max_extended {
            cpuid(leaf, 0)
        } else {
            [0; 4]
        }
    };
    let mut vendor = [0; 12];
    for (chunk, register) in vendor.chunks_exact_mut(4).zip([b, d, c]) {
        chunk.copy_from_slice(&register.to_le_bytes());
    }
    let [signature, _, c1, _] = standard(1, 0);
    let seven = standard(7, 0)[1];
    let amd = extended(0x8000_0001)[3];
    let (base_family, base_model) = (signature >> 8 & 15, signature >> 4 & 15);
    let family = if base_family == 15 {
        15 + (signature >> 20 & 255)
    } else {
        base_family
    };
    let model = if base_family >= 6 {
        base_model | (signature >> 12 & 0xf0)
    } else {
        base_model
    };
    let physical_bits = match extended(0x8000_0008)[0] & 255 {
        0 => 36,
        bits => bits.clamp(36, 52),
    };
    Features {
        max_leaf,
        vendor,
        family,
        model,
        stepping: signature & 15,
        physical_bits,
        gib_pages: amd & 1 << 26 != 0,
        x2apic: c1 & 1 << 21 != 0,
        tsc_deadline: c1 & 1 << 24 != 0,
        invariant_tsc: extended(0x8000_0007)[3] & 1 << 8 != 0,
        xsave: c1 & 1 << 26 != 0,
        smep: seven & 1 << 7 != 0,
        virtualised: c1 & 1 << 31 != 0,
    }
}

/// CR4 bits that every CPU runs with: PAE, global pages, FXSAVE, SIMD exceptions.
const CR4_BASE: u64 = 1 << 5 | control::CR4_PGE | 1 << 9 | 1 << 10;
const CR4_OSXSAVE: u64 = 1 << 18;
const CR4_SMEP: u64 = 1 << 20;
/// XCR0 components that guests may be given: x87, SSE, AVX, AVX-512.
const COMPONENTS: u64 = 0xe7;
/// CR0: paging, alignment checks where a guest wants them, write protection, numeric errors, extension type, monitor, protection.
const CR0_BASE: u64 = 0x8005_0033;

/// Sets the running CPU's control registers, page attribute table and extended state as the hypervisor wants them.
pub fn init_registers() {
    let features = features();
    let mut cr4 = CR4_BASE;
    if features.xsave {
        cr4 |= CR4_OSXSAVE;
    }
    if features.smep {
        cr4 |= CR4_SMEP;
    }
    // SAFETY: long mode with paging stays on; SMEP is harmless as the hypervisor runs no code of user pages; the attribute
    // table's first entries, the only ones in use by the hypervisor, mean what they meant before.
    unsafe {
        control::write_cr0(CR0_BASE);
        control::write_cr4(cr4);
        msr::wrmsr(msr::PAT, msr::PAT_VALUE);
        msr::wrmsr(msr::EFER, msr::rdmsr(msr::EFER) | 1 << 11);
    }
    if features.xsave {
        init_extended_state();
    }
}

/// Switches on the state components that the CPU and the hypervisor know and that fit in a save area.
fn init_extended_state() {
    let offered = cpuid(13, 0)[0];
    let mut mask = u64::from(offered) & COMPONENTS;
    // AVX-512's three go together, and need AVX.
    if mask & 0xe0 != 0xe0 || mask & 4 == 0 {
        mask &= 7;
    }
    set_xcr0(mask);
    if cpuid(13, 0)[1] as usize > fpu::AREA_SIZE {
        mask &= 7;
        set_xcr0(mask);
    }
    fpu::set_components(mask);
}

/// Sets XCR0.
fn set_xcr0(mask: u64) {
    // SAFETY: CR4.OSXSAVE is set and the components are offered by the CPU.
    unsafe {
        core::arch::asm!(
            "xsetbv",
            in("ecx") 0, in("eax") mask as u32, in("edx") (mask >> 32) as u32,
            options(nomem, nostack, preserves_flags),
        );
    }
}
