//! The guest's registers as the decoders need them, and operand widths.

/// A processor's registers, by their hardware numbers.
pub trait Registers {
    /// General register `number` (0 RAX, 1 RCX, 2 RDX, 3 RBX, 4 RSP, 5 RBP, 6 RSI, 7 RDI, 8..=15 R8..R15). Higher numbers
    /// are taken modulo 16.
    fn gpr(&self, number: u8) -> u64;
    /// Sets general register `number`, all 64 bits.
    fn set_gpr(&mut self, number: u8, value: u64);
    /// The instruction pointer.
    fn rip(&self) -> u64;
    /// Sets the instruction pointer.
    fn set_rip(&mut self, value: u64);
    /// The flags register.
    fn flags(&self) -> u64;
    /// Sets the flags register.
    fn set_flags(&mut self, value: u64);
    /// The base of FS.
    fn fs_base(&self) -> u64;
    /// The base of GS.
    fn gs_base(&self) -> u64;
}

/// Number of the accumulator.
pub const RAX: u8 = 0;
/// Number of the counter.
pub const RCX: u8 = 1;
/// Number of the data register.
pub const RDX: u8 = 2;
/// Number of the base register.
pub const RBX: u8 = 3;
/// Number of the source index.
pub const RSI: u8 = 6;
/// Number of the destination index.
pub const RDI: u8 = 7;

/// The width of an operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Width {
    /// 1 byte.
    Byte = 1,
    /// 2 bytes.
    Word = 2,
    /// 4 bytes.
    Double = 4,
    /// 8 bytes.
    Quad = 8,
}

impl Width {
    /// Bytes.
    #[inline(always)]
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// Bits.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self as u32 * 8
    }

    /// A mask of all bits of the width.
    #[inline(always)]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }

    /// `value`, whose top bit in this width is its sign, in 64 bits.
    #[inline(always)]
    pub const fn sign_extend(self, value: u64) -> u64 {
        let shift = 64 - self.bits();
        (((value << shift) as i64) >> shift) as u64
    }

    /// What a register that held `before` holds after `value` of this width was written to it: 32-bit writes clear the
    /// upper half, narrower ones keep the rest.
    #[inline(always)]
    pub const fn merge(self, before: u64, value: u64) -> u64 {
        match self {
            Self::Quad => value,
            Self::Double => value & 0xffff_ffff,
            _ => (before & !self.mask()) | (value & self.mask()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Registers for tests.
    #[derive(Clone, Default)]
    pub struct Plain {
        pub gprs: [u64; 16],
        pub rip: u64,
        pub flags: u64,
        pub fs: u64,
        pub gs: u64,
    }

    impl Registers for Plain {
        fn gpr(&self, number: u8) -> u64 {
            self.gprs[number as usize & 15]
        }
        fn set_gpr(&mut self, number: u8, value: u64) {
            self.gprs[number as usize & 15] = value;
        }
        fn rip(&self) -> u64 {
            self.rip
        }
        fn set_rip(&mut self, value: u64) {
            self.rip = value;
        }
        fn flags(&self) -> u64 {
            self.flags
        }
        fn set_flags(&mut self, value: u64) {
            self.flags = value;
        }
        fn fs_base(&self) -> u64 {
            self.fs
        }
        fn gs_base(&self) -> u64 {
            self.gs
        }
    }

    #[test]
    fn narrow_register_writes_keep_the_rest_and_32_bit_ones_clear_it() {
        assert_eq!(
            Width::Byte.merge(0x1122_3344_5566_7788, 0xaaff),
            0x1122_3344_5566_77ff
        );
        assert_eq!(
            Width::Word.merge(0x1122_3344_5566_7788, 0xaaff),
            0x1122_3344_5566_aaff
        );
        assert_eq!(Width::Double.merge(u64::MAX, 0x1_0000_0001), 1);
        assert_eq!(Width::Quad.merge(0, u64::MAX), u64::MAX);
    }

    #[test]
    fn sign_extension_follows_the_top_bit_of_the_width() {
        assert_eq!(Width::Byte.sign_extend(0x80), 0xffff_ffff_ffff_ff80);
        assert_eq!(Width::Double.sign_extend(0x7fff_ffff), 0x7fff_ffff);
        assert_eq!(Width::Quad.sign_extend(u64::MAX), u64::MAX);
    }
}
