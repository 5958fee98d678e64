//! Model-specific registers as a PV guest finds them: which it may read or write, and what that means.
//!
//! Keeps true: a guest reaches hardware only through the few registers that are its own (segment bases, `TSC_AUX`), that are
//! harmless to read, or that are a barrier and no state; everything else reads as what Xen 4.17 shows or faults.
//! Neighbours: the hypervisor's `emulate::msr` carries out what is decided here.

use crate::cpuid::{Policy, Vendor};

/// Time-stamp counter.
pub const TSC: u32 = 0x10;
/// Local APIC base.
pub const APIC_BASE: u32 = 0x1b;
/// Branch prediction commands.
pub const PRED_CMD: u32 = 0x49;
/// Microcode revision.
pub const PATCH_LEVEL: u32 = 0x8b;
/// Facts about the platform (Intel).
pub const PLATFORM_INFO: u32 = 0xce;
/// Speculation-related facts.
pub const ARCH_CAPABILITIES: u32 = 0x10a;
/// Miscellaneous switches (Intel).
pub const MISC_ENABLE: u32 = 0x1a0;
/// Page attribute table.
pub const PAT: u32 = 0x277;
/// Extended features.
pub const EFER: u32 = 0xc000_0080;
/// FS base.
pub const FS_BASE: u32 = 0xc000_0100;
/// GS base.
pub const GS_BASE: u32 = 0xc000_0101;
/// GS base behind SWAPGS.
pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
/// What RDTSCP and RDPID give.
pub const TSC_AUX: u32 = 0xc000_0103;

/// The page attribute table every PV guest has: WB, WT, UC-, UC, WC, WP, UC, UC.
pub const PAT_VALUE: u64 = 0x0000_0501_0007_0406;
/// Machine check banks a guest sees; all empty.
const MACHINE_CHECK_BANKS: u64 = 2;
/// Bits of [`ARCH_CAPABILITIES`] that guests see: what the processor is not vulnerable to, as far as no control of
/// MSR 0x48 belongs to it.
pub const ARCH_CAPABILITIES_SHOWN: u64 = 1 << 0
    | 1 << 2
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 13
    | 1 << 14
    | 1 << 15
    | 1 << 17
    | 1 << 19
    | 1 << 20
    | 1 << 24
    | 1 << 26
    | 1 << 27
    | 1 << 28;
/// Bits of `EFER` that exist, without SVME.
const EFER_SHOWN: u64 = 1 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 14;
/// [`MISC_ENABLE`]: performance monitoring, MONITOR; hidden.
const MISC_HIDDEN: u64 = 1 << 7 | 1 << 18;
/// [`MISC_ENABLE`]: branch trace and event sampling unavailable, xTPR disabled; always set.
const MISC_FORCED: u64 = 1 << 11 | 1 << 12 | 1 << 23;
/// AMD `SYSCFG` bits shown.
const SYSCFG_SHOWN: u64 = 1 << 18 | 1 << 20 | 1 << 21 | 1 << 22;

/// Whose access it is.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// What CPUID says to guests.
    pub policy: &'a Policy,
    /// The hardware domain.
    pub hardware_domain: bool,
    /// The number of the vCPU.
    pub vcpu: u32,
}

/// What reading a register gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// This value.
    Value(u64),
    /// What hardware has, of which the bits `keep` show and the bits `set` are always set; a fault if hardware faults.
    Hardware {
        /// Bits that show.
        keep: u64,
        /// Bits that are set whatever hardware has.
        set: u64,
    },
    /// A fault, as documented for the register.
    Refused,
    /// A fault, and nobody thought of this register.
    Unknown,
}

/// What writing a register does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write {
    /// Nothing.
    Ignored,
    /// The value goes to hardware.
    Hardware,
    /// The value must be what the guest reads; then nothing happens. Otherwise a fault.
    OnlySame,
    /// As [`Write::OnlySame`], but a different value is ignored too.
    Kept,
    /// A fault, as documented for the register.
    Refused,
    /// A fault, and nobody thought of this register.
    Unknown,
}

fn is_canonical(value: u64) -> bool {
    let top = (value as i64) >> 47;
    top == 0 || top == -1
}

fn family(access: &Access<'_>) -> u32 {
    let signature = access.policy.signature();
    match signature >> 8 & 15 {
        15 => 15 + (signature >> 20 & 255),
        family => family,
    }
}

/// What the guest gets for reading register `number`.
pub fn read(number: u32, access: &Access<'_>) -> Read {
    const HARDWARE: Read = Read::Hardware {
        keep: u64::MAX,
        set: 0,
    };
    let amd = access.policy.vendor() == Vendor::Amd;
    let amd_only = |value| {
        if amd {
            Read::Value(value)
        } else {
            Read::Refused
        }
    };
    let intel_only = |value| {
        if amd {
            Read::Refused
        } else {
            Read::Value(value)
        }
    };
    match number {
        FS_BASE | GS_BASE | KERNEL_GS_BASE | TSC | PATCH_LEVEL => HARDWARE,
        APIC_BASE => Read::Value(0xfee0_0800 | if access.vcpu == 0 { 0x100 } else { 0 }),
        PAT => Read::Value(PAT_VALUE),
        EFER => Read::Hardware {
            keep: EFER_SHOWN,
            set: 0,
        },
        TSC_AUX if access.policy.has_tsc_aux() => HARDWARE,
        ARCH_CAPABILITIES if access.policy.has_arch_capabilities() => Read::Hardware {
            keep: ARCH_CAPABILITIES_SHOWN,
            set: 0,
        },
        MISC_ENABLE => Read::Hardware {
            keep: !MISC_HIDDEN,
            set: MISC_FORCED,
        },
        // Machine check: addresses of the Pentium, capability, status, control, and banks that never hold anything.
        0x0 | 0x1 | 0x17a | 0x17b | 0x280..=0x29f => Read::Value(0),
        0x179 => Read::Value(MACHINE_CHECK_BANKS),
        0x400..=0x47f if number & 3 == 0 => Read::Value(u64::MAX),
        0x400..=0x47f => Read::Value(0),
        // FEATURE_CONTROL: locked, nothing on. PLATFORM_ID. PERF_STATUS, PERF_CTL, THERM_STATUS.
        0x3a => intel_only(1),
        0x17 if !amd => HARDWARE,
        0x198 | 0x199 | 0x19c => intel_only(0),
        // PLATFORM_INFO, MISC_FEATURES_ENABLES, PERF_CAPABILITIES.
        PLATFORM_INFO | 0x140 | 0x345 => Read::Value(0),
        // Performance counters read as never counting.
        0xc1..=0xc8 | 0x186..=0x189 | 0x309..=0x30b | 0x38d..=0x390 if !amd => Read::Value(0),
        0xc001_0000..=0xc001_0007 | 0xc001_0200..=0xc001_020b if amd => Read::Value(0),
        // Frequency and power states, HWCR, NB_CFG.
        0xc001_0041 | 0xc001_0042 | 0xc001_0061..=0xc001_006b if amd => Read::Value(0),
        0xc001_0015 => amd_only(0),
        0xc001_001f => Read::Value(0),
        0xc001_0058 if amd && (0x10..0x17).contains(&family(access)) => Read::Value(0),
        // LFENCE serialises, as far as a guest is concerned.
        0xc001_1029 => amd_only(2),
        // The memory map of the northbridge.
        0xc001_0010 | 0xc001_0016..=0xc001_001a | 0xc001_001d | 0xc001_0112 | 0xc001_0113 => {
            match (amd, access.hardware_domain) {
                (false, _) => Read::Refused,
                (true, false) => Read::Unknown,
                (true, true) if number == 0xc001_0010 => Read::Hardware {
                    keep: SYSCFG_SHOWN,
                    set: 0,
                },
                (true, true) => HARDWARE,
            }
        }
        // Known and not for guests: prediction and flush commands, microcode, x2APIC, tracing, shadow stacks, TSX.
        0x33
        | 0x48
        | 0x49
        | 0x10b
        | 0x79
        | 0xcf
        | 0x10f
        | 0x122
        | 0x123
        | 0x570..=0x587
        | 0x6a0
        | 0x6a2 => Read::Refused,
        0x6a4..=0x6a8 | 0x800..=0x8ff | 0xda0 | 0xc001_0020 | TSC_AUX | ARCH_CAPABILITIES => {
            Read::Refused
        }
        _ => Read::Unknown,
    }
}

/// What happens when the guest writes `value` to register `number`.
pub fn write(number: u32, value: u64, access: &Access<'_>) -> Write {
    let amd = access.policy.vendor() == Vendor::Amd;
    let or_refused = |allowed: bool, then| if allowed { then } else { Write::Refused };
    match number {
        FS_BASE | GS_BASE | KERNEL_GS_BASE => or_refused(is_canonical(value), Write::Hardware),
        TSC_AUX => or_refused(
            access.policy.has_tsc_aux() && value >> 32 == 0,
            Write::Hardware,
        ),
        PRED_CMD => or_refused(
            access.policy.has_prediction_barrier() && value & !1 == 0,
            Write::Hardware,
        ),
        EFER => Write::OnlySame,
        MISC_ENABLE => Write::Kept,
        // Intel documents a write of 0 before the revision is read.
        PATCH_LEVEL => or_refused(!amd && value == 0, Write::Ignored),
        0x140 => or_refused(value == 0, Write::Ignored),
        0x179..=0x17b | 0x280..=0x29f => Write::Ignored,
        // Machine check banks: control bits stick, the rest may only be cleared.
        0x400..=0x47f => or_refused(number & 3 == 0 || value == 0, Write::Ignored),
        0xe7 | 0xe8 => Write::Ignored,
        0x199 => or_refused(!amd, Write::Ignored),
        0x19a | 0x1b0 if !amd => Write::Ignored,
        0xc1..=0xc8 | 0x186..=0x189 | 0x309..=0x30b | 0x38d..=0x390 if !amd => Write::Ignored,
        0xc001_0000..=0xc001_0007 | 0xc001_0200..=0xc001_020b if amd => Write::Ignored,
        0xc001_0015 | 0xc001_0041 | 0xc001_0042 | 0xc001_0061..=0xc001_006b if amd => {
            Write::Ignored
        }
        0xc001_1029 => or_refused(amd, Write::Ignored),
        0xc001_001f => Write::Ignored,
        0xc001_0058 if amd && (0x10..0x17).contains(&family(access)) => Write::Ignored,
        0x17 | 0x33 | 0x35 | 0x48 | 0x79 | 0xce | 0xcf | 0x10a | 0x10b | 0x10f | 0x122 | 0x123 => {
            Write::Refused
        }
        0x570..=0x587 | 0x6a0 | 0x6a2 | 0x6a4..=0x6a8 | 0x800..=0x8ff | 0xda0 | 0xc001_0020 => {
            Write::Refused
        }
        _ => Write::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpuid::{Host, Leaf};

    fn policy(vendor: Vendor) -> Policy {
        let host = Host {
            xcr0: 0,
            fsgsbase: false,
            lfence_serialising: false,
            machine_address_bits: 36,
            cpu_khz: 0,
        };
        Policy::new(host, |leaf, _| match (leaf, vendor) {
            (0, Vendor::Amd) => Leaf::new(1, 0x6874_7541, 0x444d_4163, 0x6974_6e65),
            (0, Vendor::Intel) => Leaf::new(1, 0x756e_6547, 0x6c65_746e, 0x4965_6e69),
            (1, _) => Leaf::new(0x0006_0fb1, 0, 0, 0),
            _ => Leaf::EMPTY,
        })
    }

    #[test]
    fn what_debians_dom0_reads_at_boot_answers_as_on_xen() {
        let policy = policy(Vendor::Amd);
        let access = Access {
            policy: &policy,
            hardware_domain: true,
            vcpu: 0,
        };
        for (number, expected) in [
            (0x179, Read::Value(2)),
            (0x17a, Read::Value(0)),
            (0x1b, Read::Value(0xfee0_0900)),
            (0x277, Read::Value(0x0501_0007_0406)),
            (0x400, Read::Value(u64::MAX)),
            (0x401, Read::Value(0)),
            (0xc001_0000, Read::Value(0)),
            (0xc001_0007, Read::Value(0)),
            (0xc001_0015, Read::Value(0)),
            (0xc001_0055, Read::Unknown),
            (0xc001_1029, Read::Value(2)),
        ] {
            assert_eq!(read(number, &access), expected, "{number:#x}");
        }
    }

    #[test]
    fn bases_must_be_canonical() {
        let policy = policy(Vendor::Amd);
        let access = Access {
            policy: &policy,
            hardware_domain: false,
            vcpu: 1,
        };
        assert_eq!(
            write(GS_BASE, 0xffff_8880_0000_0000, &access),
            Write::Hardware
        );
        assert_eq!(write(GS_BASE, 0x8000_0000_0000, &access), Write::Refused);
        assert_eq!(read(APIC_BASE, &access), Read::Value(0xfee0_0800));
    }

    #[test]
    fn the_hypervisors_own_registers_are_out_of_reach() {
        let policy = policy(Vendor::Intel);
        let access = Access {
            policy: &policy,
            hardware_domain: true,
            vcpu: 0,
        };
        for number in [
            0xc000_0081,
            0xc000_0082,
            0xc000_0084,
            0x174,
            0x175,
            0x176,
            0x830,
            0x48,
            0x1d9,
            0x10,
            0x277,
            0xfe,
        ] {
            let answer = write(number, 0, &access);
            assert!(
                matches!(answer, Write::Refused | Write::Unknown),
                "{number:#x}: {answer:?}"
            );
        }
        assert_eq!(write(EFER, 0, &access), Write::OnlySame);
        assert_eq!(write(TSC_AUX, 1, &access), Write::Refused);
    }
}
