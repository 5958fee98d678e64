//! A new domain's frames, addressed by pseudo-physical address while it is being filled.
//!
//! Keeps true: PFNs are contiguous from 0; every access is to a frame of the domain, through the direct map.

use alloc::vec::Vec;

use xenocryst_abi::{Maddr, Mfn, PAGE_SIZE};
use xenocryst_memory::{AddressLimit, DomainMemory};

use crate::domain::Domain;
use crate::mm::layout::direct_map;
use crate::mm::machine::engine;

/// Largest block asked for at once: 1 GiB.
const MAX_ORDER: u8 = 18;

/// A run of contiguous frames.
struct Block {
    pfn: u64,
    mfn: u64,
    count: u64,
}

/// The frames of a domain.
pub struct Frames {
    blocks: Vec<Block>,
    /// Largest block worth asking for, as a power of two of frames: larger ones were refused.
    order: u8,
    memory: &'static DomainMemory,
}

impl Frames {
    /// None yet.
    pub fn none(domain: &'static Domain) -> Self {
        Self {
            blocks: Vec::new(),
            order: MAX_ORDER,
            memory: &domain.memory,
        }
    }

    /// Gives the domain frames up to `count` in all, in as large blocks as there are. `None` if there are not that many.
    pub fn grow(&mut self, count: u64) -> Option<()> {
        while self.count() < count {
            let missing = count - self.count();
            let order = self.order.min(missing.ilog2() as u8);
            match engine().allocate_domain_block(self.memory, order, AddressLimit::NONE) {
                Ok(first) => self.push(first.raw(), 1 << order),
                Err(_) => self.order = order.checked_sub(1)?,
            }
        }
        Some(())
    }

    /// Adds a block, joined with the one before if they are neighbours in the machine.
    fn push(&mut self, mfn: u64, count: u64) {
        let pfn = self.count();
        match self.blocks.last_mut() {
            Some(last) if last.mfn + last.count == mfn => last.count += count,
            _ => self.blocks.push(Block { pfn, mfn, count }),
        }
    }

    /// Every PFN with its frame, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Mfn)> + '_ {
        let frames = |block: &Block| {
            let (pfn, mfn) = (block.pfn, block.mfn);
            (0..block.count).map(move |offset| (pfn + offset, Mfn::new(mfn + offset)))
        };
        self.blocks.iter().flat_map(frames)
    }

    /// The engine's state of the domain.
    pub fn memory(&self) -> &'static DomainMemory {
        self.memory
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.blocks
            .last()
            .map_or(0, |block| block.pfn + block.count)
    }

    /// The frame behind `pfn`.
    ///
    /// # Panics
    /// If the domain has no such PFN: the layout is checked before.
    pub fn mfn(&self, pfn: u64) -> Mfn {
        let index = self
            .blocks
            .partition_point(|block| block.pfn + block.count <= pfn);
        let block = &self.blocks[index];
        Mfn::new(block.mfn + (pfn - block.pfn))
    }

    /// Calls `visit` with each stretch of direct map that `bytes` bytes from pseudo-physical address `at` occupy, and the
    /// stretch's offset and length.
    fn stretches(&self, at: u64, bytes: u64, mut visit: impl FnMut(*mut u8, usize, usize)) {
        let mut done = 0;
        while done < bytes {
            let address = at + done;
            let inside = address % PAGE_SIZE;
            let length = (PAGE_SIZE - inside).min(bytes - done);
            let maddr = Maddr::new(self.mfn(address / PAGE_SIZE).maddr().raw() + inside);
            visit(direct_map(maddr), done as usize, length as usize);
            done += length;
        }
    }

    /// Copies `bytes` to pseudo-physical address `at`.
    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.stretches(at, bytes.len() as u64, |to, offset, length| {
            // SAFETY: inside one frame of a domain that does not run yet; the source is a borrowed slice elsewhere.
            unsafe {
                core::ptr::copy_nonoverlapping(bytes[offset..offset + length].as_ptr(), to, length)
            };
        });
    }

    /// Clears `bytes` bytes at pseudo-physical address `at`.
    pub fn zero(&self, at: u64, bytes: u64) {
        self.stretches(at, bytes, |to, _, length| {
            // SAFETY: inside one frame of a domain that does not run yet.
            unsafe { core::ptr::write_bytes(to, 0, length) };
        });
    }

    /// Writes a word at pseudo-physical address `at`, a multiple of 8.
    pub fn write_u64(&self, at: u64, value: u64) {
        let maddr = Maddr::new(self.mfn(at / PAGE_SIZE).maddr().raw() + at % PAGE_SIZE);
        // SAFETY: an aligned word of a frame of a domain that does not run yet.
        unsafe { direct_map(maddr).cast::<u64>().write(value) };
    }
}
