//! Every compression against samples made with the usual tools: text, x86 calls (near, far, overlapping), runs, noise.

use super::*;
use alloc::vec;
use alloc::vec::Vec;

const SAMPLE: &[u8] = include_bytes!("samples/sample");
const PACKED: [&[u8]; 9] = [
    include_bytes!("samples/sample.gz"),
    include_bytes!("samples/sample.bz2"),
    include_bytes!("samples/sample.lzma"),
    include_bytes!("samples/sample.xz"),
    include_bytes!("samples/plain.xz"),
    include_bytes!("samples/blocks.xz"),
    include_bytes!("samples/sample.lz4"),
    include_bytes!("samples/sample.lzo"),
    include_bytes!("samples/sample.zst"),
];

fn try_unpack(packed: &[u8], size: usize) -> Result<Vec<u8>, Refusal<'static>> {
    let mut out = vec![0xaa; size];
    unpack(Compression::of(packed).unwrap(), packed, &mut out).map(|()| out)
}

#[test]
fn every_compression_gives_the_sample_back() {
    for packed in PACKED {
        let unpacked = try_unpack(packed, SAMPLE.len());
        assert!(
            unpacked.as_deref() == Ok(SAMPLE),
            "{:?}",
            Compression::of(packed)
        );
    }
}

#[test]
fn a_wrong_size_is_refused() {
    for packed in PACKED {
        for size in [0, 1, SAMPLE.len() - 1, SAMPLE.len() + 1] {
            // An LZMA stream with an end mark cannot be told from one that is cut: too short an output is all it gives.
            let unmarked =
                Compression::of(packed) == Some(Compression::Lzma) && size < SAMPLE.len();
            assert!(
                unmarked || try_unpack(packed, size).is_err(),
                "{:?} {size}",
                Compression::of(packed)
            );
        }
    }
}

#[test]
fn a_truncated_payload_is_refused() {
    for packed in PACKED {
        for len in (12..packed.len() - 40).step_by(331) {
            assert!(
                try_unpack(&packed[..len], SAMPLE.len()).is_err(),
                "{:?} {len}",
                Compression::of(packed)
            );
        }
    }
}

#[test]
fn changed_bytes_never_do_worse_than_a_refusal() {
    for packed in PACKED {
        let compression = Compression::of(packed).unwrap();
        let mut out = vec![0; SAMPLE.len()];
        for at in (0..packed.len()).step_by(101).chain(0..60) {
            for flip in [0x01, 0x80, 0xff] {
                let mut packed = packed.to_vec();
                packed[at] ^= flip;
                let _ = unpack(compression, &packed, &mut out);
            }
        }
    }
}

#[test]
fn noise_is_refused() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut out = vec![0; 4096];
    for packed in PACKED {
        for round in 0..40 {
            let mut noise: Vec<u8> = packed[..packed.len().min(6 + round % 40)].to_vec();
            noise.extend((0..500).map(|_| {
                seed = seed
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (seed >> 56) as u8
            }));
            let _ = unpack(Compression::of(packed).unwrap(), &noise, &mut out);
        }
    }
}
