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

    fn update(&mut self, operation: usize, who: usize) -> bool {
        let (frame, slot, entry) = (self.frame(who), self.slot(), self.entry(who));
        let mut budget = self.budget();
        let more = self.byte();
        let kind = if operation == 0 {
            u64::from(more & 7)
        } else {
            0
        };
        if more & 0x80 != 0 {
            self.engine.machine().race_with(u64::from(more & 0x60));
        }
        // The control domain may name another's tables and frames, and frames that are no RAM.
        let (tables, pages) = match (operation, who) {
            (1, 0) => (self.below(SIDES), self.below(SIDES + 1)),
            _ => (who, who),
        };
        let side = |index: usize| self.sides.get(index).map_or(&self.io, |side| &side.domain);
        let actors = Actors {
            caller: side(who),
            tables: side(tables),
            pages: side(pages),
        };
        let pointer = at(frame, slot) | kind;
        let covered = self.engine.frame_info(frame).is_ram;
        let word = || covered.then(|| self.engine.machine().read_u64(Maddr::new(at(frame, slot))));
        let before = word();
        let result = self.engine.mmu_update(&actors, pointer, entry, &mut budget);
        self.engine.machine().race_with(0);
        if result.is_err() {
            assert_eq!(before, word(), "a refused update changed the entry");
        }
        matches!(result, Ok(Progress::Done(_)))
    }

    fn update_by_address(&mut self, who: usize) -> bool {
        let (address, entry, deep) = (self.address(), self.entry(who), self.byte());
        let side = &self.sides[who];
        let Some(root) = &side.root else { return false };
        let root = if deep == 0xff {
            self.frame(who)
        } else {
            root.mfn()
        };
        let domain = &self.sides[who].domain;
        let actors = Actors::own(domain);
        let result = self.engine.update_va_mapping(&actors, root, address, entry);
        let read = self.engine.read_l1_entry(domain, root, address);
        assert!(
            result.is_err() || read.is_some(),
            "an entry was written that cannot be read"
        );
        let _ = self.engine.translate(domain, root, address);
        result.is_ok()
    }

    /// A store by the guest itself: only if some mapping could be writable.
    fn store(&mut self, who: usize) -> bool {
        let (frame, slot, value) = (self.frame(who), self.slot(), self.entry(who));
        let info = self.engine.frame_info(frame);
        let plain =
            matches!(info.frame_type, FrameType::None | FrameType::Writable) || !info.validated;
        let may =
            info.owner == Some(self.sides[who].domain.id()) && plain && info.partial.is_none();
        if may {
            self.engine
                .machine()
                .write_u64(Maddr::new(at(frame, slot)), value);
        }
        may
    }

    fn emulated_store(&mut self, who: usize) -> bool {
        let (offset, value) = (self.slot() * 8, self.entry(who));
        // Where its L1 table maps itself, most of the time.
        let page = match self.byte() {
            0..=200 => Vaddr::new(0x1000),
            _ => self.address(),
        };
        let kind = self.byte();
        let width = [8, 1, 2, 4][usize::from(kind & 3)];
        let expected = if kind & 8 != 0 { self.entry(who) } else { 0 };
        let store = if kind & 4 != 0 {
            PteStore::CompareExchange {
                width,
                expected,
                value,
            }
        } else {
            PteStore::Plain { width, value }
        };
        if kind & 0x10 != 0 {
            self.engine.machine().race_with(u64::from(kind & 0x60));
        }
        let side = &self.sides[who];
        let Some(root) = &side.root else { return false };
        let misaligned = if kind & 0x80 != 0 {
            u64::from(kind >> 4 & 7)
        } else {
            0
        };
        let address = Vaddr::new(page.raw() | offset | misaligned);
        let outcome = self
            .engine
            .emulate_pte_store(&side.domain, root.mfn(), page, address, store);
        self.engine.machine().race_with(0);
        outcome == PteStoreOutcome::Written
    }

    fn pin(&mut self, operation: usize, who: usize) -> bool {
        let (frame, level, mut budget) = (self.frame(who), self.level(), self.budget());
        let domain = &self.sides[who].domain;
        let result = match operation {
            8 => self.engine.pin_table(domain, frame, level, &mut budget),
            _ => self.engine.unpin_table(domain, frame, &mut budget),
        };
        result == Ok(Progress::Done(()))
    }

    fn change_root(&mut self, who: usize) -> bool {
        let (frame, mut budget, take) = (self.frame(who), self.budget(), self.byte() & 3 != 0);
        let side = &mut self.sides[who];
        if take {
            let result = self.engine.get_root(&side.domain, frame, &mut budget);
            return match result {
                Ok(Progress::Done(root)) => {
                    side.roots.push(root);
                    true
                }
                _ => false,
            };
        }
        let _ = self.engine.finish_unwinding(&side.domain, &mut budget);
        let Some(root) = side.roots.pop() else {
            return false;
        };
        self.engine.put_root(&side.domain, root, &mut budget);
        true
    }

    fn descriptors(&mut self, who: usize) -> bool {
        let (frame, slot, entry, what) =
            (self.frame(who), self.slot(), self.entry(who), self.byte());
        let Self { engine, sides, .. } = self;
        let side = &mut sides[who];
        match what & 3 {
            0 | 1 => match engine.get_descriptor_page(&side.domain, frame) {
                Ok(held) => side.descriptors.push(held),
                Err(_) => return false,
            },
            2 => match side.descriptors.pop() {
                Some(held) => engine.put_descriptor_page(&side.domain, held),
                None => return false,
            },
            _ => {
                let descriptor = if what & 4 != 0 {
                    0x00cf_fa00_0000_ffff
                } else {
                    entry
                };
                let place = Maddr::new(at(frame, slot));
                return engine
                    .update_descriptor(&side.domain, place, descriptor)
                    .is_ok();
            }
        }
        true
    }

    /// The hypervisor takes a reference for something that `who` asked for.
    fn hold(&mut self, who: usize) -> bool {
        let (frame, writable) = (self.frame(who), self.byte() & 1 != 0);
        let domain = &self.sides[who].domain;
        let before = self.pages.len() + self.writable.len();
        if writable {
            self.writable
                .extend(self.engine.get_writable_page(domain, frame));
        } else {
            self.pages.extend(self.engine.get_page(domain, frame));
        }
        self.pages.len() + self.writable.len() > before
    }

    fn let_go(&mut self, _who: usize) -> bool {
        let page = self.pages.pop();
        let writable = self.writable.pop();
        let any = page.is_some() || writable.is_some();
        page.into_iter().for_each(|held| self.engine.put_page(held));
        writable
            .into_iter()
            .for_each(|held| self.engine.put_writable_page(held));
        any
    }

    fn whole_page(&mut self, who: usize) -> bool {
        let (to, from, copy) = (self.frame(who), self.frame(who), self.byte() & 1 != 0);
        let domain = &self.sides[who].domain;
        if copy {
            self.engine.copy_page(domain, to, from).is_ok()
        } else {
            self.engine.clear_page(domain, to).is_ok()
        }
    }

    fn reservation(&mut self, who: usize) -> bool {
        let (frame, order, what) = (self.frame(who), self.byte() % 4, self.byte());
        let limit = self.pick(&[
            AddressLimit::NONE,
            AddressLimit::bits(19),
            AddressLimit::bits(12),
        ]);
        let domain = &self.sides[who].domain;
        if what & 1 == 0 {
            return self.engine.decrease_extent(domain, frame, order).is_ok();
        }
        let pfn = (what & 2 != 0).then(|| Pfn::new(what.into()));
        let Ok(first) = self.engine.populate_extent(domain, order, limit, pfn) else {
            return false;
        };
        self.learn(first, order);
        true
    }

    fn learn(&mut self, first: Mfn, order: u8) {
        for frame in (0..1 << order).map(|i| first.wrapping_add(i)) {
            if !self.frames.contains(&frame) {
                self.frames.push(frame);
            }
        }
    }

    fn exchange(&mut self, who: usize) -> bool {
        let (blocks, order) = (
            self.pick(&[1, 1, 1, 2, 2, 4, 0]),
            self.pick(&[0, 0, 0, 1, 2]),
        );
        let wanted = (blocks as usize) << order;
        let taken = self.pick(&[wanted, wanted, wanted, 0, 1, 3]);
        let frames: Vec<Mfn> = (0..taken).map(|_| self.frame(who)).collect();
        let in_order = self.pick(&[0, 0, 0, 0, 1]);
        let domain = &self.sides[who].domain;
        let Ok(mut exchange) =
            self.engine
                .begin_exchange(domain, blocks, order, AddressLimit::NONE)
        else {
            return false;
        };
        for frame in frames {
            if self
                .engine
                .exchange_in(domain, &mut exchange, frame, in_order)
                .is_err()
            {
                self.engine.abandon_exchange(domain, exchange);
                return false;
            }
        }
        let mut new = Vec::new();
        while let Some(first) = self.engine.exchange_out(domain, &mut exchange, Pfn::new(7)) {
            new.push(first);
        }
        self.engine.finish_exchange(domain, exchange);
        new.iter().for_each(|&first| self.learn(first, order));
        !new.is_empty()
    }

    /// The hypervisor shares a frame with the domain, or takes one back.
    fn share(&mut self, who: usize) -> bool {
        let what = self.byte();
        if what & 1 == 0 && self.shared.len() < 4 {
            let Some(frame) = self.engine.allocate_frames(0, AddressLimit::NONE) else {
                return false;
            };
            self.engine.machine().zero_frame(frame);
            let done = self
                .engine
                .share_with(&self.sides[who].domain, frame, what & 2 != 0);
            assert!(done, "the hypervisor's own frame could not be shared");
            self.shared.push((who, frame));
            self.learn(frame, 0);
            return true;
        }
        let Some((owner, frame)) = self.shared.pop() else {
            return false;
        };
        if self.engine.unshare(&self.sides[owner].domain, frame) {
            self.engine.free_frames(frame, 0);
            return true;
        }
        self.shared.insert(0, (owner, frame));
        false
    }

    /// Lets a domain (not the control domain) die, one time in eight.
    fn kill(&mut self, who: usize) -> bool {
        let really = who != 0 && self.byte() & 7 == 0;
        if really {
            self.stop(who);
        }
        really
    }

    /// What is done at once when a domain dies: its vCPU stops and lets go of what it holds.
    fn stop(&mut self, who: usize) {
        let budget = self.pick(&BUDGETS);
        let Self { engine, sides, .. } = self;
        let side = &mut sides[who];
        side.domain.set_dying();
        side.death = Some(Mfn::new(0));
        side.tlb.flush(engine.machine());
        side.domain.clear_cpu_dirty(who as u32);
        for root in side.root.take().into_iter().chain(side.roots.drain(..)) {
            engine.put_root(&side.domain, root, &mut Budget::new(budget));
        }
        for held in side.descriptors.drain(..) {
            engine.put_descriptor_page(&side.domain, held);
        }
        self.release_mappings(who);
    }

    /// One slice of taking the memory of dying domains away.
    fn take_away_a_little(&mut self) {
        for side in &mut self.sides {
            if let Some(cursor) = &mut side.death {
                let _ = self
                    .engine
                    .relinquish(&side.domain, cursor, &mut Budget::new(20));
            }
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
