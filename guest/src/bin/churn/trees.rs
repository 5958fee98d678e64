//! Small trees of page tables that no CPU uses: pinned, with grants mapped in them, and left so when the domain dies.
//!
//! What it keeps true: a tree's frames are mapped writable only while they are no tables.

use xenocryst_guest::abi::mmu::mmuext;
use xenocryst_guest::abi::{Mfn, PAGE_SIZE, Pfn};
use xenocryst_guest::mmu;

use crate::Churn;
use crate::arena;
use crate::balloon::PLACES;
use crate::mapping::Mapping;
use crate::tally::Kind;

/// Trees.
pub const TREES: usize = 8;
/// Frames of a tree: one for each level.
const LEVELS: usize = 4;
/// Grants that are mapped in a tree at most.
const GRANTS: usize = 8;
/// The first entry of its L1 table for grants; those below map the domain's own pages.
const FIRST_GRANT: u64 = 64;
/// What entries for tables have.
const FLAGS: u64 = 0x67;

/// One tree.
#[derive(Clone, Copy)]
pub struct Tree {
    /// The level of its highest table that is pinned; 0 if none is.
    top: usize,
    /// Whether its L1 table is pinned by itself.
    leaf: bool,
    grants: [Option<Mapping>; GRANTS],
}

impl Tree {
    /// Frames that are no tables.
    pub const NONE: Self = Self {
        top: 0,
        leaf: false,
        grants: [None; GRANTS],
    };
}

impl Churn<'_> {
    /// The frame of the table of `level` of a tree.
    fn tree_mfn(&self, tree: usize, level: usize) -> Mfn {
        let behind = PLACES + LEVELS * TREES - LEVELS * tree - (level - 1);
        self.domain
            .mfn(Pfn::new(self.domain.frames() - behind as u64))
    }

    /// Makes a tree, changes one, or takes one down.
    pub fn tree(&mut self) {
        let tree = self.rng.below(TREES as u64) as usize;
        if !self.trees[tree].leaf {
            return self.plant(tree);
        }
        match self.rng.below(4) {
            0 => self.hang(tree),
            1 => self.pick_grant(tree),
            2 if self.trees[tree].top == 0 => self.raise(tree),
            2 => self.lower(tree),
            _ => self.fell(tree),
        }
    }

    /// Writes the tables of a tree, and pins the lowest.
    fn plant(&mut self, tree: usize) {
        for level in 1..=LEVELS {
            let below = (level > 1).then(|| self.tree_mfn(tree, level - 1));
            let own = core::array::from_fn::<_, { arena::SHARED }, _>(|n| self.arena.shared(n));
            let slot = 8 * (1 + tree as u64);
            self.arena.with(self.tree_mfn(tree, level), |address| {
                for n in 0..512 {
                    arena::store(address + 8 * n, 0);
                }
                match below {
                    Some(table) => {
                        arena::store(address + 8 * slot, (table.raw() * PAGE_SIZE) | FLAGS);
                    }
                    None => {
                        for (n, mfn) in own.iter().enumerate() {
                            let entry = (mfn.raw() * PAGE_SIZE) | FLAGS;
                            arena::store(address + 8 * n as u64, entry);
                        }
                    }
                }
            });
        }
        let pinned = self.pin(mmuext::PIN_L1_TABLE, self.tree_mfn(tree, 1));
        assert!(pinned, "an L1 table is pinned");
        self.trees[tree].leaf = true;
        // What is not fit for it: an L1 table in use as an L2 table.
        if self.rng.chance(10) {
            let mfn = self.tree_mfn(tree, 1);
            assert!(!self.pin(mmuext::PIN_L2_TABLE, mfn), "one frame, two types");
        }
    }

    /// Pins a frame as a table; whether that was done.
    fn pin(&mut self, command: u32, mfn: Mfn) -> bool {
        // SAFETY: the frame is a tree's, in which nothing of the kernel's own is.
        let done = unsafe { mmu::extended(command, mfn.raw(), 0) } == 0;
        self.tally.one(Kind::Pin, done);
        done
    }

    /// Unpins a table, which was pinned.
    fn unpin(&mut self, mfn: Mfn) {
        // SAFETY: as for pinning.
        let answer = unsafe { mmu::extended(mmuext::UNPIN_TABLE, mfn.raw(), 0) };
        assert_eq!(answer, 0, "unpinning {mfn}");
        self.tally.one(Kind::Unpin, true);
    }

    /// Pins a table further up.
    fn raise(&mut self, tree: usize) {
        let (command, level) = self.rng.pick(&[
            (mmuext::PIN_L2_TABLE, 2),
            (mmuext::PIN_L3_TABLE, 3),
            (mmuext::PIN_L4_TABLE, 4),
        ]);
        let pinned = self.pin(command, self.tree_mfn(tree, level));
        assert!(pinned, "a table of level {level} is pinned");
        self.trees[tree].top = level;
    }

    /// Unpins it again.
    fn lower(&mut self, tree: usize) {
        let top = core::mem::take(&mut self.trees[tree].top);
        self.unpin(self.tree_mfn(tree, top));
    }

    /// Maps a grant of another's in the lowest table.
    fn hang(&mut self, tree: usize) {
        let slot = self.rng.below(GRANTS as u64) as usize;
        if self.trees[tree].grants[slot].is_none() {
            let entry = self
                .tree_mfn(tree, 1)
                .maddr()
                .wrapping_add(8 * (FIRST_GRANT + slot as u64));
            self.trees[tree].grants[slot] = self.map_in_table(entry.raw());
        }
    }

    /// Unmaps one.
    fn pick_grant(&mut self, tree: usize) {
        let slot = self.rng.below(GRANTS as u64) as usize;
        if let Some(mapping) = self.trees[tree].grants[slot].take() {
            self.unmap_in_table(mapping);
        }
    }

    /// Takes a tree down: grants first.
    pub fn fell(&mut self, tree: usize) {
        for slot in 0..GRANTS {
            if let Some(mapping) = self.trees[tree].grants[slot].take() {
                self.unmap_in_table(mapping);
            }
        }
        if self.trees[tree].top != 0 {
            self.lower(tree);
        }
        if core::mem::take(&mut self.trees[tree].leaf) {
            self.unpin(self.tree_mfn(tree, 1));
        }
    }
}
