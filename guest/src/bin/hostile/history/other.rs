//! Another domain, which this one makes and destroys.

use xenocryst_guest::abi::DomId;
use xenocryst_guest::abi::domctl::{
    ArchDomainConfig, CreateDomain, Domctl, INTERFACE_VERSION, MaxMem, op as domctl,
};
use xenocryst_guest::abi::hypercall::number;

use super::call;

/// Its number.
pub const OTHER: DomId = DomId(7);
/// How often is looked whether it is gone.
pub const LOOKS: u32 = 1_000_000;

/// A request about the domain.
pub fn request(command: u32, data: [u64; 16]) -> Domctl {
    Domctl {
        cmd: command,
        interface_version: INTERFACE_VERSION,
        domain: OTHER,
        pad: [0; 3],
        data,
    }
}

/// Makes a request about the domain.
pub fn control(command: u32, data: [u64; 16]) -> i64 {
    let mut request = request(command, data);
    call(number::DOMCTL, [&raw mut request as u64, 0, 0, 0, 0])
}

/// A structure at the beginning of a request's data.
pub fn data<T: Copy>(part: T) -> [u64; 16] {
    let mut data = [0_u64; 16];
    assert!(
        size_of::<T>() <= size_of_val(&data),
        "too large for a request"
    );
    // SAFETY: it fits, and any bytes make words.
    unsafe { data.as_mut_ptr().cast::<T>().write_unaligned(part) };
    data
}

/// Makes the domain, with a limit on the frames of its grant table, and without memory and vCPUs.
pub fn make(grant_frames: i32) -> i64 {
    control(
        domctl::CREATEDOMAIN,
        data(CreateDomain {
            ssidref: 0,
            handle: [7; 16],
            flags: 0,
            iommu_opts: 0,
            max_vcpus: 1,
            max_evtchn_port: 1023,
            max_grant_frames: grant_frames,
            max_maptrack_frames: 4,
            grant_opts: 1,
            vmtrace_size: 0,
            cpupool_id: 0,
            arch: ArchDomainConfig {
                emulation_flags: 0,
                misc_flags: 0,
            },
        }),
    )
}

/// Whether it is gone after a while.
pub fn is_gone() -> bool {
    let absent = -3;
    (0..LOOKS).any(|_| control(domctl::MAX_MEM, data(MaxMem { max_memkb: 0 })) == absent)
}
