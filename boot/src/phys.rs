//! Reading foreign bytes: physical memory as the boot loader and the firmware left it.
//!
//! Keeps true: every multi-byte number is read little-endian through a bounds check, so that a table that lies about its
//! length yields `None` and nothing else. Neighbours: every parser of this crate; the hypervisor implements
//! [`PhysRead`] over its direct map, tests over a vector.

/// Longest string, in bytes without its NUL, that is accepted from a boot loader.
pub const MAX_STRING: usize = 4096;

const PAGE: u64 = 4096;

/// Read access to physical memory.
pub trait PhysRead {
    /// The `len` bytes at physical address `addr`, or `None` when any of them cannot be read.
    fn bytes(&self, addr: u64, len: u64) -> Option<&[u8]>;
}

/// A byte slice standing for the physical addresses from `base` up. For tests, and for tables already copied.
#[derive(Clone, Copy, Debug)]
pub struct PhysSlice<'a> {
    /// Physical address of the first byte.
    pub base: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl PhysRead for PhysSlice<'_> {
    fn bytes(&self, addr: u64, len: u64) -> Option<&[u8]> {
        let start = usize::try_from(addr.checked_sub(self.base)?).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        self.bytes.get(start..end)
    }
}

/// The byte at `offset`.
pub fn u8_at(bytes: &[u8], offset: usize) -> Option<u8> {
    bytes.get(offset).copied()
}

/// The little-endian number in the two bytes at `offset`.
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(array_at(bytes, offset)?))
}

/// The little-endian number in the four bytes at `offset`.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(array_at(bytes, offset)?))
}

/// The little-endian number in the eight bytes at `offset`.
pub fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(array_at(bytes, offset)?))
}

/// The `N` bytes at `offset`.
pub fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// The text before the first NUL of `bytes` (or all of them), cut at the first byte that is not UTF-8.
pub fn text(bytes: &[u8]) -> &str {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    let bytes = bytes.get(..end).unwrap_or(&[]);
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => bytes
            .get(..error.valid_up_to())
            .and_then(|valid| core::str::from_utf8(valid).ok())
            .unwrap_or(""),
    }
}

/// The NUL-terminated string at physical address `addr`. `None` when it cannot be read or does not end within
/// [`MAX_STRING`] bytes.
pub fn string_at<M: PhysRead + ?Sized>(memory: &M, addr: u64) -> Option<&str> {
    // Page by page: the string may be the last thing before memory that cannot be read.
    let mut len = PAGE - addr % PAGE;
    loop {
        let bytes = memory.bytes(addr, len)?;
        let found = bytes.iter().position(|&byte| byte == 0);
        match found {
            Some(end) if end <= MAX_STRING => return Some(text(bytes.get(..end)?)),
            None if bytes.len() <= MAX_STRING => len = len.checked_add(PAGE)?,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_slice_refuses_what_lies_outside_it() {
        let memory = PhysSlice {
            base: 0x1000,
            bytes: &[1, 2, 3, 4],
        };
        assert_eq!(memory.bytes(0x1001, 2), Some(&[2u8, 3][..]));
        assert_eq!(memory.bytes(0xfff, 1), None);
        assert_eq!(memory.bytes(0x1003, 2), None);
        assert_eq!(memory.bytes(0x1003, u64::MAX), None);
    }

    #[test]
    fn a_string_may_cross_a_page_and_end_where_memory_ends() {
        let mut bytes = vec![b'a'; 8192];
        bytes[8100] = 0;
        bytes[8191] = 0;
        let memory = PhysSlice {
            base: 0,
            bytes: &bytes,
        };
        assert_eq!(string_at(&memory, 4090).map(str::len), Some(8100 - 4090));
        assert_eq!(string_at(&memory, 8191), Some(""));
    }

    #[test]
    fn a_string_without_an_end_is_refused() {
        let bytes = vec![b'a'; 3 * 4096];
        let memory = PhysSlice {
            base: 0,
            bytes: &bytes,
        };
        assert_eq!(string_at(&memory, 1), None);
        assert_eq!(string_at(&memory, 2 * 4096 + 5), None);
        assert_eq!(string_at(&memory, u64::MAX), None);
    }

    #[test]
    fn text_stops_at_a_nul_and_at_bytes_that_are_no_text() {
        assert_eq!(text(b"ab\0cd"), "ab");
        assert_eq!(text(b"ab\xff\xfecd"), "ab");
    }
}
