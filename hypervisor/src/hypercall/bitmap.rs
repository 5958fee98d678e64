//! Bitmaps that tools pass (`struct xenctl_bitmap`): sets of CPUs or nodes.
//!
//! Keeps true: never more than the tools' bits are read or written, whatever number of bits they name.

use xenocryst_abi::domctl::Bitmap;
use xenocryst_abi::hypercall::errno::Errno;

use crate::arch::guest_access;

/// Bytes written at once when there is more room than bits.
const PIECE: usize = 64;

/// Writes `set` where `bitmap` says, as far as there is room; bits past the 64th are cleared.
///
/// # Errors
/// `EFAULT`.
pub fn write(bitmap: &Bitmap, set: u64) -> Result<(), Errno> {
    let bytes = set.to_le_bytes();
    let mut room = u64::from(bitmap.nr_bits.div_ceil(8));
    let first = room.min(bytes.len() as u64);
    let mut piece = bytes;
    if first > 0 && first * 8 > u64::from(bitmap.nr_bits) {
        // The last byte is not the tools' in full.
        piece[first as usize - 1] &= (1u8 << (bitmap.nr_bits % 8)).wrapping_sub(1);
    }
    let mut at = bitmap.bitmap;
    guest_access::copy_to(at, piece.get(..first as usize).unwrap_or(&[]))?;
    at = at.wrapping_add(first);
    room -= first;
    // A tool's bitmap is as wide as the CPUs it was told of; anything wider than a page of bits is a mistake of its own.
    room = room.min(4096);
    while room > 0 {
        let next = room.min(PIECE as u64);
        guest_access::copy_to(at, [0; PIECE].get(..next as usize).unwrap_or(&[]))?;
        at = at.wrapping_add(next);
        room -= next;
    }
    Ok(())
}

/// Reads the first 64 bits of `bitmap`.
///
/// # Errors
/// `EFAULT`.
pub fn read(bitmap: &Bitmap) -> Result<u64, Errno> {
    let bits = bitmap.nr_bits.min(u64::BITS);
    let mut bytes = [0; 8];
    let length = bits.div_ceil(8) as usize;
    guest_access::copy_from(bytes.get_mut(..length).unwrap_or(&mut []), bitmap.bitmap)?;
    let set = u64::from_le_bytes(bytes);
    Ok(match bits {
        u64::BITS => set,
        _ => set & ((1 << bits) - 1),
    })
}
