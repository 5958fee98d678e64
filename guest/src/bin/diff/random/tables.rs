//! Page-table updates: `mmu_update`, `update_va_mapping`, `vm_assist`.

use core::fmt::Write;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::{command, uvmf};
use xenocryst_guest::abi::{DomId, PAGE_SIZE};

use super::Random;
use crate::request::{After, Call};
use crate::world::{ARENA, Frame, POOL, ROOT_SLOTS, SLOTS, VIEW_SLOTS, arena};

/// Flags that entries have when nothing is wrong with them, and some when there is.
const COMMON_FLAGS: [u64; 8] = [0x67, 0x67, 0x67, 0x65, 0x65, 0x63, 0x27, 0x61];

/// Domain arguments of `mmu_update` besides the caller itself.
const DOMAINS: [u64; 9] = [
    0,
    DomId::IO.0 as u64,
    DomId::IO.0 as u64,
    DomId::XEN.0 as u64,
    1,
    DomId::INVALID.0 as u64,
    DomId::IDLE.0 as u64,
    DomId::COW.0 as u64,
    0xffff,
];

impl Random<'_, '_> {
    /// Entries to be written, one or a few.
    pub(super) fn mmu_update(&mut self) -> Call {
        let count = if self.rng.chance(75) {
            1
        } else {
            self.rng.below(6) as usize
        };
        let mut words = [0; 12];
        let _ = write!(self.line, "mmu_update");
        for update in words.chunks_exact_mut(2).take(count) {
            let (ptr, value) = self.update();
            update[0] = ptr;
            update[1] = value;
        }
        let edge = self.rng.chance(3);
        let words = &words[..2 * count];
        let list = if edge {
            self.memory.put_at_edge(words)
        } else {
            self.pointer(words)
        };
        let mut asked = count as u64;
        if edge {
            asked += self.rng.below(4);
            let _ = write!(self.line, " edge count {asked}");
        }
        let domain = self.domains();
        if self.rng.chance(10) {
            return Call::new(number::MMU_UPDATE, [list, asked, 0, domain, 0]);
        }
        let done = self.memory.put(&[0xeeee_eeee]);
        Call {
            number: number::MMU_UPDATE,
            arguments: [list, asked, done, domain, 0],
            after: After::Done(done),
        }
    }

    /// The domains argument: whose tables, and whose frames.
    pub(super) fn domains(&mut self) -> u64 {
        if self.rng.chance(84) {
            return u64::from(DomId::SELF.0);
        }
        let mut domains = self.rng.pick(&DOMAINS);
        if self.rng.chance(20) {
            let tables = self
                .rng
                .pick(&[0, DomId::SELF.0 as u64, 1, DomId::IO.0 as u64]);
            domains |= (tables + 1) << 16;
        }
        let _ = write!(self.line, " for {domains:x}");
        domains
    }

    /// Where an entry is to be written, with the command, and what.
    fn update(&mut self) -> (u64, u64) {
        let command = match self.rng.below(100) {
            0..78 => command::NORMAL_PT_UPDATE,
            78..86 => command::PT_UPDATE_PRESERVE_AD,
            86..95 => command::MACHPHYS_UPDATE,
            _ => command::PT_UPDATE_NO_TRANSLATE,
        };
        if command == command::MACHPHYS_UPDATE {
            return self.m2p_update();
        }
        let (frame, slot) = self.entry();
        let level = Self::level_of(frame);
        let value = self.value(level);
        let slot = self.slot_for(frame, slot, value);
        let mut offset = 8 * slot;
        if self.rng.chance(2) {
            offset += 4;
        }
        let _ = write!(
            self.line,
            " {}[{}]{}",
            self.world.name(self.world.mfn(frame)),
            slot,
            ["", "!", "~", "'"][command as usize],
        );
        if offset & 4 != 0 {
            let _ = self.line.write_str("+4");
        }
        let _ = write!(self.line, "={}", self.world.word(value));
        let pointer = self.world.mfn(frame).wrapping_mul(PAGE_SIZE) + offset + command;
        (pointer, value)
    }

    /// The slot that is filled with `value` in the place of `slot`: no table's first one with what may be a table. When the
    /// validation of a table fails at its first entry, and that of the table below at a later one, then Xen forgets the
    /// latter, which can be nothing else for ever after.
    pub(super) fn slot_for(&mut self, table: Frame, slot: u64, value: u64) -> u64 {
        let named = self
            .world
            .name((value & xenocryst_guest::abi::pte::ADDRESS_MASK) >> 12);
        let counts = !matches!(table, Frame::Arena | Frame::Root | Frame::View);
        if counts && slot == 0 && named.is_unmapped() {
            1
        } else {
            slot
        }
    }

    /// An M2P entry to be set.
    fn m2p_update(&mut self) -> (u64, u64) {
        let frame = if self.rng.chance(70) {
            Frame::Pool(self.rng.below(POOL as u64) as u8)
        } else {
            self.frame()
        };
        // Devices' frames have entries too, which Xen lets the control domain change as `DOMID_IO`'s.
        let frame = match frame {
            Frame::Machine(number) if number < 0x100 => Frame::Machine(0x100_0000),
            frame => frame,
        };
        // What the M2P says of these, others may rely on.
        let mfn = self.world.mfn(frame);
        let pfn = self.rng.pick(&[1, 2, 0x1234, u64::MAX, 1 << 52]);
        let _ = write!(self.line, " m2p {}={pfn:x}", self.world.name(mfn));
        let offset = if self.rng.chance(5) { 0xff8 } else { 0 };
        let keep = matches!(
            frame,
            Frame::Root | Frame::View | Frame::Arena | Frame::Data | Frame::Shared
        );
        let (mfn, pfn) = if keep {
            let pool = Frame::Pool(0);
            let _ = write!(self.line, " (T0)");
            (self.world.mfn(pool), pfn)
        } else {
            (mfn, pfn)
        };
        let pointer = mfn.wrapping_mul(PAGE_SIZE) + offset + command::MACHPHYS_UPDATE;
        (pointer, pfn)
    }

    /// An entry of a table: of the pool's mostly.
    fn entry(&mut self) -> (Frame, u64) {
        let slot = if self.rng.chance(85) {
            self.rng.pick(&SLOTS) as u64
        } else {
            self.rng.pick(&[256, 257, 258, 262, 271, 300])
        };
        match self.rng.below(100) {
            0..80 => (Frame::Pool(self.rng.below(POOL as u64) as u8), slot),
            80..90 => (Frame::Arena, self.rng.below(ARENA as u64)),
            90..92 => {
                let count = VIEW_SLOTS.end - VIEW_SLOTS.start;
                (Frame::View, VIEW_SLOTS.start + self.rng.below(count))
            }
            92..94 => (Frame::Data, slot),
            94..96 => {
                let slots = [ROOT_SLOTS[0], ROOT_SLOTS[1], ROOT_SLOTS[2], 256, 262, 271];
                (Frame::Root, self.rng.pick(&slots))
            }
            _ => match self.frame() {
                Frame::Root | Frame::View | Frame::Arena | Frame::Shared => (Frame::Data, slot),
                frame => (frame, slot),
            },
        }
    }

    /// What to write to an entry of `level`.
    pub(super) fn value(&mut self, level: u8) -> u64 {
        if self.rng.chance(14) {
            return 0;
        }
        let frame = match self.rng.below(100) {
            0..68 if level > 1 => self.table(level - 1),
            0..20 => Frame::Pool(self.rng.below(POOL as u64) as u8),
            20..50 => Frame::Data,
            50..60 => self.table(1),
            // Linear: a table of the same level.
            60..76 => self.table(level),
            _ => self.frame(),
        };
        (self.world.mfn(frame) << 12 & xenocryst_guest::abi::pte::ADDRESS_MASK) | self.flags()
    }

    /// The other bits of an entry.
    fn flags(&mut self) -> u64 {
        let mut flags = self.rng.pick(&COMMON_FLAGS);
        if self.rng.chance(18) {
            flags ^= match self.rng.below(12) {
                0 => 1,
                1 => 1 << 3,
                2 => 1 << 4,
                3 => 1 << 7,
                // Of a kernel's page (one that is not for user mode) it is not kept everywhere.
                4 if flags & 4 != 0 => 1 << 8,
                5 => 0xe00,
                6 => 1 << 63,
                7 => 1 << 52,
                8 => 1 << 53,
                9 => 1 << 62,
                10 => 0x98,
                _ => 0x7ff0 << 48,
            };
        }
        flags
    }

    /// A mapping of the arena to be changed.
    pub(super) fn update_va_mapping(&mut self) -> Call {
        let n = self.arena_page();
        let value = match self.rng.below(10) {
            0..3 => 0,
            3..6 => (self.world.mfn(Frame::Pool(n as u8 % POOL as u8)) << 12) | self.flags(),
            _ => self.value(1),
        };
        let (address, name) = match self.rng.below(40) {
            0 => (0xffff_8300_0000_0000, "direct-map"),
            1 => (0x0000_8000_0000_0000, "non-canonical"),
            2 => (0x1000_0000, "no-table"),
            3 => (arena(n) + 0x123, "inside"),
            _ => (arena(n), "arena"),
        };
        let mut flags = self.rng.pick(&[
            uvmf::INVLPG | uvmf::ALL,
            uvmf::INVLPG | uvmf::LOCAL,
            uvmf::TLB_FLUSH | uvmf::ALL,
            uvmf::TLB_FLUSH | uvmf::LOCAL,
            uvmf::NONE,
            3,
            7,
            4,
        ]);
        let _ = write!(
            self.line,
            "update_va_mapping {name} {n}={} flags {flags:x}",
            self.world.word(value)
        );
        if self.rng.chance(6) {
            flags |= self.pointer(&[1]);
            let _ = self.line.write_str(" with bitmap");
        }
        if self.rng.chance(12) {
            let domain = self.rng.pick(&DOMAINS);
            let _ = write!(self.line, " for {domain:x}");
            return Call::new(
                number::UPDATE_VA_MAPPING_OTHERDOMAIN,
                [address, value, flags, domain, 0],
            );
        }
        Call::new(number::UPDATE_VA_MAPPING, [address, value, flags, 0, 0])
    }

    /// A behaviour to be switched.
    pub(super) fn vm_assist(&mut self) -> Call {
        let command = self.rng.pick(&[0, 0, 1, 1, 2, 3]);
        let kind = self
            .rng
            .pick(&[0, 1, 2, 2, 2, 3, 4, 5, 6, 31, 32, 33, 64, 1 << 32]);
        let _ = write!(self.line, "vm_assist {command} {kind:x}");
        Call::new(number::VM_ASSIST, [command, kind, 0, 0, 0])
    }
}
