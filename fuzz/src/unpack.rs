//! Decompressors: the first byte says how much room there is for the output, the rest is compressed data.
//!
//! Each either fills its output exactly, or refuses; the same data into more room than it fills is refused.

use xenocryst_boot::kernel::{Compression, Packed};

/// What the samples unpack to.
pub const SAMPLE: &[u8] = include_bytes!("../../boot/src/kernel/unpack/samples/sample");
const PACKED: [&[u8]; 9] = [
    include_bytes!("../../boot/src/kernel/unpack/samples/sample.gz"),
    include_bytes!("../../boot/src/kernel/unpack/samples/sample.bz2"),
    include_bytes!("../../boot/src/kernel/unpack/samples/sample.lzma"),
    include_bytes!("../../boot/src/kernel/unpack/samples/sample.xz"),
    include_bytes!("../../boot/src/kernel/unpack/samples/plain.xz"),
    include_bytes!("../../boot/src/kernel/unpack/samples/blocks.xz"),
    include_bytes!("../../boot/src/kernel/unpack/samples/sample.lz4"),
    include_bytes!("../../boot/src/kernel/unpack/samples/sample.lzo"),
    include_bytes!("../../boot/src/kernel/unpack/samples/sample.zst"),
];

/// The room that the first byte of an input stands for; 0 is the size of the sample.
fn room(byte: u8) -> usize {
    match byte {
        0 => SAMPLE.len(),
        byte => usize::from(byte) * usize::from(byte) * 2,
    }
}

/// Unpacks.
pub fn run(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else {
        return;
    };
    let Some(compression) = Compression::of(data) else {
        return;
    };
    let unpacked = room(size);
    let packed = Packed {
        compression,
        data,
        unpacked,
    };
    let mut out = vec![0x55; unpacked];
    let first = packed.unpack(&mut out);
    let mut again = vec![0xaa; unpacked];
    assert_eq!(first, packed.unpack(&mut again));
    if first.is_ok() {
        assert!(out == again, "part of the output was left as it was");
    }
}

/// The samples of the decompressors' own tests.
pub fn seeds() -> Vec<Vec<u8>> {
    PACKED
        .iter()
        .map(|packed| [&[0], *packed].concat())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_unpack_to_the_sample() {
        for seed in seeds() {
            let data = &seed[1..];
            let mut out = vec![0; room(seed[0])];
            let compression = Compression::of(data).unwrap();
            let packed = Packed {
                compression,
                data,
                unpacked: out.len(),
            };
            assert_eq!(packed.unpack(&mut out), Ok(()));
            assert!(out == SAMPLE);
        }
    }
}
