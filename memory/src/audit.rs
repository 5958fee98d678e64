//! Recounting: do the counts in the frame table follow from the page tables themselves?
//!
//! The equations, for every frame of a domain:
//!
//! * type count = validated table entries that grant the type + pin + roots and other references held outside tables
//!   (+ 1 if partial: the partial state's own);
//! * general count = entries that name the frame + the same others + allocation;
//! * no frame with a live table or descriptor type is mapped writable;
//! * linear counter = linear entries held, or minus the uses made of it.
//!
//! For tests and debugging: it allocates, so it exists only where `std` does.

use crate::config::HYPERVISOR_SLOTS;
use crate::domain::DomainMemory;
use crate::engine::Engine;
use crate::frame::{FrameInfo, FrameType, Level};
use crate::machine::MachineMemory;
use crate::pte;
use crate::ptype::{ENTRIES, entry_address};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use xenocryst_abi::{DomId, Mfn};

/// A reference held outside of page tables.
#[derive(Clone, Copy, Debug)]
pub enum Held {
    /// A general reference.
    General(Mfn),
    /// A general and a type reference (roots, writable references, descriptor windows).
    Typed(Mfn),
}

#[derive(Clone, Copy, Default)]
struct Count {
    general: i64,
    typed: i64,
    linear: i64,
    writable: i64,
}

/// Recounts every frame; an error names the first frame whose counts are wrong.
pub fn recount<M: MachineMemory>(
    engine: &Engine<'_, M>,
    domains: &[&DomainMemory],
    held: &[Held],
) -> Result<(), String> {
    let infos: Vec<FrameInfo> = (0..engine.frames.len())
        .map(|i| engine.frame_info(Mfn::new(i as u64)))
        .collect();
    let mut counts = vec![Count::default(); infos.len()];
    for reference in held {
        let (mfn, typed) = match *reference {
            Held::General(mfn) => (mfn, 0),
            Held::Typed(mfn) => (mfn, 1),
        };
        counts[mfn.raw() as usize].general += 1;
        counts[mfn.raw() as usize].typed += typed;
    }
    for (i, info) in infos.iter().enumerate() {
        count_own(info, &mut counts[i]);
        if let FrameType::Table(level) = info.frame_type {
            let end = if info.validated {
                ENTRIES
            } else {
                info.partial.map_or(0, usize::from)
            };
            count_entries(engine, &infos, &mut counts, Mfn::new(i as u64), level, end)?;
        }
    }
    for (i, (info, count)) in infos.iter().zip(&counts).enumerate() {
        compare(i, info, count)?;
    }
    count_owned(engine, &infos, domains)
}

/// References that the frame's own state stands for.
fn count_own(info: &FrameInfo, count: &mut Count) {
    if info.allocated {
        count.general += 1;
    }
    if info.pinned || info.partial.is_some() {
        count.general += 1;
        count.typed += 1;
    }
    if info.special {
        count.typed += 1;
    }
}

fn count_entries<M: MachineMemory>(
    engine: &Engine<'_, M>,
    infos: &[FrameInfo],
    counts: &mut [Count],
    table: Mfn,
    level: Level,
    end: usize,
) -> Result<(), String> {
    for slot in 0..end {
        if level == Level::L4 && HYPERVISOR_SLOTS.contains(&slot) {
            continue;
        }
        let entry = engine.machine().read_u64(entry_address(table, slot));
        let target = pte::target(entry);
        let Some(info) = infos.get(target.raw() as usize).filter(|info| info.is_ram) else {
            continue;
        };
        if entry & pte::PRESENT == 0 || (level != Level::L1 && target == table) {
            continue;
        }
        let count = &mut counts[target.raw() as usize];
        count.general += 1;
        match (level, info.frame_type) {
            (Level::L1, _) if entry & pte::RW != 0 => {
                count.typed += 1;
                count.writable += 1;
            }
            (Level::L1, _) => {}
            (_, FrameType::Table(l)) if l == level => {
                count.typed += 1;
                count.linear -= 1;
                counts[table.raw() as usize].linear += 1;
            }
            (_, FrameType::Table(l)) if Some(l) == level.below() => count.typed += 1,
            _ => {
                return Err(format!(
                    "{level} table {table} slot {slot} names {target}, which is {}",
                    info.frame_type
                ));
            }
        }
    }
    Ok(())
}

fn compare(i: usize, info: &FrameInfo, count: &Count) -> Result<(), String> {
    if !info.is_ram || info.is_free {
        return if count.general == 0 {
            Ok(())
        } else {
            Err(format!("frame {i:#x} is no used RAM, but referenced"))
        };
    }
    let typed = if info.partial.is_some() {
        1
    } else {
        i64::from(info.type_count)
    };
    if count.general != i64::from(info.general_count)
        || count.typed != typed
        || count.linear != i64::from(info.linear)
    {
        return Err(format!(
            "frame {i:#x} should have {} references, {} of its type, linear {}, but is {info:?}",
            count.general, count.typed, count.linear
        ));
    }
    if count.writable != 0 && info.frame_type != FrameType::Writable {
        return Err(format!(
            "frame {i:#x} is mapped writable while it is {}",
            info.frame_type
        ));
    }
    Ok(())
}

fn count_owned<M: MachineMemory>(
    engine: &Engine<'_, M>,
    infos: &[FrameInfo],
    domains: &[&DomainMemory],
) -> Result<(), String> {
    for domain in domains {
        let owns = |info: &&FrameInfo| info.owner == Some(domain.id()) && !info.special;
        let found = infos.iter().filter(owns).count();
        if found != engine.owned_frames(domain.id()) as usize {
            return Err(format!(
                "{} owns {found} frames, counted {}",
                domain.id(),
                engine.owned_frames(domain.id())
            ));
        }
    }
    let known = |id: DomId| domains.iter().any(|d| d.id() == id);
    match infos
        .iter()
        .position(|info| info.owner.is_some_and(|id| !known(id)))
    {
        Some(i) => Err(format!(
            "frame {i:#x} belongs to an unknown domain: {:?}",
            infos[i]
        )),
        None => Ok(()),
    }
}
