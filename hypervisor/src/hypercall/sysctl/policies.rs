//! What the CPU has and what guests may have of it.

use xenocryst_abi::hypercall::errno::{EINVAL, ENOBUFS, EOPNOTSUPP, Errno};
use xenocryst_abi::sysctl::{CpuFeatureset, CpuPolicy, featureset, policy};
use xenocryst_emulate::cpuid::{FEATURE_WORDS, Leaf, feature_words};
use zerocopy::IntoBytes;

use super::Request;
use crate::arch::guest_access;
use crate::cpuid;
use crate::hypercall::{Answer, cpu_policy};

/// Whose policy is asked for.
#[derive(Clone, Copy)]
enum Whose {
    /// The processor's own.
    Host,
    /// That of PV guests.
    Guest,
}

impl Whose {
    fn stored(self, leaf: u32, subleaf: u32) -> Leaf {
        match self {
            Self::Host => cpuid::native(leaf, subleaf),
            Self::Guest => cpuid::policy().stored(leaf, subleaf),
        }
    }

    fn msrs(self) -> [(u32, u64); 2] {
        match self {
            Self::Host => cpuid::host_msrs(),
            Self::Guest => cpuid::policy_msrs(),
        }
    }
}

pub fn featureset(request: &Request) -> Answer {
    let mut part: CpuFeatureset = request.part()?;
    if part.features.raw() == 0 {
        part.nr_features = FEATURE_WORDS as u32;
        return request.answer(&part);
    }
    let whose = match part.index {
        featureset::RAW | featureset::HOST => Whose::Host,
        featureset::PV | featureset::PV_MAX => Whose::Guest,
        featureset::HVM | featureset::HVM_MAX => return Err(EOPNOTSUPP.into()),
        _ => return Err(EINVAL.into()),
    };
    let [_, (_, arch_capabilities)] = whose.msrs();
    let words = feature_words(
        &|leaf, subleaf| whose.stored(leaf, subleaf),
        arch_capabilities,
    );
    let room = (part.nr_features as usize).min(FEATURE_WORDS);
    let shown = words.get(..room).unwrap_or(&words);
    guest_access::copy_to(part.features, shown.as_bytes())?;
    part.nr_features = room as u32;
    request.answer(&part)?;
    if room < FEATURE_WORDS {
        return Err(ENOBUFS.into());
    }
    Ok(0)
}

pub fn cpu_policy(request: &Request) -> Answer {
    let mut part: CpuPolicy = request.part()?;
    let whose = select(&part)?;
    let source = |leaf, subleaf| whose.stored(leaf, subleaf);
    part.nr_leaves = cpu_policy::write_leaves(&source, part.leaves, part.nr_leaves)?;
    part.nr_msrs = cpu_policy::write_msrs(&whose.msrs(), part.msrs, part.nr_msrs)?;
    request.answer(&part)
}

fn select(part: &CpuPolicy) -> Result<Whose, Errno> {
    if part.rsvd != 0 {
        return Err(EINVAL);
    }
    match part.index {
        policy::RAW | policy::HOST => Ok(Whose::Host),
        policy::PV_MAX | policy::PV_DEFAULT => Ok(Whose::Guest),
        policy::HVM_MAX | policy::HVM_DEFAULT => Err(EOPNOTSUPP),
        _ => Err(EINVAL),
    }
}
