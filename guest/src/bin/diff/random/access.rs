//! Loads and stores: at mappings of the arena, and at read-only mappings of tables, where a store may be taken for a
//! page-table update and emulated.

use core::arch::asm;
use core::fmt::Write;

use xenocryst_guest::abi::mmu::mmuext;
use xenocryst_guest::abi::pte::ADDRESS_MASK;
use xenocryst_guest::trap::{Fault, attempt};
use xenocryst_guest::{access, mmu};

use super::Random;
use crate::world::{Frame, POOL, SLOTS, arena, view};

/// Instructions that store, each with the bytes it stores.
#[derive(Clone, Copy, Debug)]
enum Store {
    Mov8,
    Mov4,
    Mov2,
    Mov1,
    Xchg8,
    Cmpxchg8,
    CmpxchgWrong,
    Cmpxchg4,
    Or8,
    And8,
    Bts,
    Btr,
    Add8,
    Inc8,
    Xadd8,
    Movnti,
    Stosq,
    Movsq,
    Cmpxchg16b,
}

impl Store {
    /// Whether it may put back what was there.
    fn may_leave_all(self) -> bool {
        matches!(
            self,
            Self::Xchg8
                | Self::Cmpxchg8
                | Self::CmpxchgWrong
                | Self::Cmpxchg4
                | Self::Or8
                | Self::And8
                | Self::Bts
                | Self::Btr
                | Self::Add8
                | Self::Xadd8
        )
    }

    /// Whether something of the old value stays.
    fn is_partial(self) -> bool {
        !matches!(
            self,
            Self::Mov8
                | Self::Xchg8
                | Self::Cmpxchg8
                | Self::CmpxchgWrong
                | Self::Movnti
                | Self::Stosq
                | Self::Movsq
        )
    }
}

const STORES: [Store; 19] = [
    Store::Mov8,
    Store::Mov4,
    Store::Mov2,
    Store::Mov1,
    Store::Xchg8,
    Store::Cmpxchg8,
    Store::CmpxchgWrong,
    Store::Cmpxchg4,
    Store::Or8,
    Store::And8,
    Store::Bts,
    Store::Btr,
    Store::Add8,
    Store::Inc8,
    Store::Xadd8,
    Store::Movnti,
    Store::Stosq,
    Store::Movsq,
    Store::Cmpxchg16b,
];

impl Random<'_, '_> {
    /// A store where a frame of the pool is mapped read-only. One that is not aligned leaves nothing as it is: one that did
    /// would be done by Xen.
    pub(super) fn store(&mut self) {
        let n = self.rng.below(POOL as u64) as usize;
        let slot = self.rng.pick(&SLOTS) as u64;
        let store = if self.rng.chance(40) {
            Store::Mov8
        } else {
            self.rng.pick(&STORES)
        };
        let skew = if self.rng.chance(8) && !store.may_leave_all() {
            self.rng.below(8)
        } else {
            0
        };
        let level = Self::level_of(Frame::Pool(n as u8));
        let mut value = self.value(level);
        let slot = self.slot_for(Frame::Pool(n as u8), slot, value);
        let address = view(n) + 8 * slot + skew;
        let seen = access::read_u64(address).unwrap_or(0);
        // A store of a part leaves the rest of the frame's number, and what is put together is not the same everywhere;
        // and frame 0 is not treated the same.
        let store = if skew == 0 && seen & ADDRESS_MASK == 0 && store.is_partial() {
            Store::Mov8
        } else {
            store
        };
        if skew != 0 || matches!(store, Store::Or8 | Store::Mov1) {
            value &= 0xff;
        } else if matches!(store, Store::Mov2) {
            value = (seen & 0xf000) | (value & 0xfff);
        }
        let _ = write!(
            self.line,
            "store {store:?} T{n}[{slot}]+{skew}={}",
            self.world.word(value)
        );
        let (result, old) = make(store, address, value, seen);
        self.told(result, address);
        if old != 0 {
            let _ = write!(self.line, " was {}", self.world.word(old));
        }
    }

    /// A load or a store at an address of the arena.
    pub(super) fn access(&mut self) {
        let n = self.arena_page();
        let slot = self.rng.pick(&SLOTS[1..]) as u64;
        let address = arena(n) + 8 * slot;
        // Whatever the TLB still holds is a matter of luck.
        // SAFETY: a flush changes nothing.
        unsafe { mmu::extended(mmuext::INVLPG_LOCAL, address, 0) };
        let entry = access::read_u64(self.world.arena_table() + 8 * n as u64).unwrap_or(0);
        let name = self.world.name((entry & ADDRESS_MASK) >> 12);
        let ours = name.is_pool();
        if self.rng.chance(50) && ours {
            let value = self.value(1);
            let _ = write!(self.line, "write arena {n}={}", self.world.word(value));
            // SAFETY: a frame of the pool is mapped there, or nothing.
            let result = unsafe { access::write_u64(address, value) };
            self.told(result, address);
            return;
        }
        let _ = write!(self.line, "read arena {n}");
        match access::read_u64(address) {
            Ok(value) if ours => {
                let _ = write!(self.line, " -> {}", self.world.word(value));
            }
            result => self.told(result.map(drop), address),
        }
    }

    /// Tells how an access ended.
    fn told(&mut self, result: Result<(), Fault>, address: u64) {
        let _ = match result {
            Ok(()) => write!(self.line, " -> done"),
            Err(fault) => {
                let _ = write!(
                    self.line,
                    " -> fault {} error {:x}",
                    fault.vector, fault.error
                );
                match fault.vector {
                    14 => write!(
                        self.line,
                        " at {:+}",
                        fault.address.wrapping_sub(address) as i64
                    ),
                    _ => Ok(()),
                }
            }
        };
    }
}

/// Makes a store; how it ended, and what the instruction says was there before, if it says so.
fn make(store: Store, address: u64, value: u64, seen: u64) -> (Result<(), Fault>, u64) {
    let mut old = 0_u64;
    let source = value;
    // SAFETY: what is stored to is a page that Rust code only reads as volatile, or nothing at all; the source is a local.
    let result = attempt(|| unsafe {
        match store {
            Store::Mov8 => asm!("mov [{a}], {v}", a = in(reg) address, v = in(reg) value),
            Store::Mov4 => asm!("mov [{a}], {v:e}", a = in(reg) address, v = in(reg) value),
            Store::Mov2 => asm!("mov [{a}], {v:x}", a = in(reg) address, v = in(reg) value),
            Store::Mov1 => {
                asm!("mov [{a}], {v}", a = in(reg) address, v = in(reg_byte) value as u8);
            }
            Store::Xchg8 => {
                asm!("xchg [{a}], {v}", a = in(reg) address, v = inlateout(reg) value => old);
            }
            Store::Cmpxchg8 => asm!("lock cmpxchg [{a}], {v}", a = in(reg) address,
                v = in(reg) value, inlateout("rax") seen => old),
            Store::CmpxchgWrong => asm!("lock cmpxchg [{a}], {v}", a = in(reg) address,
                v = in(reg) value, inlateout("rax") !seen => old),
            Store::Cmpxchg4 => asm!("lock cmpxchg [{a}], {v:e}", a = in(reg) address,
                v = in(reg) value, inlateout("rax") seen => _),
            Store::Or8 => asm!("lock or [{a}], {v}", a = in(reg) address, v = in(reg) value),
            Store::And8 => asm!("and [{a}], {v}", a = in(reg) address, v = in(reg) !2_u64),
            Store::Bts => asm!("lock bts qword ptr [{a}], 5", a = in(reg) address),
            Store::Btr => asm!("lock btr qword ptr [{a}], 1", a = in(reg) address),
            Store::Add8 => asm!("add [{a}], {v}", a = in(reg) address, v = in(reg) 0x20_u64),
            Store::Inc8 => asm!("inc qword ptr [{a}]", a = in(reg) address),
            Store::Xadd8 => asm!("lock xadd [{a}], {v}", a = in(reg) address,
                v = inlateout(reg) 0x40_u64 => old),
            Store::Movnti => {
                asm!("movnti [{a}], {v}", a = in(reg) address, v = in(reg) value);
            }
            Store::Stosq => asm!("stosq", inout("rdi") address => _, in("rax") value),
            Store::Movsq => asm!("movsq", inout("rdi") address => _,
                inout("rsi") &raw const source => _),
            Store::Cmpxchg16b => asm!(
                "xchg rbx, {v}", "lock cmpxchg16b [{a}]", "xchg rbx, {v}",
                a = in(reg) address, v = inout(reg) value => _,
                inout("rax") seen => _, inout("rdx") 0_u64 => _, in("rcx") 0_u64),
        }
    });
    (result, if result.is_ok() { old } else { 0 })
}
