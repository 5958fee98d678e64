//! What a CPU may still hold of translations, in the worst case: everything that its tables said since its last whole flush.

use super::machine::{FRAMES, Machine};
use std::collections::{BTreeMap, BTreeSet};
use xenocryst_abi::{DomId, Maddr, Mfn};
use xenocryst_memory::pte::{PRESENT, RW, target};
use xenocryst_memory::sim::FlushRequest;
use xenocryst_memory::{Engine, FrameInfo, FrameType, Level, MachineMemory};

/// Slots that requests can name: what lies elsewhere in a table is not looked at.
pub const SLOTS: [u64; 24] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 254, 255, 256, 257, 260, 263, 271, 272, 273, 300, 400, 509,
    510, 511,
];

/// One CPU's, which runs one domain only.
#[derive(Default)]
pub struct Tlb {
    mapped: BTreeMap<Mfn, Option<DomId>>,
    writable: BTreeSet<Mfn>,
    /// Tables walked, with their level.
    walked: BTreeSet<(Mfn, u8)>,
    last_flush: u32,
}

impl Tlb {
    /// Does what was asked of CPU `cpu`, unless it was flushed since.
    pub fn obey(&mut self, cpu: usize, flushes: &[FlushRequest], machine: &Machine<'_>) {
        let asked =
            |flush: &FlushRequest| flush.cpus >> cpu & 1 != 0 && flush.since >= self.last_flush;
        if flushes.iter().any(asked) {
            self.flush(machine);
        }
    }

    /// Forgets everything.
    pub fn flush(&mut self, machine: &Machine<'_>) {
        machine.tick();
        *self = Self {
            last_flush: machine.tlb_clock(),
            ..Self::default()
        };
    }

    /// Nothing of it can do harm.
    pub fn check(&self, engine: &Engine<'_, Machine<'_>>) {
        for (&mfn, &owner) in &self.mapped {
            let info = engine.frame_info(mfn);
            assert!(
                info.is_free || !info.is_ram || info.owner == owner || nobodys(&info),
                "{mfn} of {owner:?} was given away, but is cached: {info:?}"
            );
        }
        for &mfn in &self.writable {
            let info = engine.frame_info(mfn);
            let table = matches!(
                info.frame_type,
                FrameType::Table(_) | FrameType::Descriptors
            );
            assert!(
                !(table && info.validated),
                "{mfn} is a table, but cached writable: {info:?}"
            );
        }
        for &(mfn, level) in &self.walked {
            let info = engine.frame_info(mfn);
            let same = matches!(info.frame_type, FrameType::Table(l) if l as u8 == level);
            assert!(
                !info.validated || same,
                "{mfn} may be walked as L{level}, but is: {info:?}"
            );
        }
    }

    /// Caches whatever the validated tables of `domain` map now. What the control domain maps of others by its privilege
    /// (rather than by a grant) is not held against the engine if it stays writable: that domain is trusted with it.
    pub fn fill(&mut self, engine: &Engine<'_, Machine<'_>>, domain: DomId) {
        for number in 0..FRAMES as u64 {
            let table = Mfn::new(number);
            let info = engine.frame_info(table);
            let FrameType::Table(level) = info.frame_type else {
                continue;
            };
            if !info.validated || info.owner != Some(domain) {
                continue;
            }
            self.walked.insert((table, level as u8));
            if level == Level::L1 {
                self.fill_from(engine, table, domain);
            }
        }
    }

    fn fill_from(&mut self, engine: &Engine<'_, Machine<'_>>, table: Mfn, domain: DomId) {
        for slot in SLOTS {
            let at = Maddr::new(table.maddr().raw() + slot * 8);
            let entry = engine.machine().read_u64(at);
            let mfn = target(entry);
            let info = engine.frame_info(mfn);
            if entry & PRESENT != 0 && info.is_ram {
                self.mapped.insert(mfn, info.owner);
                if entry & RW != 0 && (domain != DomId(0) || info.owner == Some(domain)) {
                    self.writable.insert(mfn);
                }
            }
        }
    }
}

/// Between two owners (an exchange under way), or back with the hypervisor, which flushes before it uses a frame.
fn nobodys(info: &FrameInfo) -> bool {
    info.owner.is_none() && !info.is_hypervisors
}
