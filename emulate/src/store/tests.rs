//! Stores as compilers and kernels write them, and what is none.

use super::decode::{decode_any, frequent};
use super::*;
use crate::flags::{CF, PF, SF, ZF};
use crate::registers::RDI;
use crate::registers::tests::Plain;

fn registers() -> Plain {
    let mut registers = Plain {
        rip: 0x1000,
        ..Plain::default()
    };
    registers.gprs[RDI as usize] = 0x8000;
    registers
}

/// Decodes, applies to `old`, retires; gives the operand's new value.
fn run(bytes: &[u8], registers: &mut Plain, old: u64) -> Option<u64> {
    let store = decode(bytes, registers).expect("decodes");
    let effect = store.effect(registers, old);
    store.retire(registers, old, &effect);
    effect.new
}

#[test]
fn the_short_way_decodes_as_the_general_decoder_does() {
    let mut regs = registers();
    for (number, value) in regs.gprs.iter_mut().enumerate() {
        *value = 0x10_0000 * (number as u64 + 1);
    }
    let mut met = 0;
    for rex in 0x40..=0x4f {
        for opcode in [0x85, 0x87, 0x89, 0x8b] {
            for modrm in 0..=255 {
                let bytes = [rex, opcode, modrm, 0x90, 0x11, 0x22, 0x33, 0x44];
                if let Some(store) = frequent(&bytes, &regs) {
                    met += 1;
                    assert_eq!(Some(store), decode_any(&bytes, &regs), "{bytes:x?}");
                }
            }
        }
    }
    assert!(met > 800, "{met}");
}

#[test]
fn plain_stores_of_every_width() {
    let mut regs = registers();
    regs.gprs[6] = 0x1122_3344_5566_7788;
    assert_eq!(
        run(&[0x48, 0x89, 0x37], &mut regs, 0),
        Some(0x1122_3344_5566_7788)
    );
    assert_eq!(regs.rip, 0x1003);
    assert_eq!(run(&[0x89, 0x37], &mut regs, 0), Some(0x5566_7788));
    assert_eq!(run(&[0x66, 0x89, 0x37], &mut regs, 0), Some(0x7788));
    assert_eq!(run(&[0x40, 0x88, 0x37], &mut regs, 0), Some(0x88));
    // Without REX register 6 of a byte instruction is DH.
    regs.gprs[2] = 0xab00;
    assert_eq!(run(&[0x88, 0x37], &mut regs, 0), Some(0xab));
}

#[test]
fn immediates_are_sign_extended_to_the_operand() {
    let mut regs = registers();
    assert_eq!(
        run(&[0x48, 0xc7, 0x07, 0xff, 0xff, 0xff, 0xff], &mut regs, 0),
        Some(u64::MAX)
    );
    assert_eq!(run(&[0x48, 0x83, 0x27, 0xfd], &mut regs, 0x67), Some(0x65));
    assert_eq!(regs.flags & (ZF | SF | CF), 0);
}

#[test]
fn exchange_returns_the_old_value_and_is_atomic() {
    let mut regs = registers();
    regs.gprs[0] = 5;
    assert!(decode(&[0x48, 0x87, 0x07], &regs).unwrap().atomic);
    assert_eq!(
        run(&[0x48, 0x87, 0x07], &mut regs, 0x8000_0000_0000_0067),
        Some(5)
    );
    assert_eq!(regs.gprs[0], 0x8000_0000_0000_0067);
}

#[test]
fn clearing_the_write_bit_as_linux_does_it() {
    // lock andb $0xfd,(%rdi), and the same with the lock prefix patched to DS on one CPU
    for prefix in [0xf0, 0x3e] {
        let mut regs = registers();
        let store = decode(&[prefix, 0x80, 0x27, 0xfd], &regs).unwrap();
        assert_eq!((store.width, store.atomic), (Width::Byte, prefix == 0xf0));
        assert_eq!(
            run(&[prefix, 0x80, 0x27, 0xfd], &mut regs, 0x67),
            Some(0x65)
        );
        assert_eq!(regs.flags, PF);
    }
}

#[test]
fn bit_instructions_reach_beyond_the_operand_by_register() {
    let mut regs = registers();
    regs.gprs[1] = 65;
    let store = decode(&[0xf0, 0x48, 0x0f, 0xb3, 0x0f], &regs).unwrap();
    assert_eq!(
        (store.address, store.operation),
        (0x8008, Operation::Bit(BitOperation::Reset, 1))
    );
    assert_eq!(
        run(&[0xf0, 0x48, 0x0f, 0xb3, 0x0f], &mut regs, 0x67),
        Some(0x65)
    );
    assert_eq!(regs.flags & CF, CF);
    regs.gprs[1] = u64::MAX;
    assert_eq!(
        decode(&[0x48, 0x0f, 0xab, 0x0f], &regs).unwrap().address,
        0x7ff8
    );
    assert_eq!(
        run(&[0x48, 0x0f, 0xba, 0x37, 0x01], &mut regs, 0x65),
        Some(0x65)
    );
    assert_eq!(regs.flags & CF, 0);
}

#[test]
fn compare_exchange_succeeds_or_loads_the_accumulator() {
    let mut regs = registers();
    (regs.gprs[0], regs.gprs[2]) = (0x67, 0x65);
    assert_eq!(
        run(&[0xf0, 0x48, 0x0f, 0xb1, 0x17], &mut regs, 0x67),
        Some(0x65)
    );
    assert_eq!(regs.flags & ZF, ZF);
    assert_eq!(run(&[0xf0, 0x48, 0x0f, 0xb1, 0x17], &mut regs, 0x27), None);
    assert_eq!((regs.gprs[0], regs.flags & ZF), (0x27, 0));
    (regs.gprs[0], regs.gprs[1], regs.gprs[2], regs.gprs[3]) = (0x67, 9, 1, 8);
    assert_eq!(
        run(&[0xf0, 0x0f, 0xc7, 0x0f], &mut regs, 0x1_0000_0067),
        Some(0x9_0000_0008)
    );
    assert_eq!(
        run(&[0xf0, 0x0f, 0xc7, 0x0f], &mut regs, 0x2_0000_0007),
        None
    );
    assert_eq!((regs.gprs[0], regs.gprs[2]), (7, 2));
}

#[test]
fn string_stores_go_one_element_at_a_time() {
    let mut regs = registers();
    (regs.gprs[1], regs.gprs[0]) = (2, 0x1234);
    assert_eq!(run(&[0xf3, 0x48, 0xab], &mut regs, 0), Some(0x1234));
    assert_eq!((regs.gprs[1], regs.gprs[7], regs.rip), (1, 0x8008, 0x1000));
    run(&[0xf3, 0x48, 0xab], &mut regs, 0);
    assert_eq!((regs.gprs[1], regs.gprs[7], regs.rip), (0, 0x8010, 0x1003));
    assert_eq!(decode(&[0xf3, 0x48, 0xab], &regs), None);
    let store = decode(&[0x48, 0xa5], &regs).unwrap();
    assert_eq!(store.operation, Operation::Copy(0));
}

#[test]
fn increment_keeps_carry_and_the_rest_computes_flags() {
    let mut regs = registers();
    regs.flags = CF;
    assert_eq!(run(&[0x48, 0xff, 0x07], &mut regs, u64::MAX), Some(0));
    assert_eq!(regs.flags & (CF | ZF), CF | ZF);
    assert_eq!(run(&[0x48, 0x83, 0x07, 0x01], &mut regs, 1), Some(2));
    assert_eq!(regs.flags & (CF | ZF), 0);
    assert_eq!(run(&[0x48, 0xf7, 0x17], &mut regs, 0), Some(u64::MAX));
}

#[test]
fn narrow_operands_are_spliced_into_their_word() {
    let mut regs = registers();
    regs.gprs[RDI as usize] = 0x8004;
    regs.gprs[6] = 0xaabb_ccdd;
    let store = decode(&[0x89, 0x37], &regs).unwrap();
    assert!(store.is_aligned());
    assert_eq!(
        store.splice(0x1111_2222_3333_4444, 0xaabb_ccdd),
        0xaabb_ccdd_3333_4444
    );
    assert_eq!(store.extract(0x1111_2222_3333_4444), 0x1111_2222);
    regs.gprs[RDI as usize] = 0x8006;
    assert!(!decode(&[0x89, 0x37], &regs).unwrap().is_aligned());
}

#[test]
fn loads_compares_vectors_and_wide_exchanges_are_refused() {
    let regs = registers();
    // mov (%rdi),%rsi ; cmp %rsi,(%rdi) ; cmpq $1,(%rdi) ; movups ; cmpxchg16b ; call *(%rdi) ; mov to register
    for bytes in [
        &[0x48, 0x8b, 0x37][..],
        &[0x48, 0x39, 0x37],
        &[0x48, 0x83, 0x3f, 0x01],
        &[0x0f, 0x11, 0x07],
        &[0xf0, 0x48, 0x0f, 0xc7, 0x0f],
        &[0xff, 0x17],
        &[0x48, 0x89, 0xf7],
        &[0x48, 0x0f, 0xba, 0x27, 0x01],
    ] {
        assert_eq!(decode(bytes, &regs), None, "{bytes:x?}");
    }
}

#[test]
fn no_byte_sequence_panics() {
    let mut regs = registers();
    let mut seed = 0x1234_5678_9abc_def0u64;
    for _ in 0..200_000 {
        let mut bytes = [0u8; 16];
        for chunk in bytes.chunks_mut(8) {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            chunk.copy_from_slice(&(seed ^ seed >> 29).to_le_bytes());
        }
        regs.gprs[bytes[15] as usize & 15] = seed;
        let length = bytes[14] as usize & 15;
        if let Some(store) = decode(&bytes[..length], &regs) {
            let effect = store.effect(&regs, seed);
            store.retire(&mut regs, seed, &effect);
        }
    }
}
