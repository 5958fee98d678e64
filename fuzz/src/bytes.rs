//! Building seeds: little-endian numbers at offsets.

/// Puts the low `size` bytes of `value` at `at`, growing the buffer if need be.
pub fn put(out: &mut Vec<u8>, at: usize, size: usize, value: u64) {
    if out.len() < at + size {
        out.resize(at + size, 0);
    }
    out[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

/// Makes all bytes add up to 0 by changing the one at `at`, if there is one.
pub fn balance(bytes: &mut [u8], at: usize) {
    if at < bytes.len() {
        bytes[at] = 0;
        let sum = bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
        bytes[at] = sum.wrapping_neg();
    }
}
