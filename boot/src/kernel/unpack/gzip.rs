//! gzip (RFC 1952): the container here, DEFLATE from `miniz_oxide` (safe, needs no heap, writes into a slice).

use super::Failure;
use crate::phys::{u8_at, u16_at, u32_at};
use alloc::boxed::Box;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

pub(super) fn unpack(data: &[u8], out: &mut [u8]) -> Result<(), Failure> {
    let start = header_bytes(data).ok_or(Failure::Damaged)?;
    let body = data.get(start..).ok_or(Failure::Damaged)?;
    let mut state = Box::new(DecompressorOxide::new());
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut state, body, out, 0, flags);
    let sum = u32_at(body, read).ok_or(Failure::Damaged)?;
    if status != TINFLStatus::Done || written != out.len() || sum != crc32fast::hash(out) {
        return Err(Failure::Damaged);
    }
    Ok(())
}

/// Where the compressed data begins: after 10 fixed bytes and what the flags announce.
fn header_bytes(data: &[u8]) -> Option<usize> {
    if u8_at(data, 2)? != 8 {
        return None;
    }
    let flags = u8_at(data, 3)?;
    let mut at = 10;
    if flags & EXTRA != 0 {
        at += 2 + usize::from(u16_at(data, at)?);
    }
    for string in [NAME, COMMENT] {
        if flags & string != 0 {
            at += 1 + data.get(at..)?.iter().position(|&byte| byte == 0)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        at += 2;
    }
    Some(at)
}
