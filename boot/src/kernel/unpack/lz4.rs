//! LZ4 in its legacy container (what `lz4 -l` writes): the container here, the blocks from `lz4_flex` (its safe decoder).

use super::Failure;
use crate::phys::u32_at;

const MAGIC: u32 = 0x184c_2102;
/// Every block but the last unpacks to this.
const BLOCK: usize = 8 << 20;

pub(super) fn unpack(data: &[u8], out: &mut [u8]) -> Result<(), Failure> {
    let (mut at, mut done) = (4, 0);
    while done < out.len() {
        let size = u32_at(data, at).ok_or(Failure::Damaged)?;
        at += 4;
        if size == MAGIC {
            // Concatenated archives are one archive.
            continue;
        }
        let end = at.checked_add(size as usize).ok_or(Failure::Damaged)?;
        let block = data.get(at..end).ok_or(Failure::Damaged)?;
        let room_end = out.len().min(done + BLOCK);
        let room = out.get_mut(done..room_end).ok_or(Failure::Damaged)?;
        let written =
            lz4_flex::block::decompress_into(block, room).map_err(|_| Failure::Damaged)?;
        if written == 0 {
            return Err(Failure::Damaged);
        }
        done += written;
        at = end;
    }
    // Nothing may follow: there would be more than the kernel says.
    if at == data.len() {
        Ok(())
    } else {
        Err(Failure::Damaged)
    }
}
