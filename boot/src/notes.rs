//! What a kernel says about itself in its Xen ELF notes, and whether it can be started so.
//!
//! Keeps true: a [`PvKernel`] can be laid out: its addresses are consistent with each other, it is for this interface, and it
//! asks for nothing that there is not. Neighbours: [`crate::elf`], [`crate::layout`]. Notes: `public/elfnote.h`, features: `public/features.h`.

use crate::elf::{Elf, Note};
use crate::phys::text;
use crate::refusal::Refusal;
use xenocryst_abi::version::feature;
use xenocryst_abi::{PAGE_SIZE, elfnote};

/// More notes than any kernel has.
const MAX_NOTES: usize = 1024;

/// Features a kernel may require of this hypervisor, as a bitmap of [`feature`] numbers. Page tables may be written (the
/// writes are emulated); the rest hold for every 64-bit domain.
pub const OFFERED: u32 = 1 << feature::WRITABLE_PAGE_TABLES
    | 1 << feature::PAE_PGDIR_ABOVE_4GB
    | 1 << feature::MMU_PT_UPDATE_PRESERVE_AD
    | 1 << feature::HIGHMEM_ASSIST
    | 1 << feature::GNTTAB_MAP_AVAIL_BITS
    | 1 << feature::DOM0;

/// The contents of the notes, as far as they matter; absent unless given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct XenNotes<'a> {
    /// `ENTRY`: where to start.
    pub entry: Option<u64>,
    /// `HYPERCALL_PAGE`: a page to be filled with hypercall stubs.
    pub hypercall_page: Option<u64>,
    /// `VIRT_BASE`: the virtual address of physical address 0.
    pub virt_base: Option<u64>,
    /// `PADDR_OFFSET`: what the file's physical addresses have in excess.
    pub paddr_offset: Option<u64>,
    /// `INIT_P2M`: where the P2M is wanted.
    pub init_p2m: Option<u64>,
    /// `MOD_START_PFN`: the initrd may be left unmapped.
    pub mod_start_pfn: bool,
    /// `SUPPORTED_FEATURES` and `FEATURES`: what the kernel knows.
    pub supported: u32,
    /// Whether `SUPPORTED_FEATURES` was given.
    pub supported_given: bool,
    /// `FEATURES` with an exclamation mark: what the kernel insists on.
    pub required: u32,
    /// A feature the kernel insists on and that has no number here.
    pub unknown_required: Option<&'a str>,
    /// `PAE_MODE`: page directories may lie above 4 GiB.
    pub pae_extended: bool,
    /// `GUEST_OS`.
    pub guest_os: &'a str,
    /// `GUEST_VERSION`.
    pub guest_version: &'a str,
    /// `XEN_VERSION`.
    pub xen_version: &'a str,
    /// `LOADER`.
    pub loader: &'a str,
    /// How many Xen notes there are.
    pub count: usize,
}

impl<'a> XenNotes<'a> {
    /// Reads the notes of `elf`.
    ///
    /// # Errors
    /// [`Refusal::BadNote`] when a number has an odd size.
    pub fn read(elf: &Elf<'a>) -> Result<Self, Refusal<'static>> {
        let mut notes = Self::default();
        for note in elf
            .notes()
            .take(MAX_NOTES)
            .filter(|note| note.owner == elfnote::NAME)
        {
            notes.count += 1;
            notes.take(&note)?;
        }
        Ok(notes)
    }

    fn take(&mut self, note: &Note<'a>) -> Result<(), Refusal<'static>> {
        let number = || {
            number(note.contents).ok_or(Refusal::BadNote {
                note: elfnote::name(note.kind).unwrap_or("of unknown type"),
                what: "is not a number of 1, 2, 4 or 8 bytes",
            })
        };
        match note.kind {
            elfnote::ENTRY => self.entry = Some(number()?),
            elfnote::HYPERCALL_PAGE => self.hypercall_page = Some(number()?),
            elfnote::VIRT_BASE => self.virt_base = Some(number()?),
            elfnote::PADDR_OFFSET => self.paddr_offset = Some(number()?),
            elfnote::INIT_P2M => self.init_p2m = Some(number()?),
            elfnote::MOD_START_PFN => self.mod_start_pfn = number()? != 0,
            elfnote::FEATURES => self.take_features(text(note.contents)),
            elfnote::SUPPORTED_FEATURES => {
                // Longer ones go on with submaps of which none is defined.
                let first = note
                    .contents
                    .get(..note.contents.len().min(4))
                    .unwrap_or(&[]);
                self.supported |= crate::notes::number(first).unwrap_or(0) as u32;
                self.supported_given = true;
            }
            elfnote::PAE_MODE => {
                self.pae_extended = matches!(text(note.contents), "yes" | "bimodal")
            }
            elfnote::GUEST_OS => self.guest_os = text(note.contents),
            elfnote::GUEST_VERSION => self.guest_version = text(note.contents),
            elfnote::XEN_VERSION => self.xen_version = text(note.contents),
            elfnote::LOADER => self.loader = text(note.contents),
            _ => {}
        }
        Ok(())
    }

    /// Names between bars; an exclamation mark before one makes it a requirement.
    fn take_features(&mut self, list: &'a str) {
        for word in list.split('|').filter(|word| !word.is_empty()) {
            let (name, required) = word
                .strip_prefix('!')
                .map_or((word, false), |name| (name, true));
            match feature_number(name) {
                Some(number) => {
                    self.supported |= 1 << number;
                    self.required |= u32::from(required) << number;
                }
                None if required => self.unknown_required = Some(name),
                None => {}
            }
        }
    }
}

/// The number of a feature, by the name it has in notes: that of its constant without the prefix.
fn feature_number(name: &str) -> Option<u32> {
    feature::NAMES
        .iter()
        .find(|(constant, _)| constant.strip_prefix("XENFEAT_") == Some(name))
        .map(|&(_, number)| number)
        .filter(|&number| number < 32)
}

/// A little-endian number of 1, 2, 4 or 8 bytes.
fn number(bytes: &[u8]) -> Option<u64> {
    match *bytes {
        [a] => Some(a.into()),
        [a, b] => Some(u16::from_le_bytes([a, b]).into()),
        [a, b, c, d] => Some(u32::from_le_bytes([a, b, c, d]).into()),
        _ => bytes.try_into().ok().map(u64::from_le_bytes),
    }
}

/// A kernel that can be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PvKernel<'a> {
    /// What to load.
    pub elf: Elf<'a>,
    /// What it says about itself.
    pub notes: XenNotes<'a>,
    /// Virtual address of the domain's first page: a multiple of the page size.
    pub virt_base: u64,
    /// What to add (modulo 2^64) to a segment's physical address to get its virtual one.
    pub virt_offset: u64,
    /// First virtual address of the segments.
    pub virt_start: u64,
    /// First virtual address after the segments.
    pub virt_end: u64,
    /// Where to start.
    pub entry: u64,
}

impl<'a> PvKernel<'a> {
    /// Checks that the kernel in `elf` can be started as the control domain.
    ///
    /// # Errors
    /// [`Refusal`] with what is in the way.
    pub fn check(elf: Elf<'a>) -> Result<Self, Refusal<'a>> {
        let notes = XenNotes::read(&elf)?;
        check_kind(&notes)?;
        check_features(&notes)?;
        let virt_base = match (notes.virt_base, notes.paddr_offset) {
            (Some(base), _) => base,
            (None, None) => 0,
            (None, Some(_)) => {
                return Err(Refusal::BadNote {
                    note: "PADDR_OFFSET",
                    what: "makes no sense without VIRT_BASE",
                });
            }
        };
        if virt_base % PAGE_SIZE != 0 {
            return Err(Refusal::BadNote {
                note: "VIRT_BASE",
                what: "is not the address of a page",
            });
        }
        let virt_offset = virt_base.wrapping_sub(notes.paddr_offset.unwrap_or(0));
        let (start, end) = elf.extent();
        let kernel = Self {
            elf,
            notes,
            virt_base,
            virt_offset,
            virt_start: start.wrapping_add(virt_offset),
            virt_end: end.wrapping_add(virt_offset),
            entry: notes.entry.unwrap_or(elf.entry),
        };
        kernel.check_addresses()?;
        Ok(kernel)
    }

    fn check_addresses(&self) -> Result<(), Refusal<'a>> {
        let (start, end) = (self.virt_start, self.virt_end);
        if start >= end || self.virt_base > start {
            return Err(Refusal::AddressConflict {
                what: "its own virtual base",
                start,
                end,
            });
        }
        if !(start..end).contains(&self.entry) {
            return Err(Refusal::AddressOutside {
                note: "ENTRY",
                address: self.entry,
                start,
                end,
            });
        }
        if let Some(address) = self.notes.hypercall_page {
            if !(start..end).contains(&address) {
                return Err(Refusal::AddressOutside {
                    note: "HYPERCALL_PAGE",
                    address,
                    start,
                    end,
                });
            }
            if address % PAGE_SIZE != 0 {
                return Err(Refusal::BadNote {
                    note: "HYPERCALL_PAGE",
                    what: "is not the address of a page",
                });
            }
        }
        if self
            .notes
            .init_p2m
            .is_some_and(|address| address % PAGE_SIZE != 0)
        {
            return Err(Refusal::BadNote {
                note: "INIT_P2M",
                what: "is not the address of a page",
            });
        }
        Ok(())
    }
}

fn check_kind<'a>(notes: &XenNotes<'a>) -> Result<(), Refusal<'a>> {
    // A kernel that can only be started in the PVH way has notes too, but no paravirtual entry.
    if notes.count == 0
        || (notes.entry.is_none() && notes.virt_base.is_none() && notes.hypercall_page.is_none())
    {
        return Err(Refusal::NotParavirtual);
    }
    if !notes.loader.starts_with("generic") && !notes.guest_os.starts_with("linux") {
        return Err(Refusal::BadNote {
            note: "LOADER",
            what: "is not \"generic\"",
        });
    }
    if !notes.xen_version.starts_with("xen-3.0") {
        return Err(Refusal::WrongInterface {
            found: notes.xen_version,
        });
    }
    Ok(())
}

fn check_features<'a>(notes: &XenNotes<'a>) -> Result<(), Refusal<'a>> {
    if let Some(name) = notes.unknown_required {
        return Err(Refusal::FeatureRequired { name });
    }
    let missing = notes.required & !OFFERED;
    if missing != 0 {
        let name = feature::name(missing.trailing_zeros()).unwrap_or("of unknown name");
        return Err(Refusal::FeatureRequired {
            name: name.trim_start_matches("XENFEAT_"),
        });
    }
    if notes.supported_given && notes.supported & 1 << feature::DOM0 == 0 {
        return Err(Refusal::NoDom0Support);
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::elf::tests::file;
    use alloc::vec::Vec;

    const BASE: [u8; 8] = 0xffff_ffff_8000_0000u64.to_le_bytes();
    const ENTRY: [u8; 8] = 0xffff_ffff_8100_0100u64.to_le_bytes();
    const P2M: [u8; 8] = 0x80_0000_0000u64.to_le_bytes();
    const ZERO: [u8; 8] = [0; 8];
    const ONE: [u8; 4] = [1, 0, 0, 0];
    const SUPPORTED: [u8; 4] = 0x8801u32.to_le_bytes();

    /// The notes of Debian's kernel.
    pub(crate) fn debian() -> Vec<(u32, &'static [u8])> {
        Vec::from([
            (elfnote::GUEST_OS, &b"linux\0"[..]),
            (elfnote::GUEST_VERSION, b"2.6\0"),
            (elfnote::XEN_VERSION, b"xen-3.0\0"),
            (elfnote::VIRT_BASE, &BASE),
            (elfnote::INIT_P2M, &P2M),
            (elfnote::ENTRY, &ENTRY),
            (
                elfnote::FEATURES,
                b"!writable_page_tables|pae_pgdir_above_4gb\0",
            ),
            (elfnote::SUPPORTED_FEATURES, &SUPPORTED),
            (elfnote::PAE_MODE, b"yes\0"),
            (elfnote::LOADER, b"generic\0"),
            (elfnote::MOD_START_PFN, &ONE),
            (elfnote::PADDR_OFFSET, &ZERO),
        ])
    }

    pub(crate) fn kernel_file(notes: &[(u32, &[u8])]) -> Vec<u8> {
        file(
            &[
                (0x100_0000, b"kernel text", 0x2000),
                (0x200_0000, b"data", 0x123_4567),
            ],
            notes,
        )
    }

    fn refusal_with(
        change: impl FnOnce(&mut Vec<(u32, &'static [u8])>),
    ) -> Option<alloc::string::String> {
        let mut notes = debian();
        change(&mut notes);
        let bytes = kernel_file(&notes);
        PvKernel::check(Elf::parse(&bytes).unwrap())
            .err()
            .map(|refusal| alloc::format!("{refusal}"))
    }

    fn set(notes: &mut Vec<(u32, &'static [u8])>, kind: u32, contents: &'static [u8]) {
        notes.retain(|note| note.0 != kind);
        notes.push((kind, contents));
    }

    #[test]
    fn debians_kernel_can_be_started() {
        let bytes = kernel_file(&debian());
        let kernel = PvKernel::check(Elf::parse(&bytes).unwrap()).unwrap();
        assert_eq!(kernel.virt_start, 0xffff_ffff_8100_0000);
        assert_eq!(kernel.virt_end, 0xffff_ffff_8323_4567);
        assert_eq!(kernel.entry, 0xffff_ffff_8100_0100);
        assert!(kernel.notes.mod_start_pfn && kernel.notes.pae_extended);
        assert_eq!(kernel.notes.supported, 0x8811);
        assert_eq!(kernel.notes.required, 1);
    }

    #[test]
    fn a_kernel_that_is_not_paravirtual_is_refused() {
        let told = refusal_with(Vec::clear).unwrap();
        assert!(told.contains("cannot run paravirtualised"), "{told}");
        let told = refusal_with(|notes| {
            notes.retain(|note| note.0 == elfnote::LOADER);
            notes.push((elfnote::PHYS32_ENTRY, &ONE));
        });
        assert!(told.unwrap().contains("cannot run paravirtualised"));
    }

    #[test]
    fn features_that_there_are_not_are_named() {
        let told = refusal_with(|notes| set(notes, elfnote::FEATURES, b"!auto_translated_physmap"));
        assert!(
            told.unwrap()
                .contains("requires the feature auto_translated_physmap")
        );
        let told =
            refusal_with(|notes| set(notes, elfnote::FEATURES, b"!writable_page_tables|!flying"));
        assert!(told.unwrap().contains("requires the feature flying"));
        assert_eq!(
            refusal_with(|notes| set(notes, elfnote::FEATURES, b"flying||")),
            None
        );
        let told = refusal_with(|notes| set(notes, elfnote::SUPPORTED_FEATURES, &ONE));
        assert!(told.unwrap().contains("control domain"));
    }

    #[test]
    fn other_interfaces_and_loaders_are_refused() {
        assert!(
            refusal_with(|notes| set(notes, elfnote::XEN_VERSION, b"xen-4.0"))
                .unwrap()
                .contains("xen-4.0")
        );
        let told = refusal_with(|notes| {
            set(notes, elfnote::LOADER, b"special");
            set(notes, elfnote::GUEST_OS, b"hurd");
        });
        assert!(told.unwrap().contains("LOADER"));
    }

    #[test]
    fn addresses_outside_the_kernel_are_refused() {
        assert!(
            refusal_with(|notes| set(notes, elfnote::ENTRY, &P2M))
                .unwrap()
                .contains("ENTRY")
        );
        assert!(
            refusal_with(|notes| set(notes, elfnote::HYPERCALL_PAGE, &P2M))
                .unwrap()
                .contains("HYPERCALL_PAGE")
        );
        assert!(
            refusal_with(|notes| set(notes, elfnote::HYPERCALL_PAGE, &ENTRY))
                .unwrap()
                .contains("of a page")
        );
        assert!(
            refusal_with(|notes| set(notes, elfnote::VIRT_BASE, &ENTRY))
                .unwrap()
                .contains("of a page")
        );
        let high = refusal_with(|notes| {
            set(
                notes,
                elfnote::VIRT_BASE,
                &[0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            )
        });
        assert!(high.unwrap().contains("virtual base"));
        assert!(
            refusal_with(|notes| notes.retain(|note| note.0 != elfnote::VIRT_BASE))
                .unwrap()
                .contains("VIRT_BASE")
        );
        assert!(
            refusal_with(|notes| set(notes, elfnote::ENTRY, b"odd"))
                .unwrap()
                .contains("ENTRY")
        );
    }
}
