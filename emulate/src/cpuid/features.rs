//! Which features a PV guest may see, word by word, and the bits that the policy treats one by one.
//!
//! Source: `arch-x86/cpufeatureset.h` of Xen's public headers, the features marked there for all guest types.

/// A word with these bits set.
pub const fn bits<const N: usize>(list: [u32; N]) -> u32 {
    let mut word = 0;
    let mut index = 0;
    while index < N {
        word |= 1 << list[index];
        index += 1;
    }
    word
}

/// Leaf 1 EDX: FPU, DE, TSC, MSR, PAE, MCE, CX8, APIC, SEP, MCA, CMOV, PAT, CLFLUSH, ACPI, MMX, FXSR, SSE, SSE2, SS, HTT.
pub const PV_1D: u32 = bits([
    0, 2, 4, 5, 6, 7, 8, 9, 11, 14, 15, 16, 19, 22, 23, 24, 25, 26, 27, 28,
]);
/// Leaf 1 ECX: SSE3, PCLMULQDQ, SSSE3, FMA, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AESNI, XSAVE, AVX, F16C, RDRAND.
pub const PV_1C: u32 = bits([0, 1, 9, 12, 13, 19, 20, 22, 23, 25, 26, 28, 29, 30]);
/// Leaf 0x80000001 EDX: SYSCALL, NX, MMXEXT, FFXSR, RDTSCP, LM, 3DNOWEXT, 3DNOW.
pub const PV_E1D: u32 = bits([11, 20, 22, 25, 27, 29, 30, 31]);
/// Leaf 0x80000001 ECX: LAHF_LM, CMP_LEGACY, ABM, SSE4A, MISALIGNSSE, 3DNOWPREFETCH, XOP, FMA4, TBM, DBEXT.
pub const PV_E1C: u32 = bits([0, 1, 5, 6, 7, 8, 11, 16, 21, 26]);
/// Leaf 0xd.1 EAX: XSAVEOPT, XSAVEC, XGETBV1.
pub const PV_DA1: u32 = bits([0, 1, 2]);
/// Leaf 7.0 EBX: FSGSBASE, BMI1, AVX2, FDP_EXCP_ONLY, BMI2, ERMS, RTM, NO_FPU_SEL, AVX512F, AVX512DQ, RDSEED, ADX,
/// AVX512_IFMA, CLFLUSHOPT, CLWB, AVX512PF, AVX512ER, AVX512CD, SHA, AVX512BW, AVX512VL.
pub const PV_7B0: u32 = bits([
    0, 3, 5, 6, 8, 9, 11, 13, 16, 17, 18, 19, 21, 23, 24, 26, 27, 28, 29, 30, 31,
]);
/// Leaf 7.0 ECX: PREFETCHWT1, AVX512_VBMI, AVX512_VBMI2, GFNI, VAES, VPCLMULQDQ, AVX512_VNNI, AVX512_BITALG,
/// AVX512_VPOPCNTDQ, RDPID, CLDEMOTE.
pub const PV_7C0: u32 = bits([0, 1, 6, 8, 9, 10, 11, 12, 14, 22, 25]);
/// Leaf 7.0 EDX: AVX512_4VNNIW, AVX512_4FMAPS, FSRM, MD_CLEAR, SERIALIZE, ARCH_CAPS. The controls of MSR 0x48 are not
/// offered.
pub const PV_7D0: u32 = bits([2, 3, 4, 10, 14, 29]);
/// Leaf 7.1 EAX: AVX_VNNI, AVX512_BF16, FZRM, FSRS, FSRCS.
pub const PV_7A1: u32 = bits([4, 5, 10, 11, 12]);
/// Leaf 7.2 EDX: MCDT_NO.
pub const PV_7D2: u32 = bits([5]);
/// Leaf 0x80000008 EBX: CLZERO, RSTR_FP_ERR_PTRS, IBPB, SSB_NO, BTC_NO, IBPB_RET.
pub const PV_E8B: u32 = bits([0, 2, 12, 26, 29, 30]);
/// Leaf 0x80000021 EAX: LFENCE_DISPATCH, NSCB, SBPB, IBPB_BRTYPE, SRSO_NO.
pub const PV_E21A: u32 = bits([2, 6, 27, 28, 29]);
/// Bits of leaf 1 EDX that AMD repeats in leaf 0x80000001.
pub const COMMON_1D: u32 = 0x0183_f3ff;

pub const SEP: u32 = 1 << 11;
pub const MTRR: u32 = 1 << 12;
pub const EIST: u32 = 1 << 7;
pub const XSAVE: u32 = 1 << 26;
pub const OSXSAVE: u32 = 1 << 27;
pub const AVX: u32 = 1 << 28;
pub const HYPERVISOR: u32 = 1 << 31;
pub const LFENCE_DISPATCH: u32 = 1 << 2;
pub const ITSC: u32 = 1 << 8;
pub const FSGSBASE: u32 = 1;
pub const XSAVEC: u32 = 1 << 1;
