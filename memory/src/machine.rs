//! What the engine needs of the machine: atomic words of frames, whole-frame operations, and TLB duties.
//!
//! Keeps true: no Rust reference to guest-reachable memory is ever formed; every access is by value.
//! Neighbours: implemented by the hypervisor (direct map) and by the simulated machine of the tests.

use xenocryst_abi::{Maddr, Mfn};

/// Bits of the TLB clock that the engine can store in a frame.
pub const CLOCK_BITS: u32 = 30;

/// The machine's memory and TLBs, as the engine uses them.
///
/// The engine passes only 8-byte aligned addresses inside frames that were donated to it as RAM.
/// Every access to a word is a single atomic access.
pub trait MachineMemory: Sync {
    /// Reads the word at `at`.
    fn read_u64(&self, at: Maddr) -> u64;
    /// Writes the word at `at`.
    fn write_u64(&self, at: Maddr, value: u64);
    /// Replaces the word at `at` by `new` if it equals `current`. Returns the old word either way: `Ok` if replaced.
    fn compare_exchange_u64(&self, at: Maddr, current: u64, new: u64) -> Result<u64, u64>;
    /// Fills a frame with zero bytes.
    fn zero_frame(&self, frame: Mfn);
    /// Copies a whole frame.
    fn copy_frame(&self, to: Mfn, from: Mfn);
    /// Copies `length` bytes, neither end crossing a page. Bytes beside the target's keep whatever others write there
    /// meanwhile. This default works word by word; a machine with something faster overrides it. Unlike for the other
    /// operations, the addresses need not be aligned.
    fn copy_bytes(&self, to: Maddr, from: Maddr, length: u16) {
        copy_by_words(self, to, from, u64::from(length));
    }
    /// The TLB clock: a number that grows with every whole flush of any CPU's TLB (global entries included). It is read
    /// after every write of this CPU's before has become visible to all: else a CPU could flush, count it, and then find
    /// what was about to be removed (I34).
    /// Bits above [`CLOCK_BITS`] are ignored; a machine without a clock returns a constant,
    /// and must then flush in every [`MachineMemory::flush_tlb`].
    fn tlb_clock(&self) -> u32;
    /// Flushes, globals and paging-structure caches included, the TLB of every CPU in the bit mask `cpus` that was
    /// not wholly flushed since the clock read `since`. Returns when it is done, on remote CPUs too.
    /// A CPU of which that isn't certain (clock wrapped) must be flushed.
    ///
    /// Called with a page-table lock held, so CPUs that wait for one must serve flush requests: see
    /// [`MachineMemory::relax`].
    fn flush_tlb(&self, cpus: u64, since: u32);
    /// One turn of waiting for a page-table lock that another CPU holds. That CPU may be waiting for a flush by this
    /// one, so requests must be served here if interrupts are off.
    fn relax(&self) {
        core::hint::spin_loop();
    }
}

/// Tries to put part of a word among bytes that others may be writing.
const MERGE_TRIES: u32 = 64;

fn copy_by_words<M: MachineMemory + ?Sized>(machine: &M, to: Maddr, from: Maddr, length: u64) {
    let mut done = 0;
    while done < length {
        let at = to.raw() + done;
        let lane = at % 8;
        let count = (8 - lane).min(length - done);
        let bytes = read_bytes(machine, from.raw() + done, count) << (lane * 8);
        let word = Maddr::new(at - lane);
        if count == 8 {
            machine.write_u64(word, bytes);
        } else {
            merge(machine, word, bytes, ((1 << (count * 8)) - 1) << (lane * 8));
        }
        done += count;
    }
}

/// Up to 8 bytes from `at`, in the low bytes of the result.
fn read_bytes<M: MachineMemory + ?Sized>(machine: &M, at: u64, count: u64) -> u64 {
    let lane = at % 8;
    let mut bytes = machine.read_u64(Maddr::new(at - lane)) >> (lane * 8);
    if lane + count > 8 {
        bytes |= machine.read_u64(Maddr::new(at - lane + 8)) << ((8 - lane) * 8);
    }
    if count < 8 {
        bytes &= (1 << (count * 8)) - 1;
    }
    bytes
}

/// Replaces the bits in `mask`. A guest that keeps writing beside them may lose a write of its own.
fn merge<M: MachineMemory + ?Sized>(machine: &M, word: Maddr, bits: u64, mask: u64) {
    let mut old = machine.read_u64(word);
    for _ in 0..MERGE_TRIES {
        match machine.compare_exchange_u64(word, old, old & !mask | bits) {
            Ok(_) => return,
            Err(now) => old = now,
        }
    }
    machine.write_u64(word, old & !mask | bits);
}
