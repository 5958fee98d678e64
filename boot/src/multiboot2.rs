//! The information structure of the Multiboot specification 2.0, which GRUB's `multiboot2` hands over.
//!
//! Keeps true: the structure's own total size bounds everything read of it; tags of unknown type are passed over.
//! Neighbours: [`crate::info`] for the result, [`crate::multiboot1`] for the older protocol.

use crate::info::{BootInfo, ColourField, Display, Module};
use crate::memory_map::MemoryKind;
use crate::phys::{PhysRead, text, u8_at, u32_at, u64_at};

/// What the loader leaves in EAX.
pub const MAGIC: u32 = 0x36d7_6289;

/// Largest structure that is accepted, in bytes.
const MAX_BYTES: u64 = 1 << 20;

const TAG_END: u32 = 0;
const TAG_COMMAND_LINE: u32 = 1;
const TAG_LOADER: u32 = 2;
const TAG_MODULE: u32 = 3;
const TAG_MAP: u32 = 6;
const TAG_DISPLAY: u32 = 8;
const TAG_EFI64: u32 = 12;
const TAG_ACPI_OLD: u32 = 14;
const TAG_ACPI_NEW: u32 = 15;

/// Reads the structure at physical address `addr` (EBX at entry). `None` when it cannot be read, is larger than 1 MiB, or describes
/// no memory at all.
pub fn parse<M: PhysRead + ?Sized>(memory: &M, addr: u64) -> Option<BootInfo<'_>> {
    let total = u64::from(u32_at(memory.bytes(addr, 8)?, 0)?);
    if !(8..=MAX_BYTES).contains(&total) {
        return None;
    }
    let raw = memory.bytes(addr, total)?;
    let mut info = BootInfo::default();
    let mut at = 8;
    while let Some((kind, size)) = tag_at(raw, at) {
        if kind == TAG_END {
            break;
        }
        match raw.get(at..at.checked_add(size)?) {
            Some(tag) if size >= 8 => {
                if take(&mut info, kind, tag, addr + at as u64).is_none() {
                    info.left_out += 1;
                }
            }
            // A tag that claims more than there is: nothing after it can be found.
            _ => {
                info.left_out += 1;
                break;
            }
        }
        at = at.checked_add(size.checked_next_multiple_of(8)?)?;
    }
    (!info.memory.entries().is_empty()).then_some(info)
}

/// Type and size of the tag at `at`.
fn tag_at(raw: &[u8], at: usize) -> Option<(u32, usize)> {
    Some((
        u32_at(raw, at)?,
        usize::try_from(u32_at(raw, at + 4)?).ok()?,
    ))
}

/// Takes over one tag; `None` when it is too short for its type.
fn take<'a>(info: &mut BootInfo<'a>, kind: u32, tag: &'a [u8], addr: u64) -> Option<()> {
    match kind {
        TAG_COMMAND_LINE => info.raw_command_line = text(tag.get(8..)?),
        TAG_LOADER => info.loader = text(tag.get(8..)?),
        TAG_MODULE => info.add_module(Module {
            start: u32_at(tag, 8)?.into(),
            end: u32_at(tag, 12)?.into(),
            command_line: text(tag.get(16..)?),
        }),
        TAG_MAP => map(info, tag)?,
        TAG_DISPLAY => info.display = display(tag)?,
        TAG_EFI64 => info.efi_system_table = Some(u64_at(tag, 8)?),
        // The newer copy has the 64-bit table pointer: it wins over the older one, in whichever order they come.
        TAG_ACPI_OLD if info.rsdp.is_none() => info.rsdp = Some(addr + 8),
        TAG_ACPI_NEW => info.rsdp = Some(addr + 8),
        _ => {}
    }
    Some(())
}

/// Map entries: base, length and type, at the distance the tag says.
fn map(info: &mut BootInfo<'_>, tag: &[u8]) -> Option<()> {
    let step = usize::try_from(u32_at(tag, 8)?).ok()?;
    if step < 20 {
        return None;
    }
    for raw in tag.get(16..)?.chunks(step) {
        // A last piece shorter than an entry is padding.
        let (Some(base), Some(len), Some(kind)) = (u64_at(raw, 0), u64_at(raw, 8), u32_at(raw, 16))
        else {
            break;
        };
        if info
            .memory
            .add(base, base.saturating_add(len), MemoryKind::from_raw(kind))
            .is_err()
        {
            info.left_out += 1;
        }
    }
    Some(())
}

/// The frame buffer; the inner `None` is a palette mode, which is of no use.
fn display(tag: &[u8]) -> Option<Option<Display>> {
    let (address, pitch) = (u64_at(tag, 8)?, u32_at(tag, 16)?);
    let (width, height, depth) = (u32_at(tag, 20)?, u32_at(tag, 24)?, u8_at(tag, 28)?);
    let colour = |at| {
        Some(ColourField {
            position: u8_at(tag, at)?,
            size: u8_at(tag, at + 1)?,
        })
    };
    Some(match u8_at(tag, 29)? {
        1 => Some(Display::Graphics {
            address,
            pitch,
            width,
            height,
            depth,
            red: colour(32)?,
            green: colour(34)?,
            blue: colour(36)?,
        }),
        2 => Some(Display::Text {
            address,
            columns: width,
            rows: height,
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phys::PhysSlice;
    use alloc::vec::Vec;

    fn tag(kind: u32, body: &[u8]) -> Vec<u8> {
        let mut tag = Vec::new();
        tag.extend(kind.to_le_bytes());
        tag.extend((body.len() as u32 + 8).to_le_bytes());
        tag.extend(body);
        tag.resize(tag.len().next_multiple_of(8), 0);
        tag
    }

    fn structure(tags: &[Vec<u8>]) -> Vec<u8> {
        let body: Vec<u8> = tags
            .iter()
            .flatten()
            .copied()
            .chain(tag(TAG_END, &[]))
            .collect();
        let mut all = Vec::new();
        all.extend((body.len() as u32 + 8).to_le_bytes());
        all.extend([0; 4]);
        all.extend(body);
        all
    }

    fn map_tag(entries: &[(u64, u64, u32)]) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(24u32.to_le_bytes());
        body.extend(0u32.to_le_bytes());
        for &(base, len, kind) in entries {
            body.extend(base.to_le_bytes());
            body.extend(len.to_le_bytes());
            body.extend(kind.to_le_bytes());
            body.extend([0; 4]);
        }
        tag(TAG_MAP, &body)
    }

    fn grub() -> Vec<u8> {
        let mut module = Vec::new();
        module.extend(0x10_0000u32.to_le_bytes());
        module.extend(0x20_0000u32.to_le_bytes());
        module.extend(b"root=/dev/sda1 ro\0");
        structure(&[
            tag(TAG_COMMAND_LINE, b"placeholder dom0_mem=1G\0"),
            tag(TAG_LOADER, b"GRUB 2.06-13+deb12u1\0"),
            tag(TAG_MODULE, &module),
            map_tag(&[
                (0, 0x9f000, 1),
                (0x10_0000, 0x1000_0000, 1),
                (0x7fe_0000, 0x2_0000, 3),
            ]),
            tag(TAG_ACPI_NEW, b"RSD PTR "),
            tag(TAG_ACPI_OLD, b"RSD PTR "),
            tag(9999, &[1, 2, 3]),
        ])
    }

    #[test]
    fn grubs_information_is_read() {
        let bytes = grub();
        let memory = PhysSlice {
            base: 0x9000,
            bytes: &bytes,
        };
        let info = parse(&memory, 0x9000).unwrap();
        assert_eq!(info.options(), "placeholder dom0_mem=1G");
        assert_eq!(info.module_options(0), Some("root=/dev/sda1 ro"));
        assert_eq!(info.memory.entries().len(), 4);
        assert_eq!(memory.bytes(info.rsdp.unwrap(), 8), Some(&b"RSD PTR "[..]));
        assert_eq!(info.left_out, 0);
    }

    #[test]
    fn lying_sizes_end_the_reading() {
        let mut bytes = grub();
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
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
        let mut bytes = grub();
        bytes[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
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
        let short = structure(&[
            map_tag(&[(0, 4096, 1)]),
            tag(TAG_MODULE, &[1]),
            tag(TAG_MAP, &[0; 8]),
        ]);
        let memory = PhysSlice {
            base: 0,
            bytes: &short,
        };
        let info = parse(&memory, 0).unwrap();
        assert_eq!(info.left_out, 2);
        assert!(info.modules().is_empty());
    }

    #[test]
    fn every_single_changed_byte_is_survived() {
        let bytes = grub();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
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
