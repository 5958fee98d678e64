//! Boot loader information, by both protocols: physical memory is `data`, from an address that its first byte chooses.
//!
//! Modules end after they start, strings lie in the memory, the map is in order and without overlaps.

use crate::bytes::put;
use xenocryst_boot::info::{BootInfo, MAX_MODULES};
use xenocryst_boot::phys::PhysSlice;
use xenocryst_boot::{cmdline::Options, multiboot1, multiboot2};

/// Where the memory starts: usually low, now and then at the end of all addresses.
fn base(byte: u8) -> u64 {
    match byte {
        0..=250 => u64::from(byte) * 8,
        251..=253 => 0xffff_f000,
        _ => u64::MAX - 0x1000,
    }
}

/// Reads the structure at the start of the memory as both protocols would have it.
pub fn run(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else {
        return;
    };
    let base = base(first);
    // Strings are read by pages, so there are whole ones.
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4096), 0);
    let bytes = padded.as_slice();
    let memory = PhysSlice { base, bytes };
    for info in [
        multiboot1::parse(&memory, base),
        multiboot2::parse(&memory, base),
    ] {
        if let Some(info) = info {
            check(&info, bytes.len());
        }
    }
}

fn check(info: &BootInfo<'_>, size: usize) {
    assert!(info.modules().len() <= MAX_MODULES);
    for (index, module) in info.modules().iter().enumerate() {
        assert!(module.start <= module.end);
        let _ = module.bytes();
        let options = info.module_options(index).unwrap();
        assert!(options.len() <= module.command_line.len());
    }
    assert!(info.loader.len() <= size && info.options().len() <= size);
    let _ = Options::parse(info.options());
    let entries = info.memory.entries();
    assert!(!entries.is_empty());
    assert!(entries.iter().all(|entry| entry.start < entry.end));
    assert!(entries.windows(2).all(|pair| pair[0].end <= pair[1].start));
}

fn first_protocol() -> Vec<u8> {
    let mut out = vec![0; 116];
    for (at, value) in [
        (0, 0x124d),
        (4, 640),
        (8, 0x10_0000),
        (16, 0x100),
        (20, 2),
        (24, 0x140),
        (44, 48),
        (48, 0x180),
        (64, 0x110),
        (88, 0xb8000),
        (96, 160),
        (100, 80),
        (104, 25),
        (108, 0x0210),
    ] {
        put(&mut out, at, 4, value);
    }
    out.resize(0x200, 0);
    out[0x100..0x10d].copy_from_slice(b"xen loglvl=al");
    out[0x110..0x114].copy_from_slice(b"GRUB");
    for (at, value) in [
        (0x140, 0x1000),
        (0x144, 0x2000),
        (0x148, 0x100),
        (0x150, 0x2000),
        (0x154, 0x2800),
    ] {
        put(&mut out, at, 4, value);
    }
    for (at, start, length, kind) in [(0x180, 0, 0x9_f000, 1), (0x198, 0x10_0000, 0x4000_0000, 2)] {
        put(&mut out, at, 4, 20);
        put(&mut out, at + 4, 8, start);
        put(&mut out, at + 12, 8, length);
        put(&mut out, at + 20, 4, kind);
    }
    out.resize(0x1000, 0);
    // Memory from 0 on, so that the addresses above are right.
    [&[0], out.as_slice()].concat()
}

fn second_protocol() -> Vec<u8> {
    let mut out = vec![0; 8];
    let mut tag = |kind: u64, body: &[u8]| {
        let at = out.len();
        put(&mut out, at, 4, kind);
        put(&mut out, at + 4, 4, 8 + body.len() as u64);
        out.extend(body);
        out.resize(out.len().next_multiple_of(8), 0);
    };
    tag(1, b"com1=115200 console=com1\0");
    tag(2, b"GRUB 2.06\0");
    let mut module = Vec::new();
    put(&mut module, 0, 4, 0x1000);
    put(&mut module, 4, 4, 0x3000);
    module.extend(b"root=/dev/xvda\0");
    tag(3, &module);
    let mut map = Vec::new();
    put(&mut map, 0, 4, 24);
    put(&mut map, 8, 8, 0x10_0000);
    put(&mut map, 16, 8, 0x4000_0000);
    put(&mut map, 24, 4, 1);
    put(&mut map, 32, 8, 0x2000_0000);
    put(&mut map, 40, 8, 0x1000);
    put(&mut map, 48, 8, 3);
    tag(6, &map);
    let mut display = Vec::new();
    put(&mut display, 0, 8, 0xe000_0000);
    put(&mut display, 8, 4, 4096);
    put(&mut display, 12, 4, 1024);
    put(&mut display, 16, 4, 768);
    put(&mut display, 20, 4, 0x0120);
    put(&mut display, 24, 8, 0x0808_0810_0808);
    tag(8, &display);
    tag(12, &[0; 8]);
    tag(14, b"RSD PTR 012345678901");
    tag(15, b"RSD PTR 0123456789012345678901234567");
    tag(0, b"");
    let total = out.len() as u64;
    put(&mut out, 0, 4, total);
    [&[0], out.as_slice()].concat()
}

/// One structure of each protocol, with everything that is read.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![first_protocol(), second_protocol()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_say_something() {
        let (one, two) = (first_protocol(), second_protocol());
        let memory = PhysSlice {
            base: 0,
            bytes: &one[1..],
        };
        let info = multiboot1::parse(&memory, 0).unwrap();
        assert_eq!((info.modules().len(), info.memory.entries().len()), (2, 2));
        let memory = PhysSlice {
            base: 0,
            bytes: &two[1..],
        };
        let info = multiboot2::parse(&memory, 0).unwrap();
        // The second range of its map lies in the middle of the first.
        assert_eq!((info.modules().len(), info.memory.entries().len()), (1, 3));
        assert!(info.display.is_some() && info.left_out == 0);
    }
}
