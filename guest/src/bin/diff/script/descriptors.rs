//! Descriptor tables: what may be in them, and how frames hold them.

use core::arch::asm;

use xenocryst_guest::abi::PAGE_SIZE;
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::mmu::mmuext;
use xenocryst_guest::trap::attempt;

use super::{Ended, Script};
use crate::world::{DATA_FLAGS, Frame, arena};

/// Descriptors and what they are.
const DESCRIPTORS: [(u64, &str); 18] = [
    (0, "nothing"),
    (0x00cf_f300_0000_ffff, "data 3"),
    (0x00cf_9300_0000_ffff, "data 0"),
    (0x00cf_b300_0000_ffff, "data 1"),
    (0x00cf_fb00_0000_ffff, "code 3"),
    (0x00af_fb00_0000_ffff, "long code 3"),
    (0x00af_9b00_0000_ffff, "long code 0"),
    (0x00ef_fb00_0000_ffff, "long and 32-bit code"),
    (0x00cf_7300_0000_ffff, "absent data"),
    (0x0000_ec00_e033_0000, "gate 3 to kernel"),
    (0x0000_8c00_e033_0000, "gate 0 to kernel"),
    (0x0000_ec00_e008_0000, "gate to hypervisor"),
    (0x0000_ec00_0008_0000, "gate to guest"),
    (0x0000_ec05_0008_0000, "gate with parameters"),
    (0x0000_ee00_0008_0000, "interrupt gate"),
    (0x0000_8900_0000_0067, "task state"),
    (0x0000_8200_0000_0067, "local table"),
    (0x0000_8000_0000_0000, "second half of a gate"),
];

impl Script<'_, '_> {
    /// Descriptors in data, in an LDT and in a GDT.
    pub(super) fn descriptors(&mut self) {
        for (n, (descriptor, name)) in DESCRIPTORS.into_iter().enumerate() {
            let place = self.pool(2) * PAGE_SIZE + 8 * (n as u64 % 6);
            self.call(
                format_args!("update_descriptor {name}"),
                number::UPDATE_DESCRIPTOR,
                [place, descriptor, 0, 0, 0],
            );
        }
        self.unmap(&[2, 3]);
        self.global_table();
        self.local_table();
    }

    /// The GDT.
    fn global_table(&mut self) {
        let frame = self.pool(3);
        for entries in [512, 1, 513, 7168, 7169, 0] {
            let frames = [frame; 14];
            let list = self.memory.put(&frames);
            self.call(
                format_args!("set_gdt T3 {entries}"),
                number::SET_GDT,
                [list, entries, 0, 0, 0],
            );
        }
        let list = self.memory.put(&[frame]);
        self.call(
            format_args!("set_gdt T3 512"),
            number::SET_GDT,
            [list, 512, 0, 0, 0],
        );
        self.map(3, Frame::Pool(3), DATA_FLAGS);
        self.extended(mmuext::PIN_L1_TABLE, Frame::Pool(3));
        for (descriptor, name) in DESCRIPTORS {
            self.call(
                format_args!("update_descriptor in the GDT {name}"),
                number::UPDATE_DESCRIPTOR,
                [frame * PAGE_SIZE + 8, descriptor, 0, 0, 0],
            );
            self.load(0x08);
        }
        for selector in [
            0x10, 0x1000, 0xe008, 0xe02b, 0xe033, 0xe023, 0xe018, 0xe040, 0xfff8,
        ] {
            self.load(selector);
        }
        self.call(format_args!("no GDT"), number::SET_GDT, [0; 5]);
        self.map(3, Frame::Pool(3), DATA_FLAGS);
    }

    /// The LDT: mapped on use.
    fn local_table(&mut self) {
        self.map(20, Frame::Pool(2), 0x65);
        for (address, entries, name) in [
            (arena(20), 8193, "too long"),
            (arena(20) + 8, 8, "inside a page"),
            (0xffff_8300_0000_0000, 8, "in the direct map"),
            (0xffff_8300_0000_0000, 0, "in the direct map, empty"),
            (0x0000_8000_0000_0000, 8, "non-canonical"),
            (arena(20), 512, "good"),
        ] {
            // SAFETY: this kernel relies on no descriptor of an LDT.
            let answer =
                unsafe { xenocryst_guest::mmu::extended(mmuext::SET_LDT, address, entries) };
            self.tell(format_args!("set_ldt {name}"), answer);
        }
        for selector in [0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0xffc, 0x1007] {
            self.load(selector);
        }
        self.map(2, Frame::Pool(2), DATA_FLAGS);
        self.map(20, Frame::Data, 0x65);
        self.map(2, Frame::Pool(2), DATA_FLAGS);
        // SAFETY: as above.
        let answer = unsafe { xenocryst_guest::mmu::extended(mmuext::SET_LDT, 0, 0) };
        self.tell(format_args!("no LDT"), answer);
        self.load(0x07);
        self.map(2, Frame::Pool(2), DATA_FLAGS);
    }

    /// Loads a selector into DS and asks for its rights; then DS is empty again.
    fn load(&mut self, selector: u16) {
        // SAFETY: in 64-bit code no access goes by DS's descriptor.
        let loaded = attempt(|| unsafe {
            asm!("mov ds, {s:e}", s = in(reg) u32::from(selector), options(nostack));
        });
        let mut rights = 0_u32;
        // SAFETY: a question.
        let _ = attempt(|| unsafe {
            asm!("lar {r:e}, {s:e}", r = inout(reg) rights, s = in(reg) u32::from(selector), options(nostack));
        });
        // SAFETY: the empty selector is what DS has.
        unsafe { asm!("mov ds, {s:e}", s = in(reg) 0, options(nostack)) };
        self.tell(
            format_args!("load {selector:x} rights {rights:x}"),
            Ended(loaded),
        );
    }
}
