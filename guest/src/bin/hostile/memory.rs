//! Reaching into the hypervisor's range, and to addresses that are none, by instructions of every kind.

use core::arch::asm;

use xenocryst_guest::abi::layout;
use xenocryst_guest::trap::attempt;

use crate::privileged::{put, run};
use crate::tell::{Ended, tell};

/// Addresses that are not the guest's.
const FORBIDDEN: [(u64, &str); 4] = [
    (0xffff_82d0_8020_0000, "image"),
    (0xffff_8300_0000_0000, "direct map"),
    (0xffff_8000_0000_0000, "m2p"),
    (0x0000_8000_0000_0000, "non-canonical"),
];

/// Instructions that reach memory at RCX, and at RDI and RSI too.
const ACCESSES: &[(&str, &[u8])] = &[
    ("load", &[0x48, 0x8b, 0x01]),
    ("store", &[0x48, 0x89, 0x01]),
    ("locked add", &[0xf0, 0x48, 0x01, 0x01]),
    ("clflush", &[0x0f, 0xae, 0x39]),
    ("fxsave", &[0x0f, 0xae, 0x01]),
    ("fxrstor", &[0x0f, 0xae, 0x09]),
    ("sgdt", &[0x0f, 0x01, 0x01]),
    ("lgdt", &[0x0f, 0x01, 0x11]),
    (
        "movsb from",
        &[
            0x48, 0x89, 0xce, 0x48, 0x89, 0xe7, 0x48, 0x83, 0xef, 0x40, 0xa4,
        ],
    ),
    ("stosb", &[0x48, 0x89, 0xcf, 0xaa]),
    ("outsb", &[0x48, 0x89, 0xce, 0x66, 0xba, 0x80, 0x00, 0x6e]),
    ("insb", &[0x48, 0x89, 0xcf, 0x66, 0xba, 0x80, 0x00, 0x6c]),
    (
        "rep outsb",
        &[
            0x48, 0x89, 0xce, 0x31, 0xc9, 0xb1, 0x02, 0x66, 0xba, 0x80, 0x00, 0xf3, 0x6e,
        ],
    ),
    ("call", &[0xff, 0xd1]),
];

/// Every access (I95: they end as faults of the guest).
pub fn all() {
    for (address, place) in FORBIDDEN {
        for (name, code) in ACCESSES {
            let (mut ended, _) = run(code, 0, address, 0);
            // Whether something is mapped there is the hypervisor's own business, but for the M2P.
            if let Err(fault) = &mut ended.result
                && (layout::MACH2PHYS_VIRT_END..layout::HYPERVISOR_VIRT_END).contains(&address)
                && fault.vector == 14
            {
                fault.error &= !1;
            }
            tell("memory", format_args!("{name} {place}"), ended);
        }
    }
    across_the_end();
}

/// Emulated instructions whose bytes end where nothing is mapped (I95).
fn across_the_end() {
    // The page behind the code page is not the code's; so what is fetched there must be told as a fault of the fetch.
    let origin = put(&[]);
    let behind = 0x1000_0000_u64;
    for (name, code) in [
        ("nowhere", behind),
        ("non-canonical", 0x0000_8000_0000_0000),
    ] {
        let result = attempt(|| {
            // SAFETY: nothing is there to be run.
            unsafe { asm!("call {code}", code = in(reg) code, clobber_abi("C")) }
        });
        tell(
            "memory",
            format_args!("run {name}"),
            Ended { result, origin },
        );
    }
}
