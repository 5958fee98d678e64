//! Kernel files of any kind: bzImage, compressed or plain ELF, with a limit on what they may unpack to.

use crate::{elf, image, unpack};
use xenocryst_boot::kernel::KernelFile;

/// The most that a file may unpack to.
const LIMIT: u64 = 1 << 18;

/// The file is all of `data`.
pub fn run(data: &[u8]) {
    match KernelFile::find(data, LIMIT) {
        Ok(KernelFile::Plain(image)) => elf::run(image),
        Ok(KernelFile::Packed(packed)) => {
            assert!(packed.unpacked as u64 <= LIMIT);
            let mut out = vec![0; packed.unpacked];
            if packed.unpack(&mut out).is_ok() {
                elf::run(&out);
            }
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}

/// Kernels in bzImages, plain and compressed.
pub fn seeds() -> Vec<Vec<u8>> {
    let plain = image::kernels();
    let packed = unpack::seeds().into_iter().map(|seed| {
        let mut payload = seed[1..].to_vec();
        payload.extend((unpack::SAMPLE.len() as u32).to_le_bytes());
        payload
    });
    let stored = plain.iter().map(|kernel| stored_gzip(kernel));
    let payloads: Vec<Vec<u8>> = plain.iter().cloned().chain(packed).chain(stored).collect();
    payloads
        .iter()
        .map(|payload| image::bzimage(payload))
        .chain(payloads.iter().cloned())
        .collect()
}

/// A gzip file of one stored block.
fn stored_gzip(data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(data);
    out.extend(crc32(data).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 != 0 { 0xedb8_8320 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xenocryst_boot::kernel::pv_kernel;

    #[test]
    fn a_compressed_seed_unpacks_to_a_kernel_that_can_be_started() {
        let file = image::bzimage(&stored_gzip(&image::kernels()[0]));
        let Ok(KernelFile::Packed(packed)) = KernelFile::find(&file, LIMIT) else {
            panic!("not found")
        };
        let mut out = vec![0; packed.unpacked];
        packed.unpack(&mut out).unwrap();
        assert!(pv_kernel(&out).is_ok());
    }
}
