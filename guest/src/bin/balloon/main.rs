//! A PV kernel that has as much memory as it is asked to have, and does nothing else.
//!
//! `xl mem-set` writes how much into the store; the kernel watches that key, gives frames back or gets new ones, and says
//! so. It starts much sooner than Linux, so that scripts can create and destroy such guests by the hundred. New frames must come empty, and one that is given back has been written to.
//! Neighbours: `host/lab/scripts/cycles.sh` and `sizes.sh`, which run it.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::memory_op::{self, MemoryReservation};
use xenocryst_guest::abi::{DomId, Mfn, PAGE_SIZE, Pfn, Vaddr};
use xenocryst_guest::domain::{Domain, pfn_of};
use xenocryst_guest::store::Store;
use xenocryst_guest::{hypercall, kernel, mmu, println};

kernel!(main);

/// Frames given back, or asked for, at once.
const BATCH: usize = 512;
/// Of so many frames, one is written to before it goes and looked into when it comes.
const LOOKED_INTO: u64 = 64;
/// KiB of a frame.
const FRAME_KIB: u64 = PAGE_SIZE / 1024;
/// The key with the amount wanted, in KiB.
const TARGET: &str = "memory/target";
/// What is written into frames before they are given back.
const MARK: u64 = 0x6d65_6d6f_7279_2121;

/// A page at whose address frames are looked into.
#[repr(align(4096))]
struct Window([AtomicU64; PAGE_SIZE as usize / 8]);
static WINDOW: Window = Window([const { AtomicU64::new(0) }; PAGE_SIZE as usize / 8]);

fn main(domain: &Domain) -> ! {
    let Some(mut store) = Store::of(domain) else {
        println!("small-guest: no store");
        hypercall::shutdown(xenocryst_guest::abi::sched::shutdown::CRASH)
    };
    let mut balloon = Balloon {
        domain,
        has: domain.frames(),
    };
    let watched = store.watch(TARGET);
    println!(
        "small-guest: ready, 1 CPUs, {} KiB of memory, {}",
        balloon.has * FRAME_KIB,
        if watched {
            "ballooning"
        } else {
            "without a balloon"
        }
    );
    loop {
        store.wait_for_change();
        if let Some(target) = store.read_number(TARGET) {
            balloon.resize(target / FRAME_KIB);
        }
    }
}

/// What the domain has of the frames that it began with: those below `has`.
struct Balloon<'d> {
    domain: &'d Domain,
    has: u64,
}

impl Balloon<'_> {
    /// Comes as near to `wanted` frames as it can.
    fn resize(&mut self, wanted: u64) {
        let before = self.has;
        while self.has > wanted && self.give_back((self.has - wanted).min(BATCH as u64)) {}
        while self.has < wanted
            && self.take((wanted.min(self.domain.frames()) - self.has).min(BATCH as u64))
        {}
        if self.has != before {
            println!("small-guest: {} KiB of memory", self.has * FRAME_KIB);
        }
    }

    /// Gives the last `count` frames back, at most [`BATCH`]. False if not all of them went.
    fn give_back(&mut self, count: u64) -> bool {
        let mut frames = [0_u64; BATCH];
        for (frame, pfn) in frames.iter_mut().zip((self.has - count..self.has).rev()) {
            let mfn = self.domain.mfn(Pfn::new(pfn));
            // One in so many shows whether they are wiped, and is quick.
            if pfn % LOOKED_INTO == 0 {
                self.write_mark(mfn);
            }
            *frame = mfn.raw();
        }
        let given = reservation(memory_op::op::DECREASE_RESERVATION, &mut frames, count);
        for _ in 0..given {
            self.has -= 1;
            self.domain.set_mfn(Pfn::new(self.has), Mfn::INVALID);
        }
        given == count
    }

    /// Asks for `count` frames after the last, at most [`BATCH`]. False if there were fewer, or the domain is whole.
    fn take(&mut self, count: u64) -> bool {
        let mut frames = [0_u64; BATCH];
        for (frame, pfn) in frames.iter_mut().zip(self.has..self.has + count) {
            *frame = pfn;
        }
        let taken = reservation(memory_op::op::POPULATE_PHYSMAP, &mut frames, count);
        for (frame, pfn) in frames.iter().take(taken as usize).zip(self.has..) {
            let (mfn, pfn) = (Mfn::new(*frame), Pfn::new(pfn));
            self.domain.set_mfn(pfn, mfn);
            if Domain::m2p(mfn) != Some(pfn) {
                println!("small-guest: WRONG: frame {pfn:?} is not in the M2P");
            }
            if pfn.raw() % LOOKED_INTO == 0 && !self.is_empty(mfn) {
                println!("small-guest: WRONG: frame {pfn:?} did not come empty");
            }
        }
        self.has += taken;
        taken == count && taken != 0
    }

    /// Writes all over the frame.
    fn write_mark(&self, mfn: Mfn) {
        self.with_frame(mfn, |words| {
            for word in words {
                word.store(MARK, Ordering::Relaxed);
            }
        });
    }

    /// Whether there is nothing in the frame.
    fn is_empty(&self, mfn: Mfn) -> bool {
        let empty =
            |words: &[AtomicU64]| words.iter().all(|word| word.load(Ordering::Relaxed) == 0);
        self.with_frame(mfn, empty).unwrap_or(true)
    }

    /// Runs `what` with the frame mapped; nothing if it cannot be.
    fn with_frame<T>(&self, mfn: Mfn, what: impl FnOnce(&[AtomicU64]) -> T) -> Option<T> {
        let address = &raw const WINDOW as u64;
        let own = self.domain.mfn(pfn_of(address));
        // SAFETY: the page is used for nothing else, and its own frame is back when this returns.
        if unsafe { mmu::map_page(address, mfn, true) } != 0 {
            return None;
        }
        let result = what(&WINDOW.0);
        // SAFETY: as above.
        unsafe { mmu::map_page(address, own, true) };
        Some(result)
    }
}

/// One call about `count` single frames: how many it did.
fn reservation(op: u32, frames: &mut [u64; BATCH], count: u64) -> u64 {
    let request = MemoryReservation {
        extent_start: Vaddr::new(frames.as_mut_ptr() as u64),
        nr_extents: count,
        extent_order: 0,
        mem_flags: 0,
        domid: DomId::SELF,
        pad: [0; 3],
    };
    let arguments = [u64::from(op), &raw const request as u64, 0, 0, 0];
    // SAFETY: frames above what the loader mapped, which nothing uses but this; the list is ours.
    unsafe { hypercall::call(number::MEMORY_OP, arguments) }.max(0) as u64
}
