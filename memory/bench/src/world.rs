//! A domain with a tree of tables, and the requests it makes.

use crate::machine::{Machine, TABLES, engine};
use std::rc::Rc;
use xenocryst_abi::{DomId, Maddr, Mfn, Vaddr};
use xenocryst_memory::pte::{ACCESSED, DIRTY, PRESENT, RW, USER};
use xenocryst_memory::{
    Actors, AddressLimit, Budget, DomainMemory, Engine, IoAccess, Level, MachineMemory, Progress,
    Refusal,
};

/// Flags of a writable entry, as kernels write them.
pub const WRITABLE: u64 = PRESENT | RW | USER | ACCESSED | DIRTY;
/// Flags of a read-only one.
pub const READABLE: u64 = PRESENT | USER | ACCESSED;
/// Below this, frames have words.
const TABLE_BITS: u8 = 12 + TABLES.trailing_zeros() as u8;

/// An engine, and one domain in it with a tree of tables that is not pinned yet.
pub struct World {
    /// The engine, which may be shared with the worlds of other domains.
    pub engine: Rc<Engine<'static, Machine>>,
    /// The domain.
    pub domain: DomainMemory,
    /// The root of its tree.
    pub l4: Mfn,
    /// Its L1 tables, in the order of what they map.
    pub l1: Vec<Mfn>,
    /// The frames that it maps: 512 for each L1 table, each once.
    pub first_leaf: Mfn,
}

/// Turns a refusal into the end of the program: nothing that is measured is refused.
///
/// # Panics
/// If the request was refused.
#[track_caller]
pub fn granted<T>(result: Result<T, Refusal>) -> T {
    match result {
        Ok(value) => value,
        Err(refusal) => panic!("{refusal}"),
    }
}

/// The machine address of an entry.
pub fn at(table: Mfn, slot: u64) -> u64 {
    table.maddr().raw() + slot * 8
}

impl World {
    /// A world of its own with domain 1, whose tree has `tables` L1 tables (1 to 512), all full.
    pub fn new(tables: u64) -> Self {
        Self::within(Rc::new(engine()), 1, tables)
    }

    /// Another domain, `id`, in a world that there is.
    ///
    /// # Panics
    /// If `tables` is not in 1 to 512.
    pub fn within(engine: Rc<Engine<'static, Machine>>, id: u16, tables: u64) -> Self {
        assert!((1..=512).contains(&tables));
        let domain = DomainMemory::new(DomId(id), false, 0x260, IoAccess::none());
        domain.set_max_pages(u32::MAX);
        domain.set_cpu_dirty(0);
        let order = (tables * 512).next_power_of_two().trailing_zeros() as u8;
        let block = |order, limit| granted(engine.allocate_domain_block(&domain, order, limit));
        let first_leaf = block(order, AddressLimit::NONE);
        assert!(
            first_leaf.raw() >= TABLES,
            "a frame that is mapped has words"
        );
        let table = || {
            let table = block(0, AddressLimit::bits(TABLE_BITS));
            engine.machine().zero_frame(table);
            table
        };
        let [l4, l3, l2] = [table(), table(), table()];
        let l1: Vec<Mfn> = (0..tables).map(|_| table()).collect();
        let write = |place, value| engine.machine().write_u64(Maddr::new(place), value);
        write(at(l4, 0), l3.maddr().raw() | WRITABLE);
        write(at(l3, 0), l2.maddr().raw() | WRITABLE);
        for (index, &l1) in (0..).zip(&l1) {
            write(at(l2, index), l1.maddr().raw() | WRITABLE);
            for slot in 0..512 {
                let leaf = first_leaf.wrapping_add(index * 512 + slot);
                write(at(l1, slot), leaf.maddr().raw() | WRITABLE);
            }
        }
        Self {
            engine,
            domain,
            l4,
            l1,
            first_leaf,
        }
    }

    /// A frame of the domain that has words and is no table.
    pub fn page(&self) -> Mfn {
        let limit = AddressLimit::bits(TABLE_BITS);
        granted(self.engine.allocate_domain_block(&self.domain, 0, limit))
    }

    /// Pins the tree.
    pub fn pin(&self) {
        let budget = &mut Budget::unlimited();
        let pinned = granted(
            self.engine
                .pin_table(&self.domain, self.l4, Level::L4, budget),
        );
        assert_eq!(pinned, Progress::Done(()));
    }

    /// Unpins it.
    pub fn unpin(&self) {
        let budget = &mut Budget::unlimited();
        let unpinned = granted(self.engine.unpin_table(&self.domain, self.l4, budget));
        assert_eq!(unpinned, Progress::Done(()));
    }

    /// One `mmu_update` request.
    pub fn update(&self, pointer: u64, value: u64) {
        let budget = &mut Budget::hypercall();
        let actors = Actors::own(&self.domain);
        let _ = granted(self.engine.mmu_update(&actors, pointer, value, budget));
    }

    /// The address that entry `slot` of L1 table `table` maps.
    pub fn address(table: u64, slot: u64) -> Vaddr {
        Vaddr::new(table << 21 | slot << 12)
    }
}
