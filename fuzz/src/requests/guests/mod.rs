//! Three domains, the first of them the control domain, and what they can ask for.

use super::machine::{Arena, FRAMES, HOLE, Machine};
use super::tlb::{SLOTS, Tlb};
use arbitrary::Unstructured;
use xenocryst_abi::grant_table::entry_flag as f;
use xenocryst_abi::{DomId, Maddr, Mfn, Pfn, Vaddr};
use xenocryst_memory::audit::{self, Held};
use xenocryst_memory::grant::audit::{Party, recount_grants};
use xenocryst_memory::grant::{GrantTable, Granter, Mapper, Maptrack};
use xenocryst_memory::pte::{GUEST_KERNEL, NX, PAGE_SIZE_BIT, PCD, PRESENT, RW, USER};
use xenocryst_memory::{
    Actors, AddressLimit, Budget, DescriptorRef, DomainMemory, Engine, FrameType, IoAccess, Level,
    MachineMemory, PageRef, Progress, PteStore, PteStoreOutcome, RootRef, WritableRef,
};

mod possession;
mod tables;

/// Domains that make requests: numbers 0 to 2.
pub const SIDES: usize = 3;
/// Kinds of request.
pub const OPERATIONS: usize = 24;
/// Flags of an ordinary entry.
const T: u64 = PRESENT | RW | USER;
const FLAGS: [u64; 15] = [
    T,
    T,
    PRESENT | USER,
    PRESENT | USER,
    PRESENT,
    PRESENT | RW,
    0,
    T | NX,
    T | GUEST_KERNEL,
    T | PCD,
    T | PAGE_SIZE_BIT,
    PRESENT | USER | PAGE_SIZE_BIT,
    PAGE_SIZE_BIT,
    T | 1 << 62,
    T | 0xe00,
];
/// Frames that each domain starts with, its grant frame included.
const STARTED_WITH: usize = 11;
const BUDGETS: [u32; 8] = [1, 2, 3, 17, 64, 520, 1030, 100_000];

/// One domain with all it has.
pub struct Side {
    pub domain: DomainMemory,
    pub table: GrantTable,
    pub track: Maptrack,
    /// The L4 table it started with; held by it while it lives.
    pub root: Option<RootRef>,
    pub l1: Mfn,
    roots: Vec<RootRef>,
    descriptors: Vec<DescriptorRef>,
    /// Grants it mapped: handle, address, bus address.
    pub mapped: Vec<(u32, u64, u64)>,
    tlb: Tlb,
    /// Once dying: how far its memory was taken away.
    death: Option<Mfn>,
}

/// The machine, the domains, and the program.
pub struct World<'a> {
    pub engine: Engine<'a, Machine<'a>>,
    pub input: Unstructured<'a>,
    pub sides: [Side; SIDES],
    io: DomainMemory,
    frames: Vec<Mfn>,
    pages: Vec<PageRef>,
    writable: Vec<WritableRef>,
    shared: Vec<(usize, Mfn)>,
    /// Whether to watch TLBs, which takes most of the time.
    watch: bool,
    /// How often each kind of request was granted.
    pub granted: [u32; OPERATIONS],
}

/// The address of an entry.
pub fn at(table: Mfn, slot: u64) -> u64 {
    table.maddr().raw() + slot * 8
}

fn side(number: usize) -> Side {
    let id = number as u16;
    let io = if number == 0 {
        IoAccess::all()
    } else {
        IoAccess::none()
    };
    let domain = DomainMemory::new(DomId(id), number == 0, 0x260 + u64::from(id), io);
    domain.set_max_pages(40);
    domain.set_cpu_dirty(id.into());
    Side {
        domain,
        table: GrantTable::new(2, 2),
        track: Maptrack::new(1),
        root: None,
        l1: Mfn::new(0),
        roots: Vec::new(),
        descriptors: Vec::new(),
        mapped: Vec::new(),
        tlb: Tlb::default(),
        death: None,
    }
}

impl<'a> World<'a> {
    /// Domains with a small address space, a few frames and one grant frame each.
    pub fn new(arena: &'a Arena, program: &'a [u8]) -> Self {
        let mut world = Self {
            engine: arena.engine(),
            input: Unstructured::new(program),
            sides: std::array::from_fn(side),
            io: DomainMemory::new(DomId::IO, false, 0, IoAccess::none()),
            frames: Vec::new(),
            pages: Vec::new(),
            writable: Vec::new(),
            shared: Vec::new(),
            watch: false,
            granted: [0; OPERATIONS],
        };
        world.watch = world.byte() & 1 != 0;
        for who in 0..SIDES {
            world.begin(who);
        }
        for strange in [
            0,
            3,
            HOLE,
            HOLE + 1,
            FRAMES as u64 - 1,
            FRAMES as u64,
            1 << 38,
            (1 << 40) - 1,
        ] {
            world.frames.push(Mfn::new(strange));
        }
        world.engine.machine().take_flushes();
        world
    }

    fn begin(&mut self, who: usize) {
        let Self {
            engine,
            sides,
            frames,
            ..
        } = self;
        let side = &mut sides[who];
        let page = || {
            engine
                .populate_extent(&side.domain, 0, AddressLimit::NONE, None)
                .unwrap_or_else(|refusal| panic!("{refusal}"))
        };
        let own: Vec<Mfn> = (1..STARTED_WITH).map(|_| page()).collect();
        for pair in own[..5].windows(2) {
            engine
                .machine()
                .write_u64(Maddr::new(at(pair[0], 0)), pair[1].maddr().raw() | T);
        }
        // The L1 table maps itself, so that stores to it can be emulated.
        let itself = own[3].maddr().raw() | PRESENT | USER;
        engine
            .machine()
            .write_u64(Maddr::new(at(own[3], 1)), itself);
        match engine.get_root(&side.domain, own[0], &mut Budget::unlimited()) {
            Ok(Progress::Done(root)) => side.root = Some(root),
            other => panic!("{other:?}"),
        }
        side.l1 = own[3];
        let granter = Granter {
            domain: &side.domain,
            table: &side.table,
        };
        if let Err(refusal) = engine.grow_grant_table(&granter, 1) {
            panic!("{refusal}");
        }
        let shared = engine.grant_frame(&side.table, 0).unwrap_or(Mfn::new(0));
        // A grant for each domain, and for each an invitation to give a frame.
        for (peer, frame) in (0..SIDES as u64).zip(&own[5..]) {
            let write = |reference, value| {
                engine
                    .machine()
                    .write_u64(Maddr::new(at(shared, reference)), value);
            };
            write(
                peer,
                u64::from(f::PERMIT_ACCESS) | peer << 16 | frame.raw() << 32,
            );
            write(
                SIDES as u64 + peer,
                u64::from(f::ACCEPT_TRANSFER) | peer << 16,
            );
        }
        frames.extend(own);
        frames.push(shared);
    }

    /// The next byte of the program; 0 after its end.
    pub fn byte(&mut self) -> u8 {
        self.input.arbitrary().unwrap_or(0)
    }

    /// An index below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A frame: half of the time one that domain `who` started with.
    pub fn frame(&mut self, who: usize) -> Mfn {
        let byte = usize::from(self.byte());
        match byte >> 1 {
            index if byte & 1 == 0 => self.frames[who * STARTED_WITH + index % STARTED_WITH],
            index => self.frames[index % self.frames.len()],
        }
    }

    pub fn slot(&mut self) -> u64 {
        self.pick(&SLOTS)
    }

    fn budget(&mut self) -> Budget {
        Budget::new(self.pick(&BUDGETS))
    }

    fn level(&mut self) -> Level {
        self.pick(&[Level::L1, Level::L2, Level::L3, Level::L4])
    }

    fn entry(&mut self, who: usize) -> u64 {
        let flags = self.byte();
        match FLAGS.get(usize::from(flags & 15)) {
            Some(flags) => self.frame(who).maddr().raw() | flags,
            None if flags & 16 != 0 => 0,
            None => self.input.arbitrary().unwrap_or(0),
        }
    }

    /// An address that tables may map: one byte for each slot.
    pub fn address(&mut self) -> Vaddr {
        let indices: [u64; 4] = std::array::from_fn(|level| match level {
            // Most of what is mapped is mapped low.
            0..=2 => self.pick(&[0, 0, 0, 0, 1, 256, 260, 272, 511]),
            _ => self.slot(),
        });
        let low = indices
            .iter()
            .fold(0, |address, index| address << 9 | index)
            << 12;
        let sign = if low >> 47 & 1 != 0 { 0xffff << 48 } else { 0 };
        Vaddr::new(low | sign)
    }

    /// Takes one step. `false` at the end of the program.
    pub fn step(&mut self) -> bool {
        if self.input.is_empty() {
            return false;
        }
        let operation = self.below(OPERATIONS);
        let who = self.below(SIDES);
        self.take_away_a_little();
        if self.sides[who].death.is_some() {
            return true;
        }
        let granted = self.request(operation, who);
        self.granted[operation] += u32::from(granted);
        if self.watch {
            self.watch_tlbs();
        }
        true
    }

    fn watch_tlbs(&mut self) {
        let flushes = self.engine.machine().take_flushes();
        for (cpu, side) in self.sides.iter_mut().enumerate() {
            if side.death.is_none() {
                side.tlb.obey(cpu, &flushes, self.engine.machine());
                side.tlb.check(&self.engine);
                side.tlb.fill(&self.engine, side.domain.id());
            }
        }
    }

    /// Makes a request. Whether it was granted.
    fn request(&mut self, operation: usize, who: usize) -> bool {
        match operation {
            0..=3 => self.update(operation, who),
            4 | 5 => self.update_by_address(who),
            6 => self.store(who),
            7 => self.emulated_store(who),
            8 | 9 => self.pin(operation, who),
            10 => self.change_root(who),
            11 => self.descriptors(who),
            12 => self.hold(who),
            13 => self.let_go(who),
            14 => self.whole_page(who),
            15 => self.reservation(who),
            16 => self.exchange(who),
            17 => self.share(who),
            18 => self.kill(who),
            19 => self.map_grant(who),
            20 => self.unmap_grant(who),
            21 => self.copy_grant(who),
            22 => self.transfer_grant(who),
            _ => self.change_grant_table(who),
        }
    }

    pub fn mapper(&self, who: usize) -> Option<Mapper<'_>> {
        let side = &self.sides[who];
        Some(Mapper {
            domain: &side.domain,
            track: &side.track,
            root: side.root.as_ref()?.mfn(),
        })
    }

    pub fn granter(&self, who: usize) -> Granter<'_> {
        let side = &self.sides[who];
        Granter {
            domain: &side.domain,
            table: &side.table,
        }
    }

    /// Recounts everything.
    pub fn recount(&self) {
        let parties: Vec<Party<'_>> = self
            .sides
            .iter()
            .map(|side| Party {
                domain: &side.domain,
                table: &side.table,
                track: &side.track,
            })
            .collect();
        let held = recount_grants(&self.engine, &parties, false);
        let mut held = held.unwrap_or_else(|error| panic!("grants: {error}"));
        held.extend(self.pages.iter().map(|held| Held::General(held.mfn())));
        held.extend(self.writable.iter().map(|held| Held::Typed(held.mfn())));
        for side in &self.sides {
            held.extend(
                side.root
                    .iter()
                    .chain(&side.roots)
                    .map(|held| Held::Typed(held.mfn())),
            );
            held.extend(side.descriptors.iter().map(|held| Held::Typed(held.mfn())));
        }
        let domains: Vec<&DomainMemory> = self.sides.iter().map(|side| &side.domain).collect();
        if let Err(error) = audit::recount(&self.engine, &domains, &held) {
            panic!("audit: {error}");
        }
    }

    /// Everybody dies, and all RAM is free again.
    pub fn end(mut self) {
        for who in 0..SIDES {
            if self.sides[who].death.is_none() {
                self.stop(who);
            }
        }
        self.recount();
        while !(self.pages.is_empty() && self.writable.is_empty()) {
            self.let_go(0);
        }
        for side in &mut self.sides {
            let cursor = side.death.get_or_insert(Mfn::new(0));
            while self
                .engine
                .relinquish(&side.domain, cursor, &mut Budget::new(333))
                == Progress::Preempted
            {}
        }
        for who in 0..SIDES {
            let side = &self.sides[who];
            assert!(self.engine.destroy_maptrack(&side.track));
            assert!(self.engine.destroy_grant_table(&self.granter(who)));
            assert_eq!(
                self.engine.owned_frames(side.domain.id()),
                0,
                "a dead domain owns something"
            );
        }
        for (owner, frame) in std::mem::take(&mut self.shared) {
            assert!(
                self.engine.unshare(&self.sides[owner].domain, frame),
                "{frame} is still mapped"
            );
            self.engine.free_frames(frame, 0);
        }
        let own = super::machine::OWN;
        assert_eq!(
            self.engine.free_frame_count() + own,
            self.engine.ram_frames()
        );
        self.recount();
    }
}
