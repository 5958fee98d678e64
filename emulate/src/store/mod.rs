//! Decoding of stores to a page-table page that is mapped read-only (writable page tables).
//!
//! Keeps true: a store is turned into "the 8 bytes at this address, from this value to that" and into what it does to the
//! guest's registers, apart; nothing is changed in the guest before the memory engine has accepted the new entry.
//! `decode` finds out what the store is, `effect` what becomes of the operand and of the registers.
//! Neighbours: the hypervisor's `emulate::page_table` reads the old entry, asks the engine, and then retires the store.

use crate::registers::{Registers, Width};

mod decode;
mod effect;
#[cfg(test)]
mod tests;

pub use decode::decode;
pub use effect::Effect;

/// Two-operand arithmetic, in the order of its opcodes; the number is the opcode's bits 5:3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Arithmetic {
    Add,
    Or,
    AddCarry,
    SubBorrow,
    And,
    Sub,
    Xor,
}

impl Arithmetic {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits & 7 {
            0 => Self::Add,
            1 => Self::Or,
            2 => Self::AddCarry,
            3 => Self::SubBorrow,
            4 => Self::And,
            5 => Self::Sub,
            6 => Self::Xor,
            _ => return None,
        })
    }
}

/// Bit test instructions that write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum BitOperation {
    Set,
    Reset,
    Complement,
}

/// What the store does to its operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Replaces it by a value.
    Write(u64),
    /// Replaces it by what stands at a linear address (`MOVS`).
    Copy(u64),
    /// Combines it with a value.
    Arithmetic(Arithmetic, u64),
    /// Adds 1 and keeps the carry flag.
    Increment,
    /// Subtracts 1 and keeps the carry flag.
    Decrement,
    /// Inverts it.
    Not,
    /// Negates it.
    Negate,
    /// Changes one bit.
    Bit(BitOperation, u32),
    /// Exchanges it with a register.
    Exchange(u8),
    /// Adds a register to it, which gets the old value.
    ExchangeAdd(u8),
    /// Replaces it by a register if it equals the accumulator.
    CompareExchange(u8),
    /// Replaces 8 bytes by ECX:EBX if they equal EDX:EAX.
    CompareExchange8,
}

/// One store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Store {
    /// Linear address of the operand.
    pub address: u64,
    /// Its width.
    pub width: Width,
    /// What is done to it.
    pub operation: Operation,
    /// Whether it must be one atomic step (lock prefix, or an exchange).
    pub atomic: bool,
    /// Bytes of the instruction.
    length: u8,
    /// A string instruction, and whether a count in RCX repeats it.
    string: Option<bool>,
    /// A string instruction that moves its source pointer too.
    copies: bool,
    /// For a byte operand without REX: register numbers 4 to 7 mean AH, CH, DH, BH.
    high_bytes: bool,
}

fn byte_register<R: Registers>(registers: &R, number: u8, high_bytes: bool) -> u64 {
    if high_bytes && (4..8).contains(&number) {
        registers.gpr(number - 4) >> 8 & 0xff
    } else {
        registers.gpr(number) & 0xff
    }
}
