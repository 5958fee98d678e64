//! What an audit can find, and how it says so.

use super::Tally;
use crate::frame::{FrameInfo, FrameType, Level};
use core::fmt::{Display, Formatter, Result};
use xenocryst_abi::{DomId, Mfn, Pfn};

/// One discrepancy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// A frame's counts are not those that follow from the tables.
    Counts {
        /// The frame.
        frame: Mfn,
        /// What follows from the tables.
        expected: Tally,
        /// What the frame table says.
        info: FrameInfo,
    },
    /// A frame that is free or no RAM is referred to.
    Unused {
        /// The frame.
        frame: Mfn,
        /// How often.
        references: u32,
    },
    /// An L1 entry maps a frame writable that is in use as something else.
    Writable {
        /// The L1 table.
        table: Mfn,
        /// The entry in it.
        slot: u16,
        /// What it maps.
        frame: Mfn,
        /// What that is in use as.
        used_as: FrameType,
    },
    /// An entry above L1 names a frame that is no table it may name.
    NoTable {
        /// The level of the table that holds the entry.
        level: Level,
        /// That table.
        table: Mfn,
        /// The entry in it.
        slot: u16,
        /// What it names.
        frame: Mfn,
        /// What that is in use as.
        used_as: FrameType,
    },
    /// A frame's state says two things at once.
    State {
        /// The frame.
        frame: Mfn,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A frame is outside the memory lent for counting.
    NotCovered {
        /// The frame.
        frame: Mfn,
    },
    /// A frame belongs to a domain that is not there.
    UnknownOwner {
        /// The frame.
        frame: Mfn,
        /// The owner noted.
        owner: DomId,
    },
    /// A domain's total is not the number of its frames.
    Owned {
        /// The domain.
        domain: DomId,
        /// Frames that are its.
        found: u32,
        /// The total kept.
        counted: u32,
    },
    /// The M2P gives a number to a frame that is no domain's.
    M2p {
        /// The frame.
        frame: Mfn,
        /// The number.
        pfn: Pfn,
    },
    /// The free list is not the set of the free frames.
    FreeList {
        /// The frame where that shows.
        frame: Mfn,
        /// What is wrong.
        what: &'static str,
    },
    /// The free list's total is not the number of free frames.
    FreeTotal {
        /// Frames that are free.
        found: u64,
        /// The total kept.
        counted: u64,
    },
    /// A grant's pins, user, frame or marks do not follow from its mappings.
    Grant {
        /// The granter.
        domain: DomId,
        /// The grant.
        reference: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// A mapping handle is not what it should be.
    Handle {
        /// The mapper.
        domain: DomId,
        /// The handle.
        handle: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// A total of a grant table or of a domain's handles is wrong, or there was no room to count.
    GrantTotal {
        /// The domain.
        domain: DomId,
        /// What is wrong.
        what: &'static str,
    },
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match *self {
            Self::Counts {
                frame,
                expected,
                info,
            } => {
                write!(
                    f,
                    "frame {frame} should have {} references, {} of its type, linear {}; it ",
                    expected.general, expected.typed, expected.linear
                )?;
                describe(f, &info)
            }
            Self::Unused { frame, references } => write!(
                f,
                "frame {frame} is free or no RAM, but referred to {references} times"
            ),
            Self::Writable {
                table,
                slot,
                frame,
                used_as,
            } => write!(
                f,
                "L1 table {table} slot {slot} maps frame {frame} writable, which is {used_as}"
            ),
            Self::NoTable {
                level,
                table,
                slot,
                frame,
                used_as,
            } => write!(
                f,
                "{level} table {table} slot {slot} names frame {frame}, which is {used_as}"
            ),
            Self::State { frame, what } => write!(f, "frame {frame} {what}"),
            Self::NotCovered { frame } => write!(f, "frame {frame} cannot be counted"),
            Self::UnknownOwner { frame, owner } => {
                write!(f, "frame {frame} belongs to {owner}, which is not there")
            }
            Self::Owned {
                domain,
                found,
                counted,
            } => write!(f, "{domain} owns {found} frames, counted {counted}"),
            Self::M2p { frame, pfn } => {
                write!(f, "frame {frame} is no domain's, but has {pfn} in the M2P")
            }
            Self::FreeList { frame, what } => write!(f, "free frame {frame} {what}"),
            Self::FreeTotal { found, counted } => {
                write!(f, "{found} frames are free, counted {counted}")
            }
            Self::Grant {
                domain,
                reference,
                what,
            } => write!(f, "grant {reference} of {domain} {what}"),
            Self::Handle {
                domain,
                handle,
                what,
            } => write!(f, "mapping {handle} of {domain} {what}"),
            Self::GrantTotal { domain, what } => write!(f, "grants of {domain}: {what}"),
        }
    }
}

fn describe(f: &mut Formatter<'_>, info: &FrameInfo) -> Result {
    match info.owner {
        Some(owner) => write!(f, "belongs to {owner}")?,
        None if info.is_hypervisors => f.write_str("is the hypervisor's")?,
        None => f.write_str("belongs to nobody")?,
    }
    write!(
        f,
        ", is {} used {} times, {} references, linear {}",
        info.frame_type, info.type_count, info.general_count, info.linear
    )?;
    if let Some(cursor) = info.partial {
        write!(f, ", half validated ({cursor} of 512)")?;
    }
    let flags = [
        (info.pinned, ", pinned"),
        (info.allocated, ", allocated"),
        (info.special, ", shared by the hypervisor"),
    ];
    flags
        .iter()
        .filter(|(set, _)| *set)
        .try_for_each(|(_, said)| f.write_str(said))
}
