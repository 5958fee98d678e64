//! Control registers and the instructions that belong to them.
//!
//! Keeps true: one instruction each, no policy. Writes that could break memory safety are `unsafe`.

use core::arch::asm;

/// CR4: page global enable.
pub const CR4_PGE: u64 = 1 << 7;

macro_rules! read {
    ($(#[$doc:meta])* $name:ident, $register:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() -> u64 {
            let value: u64;
            // SAFETY: reading a control register in ring 0 has no effect.
            unsafe { asm!(concat!("mov {}, ", $register), out(reg) value, options(nomem, nostack, preserves_flags)) };
            value
        }
    };
}

macro_rules! write {
    ($(#[$doc:meta])* $name:ident, $register:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The value must keep the running code, its stack and its data mapped and usable, and have no reserved bit set.
        #[inline(always)]
        pub unsafe fn $name(value: u64) {
            // SAFETY: the caller's promise. Not `nomem`: memory may mean something else afterwards.
            unsafe { asm!(concat!("mov ", $register, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
        }
    };
}

read!(
    /// CR0.
    read_cr0, "cr0"
);
read!(
    /// CR3: the physical address of the root table.
    read_cr3, "cr3"
);
read!(
    /// CR4.
    read_cr4, "cr4"
);
write!(
    /// Sets CR0.
    write_cr0, "cr0"
);
write!(
    /// Sets CR3, which flushes every translation that is not global.
    write_cr3, "cr3"
);
write!(
    /// Sets CR4. A change of PGE flushes every translation.
    write_cr4, "cr4"
);

/// Drops the translation of `address` in the current address space, global or not.
#[inline(always)]
pub fn invlpg(address: u64) {
    // SAFETY: a dropped translation is loaded again when needed.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// Drops every translation of this CPU, global ones too.
#[inline]
pub fn flush_tlb_local() {
    let cr4 = read_cr4();
    // SAFETY: the same value is restored at once; a CPU without global pages is flushed by the CR3 reload.
    unsafe {
        if cr4 & CR4_PGE != 0 {
            write_cr4(cr4 & !CR4_PGE);
            write_cr4(cr4);
        } else {
            write_cr3(read_cr3());
        }
    }
}

/// Writes back and invalidates all caches.
#[inline]
pub fn wbinvd() {
    // SAFETY: no architectural effect on memory.
    unsafe { asm!("wbinvd", options(nostack, preserves_flags)) };
}

/// The time-stamp counter.
#[inline(always)]
pub fn rdtsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a counter.
    unsafe {
        asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low)
}

/// Tells the CPU that this is a busy-wait loop.
#[inline(always)]
pub fn pause() {
    core::hint::spin_loop();
}
