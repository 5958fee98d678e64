//! Zstandard (RFC 8878), by `ruzstd`.
//!
//! Its decoder keeps a window of its own on the heap, as large as the frame asks for: at most the output's size.

use super::Failure;
use ruzstd::decoding::FrameDecoder;

pub(super) fn unpack(data: &[u8], out: &mut [u8]) -> Result<(), Failure> {
    let mut decoder = FrameDecoder::new();
    match decoder.decode_all(data, out) {
        Ok(written) if written == out.len() => Ok(()),
        _ => Err(Failure::Damaged),
    }
}
