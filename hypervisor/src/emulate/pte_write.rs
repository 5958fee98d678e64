//! Stores of a guest to its page tables: from the faulting instruction to what the memory engine is asked for, and back.
//!
//! Keeps true: the guest's registers change only after the engine has done the store; an instruction that reads, computes
//! and writes is handed to the engine as a compare-and-exchange, and is executed again if it lost a race.
//! Neighbours: `traps::page_fault` (calls both halves), `xenocryst_emulate::store` (decoding).

use xenocryst_abi::Vaddr;
use xenocryst_emulate::store::{self, Effect, Operation, Store};
use xenocryst_memory::PteStore;

use super::fetch;
use crate::arch::guest_access;
use crate::percpu::GuestRegs;

/// A decoded store.
pub struct Decoded {
    /// Where it writes; aligned to its width.
    pub address: Vaddr,
    /// What the engine is to do.
    pub store: PteStore,
    instruction: Store,
    /// The operand's value that the effect is computed from.
    old: u64,
    effect: Effect,
}

/// Decodes the store that faulted. `None` for what is no store that can be carried out, or not to guest memory.
pub fn decode(regs: &GuestRegs) -> Option<Decoded> {
    let mut bytes = [0; 16];
    let length = fetch(regs.rip, &mut bytes);
    let mut instruction = store::decode(bytes.get(..length)?, regs)?;
    if !instruction.is_aligned() {
        return None;
    }
    let width = instruction.width.bytes() as u8;
    if let Operation::Copy(from) = instruction.operation {
        let mut value = [0; 8];
        guest_access::copy_from(value.get_mut(..usize::from(width))?, Vaddr::new(from)).ok()?;
        instruction.operation = Operation::Write(u64::from_le_bytes(value));
    }
    let address = Vaddr::new(instruction.address);
    if !guest_access::is_guest_range(address, u64::from(width)) {
        return None;
    }
    let old = match instruction.operation {
        Operation::Write(_) => 0,
        Operation::CompareExchange(_) => regs.rax & instruction.width.mask(),
        Operation::CompareExchange8 => regs.rdx << 32 | regs.rax & 0xffff_ffff,
        // The table is mapped readable: that is how the guest came to fault on a write.
        _ => {
            let word = guest_access::read_u64(Vaddr::new(instruction.address & !7)).ok()?;
            instruction.extract(word)
        }
    };
    let effect = instruction.effect(regs, old);
    let value = effect.new?;
    let store = match instruction.operation {
        Operation::Write(_) => PteStore::Plain { width, value },
        _ => PteStore::CompareExchange {
            width,
            expected: old,
            value,
        },
    };
    Some(Decoded {
        address,
        store,
        instruction,
        old,
        effect,
    })
}

impl Decoded {
    /// Finishes the instruction in the guest's registers: the store was done, or, with `found`, its compare failed and that
    /// is what stands there.
    pub fn complete(&self, regs: &mut GuestRegs, found: Option<u64>) {
        match found {
            None => self.instruction.retire(regs, self.old, &self.effect),
            Some(found) => match self.instruction.operation {
                Operation::CompareExchange(_) | Operation::CompareExchange8 => {
                    let effect = self.instruction.effect(regs, found);
                    self.instruction.retire(regs, found, &effect);
                }
                // It lost a race that hardware would not have let it lose: once more, from the instruction on.
                _ => {}
            },
        }
    }
}
