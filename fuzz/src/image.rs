//! Small kernels: ELF images with Xen's notes, and bzImages around them.

use crate::bytes::put;
use xenocryst_abi::elfnote as note;

/// Where the kernels say that they want to be.
const BASE: u64 = 0xffff_ffff_8000_0000;

fn words(kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, 0, 4, 4);
    put(&mut out, 4, 4, descriptor.len() as u64);
    put(&mut out, 8, 4, u64::from(kind));
    out.extend(b"Xen\0");
    out.extend(descriptor);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn number(kind: u32, value: u64) -> Vec<u8> {
    words(kind, &value.to_le_bytes())
}

fn notes() -> Vec<u8> {
    [
        words(note::GUEST_OS, b"linux\0"),
        words(note::GUEST_VERSION, b"2.6\0"),
        words(note::XEN_VERSION, b"xen-3.0\0"),
        number(note::VIRT_BASE, BASE),
        number(note::PADDR_OFFSET, 0),
        number(note::INIT_P2M, 0x80_0000_0000),
        number(note::ENTRY, BASE + 0x10_0000),
        number(note::HYPERCALL_PAGE, BASE + 0x10_1000),
        words(
            note::FEATURES,
            b"!writable_page_tables|pae_pgdir_above_4gb\0",
        ),
        words(note::SUPPORTED_FEATURES, &0x801u32.to_le_bytes()),
        words(note::PAE_MODE, b"yes\0"),
        words(note::LOADER, b"generic\0"),
        number(note::SUSPEND_CANCEL, 1),
        number(note::MOD_START_PFN, 1),
        [number(note::L1_MFN_VALID, 1), number(note::L1_MFN_VALID, 1)].concat(),
    ]
    .concat()
}

/// An ELF header: `segments` program headers at 64, `sections` section headers at `sections_at`.
fn header(segments: u64, sections_at: usize, sections: u64) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    for (at, size, value) in [
        (16, 2, 2),
        (18, 2, 62),
        (20, 4, 1),
        (24, 8, BASE + 0x10_0000),
        (32, 8, 64),
        (40, 8, sections_at as u64),
        (52, 2, 64),
        (54, 2, 56),
        (56, 2, segments),
        (58, 2, 64),
        (60, 2, sections),
        (62, 2, 0),
    ] {
        put(&mut out, at, size, value);
    }
    out
}

/// A program header of `kind` for `size` bytes of the file at `offset`.
fn segment(out: &mut Vec<u8>, at: usize, kind: u64, offset: usize, size: usize, physical: u64) {
    for (field, bytes, value) in [
        (0, 4, kind),
        (4, 4, 7),
        (8, 8, offset as u64),
        (16, 8, BASE + physical),
        (24, 8, physical),
        (32, 8, size as u64),
        (40, 8, size.next_multiple_of(0x2000) as u64),
        (48, 8, 0x1000),
    ] {
        put(out, at + field, bytes, value);
    }
}

fn by_segments(notes: &[u8]) -> Vec<u8> {
    let mut out = header(2, 0, 0);
    let end = 0x200 + notes.len();
    segment(&mut out, 64, 1, 0, end, 0x10_0000);
    segment(&mut out, 120, 4, 0x200, notes.len(), 0x10_0200);
    out.resize(0x200, 0);
    out.extend(notes);
    out
}

fn by_sections(notes: &[u8]) -> Vec<u8> {
    let sections_at = (0x200 + notes.len()).next_multiple_of(8);
    let mut out = header(1, sections_at, 2);
    segment(&mut out, 64, 1, 0, sections_at, 0x10_0000);
    out.resize(0x200, 0);
    out.extend(notes);
    let section = sections_at + 64;
    put(&mut out, section + 4, 4, 7);
    put(&mut out, section + 24, 8, 0x200);
    put(&mut out, section + 32, 8, notes.len() as u64);
    put(&mut out, section + 48, 8, 4);
    put(&mut out, section + 56, 8, 0);
    out
}

/// Kernels: two that can be started, one that can not.
pub fn kernels() -> Vec<Vec<u8>> {
    let notes = notes();
    vec![by_segments(&notes), by_sections(&notes), by_segments(&[])]
}

/// A bzImage with `payload`.
pub fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 1024];
    for (at, size, value) in [
        (0x1f1, 1, 1),
        (0x1fe, 2, 0xaa55),
        (0x206, 2, 0x20f),
        (0x248, 4, 0),
        (0x24c, 4, payload.len() as u64),
    ] {
        put(&mut file, at, size, value);
    }
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file.extend(payload);
    file
}
