//! `HYPERVISOR_set_gdt` and `HYPERVISOR_update_descriptor`.

use xenocryst_abi::hypercall::errno::EINVAL;
use xenocryst_abi::{Maddr, Vaddr};

use super::{Answer, Call, refused};
use crate::arch::guest_access;
use crate::domain::descriptors;
use crate::mm::machine::engine;

/// Descriptors a guest's GDT may have.
const MOST_ENTRIES: u64 = 14 * 512;

/// `set_gdt(frames, entries)`.
pub fn set_gdt(call: &Call) -> Answer {
    let [list, entries, ..] = call.args;
    let entries = u64::from(entries as u32);
    if entries > MOST_ENTRIES {
        return Err(EINVAL.into());
    }
    let mut frames = [0_u64; descriptors::GUEST_GDT_PAGES];
    let count = entries.div_ceil(512) as usize;
    for (index, frame) in frames[..count].iter_mut().enumerate() {
        *frame = guest_access::read_u64(Vaddr::new(list.wrapping_add(index as u64 * 8)))?;
    }
    descriptors::set_gdt(call.vcpu, &frames[..count], entries as usize)?;
    Ok(0)
}

/// `update_descriptor(machine address, descriptor)`.
pub fn update_descriptor(call: &Call) -> Answer {
    let [at, descriptor, ..] = call.args;
    match engine().update_descriptor(&call.vcpu.domain.memory, Maddr::new(at), descriptor) {
        Ok(()) => Ok(0),
        Err(refusal) => Err(refused(call, &refusal)),
    }
}
