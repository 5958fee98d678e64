//! What CPUs may still hold of translations, in the worst case: everything since they were last wholly flushed.
//!
//! What it keeps true (I33, I34, I39): no CPU can write through a stale translation to what has become a table or a
//! descriptor page, walk as a table what no longer is one, or reach memory that has got another owner
//! or whose grant was let go of.

use crate::layout::{CPUS, FRAMES};
use crate::machine::FlushRequest;
use crate::model::bits::{PRESENT, RW, target};
use crate::model::{Model, Owner, Role};

/// One CPU.
#[derive(Clone, Copy, Default, Debug)]
struct Cpu {
    /// Whose address space it runs in.
    dom: Option<usize>,
    /// Frames it may reach, as a bit mask.
    mapped: u128,
    /// Frames it may write.
    writable: u128,
    /// Frames it may walk as tables of a level.
    walked: [u128; 5],
    /// The TLB clock at its last whole flush.
    flushed: u32,
}

impl Cpu {
    fn flush(&mut self, clock: u32) {
        *self = Self {
            dom: self.dom,
            flushed: clock,
            ..Self::default()
        };
    }

    fn knows(&self) -> u128 {
        self.walked
            .iter()
            .fold(self.mapped, |all, level| all | level)
    }
}

/// All CPUs.
#[derive(Clone, Default, Debug)]
pub struct Tlb {
    cpus: [Cpu; CPUS],
}

impl Tlb {
    /// A CPU enters the address space of a domain and is flushed. Returns the domain it leaves.
    pub fn switch(&mut self, cpu: usize, dom: Option<usize>, clock: u32) -> Option<usize> {
        let old = std::mem::replace(&mut self.cpus[cpu].dom, dom);
        self.cpus[cpu].flush(clock);
        old
    }

    /// The CPUs that run in a domain.
    pub fn running(&self, dom: usize) -> impl Iterator<Item = usize> + '_ {
        (0..CPUS).filter(move |&cpu| self.cpus[cpu].dom == Some(dom))
    }

    /// Does the flushes asked for; a CPU that was flushed since the clock they name needs none.
    pub fn flush(&mut self, asked: &[FlushRequest], mut tick: impl FnMut() -> u32) {
        for flush in asked {
            for (number, cpu) in self.cpus.iter_mut().enumerate() {
                if flush.cpus >> number & 1 != 0 && flush.since >= cpu.flushed {
                    cpu.flush(tick());
                }
            }
        }
    }

    /// Whether anything cached can do harm now.
    pub fn check(&self, model: &Model) -> Result<(), String> {
        let mut tables = [0u128; 5];
        let mut untouchable = 0;
        for (index, frame) in model.frames.iter().enumerate() {
            match frame.role {
                Role::Table(level) => tables[level as usize] |= 1 << index,
                Role::Descriptors => untouchable |= 1 << index,
                _ => {}
            }
        }
        let all_tables = tables.iter().fold(0, |all, level| all | level);
        let in_use = model.frames.iter().enumerate().fold(
            all_tables | untouchable,
            |mask, (index, frame)| {
                if frame.role == Role::Writable {
                    mask | 1 << index
                } else {
                    mask
                }
            },
        );
        for (number, cpu) in self.cpus.iter().enumerate() {
            complain(
                number,
                cpu.knows() & model.given,
                "may know, though it was given away,",
            )?;
            let released = cpu.dom.map_or(0, |dom| unmapped(model, dom));
            complain(
                number,
                cpu.mapped & released,
                "may know, though its mapping was released,",
            )?;
            complain(
                number,
                cpu.writable & (all_tables | untouchable),
                "may write, though it is validated,",
            )?;
            for (walked, tables) in cpu.walked.iter().zip(tables) {
                let what = "may walk, though it is used otherwise,";
                complain(number, walked & in_use & !tables, what)?;
            }
        }
        Ok(())
    }

    /// Caches all that the validated tables of the domains that run now map.
    pub fn fill(&mut self, model: &Model) {
        for cpu in &mut self.cpus {
            let Some(dom) = cpu.dom else { continue };
            for (index, frame) in model.frames.iter().enumerate() {
                let Role::Table(level) = frame.role else {
                    continue;
                };
                if frame.owner != Owner::Domain(dom) {
                    continue;
                }
                cpu.walked[level as usize] |= 1 << index;
                for (_, entry) in frame.words.iter().filter(|_| level == 1) {
                    let named = target(entry) as usize;
                    let ram =
                        named < FRAMES && matches!(model.frames[named].owner, Owner::Domain(_));
                    if entry & PRESENT != 0 && ram {
                        cpu.mapped |= 1 << named;
                        if entry & RW != 0 {
                            cpu.writable |= 1 << named;
                        }
                    }
                }
            }
        }
    }
}

/// Frames of others that a domain has just let go of, and maps no more.
fn unmapped(model: &Model, dom: usize) -> u128 {
    let released = model.released.iter().filter(|(by, _)| *by == dom);
    let others = released.filter(|(_, frame)| model.frames[*frame].owner != Owner::Domain(dom));
    let mask = others.fold(0, |mask: u128, (_, frame)| mask | 1 << frame);
    if mask == 0 {
        return 0;
    }
    let is_own_l1 = |index: &usize| {
        let frame = &model.frames[*index];
        frame.owner == Owner::Domain(dom) && frame.role == Role::Table(1)
    };
    (0..FRAMES)
        .filter(is_own_l1)
        .flat_map(|table| model.references(table))
        .fold(mask, |mask, (named, ..)| mask & !(1 << named))
}

fn complain(cpu: usize, frames: u128, what: &str) -> Result<(), String> {
    match frames {
        0 => Ok(()),
        frames => Err(format!(
            "CPU {cpu} {what} frame {:#x}",
            frames.trailing_zeros()
        )),
    }
}
