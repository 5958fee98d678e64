//! Descriptor tables: `set_gdt` and `update_descriptor`.

use core::fmt::Write;

use xenocryst_guest::abi::PAGE_SIZE;
use xenocryst_guest::abi::hypercall::number;

use super::Random;
use crate::request::Call;
use crate::world::{Frame, POOL, SLOTS};

/// Descriptors: of code and data for rings 0 to 3, gates, system segments, and nothing.
const DESCRIPTORS: [u64; 14] = [
    0,
    0x00af_fb00_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00cf_fb00_0000_ffff,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x0000_8c00_e008_0000,
    0x0000_ec00_e033_0000,
    0x0000_ec00_0033_0000,
    0x0000_8900_0000_0067,
    0x0000_8200_0000_0067,
    0x00cf_7300_0000_ffff,
    0x00af_db00_0000_ffff,
    0x00ef_fb00_0000_ffff,
];

impl Random<'_, '_> {
    /// A descriptor table to be set, or a descriptor to be written.
    pub(super) fn descriptor_call(&mut self) -> Call {
        if self.rng.chance(65) {
            return self.update_descriptor();
        }
        let count = self.rng.below(4) as usize;
        let entries = match self.rng.below(6) {
            0 => self.rng.pick(&[0, 7168, 7169, 8192, 1 << 31, 1 << 32]),
            _ => 512 * count as u64,
        };
        let mut frames = [0; 16];
        let _ = write!(self.line, "set_gdt {entries}");
        for place in frames.iter_mut().take(count.max(1)) {
            let frame = if self.rng.chance(80) {
                Frame::Pool(self.rng.below(POOL as u64) as u8)
            } else {
                self.frame()
            };
            *place = self.world.mfn(frame);
            let _ = write!(self.line, " {}", self.world.name(*place));
        }
        let list = self.pointer(&frames);
        Call::new(number::SET_GDT, [list, entries, 0, 0, 0])
    }

    /// A descriptor to be written.
    fn update_descriptor(&mut self) -> Call {
        let frame = if self.rng.chance(85) {
            Frame::Pool(self.rng.below(POOL as u64) as u8)
        } else {
            match self.frame() {
                Frame::Shared | Frame::Root | Frame::View => Frame::Data,
                frame => frame,
            }
        };
        let slot = self.rng.pick(&SLOTS) as u64;
        let skew = if self.rng.chance(5) { 4 } else { 0 };
        let descriptor = self.rng.pick(&DESCRIPTORS);
        let mfn = self.world.mfn(frame);
        let _ = write!(
            self.line,
            "update_descriptor {}[{slot}]+{skew}={descriptor:x}",
            self.world.name(mfn)
        );
        let place = mfn.wrapping_mul(PAGE_SIZE) + 8 * slot + skew;
        Call::new(number::UPDATE_DESCRIPTOR, [place, descriptor, 0, 0, 0])
    }
}
