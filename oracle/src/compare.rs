//! Comparing the state that the rules say with the engine's.

mod grants;

pub use grants::{compare_grants, lists};

use xenocryst_abi::{DomId, Maddr, Mfn};
use xenocryst_memory::{FrameType, MachineMemory};

use crate::layout::{DOMAINS, FRAMES};
use crate::model::state::{Count, Frame, NO_M2P};
use crate::model::{Model, Owner, Role};
use crate::subject::Subject;

/// Compares everything; contents only of frames in the mask `written`.
pub fn compare(model: &Model, subject: &Subject<'_>, written: u128) -> Result<(), String> {
    for (index, (frame, count)) in model.frames.iter().zip(&model.counts).enumerate() {
        compare_frame(index, frame, count, subject)?;
    }
    for index in (0..FRAMES).filter(|index| written >> index & 1 != 0) {
        compare_contents(index, &model.frames[index], subject)?;
    }
    for dom in 0..DOMAINS {
        let owned = model.owned_by(dom);
        let counted = subject.engine.owned_frames(DomId(dom as u16));
        if owned != u64::from(counted) {
            return Err(format!(
                "domain {dom} owns {owned} frames, the engine counts {counted}"
            ));
        }
    }
    let free = model
        .frames
        .iter()
        .filter(|frame| frame.owner == Owner::Free)
        .count() as u64;
    match subject.engine.free_frame_count() {
        counted if counted == free => Ok(()),
        counted => Err(format!(
            "{free} frames are free, the engine counts {counted}"
        )),
    }
}

fn compare_frame(
    index: usize,
    frame: &Frame,
    count: &Count,
    subject: &Subject<'_>,
) -> Result<(), String> {
    let info = subject.info(index);
    let owner = match frame.owner {
        Owner::Domain(dom) => Some(DomId(dom as u16)),
        _ => None,
    };
    let same_owner = info.owner == owner
        && info.is_ram == (frame.owner != Owner::NoRam)
        && info.is_free == (frame.owner == Owner::Free)
        && info.is_hypervisors == (frame.owner == Owner::Hypervisor);
    let same = match frame.owner {
        Owner::Domain(_) => {
            let (frame_type, validated, partial) = match frame.role {
                Role::Idle => (info.frame_type, false, None),
                Role::Writable => (FrameType::Writable, true, None),
                Role::Table(level) => (table_type(level), true, None),
                Role::Partial(level, cursor) => (table_type(level), false, Some(cursor)),
                Role::Descriptors => (FrameType::Descriptors, true, None),
                Role::ReadOnlyShared => (FrameType::None, true, None),
            };
            u64::from(info.general_count) == count.general
                && u64::from(info.type_count) == if partial.is_some() { 1 } else { count.typed }
                && i64::from(info.linear) == count.linear
                && (info.allocated, info.special, info.pinned)
                    == (frame.allocated, frame.special, frame.pinned)
                && (info.frame_type, info.validated, info.partial)
                    == (frame_type, validated, partial)
        }
        _ => true,
    };
    if !same_owner || !same {
        return Err(format!(
            "frame {index:#x} should be {:?} {:?}, allocated {}, special {}, pinned {}, {count:?}, but is {info:?}",
            frame.owner, frame.role, frame.allocated, frame.special, frame.pinned
        ));
    }
    let m2p = subject
        .engine
        .m2p(Mfn::new(index as u64))
        .map_or(NO_M2P, |pfn| pfn.raw());
    if frame.owner != Owner::NoRam && m2p != frame.m2p {
        return Err(format!(
            "frame {index:#x} is PFN {:#x}, the M2P says {m2p:#x}",
            frame.m2p
        ));
    }
    Ok(())
}

fn table_type(level: u8) -> FrameType {
    use xenocryst_memory::Level;
    FrameType::Table(match level {
        1 => Level::L1,
        2 => Level::L2,
        3 => Level::L3,
        _ => Level::L4,
    })
}

fn compare_contents(index: usize, frame: &Frame, subject: &Subject<'_>) -> Result<(), String> {
    if frame.hidden {
        return Ok(());
    }
    let mut words = frame.words.iter().peekable();
    for slot in 0..512u16 {
        let should = words
            .next_if(|(at, _)| *at == slot)
            .map_or(0, |(_, word)| word);
        let is = subject
            .engine
            .machine()
            .read_u64(Maddr::new((index as u64) << 12 | u64::from(slot) << 3));
        if should != is {
            return Err(format!(
                "word {slot} of frame {index:#x} ({:?}) should be {should:#x}, but is {is:#x}",
                frame.role
            ));
        }
    }
    Ok(())
}
