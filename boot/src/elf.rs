//! ELF files of 64 bits for x86-64: what to load, and the notes.
//!
//! Keeps true: a parsed file's segments lie inside the file, fit into 64-bit addresses and do not overlap in memory. Neighbours:
//! [`crate::kernel`] finds the bytes, [`crate::notes`] interprets the notes. Numbers: the System V ABI, chapters 4 and 5.

use crate::kernel::ELF_MAGIC;
use crate::phys::{text, u8_at, u16_at, u32_at, u64_at};
use crate::refusal::Refusal;

/// The most segments a kernel may have.
pub const MAX_SEGMENTS: usize = 32;

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const SECTION_HEADER_BYTES: usize = 64;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const SHT_NOTE: u32 = 7;
/// Sections are looked through only if there is no note segment, and only so many.
const MAX_SECTIONS: u16 = 1024;

/// Something to load.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment<'a> {
    /// Where: the physical address in the file, which for a paravirtual kernel is relative to its virtual base.
    pub physical: u64,
    /// Bytes in memory; what the file does not give is zero.
    pub memory_bytes: u64,
    /// The bytes the file gives; at most `memory_bytes`.
    pub file: &'a [u8],
}

impl Segment<'_> {
    /// First address after it.
    pub const fn end(&self) -> u64 {
        self.physical + self.memory_bytes
    }
}

/// One note.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note<'a> {
    /// Who defines the type.
    pub owner: &'a str,
    /// The type.
    pub kind: u32,
    /// The contents.
    pub contents: &'a [u8],
}

/// A file whose headers have been checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elf<'a> {
    bytes: &'a [u8],
    /// The entry point the header gives.
    pub entry: u64,
    segments: [Segment<'a>; MAX_SEGMENTS],
    segment_count: usize,
    program_headers: Table,
    section_headers: Table,
}

/// Where a header table lies: checked to be inside the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Table {
    at: usize,
    count: u16,
}

impl<'a> Elf<'a> {
    /// Checks the headers of `bytes`.
    ///
    /// # Errors
    /// [`Refusal`] when this is not a 64-bit x86 program, is truncated, or has segments that cannot be loaded.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal<'static>> {
        let header = bytes.get(..HEADER_BYTES).ok_or(Refusal::Truncated {
            what: "part of the ELF header",
        })?;
        check_identity(header)?;
        let field16 = |at| u16_at(header, at).unwrap_or(0);
        let field64 = |at| u64_at(header, at).unwrap_or(0);
        if field16(54) != PROGRAM_HEADER_BYTES as u16 {
            let found = field16(54).into();
            return Err(Refusal::WrongElf {
                what: "program header size",
                found,
            });
        }
        let program_headers = table(bytes, field64(32), field16(56), PROGRAM_HEADER_BYTES).ok_or(
            Refusal::Truncated {
                what: "the program header table",
            },
        )?;
        // Only a second choice for the notes: a file stripped of sections has none, whatever the header says.
        let sections = if field16(58) == SECTION_HEADER_BYTES as u16 {
            field16(60).min(MAX_SECTIONS)
        } else {
            0
        };
        let section_headers = table(bytes, field64(40), sections, SECTION_HEADER_BYTES)
            .unwrap_or(Table { at: 0, count: 0 });
        let mut elf = Self {
            bytes,
            entry: field64(24),
            segments: [Segment::default(); MAX_SEGMENTS],
            segment_count: 0,
            program_headers,
            section_headers,
        };
        elf.read_segments()?;
        Ok(elf)
    }

    /// What to load, in the file's order. There is at least one.
    pub fn segments(&self) -> &[Segment<'a>] {
        self.segments.get(..self.segment_count).unwrap_or(&[])
    }

    /// First and last+1 physical address of all segments together.
    pub fn extent(&self) -> (u64, u64) {
        let start = self.segments().iter().map(|segment| segment.physical).min();
        let end = self.segments().iter().map(Segment::end).max();
        (start.unwrap_or(0), end.unwrap_or(0))
    }

    /// All notes of the note segments, or, if there is no note segment, of the note sections. Malformed ones end their segment.
    pub fn notes(&self) -> impl Iterator<Item = Note<'a>> + use<'a> {
        let elf = *self;
        let segments =
            (0..elf.program_headers.count).filter_map(move |index| elf.note_segment(index));
        let from_sections = if segments.clone().next().is_none() {
            elf.section_headers.count
        } else {
            0
        };
        let sections = (0..from_sections).filter_map(move |index| elf.note_section(index));
        segments.chain(sections).flat_map(Notes)
    }

    fn program_header(&self, index: u16) -> &'a [u8] {
        let at = self.program_headers.at + usize::from(index) * PROGRAM_HEADER_BYTES;
        self.bytes.get(at..at + PROGRAM_HEADER_BYTES).unwrap_or(&[])
    }

    fn note_segment(&self, index: u16) -> Option<&'a [u8]> {
        let header = self.program_header(index);
        let (kind, offset) = (u32_at(header, 0)?, u64_at(header, 8)?);
        // Some linkers leave the offset out.
        if kind != PT_NOTE || offset == 0 {
            return None;
        }
        range(self.bytes, offset, u64_at(header, 32)?)
    }

    fn note_section(&self, index: u16) -> Option<&'a [u8]> {
        let at = self.section_headers.at + usize::from(index) * SECTION_HEADER_BYTES;
        let header = self.bytes.get(at..at + SECTION_HEADER_BYTES)?;
        if u32_at(header, 4)? != SHT_NOTE {
            return None;
        }
        range(self.bytes, u64_at(header, 24)?, u64_at(header, 32)?)
    }

    fn read_segments(&mut self) -> Result<(), Refusal<'static>> {
        for index in 0..self.program_headers.count {
            let header = self.program_header(index);
            let memory_bytes = u64_at(header, 40).unwrap_or(0);
            if u32_at(header, 0) != Some(PT_LOAD) || memory_bytes == 0 {
                continue;
            }
            let refuse = |what| Refusal::BadSegment { index, what };
            let physical = u64_at(header, 24).unwrap_or(0);
            let end = physical
                .checked_add(memory_bytes)
                .ok_or(refuse("does not fit into 64-bit addresses"))?;
            let file_bytes = u64_at(header, 32).unwrap_or(0);
            if file_bytes > memory_bytes {
                return Err(refuse("is larger in the file than in memory"));
            }
            let file = range(self.bytes, u64_at(header, 8).unwrap_or(0), file_bytes)
                .ok_or(refuse("reaches beyond the end of the file"))?;
            if self
                .segments()
                .iter()
                .any(|other| other.physical < end && physical < other.end())
            {
                return Err(refuse("overlaps another one"));
            }
            let slot = self
                .segments
                .get_mut(self.segment_count)
                .ok_or(refuse("is one too many"))?;
            *slot = Segment {
                physical,
                memory_bytes,
                file,
            };
            self.segment_count += 1;
        }
        if self.segment_count == 0 {
            Err(Refusal::NoSegments)
        } else {
            Ok(())
        }
    }
}

/// Checks that the header is that of a 64-bit little-endian x86 program.
fn check_identity(header: &[u8]) -> Result<(), Refusal<'static>> {
    const CLASS_32: u8 = 1;
    const CLASS_64: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    const EXECUTABLE: u16 = 2;
    const SHARED: u16 = 3;
    const X86_64: u16 = 62;
    if !header.starts_with(ELF_MAGIC) {
        return Err(Refusal::UnknownFormat);
    }
    let byte = |at| u8_at(header, at).unwrap_or(0);
    let half = |at| u16_at(header, at).unwrap_or(0);
    match byte(4) {
        CLASS_64 => {}
        CLASS_32 => return Err(Refusal::ThirtyTwoBit),
        class => {
            return Err(Refusal::WrongElf {
                what: "class",
                found: class.into(),
            });
        }
    }
    if byte(5) != LITTLE_ENDIAN {
        return Err(Refusal::WrongElf {
            what: "byte order",
            found: byte(5).into(),
        });
    }
    if !matches!(half(16), EXECUTABLE | SHARED) {
        return Err(Refusal::WrongElf {
            what: "file type",
            found: half(16).into(),
        });
    }
    if half(18) != X86_64 {
        return Err(Refusal::WrongElf {
            what: "machine",
            found: half(18).into(),
        });
    }
    Ok(())
}

/// The `len` bytes at `offset`.
fn range(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}

/// A table of `count` headers at `offset`, if it lies inside the file.
fn table(bytes: &[u8], offset: u64, count: u16, size: usize) -> Option<Table> {
    range(bytes, offset, (usize::from(count) * size) as u64)?;
    Some(Table {
        at: usize::try_from(offset).ok()?,
        count,
    })
}

/// The notes of one segment.
struct Notes<'a>(&'a [u8]);

impl<'a> Iterator for Notes<'a> {
    type Item = Note<'a>;

    fn next(&mut self) -> Option<Note<'a>> {
        let (name_bytes, content_bytes) =
            (u32_at(self.0, 0)? as usize, u32_at(self.0, 4)? as usize);
        let kind = u32_at(self.0, 8)?;
        let contents_at = 12 + name_bytes.checked_next_multiple_of(4)?;
        let owner = text(self.0.get(12..12 + name_bytes)?);
        let contents = self.0.get(contents_at..contents_at + content_bytes)?;
        // The last one may lack its padding.
        let next = contents_at + content_bytes.checked_next_multiple_of(4)?;
        self.0 = self.0.get(next..).unwrap_or(&[]);
        Some(Note {
            owner,
            kind,
            contents,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// A segment to be written: physical address, contents, bytes in memory.
    pub(crate) type Load<'a> = (u64, &'a [u8], u64);

    /// An ELF file with the given loadable segments and notes.
    pub(crate) fn file(loads: &[Load<'_>], notes: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
        bytes[16] = 2;
        bytes[18] = 62;
        bytes[24..32].copy_from_slice(&0x100_0000u64.to_le_bytes());
        bytes[32] = HEADER_BYTES as u8;
        bytes[54] = PROGRAM_HEADER_BYTES as u8;
        bytes[56] = loads.len() as u8 + 1;
        let mut data = HEADER_BYTES + (loads.len() + 1) * PROGRAM_HEADER_BYTES;
        let mut contents: Vec<u8> = Vec::new();
        for &(physical, file, memory) in loads {
            bytes.extend(program_header(
                PT_LOAD,
                data as u64,
                physical,
                file.len() as u64,
                memory,
            ));
            contents.extend(file);
            data += file.len();
        }
        let notes = note_bytes(notes);
        bytes.extend(program_header(
            PT_NOTE,
            data as u64,
            0,
            notes.len() as u64,
            notes.len() as u64,
        ));
        bytes.extend(contents);
        bytes.extend(notes);
        bytes
    }

    fn program_header(kind: u32, offset: u64, physical: u64, file: u64, memory: u64) -> Vec<u8> {
        let mut header = Vec::new();
        header.extend(kind.to_le_bytes());
        header.extend(5u32.to_le_bytes());
        for value in [offset, physical, physical, file, memory, 4096] {
            header.extend(value.to_le_bytes());
        }
        header
    }

    fn note_bytes(notes: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, contents) in notes {
            bytes.extend(4u32.to_le_bytes());
            bytes.extend((contents.len() as u32).to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(b"Xen\0");
            bytes.extend(*contents);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn segments_and_notes_are_found() {
        let bytes = file(
            &[(0x100_0000, b"code", 8), (0x200_0000, b"", 4096)],
            &[(1, b"12345"), (8, b"generic\0")],
        );
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!(elf.segments().len(), 2);
        assert_eq!(
            elf.segments()[0],
            Segment {
                physical: 0x100_0000,
                memory_bytes: 8,
                file: b"code"
            }
        );
        assert_eq!(elf.extent(), (0x100_0000, 0x200_1000));
        let notes: Vec<_> = elf.notes().collect();
        assert_eq!(
            notes[0],
            Note {
                owner: "Xen",
                kind: 1,
                contents: b"12345"
            }
        );
        assert_eq!(notes[1].contents, b"generic\0");
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn foreign_files_are_refused_by_name() {
        let good = file(&[(0, b"x", 1)], &[]);
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            Elf::parse(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(with(0, 0), Refusal::UnknownFormat);
        assert_eq!(with(4, 1), Refusal::ThirtyTwoBit);
        assert_eq!(
            with(5, 2),
            Refusal::WrongElf {
                what: "byte order",
                found: 2
            }
        );
        assert_eq!(
            with(16, 1),
            Refusal::WrongElf {
                what: "file type",
                found: 1
            }
        );
        assert_eq!(
            with(18, 3),
            Refusal::WrongElf {
                what: "machine",
                found: 3
            }
        );
        assert_eq!(
            with(54, 32),
            Refusal::WrongElf {
                what: "program header size",
                found: 32
            }
        );
        assert_eq!(
            with(57, 0xff),
            Refusal::Truncated {
                what: "the program header table"
            }
        );
        assert_eq!(with(56, 0), Refusal::NoSegments);
    }

    #[test]
    fn segments_that_cannot_be_loaded_are_refused() {
        let what = |loads: &[Load<'_>]| match Elf::parse(&file(loads, &[])) {
            Err(Refusal::BadSegment { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            what(&[(0, b"abc", 2)]),
            "is larger in the file than in memory"
        );
        assert_eq!(
            what(&[(u64::MAX, b"", 2)]),
            "does not fit into 64-bit addresses"
        );
        assert_eq!(what(&[(0, b"abc", 8), (7, b"", 1)]), "overlaps another one");
        let many: Vec<Load<'_>> = (0..33).map(|n| (n * 10, &b""[..], 1)).collect();
        assert_eq!(what(&many), "is one too many");
        let mut cut = file(&[(0, b"contents", 8)], &[]);
        cut.truncate(cut.len() - 4);
        assert_eq!(
            Elf::parse(&cut),
            Err(Refusal::BadSegment {
                index: 0,
                what: "reaches beyond the end of the file"
            })
        );
    }

    #[test]
    fn malformed_notes_end_the_reading() {
        let mut bytes = file(&[(0, b"x", 1)], &[(1, b"aaaa"), (2, b"bbbb")]);
        let second = bytes.len() - 20;
        for (at, value) in [(0, 0xff), (3, 0xff), (4, 0xff), (7, 0xff)] {
            let mut bytes = bytes.clone();
            bytes[second + at] = value;
            assert!(Elf::parse(&bytes).unwrap().notes().count() <= 2);
        }
        bytes.truncate(second + 10);
        assert_eq!(Elf::parse(&bytes).unwrap().notes().count(), 0);
    }

    #[test]
    fn every_single_changed_byte_is_survived() {
        let bytes = file(
            &[(0x1000, b"code", 8), (0x2000, b"data", 4096)],
            &[(1, b"12345"), (8, b"generic\0")],
        );
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                if let Ok(elf) = Elf::parse(&bytes) {
                    let _ = (elf.extent(), elf.notes().count());
                }
            }
        }
    }
}
