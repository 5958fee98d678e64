//! The mapping of the image itself: code is not writable, data is not executable.

use xenocryst_abi::Maddr;

use super::layout::IMAGE_BASE;
use super::tables::{self, NoFrame};

unsafe extern "C" {
    static image_start: u8;
    static image_text_end: u8;
    static image_rodata_end: u8;
    static image_end: u8;
}

/// The image's first and last virtual address (the latter exclusive).
pub(super) fn range() -> (u64, u64) {
    (
        core::ptr::addr_of!(image_start) as u64,
        core::ptr::addr_of!(image_end) as u64,
    )
}

/// The physical addresses that the image occupies.
pub(super) fn physical_range() -> (u64, u64) {
    let (start, end) = range();
    (start - IMAGE_BASE, end - IMAGE_BASE)
}

/// Maps the image's parts, each with its rights.
pub(super) fn map() -> Result<(), NoFrame> {
    let (start, end) = range();
    let text_end = core::ptr::addr_of!(image_text_end) as u64;
    let rodata_end = core::ptr::addr_of!(image_rodata_end) as u64;
    let parts = [
        (start, text_end, tables::CODE),
        (text_end, rodata_end, tables::READ_ONLY),
        (rodata_end, end, tables::DATA),
    ];
    for (from, to, flags) in parts {
        tables::map(from, Maddr::new(from - IMAGE_BASE), to - from, flags, 1)?;
    }
    Ok(())
}
