//! The operations, each a world and what is done in it. What changes is changed back, so that it can be done for ever.

use crate::Operation;
use crate::machine::engine;
use crate::world::{READABLE, WRITABLE, World, at, granted};
use std::rc::Rc;
use xenocryst_abi::grant_table::{entry_flag, map_flag};
use xenocryst_abi::{Maddr, Mfn, Pfn, Vaddr};
use xenocryst_memory::grant::{
    GrantMap, GrantTable, GrantUnmap, Granter, Mapper, Maptrack, UnmapBatch,
};
use xenocryst_memory::{Actors, MachineMemory, PteStore, PteStoreOutcome};

/// Every operation.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "map",
        unit: "L1 entries by mmu_update: a frame's, then none",
        sizes: &[1, 8, 64, 512],
        prepare: map,
    },
    Operation {
        name: "protect",
        unit: "L1 entries by mmu_update: read-only, then writable",
        sizes: &[1, 8, 64, 512],
        prepare: protect,
    },
    Operation {
        name: "map by address",
        unit: "L1 entries by update_va_mapping: a frame's, then none",
        sizes: &[1, 512],
        prepare: map_by_address,
    },
    Operation {
        name: "fault",
        unit: "stores to an L1 table, carried out: a frame's, then none",
        sizes: &[1, 512],
        prepare: fault,
    },
    Operation {
        name: "pin and unpin",
        unit: "L1 tables of 512 entries",
        sizes: &[1, 8, 64, 512],
        prepare: pin,
    },
    Operation {
        name: "M2P",
        unit: "entries by mmu_update",
        sizes: &[1, 512],
        prepare: m2p,
    },
    Operation {
        name: "grant map and unmap",
        unit: "grants, flushed one by one",
        sizes: &[1, 8, 64],
        prepare: grants,
    },
    Operation {
        name: "populate and decrease",
        unit: "frames",
        sizes: &[1, 8, 64, 512],
        prepare: populate,
    },
];

/// The entries that an operation of `size` works on: those of the first L1 table.
fn entries(world: &World, size: u64) -> Vec<(u64, Mfn)> {
    let entry = |slot| (at(world.l1[0], slot), world.first_leaf.wrapping_add(slot));
    (0..size).map(entry).collect()
}

fn map(size: u64) -> Box<dyn FnMut()> {
    let world = World::new(1);
    world.pin();
    let entries = entries(&world, size);
    Box::new(move || {
        entries
            .iter()
            .for_each(|&(place, _)| world.update(place, 0));
        for &(place, frame) in &entries {
            world.update(place, frame.maddr().raw() | WRITABLE);
        }
    })
}

fn protect(size: u64) -> Box<dyn FnMut()> {
    let world = World::new(1);
    world.pin();
    let entries = entries(&world, size);
    Box::new(move || {
        for flags in [READABLE, WRITABLE] {
            for &(place, frame) in &entries {
                world.update(place, frame.maddr().raw() | flags);
            }
        }
    })
}

fn map_by_address(size: u64) -> Box<dyn FnMut()> {
    let world = World::new(1);
    world.pin();
    Box::new(move || {
        for mapped in [false, true] {
            for slot in 0..size {
                let leaf = world.first_leaf.wrapping_add(slot).maddr().raw() | WRITABLE;
                granted(world.engine.update_va_mapping(
                    &Actors::own(&world.domain),
                    world.l4,
                    World::address(0, slot),
                    if mapped { leaf } else { 0 },
                ));
            }
        }
    })
}

/// The last L1 table maps the first one read-only.
fn fault(size: u64) -> Box<dyn FnMut()> {
    let world = World::new(2);
    let window = World::address(1, 511);
    let itself = world.l1[0].maddr().raw() | READABLE;
    let place = Maddr::new(at(world.l1[1], 511));
    world.engine.machine().write_u64(place, itself);
    world.pin();
    Box::new(move || {
        for mapped in [false, true] {
            for slot in 0..size {
                let leaf = world.first_leaf.wrapping_add(slot).maddr().raw() | WRITABLE;
                let address = Vaddr::new(window.raw() + slot * 8);
                let store = PteStore::Plain {
                    width: 8,
                    value: if mapped { leaf } else { 0 },
                };
                let (domain, root) = (&world.domain, world.l4);
                let outcome = world
                    .engine
                    .emulate_pte_store(domain, root, address, address, store);
                assert_eq!(outcome, PteStoreOutcome::Written);
            }
        }
    })
}

fn pin(size: u64) -> Box<dyn FnMut()> {
    let world = World::new(size);
    Box::new(move || {
        world.pin();
        world.unpin();
    })
}

fn m2p(size: u64) -> Box<dyn FnMut()> {
    const MACHPHYS: u64 = 1;
    let world = World::new(1);
    Box::new(move || {
        for slot in 0..size {
            let frame = world.first_leaf.wrapping_add(slot);
            world.update(frame.maddr().raw() | MACHPHYS, slot);
        }
    })
}

fn grants(size: u64) -> Box<dyn FnMut()> {
    let engine = Rc::new(engine());
    let mapping = World::within(Rc::clone(&engine), 1, 1);
    let granting = World::within(Rc::clone(&engine), 2, 1);
    mapping.pin();
    let (table, track) = (GrantTable::new(4, 1), Maptrack::new(4));
    let granter = Granter {
        domain: &granting.domain,
        table: &table,
    };
    granted(engine.grow_grant_table(&granter, 1));
    let shared = engine.grant_frame(&table, 0).unwrap_or(Mfn::new(0));
    for reference in 0..size {
        let header = u64::from(entry_flag::PERMIT_ACCESS) | 1 << 16;
        let frame = granting.first_leaf.wrapping_add(reference);
        let entry = Maddr::new(at(shared, reference));
        engine
            .machine()
            .write_u64(entry, header | frame.raw() << 32);
        mapping.update(at(mapping.l1[0], reference + 1), 0);
    }
    let mut handles = Vec::new();
    Box::new(move || {
        let granter = Granter {
            domain: &granting.domain,
            table: &table,
        };
        let mapper = Mapper {
            domain: &mapping.domain,
            track: &track,
            root: mapping.l4,
        };
        for reference in 0..size {
            let request = GrantMap {
                // Address 0 would mean: not this part.
                host_addr: World::address(0, reference + 1).raw(),
                flags: map_flag::HOST_MAP,
                reference: reference as u32,
            };
            handles.push(granted(engine.map_grant(&mapper, &granter, &request)).handle);
        }
        for (slot, handle) in (1..).zip(handles.drain(..)) {
            let request = GrantUnmap {
                handle,
                host_addr: World::address(0, slot).raw(),
                bus_address: 0,
                new_addr: None,
            };
            let mut batch = UnmapBatch::new();
            granted(engine.unmap_grant(&mapper, &granter, &request, &mut batch));
            for flushed in engine.flush_unmapped(mapper.domain, batch) {
                engine.release_unmapped(&granter, flushed);
            }
        }
    })
}

fn populate(size: u64) -> Box<dyn FnMut()> {
    let world = World::new(1);
    let order = size.trailing_zeros() as u8;
    Box::new(move || {
        let (engine, domain) = (&world.engine, &world.domain);
        let limit = xenocryst_memory::AddressLimit::NONE;
        let first = granted(engine.populate_extent(domain, order, limit, Some(Pfn::new(0))));
        granted(engine.decrease_extent(domain, first, order));
    })
}
