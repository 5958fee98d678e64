//! The domain's grant table: which pages it grants to whom, in both layouts.
//!
//! Each block of [`PER_BLOCK`] references has the same meaning in every one of these guests ([`Meaning`]).
//!
//! What it keeps true: a reference of fixed meaning never grants anything else, so that its answers can be judged.

use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use xenocryst_guest::abi::grant_table::{
    GetStatusFrames, QuerySize, SetVersion, SetupTable, entry_flag as f, op, status,
};
use xenocryst_guest::abi::hypercall::number;
use xenocryst_guest::abi::{DomId, Mfn, PAGE_SIZE, Vaddr};
use xenocryst_guest::hypercall;

use crate::arena::{self, Arena};

/// References in a block.
pub const PER_BLOCK: u32 = 16;
/// The first reference of the first block.
const FIRST: u32 = 16;
/// Frames of the table that are mapped at most.
const MOST: usize = 4;

/// What a reference of a block is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Reading a page of the image.
    Read(usize),
    /// Writing to the second half of a page of the image.
    Write(usize),
    /// Reading the first bytes of a page by copying; only in tables of version 2.
    Part(usize),
    /// A frame that comes and goes.
    Passing,
    /// Taking a frame.
    Accept,
}

/// The bytes that [`Meaning::Part`] grants.
pub const PART: u16 = 64;

impl Meaning {
    /// That of the reference `n` of a block.
    pub fn of(n: u32) -> Self {
        match n {
            0..7 => Self::Read(n as usize),
            7..12 => Self::Write(arena::READ_ONLY + n as usize - 7),
            12 => Self::Part(7),
            13 => Self::Passing,
            _ => Self::Accept,
        }
    }
}

/// The reference `n` of `block`.
pub const fn reference(block: u32, n: u32) -> u32 {
    FIRST + PER_BLOCK * block + n
}

/// An entry as it is to be.
pub struct Entry {
    pub flags: u16,
    pub domain: u16,
    pub frame: Mfn,
    /// Bytes granted from the start of the page; 0 for all of it.
    pub part: u16,
}

/// The table.
pub struct Table {
    version: u32,
    frames: usize,
    statuses: usize,
}

/// Makes a `grant_table_op` with one list; the call's own answer.
pub fn call<T>(command: u32, list: &mut [T]) -> i64 {
    let arguments = [
        u64::from(command),
        list.as_mut_ptr() as u64,
        list.len() as u64,
        0,
        0,
    ];
    // SAFETY: the list is of the command's structures, and what it asks for is about frames and addresses that Rust code
    // relies on nowhere.
    unsafe { hypercall::call(number::GRANT_TABLE_OP, arguments) }
}

impl Table {
    /// Takes the table as a new domain has it.
    pub fn new(arena: &Arena) -> Self {
        let mut table = Self {
            version: 1,
            frames: 0,
            statuses: 0,
        };
        assert!(table.grow(arena, 1), "the table has a frame");
        table
    }

    /// The layout.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Has `frames` frames, up to [`MOST`], and maps them.
    pub fn grow(&mut self, arena: &Arena, frames: usize) -> bool {
        let frames = frames.min(MOST);
        let mut list = [0_u64; MOST];
        let mut setup = [SetupTable {
            dom: DomId::SELF,
            pad0: 0,
            nr_frames: frames as u32,
            status: -1,
            pad1: [0; 3],
            frame_list: Vaddr::new(list.as_mut_ptr() as u64),
        }];
        if call(op::SETUP_TABLE, &mut setup) != 0 || setup[0].status != status::OKAY {
            return false;
        }
        while self.frames < frames {
            let mfn = Mfn::new(list[self.frames]);
            let answer = arena.map(arena::TABLE + self.frames, mfn, true);
            assert_eq!(answer, 0, "mapping frame {} of the table", self.frames);
            self.frames += 1;
        }
        true
    }

    /// Asks how large the table of `id` is; the status.
    pub fn query_size(id: DomId) -> i16 {
        let mut query = [QuerySize {
            dom: id,
            pad0: 0,
            nr_frames: 0,
            max_nr_frames: 0,
            status: -1,
            pad1: 0,
        }];
        call(op::QUERY_SIZE, &mut query);
        query[0].status
    }

    /// Maps the status frames, or no longer.
    pub fn map_statuses(&mut self, arena: &Arena, wanted: bool) -> bool {
        while self.statuses > 0 && !wanted {
            self.statuses -= 1;
            arena.clear(arena::STATUS + self.statuses);
        }
        if !wanted || self.version != 2 || self.statuses > 0 {
            return false;
        }
        let mut list = [0_u64; 1];
        let mut get = [GetStatusFrames {
            nr_frames: 1,
            dom: DomId::SELF,
            status: -1,
            frame_list: Vaddr::new(list.as_mut_ptr() as u64),
        }];
        if call(op::GET_STATUS_FRAMES, &mut get) != 0 || get[0].status != status::OKAY {
            return false;
        }
        if arena.map(arena::STATUS, Mfn::new(list[0]), true) != 0 {
            return false;
        }
        self.statuses = 1;
        true
    }

    /// Changes the layout to the other one, if nobody uses a grant; nothing is granted then.
    pub fn change_version(&mut self, arena: &Arena) -> bool {
        self.map_statuses(arena, false);
        let mut set = [SetVersion {
            version: 3 - self.version,
        }];
        let changed = call(op::SET_VERSION, &mut set) == 0;
        if changed {
            self.version = 3 - self.version;
        }
        changed
    }

    /// Where an entry is.
    fn at(&self, reference: u32) -> u64 {
        let size = if self.version == 1 { 8 } else { 16 };
        let offset = size * u64::from(reference);
        assert!(
            offset < self.frames as u64 * PAGE_SIZE,
            "reference {reference}"
        );
        Arena::address(arena::TABLE) + offset
    }

    /// References that there is room for.
    pub fn has(&self, reference: u32) -> bool {
        let size = if self.version == 1 { 8 } else { 16 };
        (u64::from(reference) + 1) * size <= self.frames as u64 * PAGE_SIZE
    }

    fn flags(&self, reference: u32) -> &AtomicU16 {
        // SAFETY: a word of the table, which is mapped for good; the hypervisor changes it, too, so it is atomic.
        unsafe { &*(self.at(reference) as *const AtomicU16) }
    }

    /// Ends access. False if the table says that the grant is in use (version 1, where it then stays).
    pub fn end(&self, reference: u32) -> bool {
        let flags = self.flags(reference);
        let now = flags.load(Ordering::Acquire);
        if self.version == 1 && now & f::TYPE_MASK == f::PERMIT_ACCESS {
            if now & (f::READING | f::WRITING) != 0 {
                return false;
            }
            return flags
                .compare_exchange(now, 0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        }
        flags.store(0, Ordering::Release);
        true
    }

    /// Grants, in place of what was there. False if that is in use.
    pub fn grant(&self, reference: u32, entry: &Entry) -> bool {
        if !self.has(reference) || !self.end(reference) {
            return false;
        }
        let at = self.at(reference);
        // SAFETY: words of one entry of the table, as its version has them.
        unsafe {
            (*((at + 2) as *const AtomicU16)).store(entry.domain, Ordering::Relaxed);
            if self.version == 1 {
                (*((at + 4) as *const AtomicU32))
                    .store(entry.frame.raw() as u32, Ordering::Relaxed);
            } else {
                (*((at + 4) as *const AtomicU32))
                    .store(u32::from(entry.part) << 16, Ordering::Relaxed);
                (*((at + 8) as *const AtomicU64)).store(entry.frame.raw(), Ordering::Relaxed);
            }
        }
        fence(Ordering::Release);
        self.flags(reference).store(entry.flags, Ordering::Release);
        true
    }

    /// The frame that has come in by a reference, if one has; the entry is free again.
    pub fn accepted(&self, reference: u32) -> Option<Mfn> {
        if !self.has(reference) {
            return None;
        }
        let flags = self.flags(reference).load(Ordering::Acquire);
        let complete = f::TRANSFER_COMMITTED | f::TRANSFER_COMPLETED;
        if flags & f::TYPE_MASK != f::ACCEPT_TRANSFER || flags & complete != complete {
            return None;
        }
        let at = self.at(reference);
        // SAFETY: a word of one entry of the table, as its version has it.
        let frame = unsafe {
            if self.version == 1 {
                u64::from((*((at + 4) as *const AtomicU32)).load(Ordering::Relaxed))
            } else {
                (*((at + 8) as *const AtomicU64)).load(Ordering::Relaxed)
            }
        };
        self.flags(reference).store(0, Ordering::Release);
        Some(Mfn::new(frame))
    }

    /// Whether a transfer to a reference has begun and has not ended.
    pub fn is_accepting(&self, reference: u32) -> bool {
        let flags = self.flags(reference).load(Ordering::Acquire);
        flags & f::TYPE_MASK == f::ACCEPT_TRANSFER && flags & f::TRANSFER_COMMITTED != 0
    }
}
