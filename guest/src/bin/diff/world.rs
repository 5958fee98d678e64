//! The frames that requests are about, and what can be seen of them.
//!
//! There is a pool of frames that become page tables and descriptor tables, each to be read at all times through a
//! read-only view; an arena of addresses at which anything may be mapped; a page of data; and frames at the end of the domain's
//! memory that are given back and got again.
//!
//! What it keeps true: the kernel's own code, stack and the view stay mapped whatever is asked for; [`World::reset`]
//! brings everything back to the same state, whatever was asked before.

use core::fmt::{self, Write};

use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::memory_op::{self, MemoryReservation};
use xenocryst_guest::abi::mmu::{MmuUpdate, command, mmuext};
use xenocryst_guest::abi::pte::ADDRESS_MASK;
use xenocryst_guest::abi::{DomId, Mfn, PAGE_SIZE, Pfn, Pte, PteFlags, Vaddr, assist, layout};
use xenocryst_guest::domain::{Domain, VIRT_BASE, pfn_of};
use xenocryst_guest::pages::Pages;
use xenocryst_guest::trap::attempt;
use xenocryst_guest::{access, hypercall, mmu};

use crate::line::Line;

/// Frames in the pool.
pub const POOL: usize = 24;
/// Addresses (pages) in the arena; the first [`POOL`] are where the pool's frames are mapped after a reset.
pub const ARENA: usize = 32;
/// Frames at the end of memory that are given back and got again.
pub const RESERVE: usize = 32;
/// Where the view begins.
pub const VIEW_BASE: u64 = VIRT_BASE + (128 << 21);
/// Where the arena begins.
pub const ARENA_BASE: u64 = VIRT_BASE + (129 << 21);
/// Slots of the root that requests may fill.
pub const ROOT_SLOTS: [u64; 3] = [1, 2, 3];
/// Slots of the view's table that requests may fill: behind the view.
pub const VIEW_SLOTS: core::ops::Range<u64> = 300..332;
/// The slots of a pool frame that are watched and that most requests are about. 256 to 271 are the hypervisor's in a root
/// table, and hold machine addresses of its own, so they are not watched.
pub const SLOTS: [usize; 12] = [0, 1, 2, 3, 4, 5, 254, 255, 272, 273, 510, 511];
/// Machine frames that are told apart from the domain's own.
const MACHINE: usize = 1 << 18;

/// Frame numbers that mean the same on every hypervisor: devices, the first MiB, and what does not exist.
pub const MACHINE_FRAMES: [u64; 9] = [
    0xa0,
    0xb8,
    0xf0,
    0xfee00,
    0xf0000,
    0x100_0000,
    0xff_ffff_ffff,
    0xf_ffff_ffff,
    0x7f_ffff_ffff,
];

/// More of them, which hypervisors treat in ways of their own: for the script.
pub const PECULIAR_FRAMES: [u64; 3] = [0x10, 0xfec00, 0xfed00];

/// The pool's frames; unmapped here, since they are in the view and the arena.
static POOL_PAGES: Pages<POOL> = Pages::new();
/// The L1 tables of view and arena.
static VIEW_TABLE: Pages<1> = Pages::new();
static ARENA_TABLE: Pages<1> = Pages::new();
/// A page of data, always mapped writable.
static DATA: Pages<1> = Pages::new();
/// What frames hold which PFN, plus one; 0 for those that are not the domain's.
static OWNED: Pages<{ MACHINE / 1024 }> = Pages::new();

/// A frame to be asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// Of the pool.
    Pool(u8),
    /// The L1 table of the view.
    View,
    /// The L1 table of the arena.
    Arena,
    /// The page of data.
    Data,
    /// At the end of memory.
    Reserve(u8),
    /// The root of the tables in use.
    Root,
    /// The page shared with the hypervisor.
    Shared,
    /// One of the hypervisor's.
    Hypervisor,
    /// A number that means the same everywhere.
    Machine(u64),
}

/// Everything requests are about.
pub struct World<'d> {
    pub domain: &'d Domain,
    hypervisor_frame: u64,
    first_reserve: u64,
    seen: [[u64; SLOTS.len()]; POOL],
    arena_seen: [u64; ARENA],
    m2p_seen: [u64; POOL],
}

/// Present, writable, for user mode, accessed and dirty: what a mapping of data has.
pub const DATA_FLAGS: u64 = 0x67;

impl<'d> World<'d> {
    /// Sets view and arena up.
    pub fn new(domain: &'d Domain) -> Self {
        for pfn in 0..domain.frames() {
            own(domain.mfn(Pfn::new(pfn)).raw(), pfn);
        }
        let mut world = Self {
            domain,
            hypervisor_frame: hypervisor_frame(domain),
            first_reserve: domain.frames() - RESERVE as u64,
            seen: [[0; SLOTS.len()]; POOL],
            arena_seen: [0; ARENA],
            m2p_seen: [0; POOL],
        };
        world.add_table(&VIEW_TABLE, VIEW_BASE);
        world.add_table(&ARENA_TABLE, ARENA_BASE);
        for n in 0..POOL {
            let frame = world.mfn(Frame::Pool(n as u8));
            // SAFETY: nothing but this module reaches the pool, and from now on by the view.
            let answers = unsafe {
                [
                    mmu::set_entry(POOL_PAGES.address(n), Pte::EMPTY),
                    mmu::map_page(view(n), Mfn::new(frame), false),
                ]
            };
            assert!(answers == [0, 0], "the view cannot be made: {answers:?}");
        }
        world
    }

    /// Makes `table` the L1 table of the 2 MiB at `base`.
    fn add_table(&mut self, table: &Pages<1>, base: u64) {
        let address = table.address(0);
        let mfn = self.domain.mfn(pfn_of(address));
        let (entry, _) = mmu::entry(self.domain, base, 2).expect("there is an L2 table");
        let mut batch = mmu::Batch::new();
        // SAFETY: the page is reached by address only, and nothing is mapped at `base`.
        unsafe {
            assert_eq!(mmu::map_page(address, mfn, false), 0);
            let value = Pte::from_raw((mfn.raw() * PAGE_SIZE) | DATA_FLAGS);
            batch.push(entry, value).expect("there is room");
        }
        batch.flush().expect("the table is an L1 table");
    }

    /// The number of a frame; of one that was given back, a number that does not exist.
    pub fn mfn(&self, frame: Frame) -> u64 {
        let of_page = |address| self.domain.mfn(pfn_of(address)).raw();
        match frame {
            Frame::Pool(n) => of_page(POOL_PAGES.address(usize::from(n))),
            Frame::View => of_page(VIEW_TABLE.address(0)),
            Frame::Arena => of_page(ARENA_TABLE.address(0)),
            Frame::Data => of_page(DATA.address(0)),
            Frame::Reserve(n) => match self.domain.mfn(self.reserve_pfn(n)) {
                Mfn::INVALID => 0xff_ffff_fffe,
                mfn => mfn.raw(),
            },
            Frame::Root => self.domain.mfn(self.domain.root()).raw(),
            Frame::Shared => self.domain.shared_info().mfn().raw(),
            Frame::Hypervisor => self.hypervisor_frame,
            Frame::Machine(number) => number,
        }
    }

    /// The PFN of a frame at the end of memory.
    pub fn reserve_pfn(&self, n: u8) -> Pfn {
        Pfn::new(self.first_reserve + u64::from(n))
    }

    /// What a frame number is called.
    pub fn name(&self, mfn: u64) -> Name {
        if mfn == self.mfn(Frame::Shared) {
            return Name('S', 0);
        }
        if mfn == self.hypervisor_frame {
            return Name('H', 0);
        }
        let Some(pfn) = owner(mfn) else {
            let known = MACHINE_FRAMES.contains(&mfn) || PECULIAR_FRAMES.contains(&mfn);
            return if mfn == 0 || mfn == 0xff_ffff_fffe || known {
                Name('m', mfn)
            } else {
                Name('?', 0)
            };
        };
        let first = pfn_of(POOL_PAGES.address(0)).raw();
        match pfn {
            _ if (first..first + POOL as u64).contains(&pfn) => Name('T', pfn - first),
            _ if pfn >= self.first_reserve => Name('R', pfn - self.first_reserve),
            _ if mfn == self.mfn(Frame::View) => Name('V', 0),
            _ if mfn == self.mfn(Frame::Arena) => Name('A', 0),
            _ if mfn == self.mfn(Frame::Data) => Name('D', 0),
            _ if mfn == self.mfn(Frame::Root) => Name('C', 0),
            _ => Name('p', pfn),
        }
    }

    /// An entry, as it is printed: the name of its frame, and its other bits.
    pub fn word(&self, value: u64) -> Word {
        Word((value != 0).then(|| {
            (
                self.name((value & ADDRESS_MASK) >> 12),
                value & !ADDRESS_MASK,
            )
        }))
    }

    /// Appends to `line` what has changed since the last time.
    pub fn changes(&mut self, line: &mut Line) {
        for n in 0..POOL {
            for (place, slot) in SLOTS.iter().enumerate() {
                let now = load(view(n) + 8 * *slot as u64);
                if now != self.seen[n][place] {
                    self.seen[n][place] = now;
                    let _ = write!(line, " T{n}[{slot}]={}", self.word(now));
                }
            }
            let pfn = load(layout::MACH2PHYS_VIRT_START + 8 * self.mfn(Frame::Pool(n as u8)));
            if pfn != self.m2p_seen[n] {
                self.m2p_seen[n] = pfn;
                let _ = write!(line, " M2P(T{n})={pfn:x}");
            }
        }
        for n in 0..ARENA {
            let now = load(ARENA_TABLE.address(0) + 8 * n as u64);
            if now != self.arena_seen[n] {
                self.arena_seen[n] = now;
                let _ = write!(line, " A[{n}]={}", self.word(now));
            }
        }
    }

    /// Everything as at first: no pins, no mappings but the pool's own in the arena, zeros, the whole of memory there.
    /// What is not as it should be is appended to `line`.
    pub fn reset(&mut self, line: &mut Line) {
        // SAFETY: all of it is about the arena, the pool and the frames at the end of memory.
        unsafe {
            for n in 0..ARENA {
                expect(line, "unmap", n, mmu::set_entry(arena(n), Pte::EMPTY));
            }
            self.reset_tables(line);
            for n in 0..POOL {
                let frame = Frame::Pool(n as u8);
                while mmu::extended(mmuext::UNPIN_TABLE, self.mfn(frame), 0) == 0 {}
            }
            for n in 0..POOL {
                let mfn = self.mfn(Frame::Pool(n as u8));
                expect(line, "map", n, mmu::map_page(arena(n), Mfn::new(mfn), true));
                let filled = attempt(|| zero(arena(n)));
                expect(line, "zero", n, -i64::from(filled.is_err()));
                self.set_m2p(line, n, mfn, pfn_of(POOL_PAGES.address(n)).raw());
            }
        }
        for n in 0..RESERVE {
            self.refill(line, n as u8);
            // SAFETY: the frames at the end of memory are used by nothing.
            let cleared =
                unsafe { mmu::extended(mmuext::CLEAR_PAGE, self.mfn(Frame::Reserve(n as u8)), 0) };
            expect(line, "clear", n, cleared);
        }
        zero(DATA.address(0));
    }

    /// Roots, descriptor tables and assists as at first.
    ///
    /// # Safety
    /// The kernel relies on none of them.
    unsafe fn reset_tables(&self, line: &mut Line) {
        // SAFETY: the caller's.
        unsafe {
            expect(
                line,
                "user",
                0,
                mmu::extended(mmuext::NEW_USER_BASEPTR, 0, 0),
            );
            expect(line, "ldt", 0, mmu::extended(mmuext::SET_LDT, 0, 0));
            expect(line, "gdt", 0, hypercall::call(number::SET_GDT, [0; 5]));
            for kind in [0, 1, 2, 3, 4, 5, 32] {
                let command = if kind == u64::from(assist::kind::WRITABLE_PAGETABLES) {
                    assist::command::ENABLE
                } else {
                    assist::command::DISABLE
                };
                // Some do not exist on some hypervisors.
                hypercall::call(number::VM_ASSIST, [u64::from(command), kind, 0, 0, 0]);
            }
            let mut batch = mmu::Batch::new();
            for slot in ROOT_SLOTS {
                let entry = Mfn::new(self.mfn(Frame::Root))
                    .maddr()
                    .wrapping_add(8 * slot);
                let pushed = batch.push(entry, Pte::EMPTY);
                expect(line, "root", slot as usize, pushed.err().unwrap_or(0));
            }
            for slot in VIEW_SLOTS {
                let entry = Mfn::new(self.mfn(Frame::View))
                    .maddr()
                    .wrapping_add(8 * slot);
                let pushed = batch.push(entry, Pte::EMPTY);
                expect(line, "view", slot as usize, pushed.err().unwrap_or(0));
            }
            expect(line, "roots", 0, batch.flush().err().unwrap_or(0));
        }
    }

    /// Sets the M2P entry of pool frame `n`.
    ///
    /// # Safety
    /// None of its own; it makes a hypercall.
    unsafe fn set_m2p(&self, line: &mut Line, n: usize, mfn: u64, pfn: u64) {
        let update = MmuUpdate {
            ptr: mfn * PAGE_SIZE + command::MACHPHYS_UPDATE,
            val: pfn,
        };
        let arguments = [&raw const update as u64, 1, 0, u64::from(DomId::SELF.0), 0];
        // SAFETY: the caller's.
        let answer = unsafe { hypercall::call(number::MMU_UPDATE, arguments) };
        expect(line, "m2p", n, answer);
    }

    /// Gets a frame for PFN `n` at the end of memory, if it has none.
    fn refill(&self, line: &mut Line, n: u8) {
        let pfn = self.reserve_pfn(n);
        if self.domain.mfn(pfn) != Mfn::INVALID {
            return;
        }
        let mut extent = pfn.raw();
        let request = MemoryReservation {
            extent_start: Vaddr::new(&raw mut extent as u64),
            nr_extents: 1,
            extent_order: 0,
            mem_flags: 0,
            domid: DomId::SELF,
            pad: [0; 3],
        };
        let arguments = [
            u64::from(memory_op::op::POPULATE_PHYSMAP),
            &raw const request as u64,
            0,
            0,
            0,
        ];
        // SAFETY: the frame is new.
        let answer = unsafe { hypercall::call(number::MEMORY_OP, arguments) };
        expect(line, "populate", usize::from(n), answer - 1);
        if answer == 1 {
            self.got(pfn, extent);
        }
    }

    /// Says so if a frame at the end of memory is there twice: then one was freed without this kernel's knowing.
    pub fn check(&self, line: &mut Line) {
        for n in 0..RESERVE as u8 {
            let pfn = self.reserve_pfn(n);
            let mfn = self.domain.mfn(pfn);
            if mfn != Mfn::INVALID && owner(mfn.raw()) != Some(pfn.raw()) {
                let _ = write!(line, " R{n} is lost");
            }
        }
    }

    /// Records that `pfn` has the new frame `mfn`.
    pub fn got(&self, pfn: Pfn, mfn: u64) {
        self.domain.set_mfn(pfn, Mfn::new(mfn));
        own(mfn, pfn.raw());
    }

    /// Records that the frame of `pfn` was given back.
    pub fn gave(&self, pfn: Pfn) {
        let mfn = self.domain.mfn(pfn).raw();
        if (mfn as usize) < MACHINE {
            // SAFETY: one of the words of OWNED.
            unsafe { ((OWNED.address(0) + 4 * mfn) as *mut u32).write_volatile(0) };
        }
        self.domain.set_mfn(pfn, Mfn::INVALID);
    }
}

impl World<'_> {
    /// Where the arena's L1 table can be read.
    pub fn arena_table(&self) -> u64 {
        ARENA_TABLE.address(0)
    }
}

/// Where pool frame `n` can always be read.
pub fn view(n: usize) -> u64 {
    VIEW_BASE + PAGE_SIZE * n as u64
}

/// Address `n` of the arena.
pub fn arena(n: usize) -> u64 {
    ARENA_BASE + PAGE_SIZE * n as u64
}

/// Says so if something that must succeed did not.
fn expect(line: &mut Line, what: &str, n: usize, answer: i64) {
    if answer != 0 {
        let _ = write!(line, " reset: {what} {n} -> {answer}");
    }
}

/// Reads a word that is always mapped.
fn load(address: u64) -> u64 {
    // SAFETY: the view, the arena's table and the M2P of the domain's frames are always mapped; others write them.
    unsafe { (address as *const u64).read_volatile() }
}

/// Fills the page at `address` with zeros.
pub fn zero(address: u64) {
    for offset in 0..512 {
        // SAFETY: within a page that nothing in Rust refers to; where it is not mapped, the caller makes an attempt of it.
        unsafe { ((address + 8 * offset) as *mut u64).write_volatile(0) };
    }
}

/// Records `pfn` as the name of `mfn`.
fn own(mfn: u64, pfn: u64) {
    if (mfn as usize) < MACHINE {
        // SAFETY: one of the words of OWNED.
        unsafe { ((OWNED.address(0) + 4 * mfn) as *mut u32).write_volatile(pfn as u32 + 1) };
    }
}

/// The PFN of a frame, if it is the domain's.
fn owner(mfn: u64) -> Option<u64> {
    if mfn as usize >= MACHINE {
        return None;
    }
    // SAFETY: one of the words of OWNED.
    let pfn = unsafe { ((OWNED.address(0) + 4 * mfn) as *const u32).read_volatile() };
    u64::from(pfn).checked_sub(1)
}

/// A frame of the hypervisor's: what the root's entry for its direct map names.
fn hypervisor_frame(domain: &Domain) -> u64 {
    let entry = access::read_u64(domain.info().pt_base + 8 * 262).unwrap_or(0);
    if entry & PteFlags::PRESENT.bits() == 0 {
        return 0;
    }
    (entry & ADDRESS_MASK) >> 12
}

/// A frame's name: what kind it is, and which.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name(char, u64);

impl Name {
    /// Whether it is one of the pool's.
    pub fn is_pool(self) -> bool {
        self.0 == 'T'
    }

    /// Whether it is one that may be mapped nowhere writable, and so become a table.
    pub fn is_unmapped(self) -> bool {
        matches!(self.0, 'T' | 'R' | 'p' | '?')
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            'm' => write!(f, "m{:x}", self.1),
            'T' | 'R' | 'p' => write!(f, "{}{}", self.0, self.1),
            kind => write!(f, "{kind}"),
        }
    }
}

/// An entry to be printed.
pub struct Word(Option<(Name, u64)>);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("0"),
            Some((name, flags)) => write!(f, "{name}|{flags:x}"),
        }
    }
}
