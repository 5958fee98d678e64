//! XXH64 with seed 0, of which frames carry the low half as their checksum.

use crate::phys::array_at;

const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;
const P5: u64 = 0x27d4_eb2f_1656_67c5;

pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut stripes = bytes.chunks_exact(32);
    let mut sum = P5;
    if bytes.len() >= 32 {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0u64.wrapping_sub(P1)];
        for stripe in &mut stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(
                    *lane,
                    u64::from_le_bytes(array_at(word, 0).unwrap_or([0; 8])),
                );
            }
        }
        let [a, b, c, d] = lanes;
        sum = a.rotate_left(1).wrapping_add(b.rotate_left(7));
        sum = sum
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        for lane in lanes {
            sum = (sum ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
        }
    }
    finish(sum.wrapping_add(bytes.len() as u64), stripes.remainder())
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2))
        .rotate_left(31)
        .wrapping_mul(P1)
}

/// Takes in what is left after the stripes, and mixes.
fn finish(sum: u64, rest: &[u8]) -> u64 {
    let mut words = rest.chunks_exact(8);
    let mut sum = sum;
    for word in &mut words {
        let word = u64::from_le_bytes(array_at(word, 0).unwrap_or([0; 8]));
        sum = (sum ^ round(0, word))
            .rotate_left(27)
            .wrapping_mul(P1)
            .wrapping_add(P4);
    }
    let mut rest = words.remainder();
    if let Some((half, after)) = rest.split_first_chunk::<4>() {
        let word = u64::from(u32::from_le_bytes(*half));
        sum = (sum ^ word.wrapping_mul(P1))
            .rotate_left(23)
            .wrapping_mul(P2)
            .wrapping_add(P3);
        rest = after;
    }
    for &byte in rest {
        sum = (sum ^ u64::from(byte).wrapping_mul(P5))
            .rotate_left(11)
            .wrapping_mul(P1);
    }
    sum = (sum ^ sum >> 33).wrapping_mul(P2);
    sum = (sum ^ sum >> 29).wrapping_mul(P3);
    sum ^ sum >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums_come_out() {
        assert_eq!(hash(b""), 0xef46_db37_51d8_e999);
        assert_eq!(hash(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(hash(b"abc"), 0x44bc_2cf5_ad77_0999);
    }
}
