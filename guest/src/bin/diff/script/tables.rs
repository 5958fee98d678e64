//! Page tables: building, pinning, changing, and what must not be done with them.

use core::arch::asm;

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::{command, mmuext, uvmf};
use xenocryst_guest::abi::pte::{ADDRESS_MASK, TABLE_ENTRIES};
use xenocryst_guest::trap::attempt;
use xenocryst_guest::{access, mmu};

use super::{Ended, Script};
use crate::world::{DATA_FLAGS, Frame, arena, view};

/// The flags that an entry has read-only.
const READ_ONLY: u64 = 0x65;

impl Script<'_, '_> {
    /// Tables of four levels: made, pinned, changed at each level, unpinned; and each thing once that is refused.
    pub(super) fn tables(&mut self) {
        self.four_levels();
        self.extended(mmuext::PIN_L4_TABLE, Frame::Pool(19));
        self.extended(mmuext::PIN_L4_TABLE, Frame::Pool(19));
        self.extended(mmuext::PIN_L3_TABLE, Frame::Pool(19));
        self.extended(mmuext::PIN_L1_TABLE, Frame::Pool(0));
        self.extended(mmuext::PIN_L1_TABLE, Frame::Pool(1));
        // Tables are not written to.
        for n in [0, 8, 14, 19] {
            self.map(25, Frame::Pool(n), DATA_FLAGS);
            self.map(25, Frame::Pool(n), READ_ONLY);
        }
        for (table, value) in [(0, 2), (8, 1), (14, 9), (19, 15)] {
            for flags in [
                DATA_FLAGS,
                READ_ONLY,
                0x63,
                0x66,
                0x1e7,
                0x167,
                1 << 63 | 0x67,
            ] {
                let value = self.entry(Frame::Pool(value), flags);
                self.update(Frame::Pool(table), 3, value);
            }
            self.update(Frame::Pool(table), 3, 0);
        }
        for slot in [255, 256, 257, 271, 272, 511] {
            self.update(Frame::Pool(19), slot, 0);
            let value = self.entry(Frame::Pool(14), DATA_FLAGS);
            self.update(Frame::Pool(19), slot, value);
        }
        // One table in two places, and as two things.
        let table = self.entry(Frame::Pool(0), DATA_FLAGS);
        self.update(Frame::Pool(8), 5, table);
        self.update(Frame::Pool(14), 5, table);
        self.extended(mmuext::CLEAR_PAGE, Frame::Pool(0));
        self.extended(mmuext::UNPIN_TABLE, Frame::Pool(19));
        self.extended(mmuext::UNPIN_TABLE, Frame::Pool(19));
        self.extended(mmuext::UNPIN_TABLE, Frame::Pool(0));
        self.extended(mmuext::CLEAR_PAGE, Frame::Pool(0));
        self.map(0, Frame::Pool(0), DATA_FLAGS);
        self.foreign_entries();
    }

    /// Entries of an L1 table in use that name what is not the domain's.
    fn foreign_entries(&mut self) {
        let frames = [
            Frame::Shared,
            Frame::Hypervisor,
            Frame::Root,
            Frame::Arena,
            Frame::Machine(0xa0),
            Frame::Machine(0xf0),
            Frame::Machine(0x10),
            Frame::Machine(0xfec00),
            Frame::Machine(0xfee00),
            Frame::Machine(0xfed00),
            Frame::Machine(0xf0000),
            Frame::Machine(0x100_0000),
            Frame::Machine(0xff_ffff_ffff),
        ];
        for frame in frames {
            for flags in [READ_ONLY, DATA_FLAGS, 0x7f, 0xff, 0x6f] {
                self.map(30, frame, flags);
                self.map(30, Frame::Data, READ_ONLY);
            }
        }
    }

    /// Tables that contain tables of their own level.
    pub(super) fn linear(&mut self) {
        self.four_levels();
        self.extended(mmuext::PIN_L4_TABLE, Frame::Pool(19));
        for flags in [DATA_FLAGS, READ_ONLY] {
            for (table, level) in [(19, 4), (14, 3), (8, 2), (0, 1)] {
                let value = self.entry(Frame::Pool(table), flags);
                let _ = level;
                self.update(Frame::Pool(table), 7, value);
            }
        }
        // Another table of the same level, and tables two levels below.
        self.unmap(&[20]);
        let value = self.entry(Frame::Pool(20), READ_ONLY);
        self.update(Frame::Pool(19), 8, value);
        self.extended(mmuext::PIN_L4_TABLE, Frame::Pool(20));
        self.update(Frame::Pool(19), 8, value);
        let back = self.entry(Frame::Pool(19), READ_ONLY);
        self.update(Frame::Pool(20), 8, back);
        self.extended(mmuext::UNPIN_TABLE, Frame::Pool(20));
        let value = self.entry(Frame::Pool(8), READ_ONLY);
        self.update(Frame::Pool(19), 9, value);
        self.extended(mmuext::UNPIN_TABLE, Frame::Pool(19));
    }

    /// Roots: this kernel goes on under another one, and comes back.
    pub(super) fn roots(&mut self) {
        // SAFETY: T19 is mapped writable in the arena, and the root in use is mapped read-only by the loader.
        for slot in 0..TABLE_ENTRIES as u64 {
            let value = access::read_u64(self.world.domain.info().pt_base + 8 * slot).unwrap_or(0);
            // Those of the hypervisor are its own business.
            if !(256..272).contains(&slot) {
                // SAFETY: as above.
                let _ = unsafe { access::write_u64(arena(19) + 8 * slot, value) };
            }
        }
        self.unmap(&[19]);
        self.extended(mmuext::NEW_BASEPTR, Frame::Data);
        self.extended(mmuext::NEW_BASEPTR, Frame::Arena);
        self.extended(mmuext::NEW_BASEPTR, Frame::Machine(0xf0000));
        self.extended(mmuext::NEW_BASEPTR, Frame::Pool(19));
        self.map(1, Frame::Pool(19), DATA_FLAGS);
        self.map(1, Frame::Pool(1), DATA_FLAGS);
        self.update(Frame::Root, 1, 0);
        self.extended(mmuext::NEW_USER_BASEPTR, Frame::Pool(19));
        self.extended(mmuext::NEW_BASEPTR, Frame::Root);
        self.map(1, Frame::Pool(19), DATA_FLAGS);
        self.extended(mmuext::NEW_USER_BASEPTR, Frame::Root);
        self.map(1, Frame::Pool(19), DATA_FLAGS);
        self.extended(mmuext::NEW_USER_BASEPTR, Frame::Data);
        self.extended(mmuext::NEW_USER_BASEPTR, Frame::Machine(0));
    }

    /// The bits that the CPU sets, kept or not.
    pub(super) fn accessed_dirty(&mut self) {
        for (command, name) in [
            (command::NORMAL_PT_UPDATE, "normal"),
            (command::PT_UPDATE_PRESERVE_AD, "preserving"),
        ] {
            self.map(2, Frame::Pool(2), 0x07);
            let read = access::read_u64(arena(2)).map(drop);
            self.tell(format_args!("{name}: read"), Ended(read));
            // SAFETY: T2 is mapped there.
            let written = unsafe { access::write_u64(arena(2), 5) };
            self.tell(format_args!("{name}: write"), Ended(written));
            for flags in [0x07, 0x05, 0x07] {
                let value = self.entry(Frame::Pool(2), flags);
                self.update_with(command, Frame::Arena, 2, value);
            }
            let value = self.entry(Frame::Data, 0x05);
            self.update_with(command, Frame::Arena, 2, value);
        }
    }

    /// What a guest may read of the hypervisor's range, and what it may not; and mappings made by `update_va_mapping`.
    pub(super) fn windows(&mut self) {
        self.read_only_windows();
        for (address, name) in [
            (0xffff_8300_0000_0000, "direct-map"),
            (0xffff_8000_0000_0000, "m2p"),
            (0x0000_8000_0000_0000, "non-canonical"),
            (0x1000_0000, "no table"),
            (u64::MAX, "last"),
            (arena(4) + 0x7ff, "inside"),
        ] {
            let value = self.entry(Frame::Data, READ_ONLY);
            for flags in [0, uvmf::INVLPG, uvmf::TLB_FLUSH | uvmf::ALL, 3] {
                self.call(
                    format_args!("update_va_mapping {name} flags {flags}"),
                    number::UPDATE_VA_MAPPING,
                    [address, value, flags, 0, 0],
                );
            }
        }
        for domain in [0, 1, 0x7ff0, 0x7ff1, 0x7ff2, 0x7ff3, 0x7ff4, 0x7fff, 0xffff] {
            for frame in [
                Frame::Data,
                Frame::Machine(0xa0),
                Frame::Machine(0xfee00),
                Frame::Hypervisor,
            ] {
                let value = self.entry(frame, READ_ONLY);
                let word = self.world.word(value);
                self.call(
                    format_args!("update_va_mapping_otherdomain {word} for {domain:x}"),
                    number::UPDATE_VA_MAPPING_OTHERDOMAIN,
                    [arena(5), value, uvmf::INVLPG, domain, 0],
                );
            }
        }
        self.emulated_stores();
    }

    /// Stores to L1 tables that are mapped read-only: taken for updates, and checked as such.
    fn emulated_stores(&mut self) {
        self.unmap(&[0, 8]);
        self.extended(mmuext::PIN_L1_TABLE, Frame::Pool(0));
        self.extended(mmuext::PIN_L2_TABLE, Frame::Pool(8));
        for n in [0, 8] {
            for frame in [
                Frame::Data,
                Frame::Pool(0),
                Frame::Pool(8),
                Frame::Hypervisor,
                Frame::Machine(0xf0000),
            ] {
                for flags in [DATA_FLAGS, READ_ONLY, 0x64, 0x1e7] {
                    let value = self.entry(frame, flags);
                    // SAFETY: a table of the pool, or nothing.
                    let ended = unsafe { access::write_u64(view(n) + 8, value) };
                    let word = self.world.word(value);
                    self.tell(format_args!("store T{n}[1]={word}"), Ended(ended));
                }
            }
        }
        for (skew, bits) in [(0, 0_u64), (2, 0), (2, 1 << 40)] {
            let address = view(0) + 8 + skew;
            // SAFETY: a table of the pool, or nothing.
            let ended = attempt(|| unsafe {
                asm!("or qword ptr [{a}], {v}", a = in(reg) address, v = in(reg) bits);
            });
            self.tell(format_args!("or T0[1]+{skew}={bits:x}"), Ended(ended));
        }
        let (entry, value) = mmu::entry(self.world.domain, view(0), 1).expect("the view is mapped");
        let _ = entry;
        let word = self.world.word(value.raw() & !(ADDRESS_MASK & 0xfff));
        self.tell(format_args!("the view's entry"), word);
    }
}
