//! Why a kernel image cannot be started: one closed list, each with one clear sentence.
//!
//! Keeps true: every reason names what was found and what would have been right, so that the person at the console knows
//! what to change. Neighbours: [`crate::kernel`], [`crate::elf`], [`crate::notes`], [`crate::layout`] refuse with it.

use core::fmt;

/// Why a kernel image cannot be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal<'a> {
    /// The file is neither a bzImage nor an ELF file nor compressed ELF.
    UnknownFormat,
    /// A bzImage with a setup header too old to say where its kernel lies.
    OldBootProtocol {
        /// Its version: major in the high byte, minor in the low one.
        version: u16,
    },
    /// The file ends before what it describes.
    Truncated {
        /// What is missing.
        what: &'static str,
    },
    /// The payload begins like no compression known here.
    UnknownCompression {
        /// Its first bytes.
        magic: [u8; 4],
    },
    /// The payload contradicts itself.
    Damaged {
        /// The compression.
        compression: &'static str,
    },
    /// The payload uses something of its format that is not supported.
    UnsupportedPayload {
        /// The compression and what of it.
        what: &'static str,
    },
    /// The payload claims to be larger than there is memory for it.
    TooLarge {
        /// Bytes it needs.
        bytes: u64,
        /// Bytes it may have.
        limit: u64,
    },
    /// An ELF file of 32 bits.
    ThirtyTwoBit,
    /// An ELF file for another machine, or not a program.
    WrongElf {
        /// The property that is wrong.
        what: &'static str,
        /// Its value.
        found: u32,
    },
    /// A segment does not lie where it could be loaded.
    BadSegment {
        /// Its number in the program header table.
        index: u16,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is nothing to load.
    NoSegments,
    /// The kernel carries no Xen notes: it cannot run paravirtualised.
    NotParavirtual,
    /// A note's contents cannot be used.
    BadNote {
        /// The note's name.
        note: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The kernel is for another version of the interface.
    WrongInterface {
        /// The version it names.
        found: &'a str,
    },
    /// The kernel asks for a feature that there is not.
    FeatureRequired {
        /// The feature's name.
        name: &'a str,
    },
    /// The kernel cannot be the control domain.
    NoDom0Support,
    /// An address in the notes lies outside the kernel.
    AddressOutside {
        /// The note.
        note: &'static str,
        /// The address.
        address: u64,
        /// First address of where it would have to lie.
        start: u64,
        /// First address after that.
        end: u64,
    },
    /// What the domain starts with would overlap the hypervisor's addresses, or itself.
    AddressConflict {
        /// What is in the way.
        what: &'static str,
        /// First address of what does not fit.
        start: u64,
        /// First address after it.
        end: u64,
    },
    /// The domain's memory is too small for what it starts with.
    TooLittleMemory {
        /// Pages it has.
        pages: u64,
        /// Pages it needs at least.
        needed: u64,
    },
    /// The command line does not fit.
    CommandLineTooLong {
        /// Bytes it has.
        bytes: usize,
        /// Bytes it may have.
        limit: usize,
    },
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnknownFormat => f.write_str("the kernel is neither a bzImage nor an ELF file"),
            Self::OldBootProtocol { version } => write!(
                f,
                "the kernel's boot protocol is {}.{:02}; a bzImage must have 2.08 or later",
                version >> 8,
                version & 0xff
            ),
            Self::Truncated { what } => {
                write!(f, "the kernel file is truncated: {what} is missing")
            }
            Self::UnknownCompression { magic } => {
                write!(
                    f,
                    "the kernel is compressed in an unknown way (it begins with {magic:02x?})"
                )
            }
            Self::Damaged { compression } => {
                write!(f, "the kernel's {compression} data is damaged")
            }
            Self::UnsupportedPayload { what } => {
                write!(f, "the kernel's compression is not supported: {what}")
            }
            Self::TooLarge { bytes, limit } => write!(
                f,
                "the kernel needs {} KiB when unpacked, and only {} KiB can be had",
                bytes.div_ceil(1024),
                limit / 1024
            ),
            Self::ThirtyTwoBit => {
                f.write_str("the kernel is a 32-bit one; only 64-bit kernels are supported")
            }
            Self::WrongElf { what, found } => write!(
                f,
                "the kernel's ELF header has an unusable {what} ({found:#x})"
            ),
            Self::BadSegment { index, what } => write!(f, "the kernel's segment {index} {what}"),
            Self::NoSegments => f.write_str("the kernel has no segment to load"),
            Self::NotParavirtual => f.write_str(
                "the kernel cannot run paravirtualised: it has no Xen ELF notes (CONFIG_XEN_PV)",
            ),
            Self::BadNote { note, what } => write!(f, "the kernel's ELF note {note} {what}"),
            Self::WrongInterface { found } => {
                write!(
                    f,
                    "the kernel is for the interface \"{found}\", not for xen-3.0"
                )
            }
            Self::FeatureRequired { name } => write!(
                f,
                "the kernel requires the feature {name}, which there is not"
            ),
            Self::NoDom0Support => {
                f.write_str("the kernel cannot be the control domain (no dom0 feature)")
            }
            Self::AddressOutside {
                note,
                address,
                start,
                end,
            } => {
                write!(
                    f,
                    "the kernel's ELF note {note} says {address:#x}, which is outside {start:#x}..{end:#x}"
                )
            }
            Self::AddressConflict { what, start, end } => {
                write!(
                    f,
                    "the domain's initial memory at {start:#x}..{end:#x} conflicts with {what}"
                )
            }
            Self::TooLittleMemory { pages, needed } => write!(
                f,
                "the domain has {} KiB of memory, and this kernel needs {} KiB to start",
                pages.saturating_mul(4),
                needed.saturating_mul(4)
            ),
            Self::CommandLineTooLong { bytes, limit } => {
                write!(
                    f,
                    "the kernel's command line has {bytes} bytes; {limit} is the most"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn refusals_read_as_sentences() {
        let old = Refusal::OldBootProtocol { version: 0x0207 };
        assert_eq!(
            old.to_string(),
            "the kernel's boot protocol is 2.07; a bzImage must have 2.08 or later"
        );
        let large = Refusal::TooLarge {
            bytes: 2049,
            limit: 1024,
        };
        assert_eq!(
            large.to_string(),
            "the kernel needs 3 KiB when unpacked, and only 1 KiB can be had"
        );
    }
}
