//! The frame table and the M2P as text: one word for each run of frames that differ in nothing but their number.
//!
//! Keeps true: reading back what was written gives the same runs; frames that belong to nobody carry no PFN.
//! Neighbours: the hypervisor prints the runs when asked to; the host command draws a map from them.

use core::fmt;
use core::iter;

use xenocryst_abi::{DomId, Mfn, Pfn};

use crate::engine::Engine;
use crate::frame::{FrameType, Level};
use crate::machine::MachineMemory;

#[cfg(test)]
mod tests;

/// Who has a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// No RAM, or nothing the engine looks after.
    Hole,
    /// Nobody: it can be had.
    Free,
    /// The hypervisor.
    Hypervisor,
    /// A domain, or a domain's end is still to be cleared away.
    Domain(DomId),
}

/// Frames in a row that differ in nothing but their number, and whose PFNs, if they have any, are in a row too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub first: Mfn,
    /// How many.
    pub frames: u64,
    /// Who has them.
    pub holder: Holder,
    /// What they are used as.
    pub frame_type: FrameType,
    /// Whether their owner pinned them.
    pub pinned: bool,
    /// Uses of that type.
    pub type_count: u32,
    /// All references.
    pub general_count: u32,
    /// The first one's PFN, as its owner says.
    pub pfn: Option<Pfn>,
}

impl Run {
    /// The next run begins where this one ends if it is of this kind.
    fn is_continued_by(&self, next: &Self) -> bool {
        let follows = |pfn: Pfn| pfn.raw().checked_add(self.frames).map(Pfn::new);
        *next
            == Self {
                first: next.first,
                frames: next.frames,
                pfn: self.pfn.and_then(follows),
                ..*self
            }
            && self.pfn.is_some() == next.pfn.is_some()
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let mut parts = word.split(':');
        let (first, frames) = parts.next()?.split_once('+')?;
        let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
        let short = |digits: &str| u32::from_str_radix(digits, 16).ok();
        let mut run = Self {
            first: Mfn::new(hex(first)?),
            frames: hex(frames)?,
            holder: Holder::Hole,
            frame_type: FrameType::None,
            pinned: false,
            type_count: 0,
            general_count: 0,
            pfn: None,
        };
        run.holder = match parts.next()? {
            "-" => Holder::Hole,
            "." => Holder::Free,
            "x" => Holder::Hypervisor,
            domain => Holder::Domain(DomId(domain.strip_prefix('d')?.parse().ok()?)),
        };
        if let Some(used) = parts.next() {
            let kind = used.get(..1)?;
            run.frame_type = type_of_letter(kind)?;
            let counts = used.get(1..)?;
            run.pinned = counts.starts_with('!');
            let (types, all) = counts.trim_start_matches('!').split_once('/')?;
            run.type_count = short(types)?;
            run.general_count = short(all)?;
        }
        run.pfn = match parts.next() {
            Some(pfn) => Some(Pfn::new(hex(pfn)?)),
            None => None,
        };
        parts.next().is_none().then_some(run)
    }
}

impl fmt::Display for Run {
    /// `MFN+FRAMES:HOLDER[:TYPE[!]TYPECOUNT/COUNT[:PFN]]`, numbers in hexadecimal (domains' in decimal), `!` for pinned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}+{:x}:", self.first.raw(), self.frames)?;
        match self.holder {
            Holder::Hole => return f.write_str("-"),
            Holder::Free => return f.write_str("."),
            Holder::Hypervisor => f.write_str("x")?,
            Holder::Domain(id) => write!(f, "d{}", id.0)?,
        }
        let pinned = if self.pinned { "!" } else { "" };
        write!(
            f,
            ":{}{pinned}{:x}/{:x}",
            letter_of_type(self.frame_type),
            self.type_count,
            self.general_count
        )?;
        match self.pfn {
            Some(pfn) => write!(f, ":{:x}", pfn.raw()),
            None => Ok(()),
        }
    }
}

/// The letter for a type in a snapshot.
fn letter_of_type(frame_type: FrameType) -> &'static str {
    match frame_type {
        FrameType::None => "n",
        FrameType::Writable => "w",
        FrameType::Table(Level::L1) => "1",
        FrameType::Table(Level::L2) => "2",
        FrameType::Table(Level::L3) => "3",
        FrameType::Table(Level::L4) => "4",
        FrameType::Descriptors => "s",
        FrameType::Shared => "h",
    }
}

/// The type that a letter stands for.
fn type_of_letter(letter: &str) -> Option<FrameType> {
    [
        FrameType::None,
        FrameType::Writable,
        FrameType::Table(Level::L1),
        FrameType::Table(Level::L2),
        FrameType::Table(Level::L3),
        FrameType::Table(Level::L4),
        FrameType::Descriptors,
        FrameType::Shared,
    ]
    .into_iter()
    .find(|&frame_type| letter_of_type(frame_type) == letter)
}

impl<M: MachineMemory> Engine<'_, M> {
    /// Every frame there is, in runs, in order. What changes meanwhile is told as it was or as it is.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        let mut frames = (0..=self.maximum_ram_page().raw())
            .map(|raw| self.run_of_one(Mfn::new(raw)))
            .peekable();
        iter::from_fn(move || {
            let mut run = frames.next()?;
            while frames.next_if(|next| run.is_continued_by(next)).is_some() {
                run.frames += 1;
            }
            Some(run)
        })
    }

    /// One frame.
    fn run_of_one(&self, first: Mfn) -> Run {
        let info = self.frame_info(first);
        let holder = match info.owner {
            _ if info.is_free => Holder::Free,
            Some(id) => Holder::Domain(id),
            None if info.is_hypervisors => Holder::Hypervisor,
            // RAM that is neither is on its way from one to another.
            None => Holder::Hole,
        };
        let owned = matches!(holder, Holder::Domain(_));
        let used = owned || holder == Holder::Hypervisor;
        Run {
            first,
            frames: 1,
            holder,
            frame_type: if used {
                info.frame_type
            } else {
                FrameType::None
            },
            pinned: used && info.pinned,
            type_count: if used { info.type_count } else { 0 },
            general_count: if used { info.general_count } else { 0 },
            pfn: if owned { self.m2p(first) } else { None },
        }
    }
}
