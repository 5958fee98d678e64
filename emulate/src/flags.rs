//! Arithmetic flags (CPU manual volume 1, section 3.4.3.1).

use crate::Width;

/// Carry.
pub const CF: u64 = 1 << 0;
/// Even parity of the low byte.
pub const PF: u64 = 1 << 2;
/// Carry out of bit 3.
pub const AF: u64 = 1 << 4;
/// Zero.
pub const ZF: u64 = 1 << 6;
/// Sign.
pub const SF: u64 = 1 << 7;
/// Trap: single step.
pub const TF: u64 = 1 << 8;
/// Direction of string instructions.
pub const DF: u64 = 1 << 10;
/// Signed overflow.
pub const OF: u64 = 1 << 11;
/// Resume: no instruction breakpoint at the next instruction.
pub const RF: u64 = 1 << 16;
/// All arithmetic flags.
pub const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;

fn result_flags(width: Width, value: u64) -> u64 {
    let value = value & width.mask();
    let mut flags = 0;
    if value == 0 {
        flags |= ZF;
    }
    if value >> (width.bits() - 1) != 0 {
        flags |= SF;
    }
    if (value as u8).count_ones().is_multiple_of(2) {
        flags |= PF;
    }
    flags
}

/// Sum of `a`, `b` and the carry `carry` (0 or 1), and its flags.
pub fn add(width: Width, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let (a, b) = (a & width.mask(), b & width.mask());
    let sum = a.wrapping_add(b).wrapping_add(carry) & width.mask();
    let carries = (a & b) | ((a | b) & !sum);
    let mut flags = result_flags(width, sum) | (a ^ b ^ sum) & AF;
    if carries >> (width.bits() - 1) & 1 != 0 {
        flags |= CF;
    }
    if ((a ^ sum) & (b ^ sum)) >> (width.bits() - 1) & 1 != 0 {
        flags |= OF;
    }
    (sum, flags)
}

/// Difference of `a` and `b` and the borrow `borrow` (0 or 1), and its flags.
pub fn sub(width: Width, a: u64, b: u64, borrow: u64) -> (u64, u64) {
    let (a, b) = (a & width.mask(), b & width.mask());
    let difference = a.wrapping_sub(b).wrapping_sub(borrow) & width.mask();
    let borrows = (!a & b) | ((!a | b) & difference);
    let mut flags = result_flags(width, difference) | (a ^ b ^ difference) & AF;
    if borrows >> (width.bits() - 1) & 1 != 0 {
        flags |= CF;
    }
    if ((a ^ b) & (a ^ difference)) >> (width.bits() - 1) & 1 != 0 {
        flags |= OF;
    }
    (difference, flags)
}

/// Flags of a logical result: carry and overflow clear.
pub fn logic(width: Width, value: u64) -> u64 {
    result_flags(width, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addition_reports_carry_overflow_zero_and_sign() {
        assert_eq!(add(Width::Byte, 0xff, 1, 0), (0, ZF | CF | AF | PF));
        assert_eq!(add(Width::Byte, 0x7f, 1, 0), (0x80, SF | OF | AF));
        assert_eq!(add(Width::Quad, u64::MAX, 0, 1), (0, ZF | CF | AF | PF));
        assert_eq!(add(Width::Double, 1, 2, 0), (3, PF));
    }

    #[test]
    fn subtraction_reports_borrow_and_overflow() {
        assert_eq!(sub(Width::Byte, 0, 1, 0), (0xff, SF | CF | AF | PF));
        assert_eq!(sub(Width::Byte, 0x80, 1, 0), (0x7f, OF | AF));
        assert_eq!(sub(Width::Quad, 5, 5, 0), (0, ZF | PF));
        assert_eq!(sub(Width::Quad, 0, u64::MAX, 1).1 & CF, CF);
    }
}
