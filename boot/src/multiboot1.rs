//! The information structure of the Multiboot specification 0.6.96, which QEMU's `-kernel` and GRUB's `multiboot` hand over.
//!
//! Keeps true: nothing is believed without its flag, and nothing outside readable memory is looked at.
//! Neighbours: [`crate::info`] for the result, [`crate::multiboot2`] for the newer protocol.

use crate::info::{BootInfo, ColourField, Display, Module};
use crate::memory_map::MemoryKind;
use crate::phys::{PhysRead, string_at, u8_at, u32_at, u64_at};

/// What the loader leaves in EAX.
pub const MAGIC: u32 = 0x2bad_b002;

/// Bytes of the structure up to the end of the frame buffer's colour description.
const INFO_BYTES: u64 = 116;

/// Most bytes of memory map that are read.
const MAX_MAP_BYTES: u64 = 64 * 1024;

const FLAG_MEMORY: u32 = 1 << 0;
const FLAG_COMMAND_LINE: u32 = 1 << 2;
const FLAG_MODULES: u32 = 1 << 3;
const FLAG_MAP: u32 = 1 << 6;
const FLAG_LOADER: u32 = 1 << 9;
const FLAG_DISPLAY: u32 = 1 << 12;

/// Reads the structure at physical address `addr` (EBX at entry). `None` when it cannot be read or describes no memory at all.
pub fn parse<M: PhysRead + ?Sized>(memory: &M, addr: u64) -> Option<BootInfo<'_>> {
    let raw = memory.bytes(addr, INFO_BYTES)?;
    let flags = u32_at(raw, 0)?;
    let mut info = BootInfo::default();
    if flags & FLAG_LOADER != 0 {
        info.loader = string_at(memory, u32_at(raw, 64)?.into()).unwrap_or("");
    }
    if flags & FLAG_COMMAND_LINE != 0 {
        info.raw_command_line = string_at(memory, u32_at(raw, 16)?.into()).unwrap_or_else(|| {
            info.left_out += 1;
            ""
        });
    }
    if flags & FLAG_MODULES != 0 {
        modules(memory, &mut info, u32_at(raw, 20)?, u32_at(raw, 24)?);
    }
    if flags & FLAG_MAP != 0 {
        map(memory, &mut info, u32_at(raw, 44)?, u32_at(raw, 48)?);
    } else if flags & FLAG_MEMORY != 0 {
        // Only two sizes in KiB: below 640 KiB, and from 1 MiB up to the first hole.
        let (lower, upper) = (u64::from(u32_at(raw, 4)?), u64::from(u32_at(raw, 8)?));
        let _ = info.memory.add(0, lower << 10, MemoryKind::Usable);
        let _ = info
            .memory
            .add(1 << 20, (1 << 20) + (upper << 10), MemoryKind::Usable);
    }
    if flags & FLAG_DISPLAY != 0 {
        info.display = display(raw);
    }
    (!info.memory.entries().is_empty()).then_some(info)
}

/// Module descriptors: 16 bytes each (start, end, string, reserved).
fn modules<'a, M: PhysRead + ?Sized>(
    memory: &'a M,
    info: &mut BootInfo<'a>,
    count: u32,
    addr: u32,
) {
    // One more than are kept, so that a surplus is noticed without following an absurd count.
    for index in 0..u64::from(count).min(crate::info::MAX_MODULES as u64 + 1) {
        let module = memory
            .bytes(u64::from(addr) + index * 16, 16)
            .and_then(|raw| {
                let string = u32_at(raw, 8)?;
                Some(Module {
                    start: u32_at(raw, 0)?.into(),
                    end: u32_at(raw, 4)?.into(),
                    command_line: if string == 0 {
                        ""
                    } else {
                        string_at(memory, string.into())?
                    },
                })
            });
        match module {
            Some(module) => info.add_module(module),
            None => info.left_out += 1,
        }
    }
}

/// Map entries: a size that does not count itself, then base, length and type.
fn map<M: PhysRead + ?Sized>(memory: &M, info: &mut BootInfo<'_>, length: u32, addr: u32) {
    let length = u64::from(length).min(MAX_MAP_BYTES);
    let mut at = 0u64;
    while at + 24 <= length {
        let Some(raw) = memory.bytes(u64::from(addr) + at, 24) else {
            info.left_out += 1;
            return;
        };
        let (Some(size), Some(base), Some(len), Some(kind)) = (
            u32_at(raw, 0),
            u64_at(raw, 4),
            u64_at(raw, 12),
            u32_at(raw, 20),
        ) else {
            return;
        };
        if info
            .memory
            .add(base, base.saturating_add(len), MemoryKind::from_raw(kind))
            .is_err()
        {
            info.left_out += 1;
        }
        at += u64::from(size).max(20) + 4;
    }
}

/// The frame buffer fields from offset 88.
fn display(raw: &[u8]) -> Option<Display> {
    let (address, pitch) = (u64_at(raw, 88)?, u32_at(raw, 96)?);
    let (width, height, depth) = (u32_at(raw, 100)?, u32_at(raw, 104)?, u8_at(raw, 108)?);
    let colour = |at| {
        Some(ColourField {
            position: u8_at(raw, at)?,
            size: u8_at(raw, at + 1)?,
        })
    };
    match u8_at(raw, 109)? {
        1 => Some(Display::Graphics {
            address,
            pitch,
            width,
            height,
            depth,
            red: colour(110)?,
            green: colour(112)?,
            blue: colour(114)?,
        }),
        2 => Some(Display::Text {
            address,
            columns: width,
            rows: height,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phys::PhysSlice;
    use alloc::vec;
    use alloc::vec::Vec;

    fn put(memory: &mut [u8], at: usize, bytes: &[u8]) {
        memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put32(memory: &mut [u8], at: usize, value: u32) {
        put(memory, at, &value.to_le_bytes());
    }

    /// A page laid out as QEMU does: information at 0, map at 0x200, modules at 0x300, strings from 0x400.
    fn machine() -> Vec<u8> {
        let mut memory = vec![0; 4096];
        put32(
            &mut memory,
            0,
            FLAG_MEMORY | FLAG_COMMAND_LINE | FLAG_MODULES | FLAG_MAP | FLAG_LOADER,
        );
        put32(&mut memory, 16, 0x400);
        put32(&mut memory, 20, 2);
        put32(&mut memory, 24, 0x300);
        put32(&mut memory, 44, 3 * 24);
        put32(&mut memory, 48, 0x200);
        put32(&mut memory, 64, 0x480);
        put(&mut memory, 0x400, b"x.elf console=com1\0");
        put(&mut memory, 0x480, b"qemu\0");
        put(&mut memory, 0x4c0, b"vmlinuz console=hvc0\0");
        for (slot, (base, len, kind)) in [
            (0u64, 0x9fc00u64, 1u32),
            (0x10_0000, 0x700_0000, 1),
            (0xf0000, 0x10000, 2),
        ]
        .into_iter()
        .enumerate()
        {
            let at = 0x200 + slot * 24;
            put32(&mut memory, at, 20);
            put(&mut memory, at + 4, &base.to_le_bytes());
            put(&mut memory, at + 12, &len.to_le_bytes());
            put32(&mut memory, at + 20, kind);
        }
        for (slot, (start, end, string)) in
            [(0x20_0000, 0x30_0000, 0x4c0), (0x30_0000, 0x30_1000, 0)]
                .into_iter()
                .enumerate()
        {
            put32(&mut memory, 0x300 + slot * 16, start);
            put32(&mut memory, 0x304 + slot * 16, end);
            put32(&mut memory, 0x308 + slot * 16, string);
        }
        memory
    }

    #[test]
    fn qemus_information_is_read() {
        let bytes = machine();
        let memory = PhysSlice {
            base: 0,
            bytes: &bytes,
        };
        let info = parse(&memory, 0).unwrap();
        assert_eq!(info.loader, "qemu");
        assert_eq!(info.options(), "console=com1");
        assert_eq!(info.memory.entries().len(), 3);
        assert_eq!(
            info.memory.bytes_of(MemoryKind::Usable, u64::MAX),
            0x9fc00 + 0x700_0000
        );
        assert_eq!(info.modules().len(), 2);
        assert_eq!(info.module_options(0), Some("console=hvc0"));
        assert_eq!(info.modules()[1].bytes(), 0x1000);
        assert_eq!(info.left_out, 0);
    }

    #[test]
    fn without_a_map_the_two_sizes_serve() {
        let mut bytes = machine();
        put32(&mut bytes, 0, FLAG_MEMORY);
        put32(&mut bytes, 4, 639);
        put32(&mut bytes, 8, 1024);
        let memory = PhysSlice {
            base: 0,
            bytes: &bytes,
        };
        let info = parse(&memory, 0).unwrap();
        assert_eq!(info.memory.entries()[0].end, 639 << 10);
        assert_eq!(info.memory.entries()[1].end, 2 << 20);
    }

    #[test]
    fn no_memory_at_all_is_refused() {
        let mut bytes = machine();
        put32(&mut bytes, 0, 0);
        assert!(
            parse(
                &PhysSlice {
                    base: 0,
                    bytes: &bytes
                },
                0
            )
            .is_none()
        );
        assert!(
            parse(
                &PhysSlice {
                    base: 0,
                    bytes: &bytes
                },
                4000
            )
            .is_none()
        );
    }

    #[test]
    fn wild_pointers_and_counts_leave_things_out() {
        let mut bytes = machine();
        put32(&mut bytes, 20, u32::MAX);
        put32(&mut bytes, 16, 0xffff_fff0);
        put32(&mut bytes, 44, u32::MAX);
        let memory = PhysSlice {
            base: 0,
            bytes: &bytes,
        };
        let info = parse(&memory, 0).unwrap();
        assert_eq!(info.raw_command_line, "");
        assert!(info.left_out > 1);
    }

    #[test]
    fn every_single_changed_byte_is_survived() {
        let bytes = machine();
        for at in 0..0x500 {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let _ = parse(
                    &PhysSlice {
                        base: 0,
                        bytes: &bytes,
                    },
                    0,
                );
            }
        }
    }
}
