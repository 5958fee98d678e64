//! CPU policies on their way to and from tools: lists of CPUID leaves and of MSRs.
//!
//! Keeps true: lists from tools are bounded before they are read, and each entry is read once; what they say is applied
//! as a whole or not at all.
//! Neighbours: `sysctl` (the host's policies), `domctl` (a domain's), `cpuid` (who answers from them).

use xenocryst_abi::Vaddr;
use xenocryst_abi::domctl::{self, CpuidLeaf, MsrEntry};
use xenocryst_abi::hypercall::errno::{E2BIG, EFAULT, EINVAL, ENOBUFS, ERANGE, Errno};
use xenocryst_emulate::cpuid::{self as policy, Leaf, MAX_LEAVES, Policy, WrongLeaf};

use crate::arch::guest_access;
use crate::cpuid;

/// MSRs in a policy.
pub const MAX_MSRS: u32 = 2;
/// What is reported where no single entry is to blame.
const NONE: u32 = u32::MAX;

/// Writes the leaves of `source` to the array at `to`, which has room for `room`. Returns how many there are; with no
/// array, how many there can be.
///
/// # Errors
/// `ENOBUFS` if there is too little room, `EFAULT`.
pub fn write_leaves(
    source: &impl Fn(u32, u32) -> Leaf,
    to: Vaddr,
    room: u32,
) -> Result<u32, Errno> {
    if to.raw() == 0 {
        return Ok(MAX_LEAVES);
    }
    let mut count = 0;
    policy::each_leaf(source, &mut |leaf, subleaf, value| {
        if count == room {
            return Err(ENOBUFS);
        }
        let Leaf { a, b, c, d } = value;
        let entry = CpuidLeaf {
            leaf,
            subleaf,
            a,
            b,
            c,
            d,
        };
        write_entry(to, count, &entry)?;
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// The same for the MSRs of a policy.
///
/// # Errors
/// As [`write_leaves`].
pub fn write_msrs(values: &[(u32, u64)], to: Vaddr, room: u32) -> Result<u32, Errno> {
    if to.raw() == 0 {
        return Ok(MAX_MSRS);
    }
    for (index, &(idx, val)) in values.iter().enumerate() {
        if index as u32 >= room {
            return Err(ENOBUFS);
        }
        write_entry(to, index as u32, &MsrEntry { idx, flags: 0, val })?;
    }
    Ok(values.len() as u32)
}

fn write_entry<T: zerocopy::IntoBytes + zerocopy::Immutable>(
    to: Vaddr,
    index: u32,
    entry: &T,
) -> Result<(), Errno> {
    let offset = u64::from(index) * size_of::<T>() as u64;
    guest_access::write(to.wrapping_add(offset), entry)
}

/// The policy that `request` makes of `current`. Where an entry is to blame, it is named in `request`.
///
/// # Errors
/// `E2BIG` for more entries than there can be, `ERANGE` for one that is unknown, `EINVAL` for one that asks for too much,
/// `EFAULT`.
pub fn merged(request: &mut domctl::CpuPolicy, current: &Policy) -> Result<Policy, Errno> {
    (request.err_leaf, request.err_subleaf, request.err_msr) = (NONE, NONE, NONE);
    if request.nr_leaves > MAX_LEAVES || request.nr_msrs > MAX_MSRS {
        return Err(E2BIG);
    }
    let mut draft = current.clone();
    for index in 0..request.nr_leaves {
        let entry: CpuidLeaf = read_entry(request.leaves, index)?;
        let value = Leaf::new(entry.a, entry.b, entry.c, entry.d);
        let stored = draft.store(entry.leaf, entry.subleaf, value);
        stored.map_err(|wrong| blame(request, wrong))?;
    }
    for index in 0..request.nr_msrs {
        check_msr(request, index)?;
    }
    let limited = draft.limit(cpuid::policy());
    limited.map_err(|wrong| blame(request, wrong))
}

fn read_entry<T: zerocopy::FromBytes>(from: Vaddr, index: u32) -> Result<T, Errno> {
    let offset = u64::from(index) * size_of::<T>() as u64;
    guest_access::read(from.wrapping_add(offset)).map_err(|_| EFAULT)
}

fn blame(request: &mut domctl::CpuPolicy, wrong: WrongLeaf) -> Errno {
    let (leaf, subleaf, errno) = match wrong {
        WrongLeaf::Unknown { leaf, subleaf } => (leaf, subleaf, ERANGE),
        WrongLeaf::Incompatible { leaf, subleaf } => (leaf, subleaf, EINVAL),
    };
    (request.err_leaf, request.err_subleaf) = (leaf, subleaf);
    errno
}

/// MSRs are what the processor has: tools may only say what is so.
fn check_msr(request: &mut domctl::CpuPolicy, index: u32) -> Result<(), Errno> {
    let entry: MsrEntry = read_entry(request.msrs, index)?;
    let known = cpuid::policy_msrs()
        .into_iter()
        .find(|msr| msr.0 == entry.idx);
    let errno = match known {
        None => ERANGE,
        Some((_, value)) if entry.flags == 0 && entry.val & !value == 0 => return Ok(()),
        Some(_) => EINVAL,
    };
    request.err_msr = entry.idx;
    Err(errno)
}
