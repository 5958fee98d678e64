//! CPUID as a PV guest sees it: the host's features cut down to what works without privilege, and the hypervisor's leaves.
//!
//! Keeps true: a feature shows only if the guest can use it on this hypervisor; what needs another feature goes with it; the
//! answers agree with Xen 4.17's for the same processor. The feature letters are those of the public header
//! `arch-x86/cpufeatureset.h`; here only those marked for all guest types count.
//! Neighbours: the hypervisor computes one [`Policy`] at boot, and one from it for each domain whose tools ask for that.

mod features;
mod leaves;
#[cfg(test)]
mod tests;

use features::*;
pub use leaves::{FEATURE_WORDS, MAX_LEAVES, NO_SUBLEAF, WrongLeaf, each_leaf, feature_words};

/// The four result registers of CPUID.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Leaf {
    pub a: u32,
    pub b: u32,
    pub c: u32,
    pub d: u32,
}

impl Leaf {
    /// All zeros: what an unknown or hidden leaf answers.
    pub const EMPTY: Self = Self::new(0, 0, 0, 0);

    /// EAX, EBX, ECX, EDX.
    pub const fn new(a: u32, b: u32, c: u32, d: u32) -> Self {
        Self { a, b, c, d }
    }
}

/// Highest basic leaf a guest sees.
const MAX_BASIC: u32 = 0xd;
/// Highest subleaf of leaf 7.
const MAX_FEATURE: u32 = 2;
/// Highest extended leaf a guest sees on AMD.
const MAX_EXTENDED_AMD: u32 = 0x8000_0021;
/// Highest extended leaf a guest sees on Intel.
const MAX_EXTENDED_INTEL: u32 = 0x8000_0008;
/// First hypervisor leaf (`public/arch-x86/cpuid.h`, `XEN_CPUID_FIRST_LEAF`).
const HYPERVISOR_BASE: u32 = 0x4000_0000;
/// Hypervisor leaves after the first (`XEN_CPUID_MAX_NUM_LEAVES`).
const HYPERVISOR_LEAVES: u32 = 5;

/// Bytes of the legacy region and the header of an XSAVE area.
const LEGACY_AREA: u32 = 576;

/// How an XSAVE area is laid out.
#[derive(Clone, Copy)]
enum Layout {
    Standard,
    Compacted,
}

/// Who made the processor, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vendor {
    /// Intel, and whoever behaves like it.
    Intel,
    /// AMD or Hygon.
    Amd,
}

impl Vendor {
    /// From leaf 0.
    pub fn from_leaf(leaf: Leaf) -> Self {
        match (leaf.b, leaf.d, leaf.c) {
            // "AuthenticAMD", "HygonGenuine"
            (0x6874_7541, 0x6974_6e65, 0x444d_4163) | (0x6f67_7948, 0x6e65_476e, 0x656e_6975) => {
                Self::Amd
            }
            _ => Self::Intel,
        }
    }
}

/// What the hypervisor does with the processor, as far as CPUID shows it.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// States a guest may enable in XCR0; 0 if the hypervisor does not manage XSAVE.
    pub xcr0: u64,
    /// Whether guests may use RDFSBASE and its kin.
    pub fsgsbase: bool,
    /// Whether LFENCE was made to serialise (AMD).
    pub lfence_serialising: bool,
    /// Bits of a machine address, for all RAM there is or may be.
    pub machine_address_bits: u32,
    /// Frequency of the CPU in kHz.
    pub cpu_khz: u32,
}

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The guest's kernel and not its user mode.
    pub kernel: bool,
    /// The hardware domain.
    pub hardware_domain: bool,
    /// By the forced emulation prefix, and not by a fault on a plain CPUID.
    pub forced: bool,
    /// The guest set CR4.OSXSAVE.
    pub osxsave: bool,
    /// The guest's XCR0.
    pub xcr0: u64,
}

/// The answers for all guests on this host.
#[derive(Clone, Debug)]
pub struct Policy {
    basic: [Leaf; MAX_BASIC as usize + 1],
    cache: [Leaf; 6],
    feature: [Leaf; MAX_FEATURE as usize + 1],
    extended: [Leaf; 0x22],
    max_extended: u32,
    xstate: [Leaf; 64],
    host: Host,
    native_1: Leaf,
    native_e7d: u32,
}

impl Policy {
    /// Works out the policy from the processor's own answers.
    pub fn new(host: Host, native: impl Fn(u32, u32) -> Leaf) -> Self {
        let leaf0 = native(0, 0);
        let vendor = Vendor::from_leaf(leaf0);
        let max_basic = leaf0.a.min(MAX_BASIC);
        let mut policy = Self {
            basic: [Leaf::EMPTY; _],
            cache: [Leaf::EMPTY; _],
            feature: [Leaf::EMPTY; _],
            extended: [Leaf::EMPTY; _],
            max_extended: 0x8000_0000,
            xstate: [Leaf::EMPTY; _],
            host,
            native_1: native(1, 0),
            native_e7d: 0,
        };
        policy.basic[0] = Leaf {
            a: max_basic,
            ..leaf0
        };
        policy.set_basic(vendor, max_basic, &native);
        policy.set_extended(vendor, &native);
        policy.remove_dependents();
        policy.set_xstate(&native);
        policy
    }

    fn set_basic(&mut self, vendor: Vendor, max: u32, native: &impl Fn(u32, u32) -> Leaf) {
        let one = self.native_1;
        let no_sep = if vendor == Vendor::Amd { SEP } else { 0 };
        self.basic[1] = Leaf {
            a: one.a & 0x0fff_0fff,
            b: one.b & 0x00ff_ffff,
            c: one.c & PV_1C | HYPERVISOR,
            d: one.d & PV_1D & !no_sep,
        };
        if vendor == Vendor::Intel {
            if max >= 2 {
                let leaf = native(2, 0);
                // One query gives everything.
                self.basic[2] = Leaf {
                    a: leaf.a & !0xff | 1,
                    ..leaf
                };
            }
            if max >= 4 {
                for (index, slot) in self.cache.iter_mut().enumerate() {
                    let leaf = native(4, index as u32);
                    if leaf.a & 0x1f == 0 {
                        break;
                    }
                    *slot = Leaf {
                        a: leaf.a & 0xffff_c3ff,
                        d: leaf.d & 7,
                        ..leaf
                    };
                }
            }
        }
        if max < 7 {
            return;
        }
        let first = native(7, 0);
        let subleaves = first.a.min(MAX_FEATURE);
        let no_fsgsbase = if self.host.fsgsbase { 0 } else { FSGSBASE };
        self.feature[0] = Leaf {
            a: subleaves,
            b: first.b & PV_7B0 & !no_fsgsbase,
            c: first.c & PV_7C0,
            d: first.d
                & if vendor == Vendor::Intel {
                    PV_7D0
                } else {
                    PV_7D0 & !(1 << 29)
                },
        };
        if subleaves >= 1 {
            self.feature[1].a = native(7, 1).a & PV_7A1;
        }
        if subleaves >= 2 {
            self.feature[2].d = native(7, 2).d & PV_7D2;
        }
    }

    fn set_extended(&mut self, vendor: Vendor, native: &impl Fn(u32, u32) -> Leaf) {
        let native_max = native(0x8000_0000, 0).a;
        let mut max = if native_max >> 16 == 0x8000 {
            native_max
        } else {
            0x8000_0000
        };
        if self.host.lfence_serialising {
            max = max.max(MAX_EXTENDED_AMD);
        }
        max = max.min(match vendor {
            Vendor::Amd => MAX_EXTENDED_AMD,
            Vendor::Intel => MAX_EXTENDED_INTEL,
        });
        self.max_extended = max;
        let present = |leaf: u32| {
            if leaf <= native_max.min(max) {
                native(leaf, 0)
            } else {
                Leaf::EMPTY
            }
        };
        let names = if vendor == Vendor::Amd {
            self.basic[0]
        } else {
            Leaf::EMPTY
        };
        self.extended[0] = Leaf { a: max, ..names };
        let one = present(0x8000_0001);
        self.extended[1] = Leaf {
            a: 0,
            b: 0,
            c: one.c & PV_E1C,
            d: one.d & PV_E1D,
        };
        for leaf in 2..=6 {
            self.extended[leaf as usize] = present(0x8000_0000 + leaf);
        }
        self.native_e7d = present(0x8000_0007).d;
        let eight = present(0x8000_0008);
        self.extended[8] = Leaf {
            a: eight.a & 0xffff,
            b: eight.b & PV_E8B,
            c: 0,
            d: 0,
        };
        match vendor {
            Vendor::Amd => {
                let first = &mut self.extended[1];
                first.a = self.basic[1].a;
                first.b = one.b & 0xff00_ffff;
                first.d |= self.basic[1].d & COMMON_1D;
                self.extended[8].c = eight.c & 0x0003_f0ff;
                for leaf in [0x19, 0x1a] {
                    self.extended[leaf as usize] = present(0x8000_0000 + leaf);
                }
                let serialising = if self.host.lfence_serialising {
                    LFENCE_DISPATCH
                } else {
                    0
                };
                self.extended[0x21].a = present(0x8000_0021).a & PV_E21A | serialising;
            }
            Vendor::Intel => {
                self.extended[5] = Leaf::EMPTY;
                self.extended[6] = Leaf {
                    a: 0,
                    b: 0,
                    d: 0,
                    ..self.extended[6]
                };
            }
        }
    }

    /// Takes away what cannot be used because something below it is missing.
    fn remove_dependents(&mut self) {
        if self.basic[0].a < 0xd || self.host.xcr0 & 3 != 3 {
            self.basic[1].c &= !XSAVE;
        }
        if self.basic[1].c & XSAVE == 0 || self.host.xcr0 & 4 == 0 {
            self.basic[1].c &= !AVX;
        }
        if self.basic[1].c & AVX == 0 {
            // FMA, F16C; XOP, FMA4; AVX2; VAES, VPCLMULQDQ; AVX_VNNI
            self.basic[1].c &= !bits([12, 29]);
            self.extended[1].c &= !bits([11, 16]);
            self.feature[0].b &= !bits([5]);
            self.feature[0].c &= !bits([9, 10]);
            self.feature[1].a &= !bits([4]);
        }
        if self.feature[0].b & 1 << 5 == 0 || self.host.xcr0 & 0xe0 != 0xe0 {
            self.feature[0].b &= !bits([16, 17, 21, 26, 27, 28, 30, 31]);
            self.feature[0].c &= !bits([1, 6, 11, 12, 14]);
            self.feature[0].d &= !bits([2, 3]);
            self.feature[1].a &= !bits([5]);
        }
    }

    fn set_xstate(&mut self, native: &impl Fn(u32, u32) -> Leaf) {
        if self.basic[1].c & XSAVE == 0 {
            return;
        }
        let mut states = 3u64;
        if self.basic[1].c & AVX != 0 {
            states |= 4;
        }
        if self.feature[0].b & 1 << 16 != 0 {
            states |= 0xe0;
        }
        let mut size = LEGACY_AREA;
        for state in 2..63u32 {
            if states & 1 << state == 0 {
                continue;
            }
            let leaf = native(0xd, state);
            size = size.max(leaf.a.saturating_add(leaf.b));
            self.xstate[state as usize] = Leaf {
                a: leaf.a,
                b: leaf.b,
                c: leaf.c & 2,
                d: 0,
            };
        }
        self.xstate[0] = Leaf {
            a: states as u32,
            b: 0,
            c: size,
            d: (states >> 32) as u32,
        };
        self.xstate[1].a = native(0xd, 1).a & PV_DA1;
    }

    /// Bytes of a save area in its standard form for the states in `mask`; 0 for none.
    pub fn save_area_size(&self, mask: u64) -> u32 {
        match mask {
            0 => 0,
            mask => self.xstate_size(mask, Layout::Standard),
        }
    }

    /// States of XCR0 a guest may enable; 0 without XSAVE.
    pub fn xcr0(&self) -> u64 {
        u64::from(self.xstate[0].a) | u64::from(self.xstate[0].d) << 32
    }

    /// Whether guests see RDTSCP or RDPID, and so MSR `TSC_AUX`.
    pub fn has_tsc_aux(&self) -> bool {
        self.extended[1].d & 1 << 27 != 0 || self.feature[0].c & 1 << 22 != 0
    }

    /// Whether guests see MSR `ARCH_CAPABILITIES`.
    pub fn has_arch_capabilities(&self) -> bool {
        self.feature[0].d & 1 << 29 != 0
    }

    /// Whether guests see the branch prediction barrier (MSR `PRED_CMD`).
    pub fn has_prediction_barrier(&self) -> bool {
        self.extended[8].b & 1 << 12 != 0
    }

    /// Whether guests see data breakpoint masks (AMD).
    pub fn has_breakpoint_masks(&self) -> bool {
        self.extended[1].c & 1 << 26 != 0
    }

    /// Who made the processor.
    pub fn vendor(&self) -> Vendor {
        Vendor::from_leaf(self.basic[0])
    }

    /// Family, model and stepping as leaf 1 gives them.
    pub fn signature(&self) -> u32 {
        self.basic[1].a
    }

    /// The answer for `leaf` and `subleaf`.
    pub fn answer(&self, leaf: u32, subleaf: u32, view: &View) -> Leaf {
        match leaf {
            0..=MAX_BASIC if leaf > self.basic[0].a => Leaf::EMPTY,
            1 => self.leaf_1(view),
            4 => self
                .cache
                .get(subleaf as usize)
                .copied()
                .unwrap_or_default(),
            7 => self
                .feature
                .get(subleaf as usize)
                .copied()
                .unwrap_or_default(),
            0xd => self.leaf_xstate(subleaf, view.xcr0),
            0..=MAX_BASIC => self.basic[leaf as usize],
            HYPERVISOR_BASE..=0x4000_01ff => self.hypervisor(leaf - HYPERVISOR_BASE, subleaf),
            0x8000_0000..=MAX_EXTENDED_AMD if leaf <= self.max_extended => {
                self.leaf_extended(leaf, view)
            }
            _ => Leaf::EMPTY,
        }
    }

    fn leaf_1(&self, view: &View) -> Leaf {
        let mut leaf = self.basic[1];
        // The hypervisor's own OSXSAVE shows through the prefixed form: Linux depends on it.
        if view.osxsave || view.forced && view.kernel && leaf.c & XSAVE != 0 {
            leaf.c |= OSXSAVE;
        }
        if view.hardware_domain && view.kernel {
            leaf.c |= self.native_1.c & EIST;
            leaf.d |= self.native_1.d & MTRR;
        }
        leaf
    }

    fn leaf_extended(&self, leaf: u32, view: &View) -> Leaf {
        let mut result = self.extended[(leaf & 0xffff) as usize];
        if view.hardware_domain {
            if leaf == 0x8000_0001 && view.kernel {
                result.d |= self.native_1.d & MTRR;
            }
            // It never migrates, so an invariant TSC stays one.
            if leaf == 0x8000_0007 {
                result.d |= self.native_e7d & ITSC;
            }
        }
        result
    }

    fn leaf_xstate(&self, subleaf: u32, enabled: u64) -> Leaf {
        let Some(mut leaf) = self.xstate.get(subleaf as usize).copied() else {
            return Leaf::EMPTY;
        };
        if subleaf == 0 && leaf.a != 0 {
            leaf.b = self.xstate_size(enabled, Layout::Standard);
        } else if subleaf == 1 && leaf.a & XSAVEC != 0 {
            leaf.b = self.xstate_size(enabled, Layout::Compacted);
        }
        leaf
    }

    /// Bytes of a save area for the states in `enabled`.
    fn xstate_size(&self, enabled: u64, layout: Layout) -> u32 {
        let mut size = LEGACY_AREA;
        for (state, leaf) in self.xstate.iter().enumerate().skip(2) {
            if enabled >> state & 1 == 0 || leaf.a == 0 {
                continue;
            }
            size = match layout {
                Layout::Standard => size.max(leaf.a.saturating_add(leaf.b)),
                // Bit 1 of ECX: the state begins at a multiple of 64.
                Layout::Compacted if leaf.c & 2 != 0 => ((size + 63) & !63).saturating_add(leaf.a),
                Layout::Compacted => size.saturating_add(leaf.a),
            };
        }
        size
    }

    fn hypervisor(&self, index: u32, subleaf: u32) -> Leaf {
        match (index, subleaf) {
            // "XenVMMXenVMM"
            (0, _) => Leaf::new(
                HYPERVISOR_BASE + HYPERVISOR_LEAVES,
                0x566e_6558,
                0x6558_4d4d,
                0x4d4d_566e,
            ),
            (1, _) => Leaf::new(4 << 16 | 17, 0, 0, 0),
            // One hypercall page, asked for by MSR 0x40000000; `MMU_PT_UPDATE_PRESERVE_AD` works.
            (2, _) => Leaf::new(1, 0x4000_0000, 1, 0),
            (3, 2) => Leaf::new(self.host.cpu_khz, 0, 0, 0),
            (5, 0) => Leaf::new(0, self.host.machine_address_bits, 0, 0),
            _ => Leaf::EMPTY,
        }
    }
}
